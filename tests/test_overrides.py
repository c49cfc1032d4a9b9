"""What the doors say to words that are wrong: by hand, and thrown at them at random (hypothesis)."""

import collections
import contextlib
import io
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

import torch
from conftest import composed
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoencoders import train
from autoencoders.compose import groups

# A run that any words are added to: a step or two of real training.
SHORT = ["trainer.limit_train_batches=2", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]
SHORT += ["trainer.max_epochs=1", "trainer=cpu", "callbacks=none", "logger=none", "net.widths=[16]", "seed=1"]
# What would download, draw for a minute, fill the memory or start more processes; each has tests of its own.
LEFT_ALONE = {
    "experiment",
    "trainer.devices",
    "trainer.num_nodes",
    "compile",
    "trainer.max_epochs",
    "trainer.max_steps",
}
OPTIONS = {
    "data": ["digits", "folder"],
    "trainer": ["cpu", "auto", "debug", "gpu", "ddp"],
    "callbacks": ["none", "checkpoint", "progress", "baselines", "early_stopping"],
    "logger": ["none", "csv"],
    "application@after_fit": ["none", "reconstruct"],
}
WRONG_COMPILE = ["compile=yes", "compile=", "compile=1", "compile=null"]
DEVICES = [
    "trainer.devices=0",
    "trainer.devices=-2",
    "trainer.devices=abc",
    "trainer.devices=auto",
    "trainer.devices=[]",
]
EPOCHS = [
    f"trainer.{k}={v}" for k in ("max_epochs", "max_steps") for v in ("0", "-1", "-7", "1.5", "abc", "nan", "null")
]

numbers = st.sampled_from(
    ["0", "1", "2", "3", "-1", "-0", "0.5", "1.5", "1e-3", "1e308", "-1e308", "nan", "inf", "-inf"]
)
texts = st.sampled_from(
    ["abc", "", "none", "auto", "true", "null", "???", "é", "日本", "🙂", "a b", "../x", "'q'", '"q"', "'", '"', "a'b",
     "[", "]", "{", "}", "(", ")", "[1,2]", "[[1],a]", "[]", "{}", "{a: 1}", "a,b", "a=b", "a:b", "\\", "a\\", "%s",
     "{0}", "${seed}", "${nope}", "${oc.env:HOME}", "${oc.env:NOPE}", "${", "$x", "${now:%Y}", "choice(1,2)",
     "range(3)", "~", "*", "#", "&", "<b>", "\t", "a\nb", "0x10", "1_000", "32", "x" * 300]
)  # fmt: skip
values = numbers | texts


def leaves(node, prefix=""):
    for name, child in node.items():
        if isinstance(child, dict):
            yield from leaves(child, f"{prefix}{name}.")
        yield f"{prefix}{name}"


def keys():
    """Every key of the training configuration under several choices of groups."""
    found = {}
    for words in (["model=vae"], ["net=conv", "corruption=erase", "beta=capacity", "objective=iwae"],
                  ["callbacks=[default,early_stopping,gif]", "logger=[csv,tensorboard,wandb]", "model=pca"],
                  ["application@after_fit=reconstruct", "likelihood=gaussian_learned", "schedule=ladder"]):  # fmt: skip
        for key in leaves(composed(*words, folder="f")):
            found.setdefault(key, words)
    return {key: words for key, words in found.items() if key not in LEFT_ALONE and key not in ("folder", "runs")}


KEYS = keys()
GROUPS = {g: o for g, o in groups().items() if g not in ("experiment", "application", "density", "budget")}
GROUPS |= OPTIONS


@st.composite
def word(draw):
    """One mistake, or one thing that is right: the words that it takes."""
    kind = draw(st.sampled_from(["group", "group wrong", "leaf", "leaf", "leaf", "typo", "prefix", "free", "special"]))
    if kind == "special":
        return [draw(st.sampled_from(WRONG_COMPILE + DEVICES + EPOCHS))]
    if kind == "free":
        return [draw(st.text(max_size=12) | texts).replace("\0", "")]
    if kind.startswith("group"):
        group = draw(st.sampled_from(sorted(GROUPS)))
        return [f"{group}={draw(values) if kind == 'group wrong' else draw(st.sampled_from(GROUPS[group]))}"]
    key = draw(st.sampled_from(sorted(KEYS)))
    if kind == "typo":
        at = draw(st.integers(0, len(key) - 1))
        return [f"{key[:at]}{key[at + 1 :]}={draw(values)}"]
    if kind == "prefix":
        sign = draw(st.sampled_from(["~", "+", "++"]))
        return [f"{sign}{key}" + ("" if sign == "~" else f"={draw(values)}")]
    given = draw(values)
    return [*KEYS[key], f"{key}={given}", *([f"{key}={draw(values)}"] if draw(st.booleans()) else [])]


lines = st.lists(word(), min_size=1, max_size=2).map(lambda parts: [w for part in parts for w in part])


def harmless(words):
    """Flags are Hydra's own business; these would print, or start a shell's completion."""
    return not any(
        w.startswith("-") or w in ("", "debug=true") or w.partition("=")[0].startswith("hydra") for w in words
    )


def state():
    return {
        "handlers": {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)},
        "threads": {t.name for t in threading.enumerate() if not t.daemon},
        **{f"${k}": v for k, v in os.environ.items() if not k.startswith("PYTEST")},
        "folder": os.getcwd(),
        "torch": (torch.get_num_threads(), torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled()),
        "hydra": GlobalHydra.instance().is_initialized(),
    }


def opened(module, words, cwd):
    """The door in this process: its exit status, and what it says on either stream."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    argv, here = sys.argv, os.getcwd()
    sys.argv = [module.__name__, *words]
    os.chdir(cwd)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            module.main()
    except SystemExit as left:
        code = left.code or 0
    finally:
        GlobalHydra.instance().clear()
        sys.argv = argv
        os.chdir(here)
    return code, out.getvalue(), err.getvalue()


def judged(code, err, cwd):
    """`passed`, or what a refusal begins with; anything else is a failure."""
    if code == 0:
        assert err == "" or err.startswith("autoencoders: "), err
        return "passed"
    assert code == 2, (code, err)
    assert err.startswith("autoencoders: "), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    empty = [p for p in Path(cwd).glob("runs/*") if p.is_dir() and not any(p.iterdir())]
    assert empty == []
    return " ".join(err.split()[1:40])


WARM = []
COUNTS = collections.Counter()


def throw(words):
    GlobalHydra.instance().clear()
    with tempfile.TemporaryDirectory() as cwd:
        before = state() if WARM else None
        result = judged(*(lambda c, o, e: (c, e))(*opened(train, [*SHORT, *words], cwd)), cwd)
        after = state()
        before, _ = before or after, WARM.append(True)  # the first imports what leaves traces of its own
        changed = {k: (v, after.get(k)) for k, v in before.items() if v != after.get(k)}
        assert changed == {}, changed
    COUNTS[result.partition(" ")[0] if result == "passed" else result] += 1


quiet = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None, "print_blob": False}


@settings(max_examples=60, derandomize=True, **quiet)
@given(lines.filter(harmless))
def test_the_training_door_ends_cleanly_or_with_one_sentence(words):
    throw(words)
