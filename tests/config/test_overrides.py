"""What the doors say to words that are wrong: by hand, and thrown at them at random (hypothesis)."""

import collections
import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import torch
from composing import composed
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoencoders import apply, report, train
from autoencoders.config.compose import config_groups

# A run that any words are added to: a step or two of real training.
SHORT = ["trainer.limit_train_batches=2", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]
SHORT += ["trainer.max_epochs=1", "trainer=cpu", "callbacks=none", "logger=none", "data.size=8", "seed=1"]
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


DRAWING = ("reconstructions", "samples", "latents", "curves", "health", "gif")
CONTEXTS = [
    ["model=vae"],
    ["net=conv", "corruption=erase", "beta=capacity", "objective=iwae", "net.width=4"],
    ["application@after_fit=reconstruct", "likelihood=gaussian_learned", "schedule=ladder"],
    ["logger=[csv,tensorboard]"],
    ["logger=wandb"],
    ["callbacks=[default,early_stopping,gif]"],
]


def keys():
    """Every key of the training configuration, and the choices of groups with which it is there."""
    found = {}
    for words in CONTEXTS:
        for key in leaves(composed(*words, folder="f")):
            found.setdefault(key, words)
    for key, words in found.items():
        if words == CONTEXTS[-1]:  # of what draws, one at a time
            found[key] = [*words, *(f"callbacks.{name}=null" for name in DRAWING if name not in key.split("."))]
    return {key: words for key, words in found.items() if key not in LEFT_ALONE and key not in ("folder", "runs")}


KEYS = keys()
GROUPS = {g: o for g, o in config_groups().items() if g not in ("experiment", "application", "density", "budget")}
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


def test_a_mistake_is_told_before_anything_heavy_is_loaded(tmp_path):
    code = (
        "import sys, autoencoders.train as door\nsys.argv = ['train', 'modle=vae']\ntry:\n    door.main()\n"
        "except SystemExit as left:\n    print(left.code, {'torch', 'lightning', 'numpy', 'wandb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "2 set()\n"
    assert done.stderr == "autoencoders: There is no option modle. Did you mean model?\n"


CASES = [
    ("model=vea", "model has no option 'vea'. Did you mean model=vae?"),
    ("trainer.max_epoch=3", "There is no option trainer.max_epoch. Did you mean trainer.max_epochs?"),
    ("model=null", "model has no option 'null'. Its options: ae, classifier, cvae"),
    ("net=3", "net has no option '3'. Its options: conv"),
    ("lr=1e-3", "There is no option lr. Did you mean optimizer.lr?"),
    ("optimizer.weight_decay=1", "is given as +optimizer.weight_decay=1."),
    ("callbacks=chekpoint", "Did you mean callbacks=checkpoint?"),
    ("experiment=s0_face", "Did you mean experiment=s0_faces?"),
    ("data.batch_size=abc", "data.batch_size must be a number, and is 'abc'"),
    ("optimizer.lr=nan", "optimizer.lr must be a number, and is nan"),
    ("data.batch_size=null", "data.batch_size must be a number, and is None"),
    ("trainer.max_epochs=[1]", "trainer.max_epochs must be a number or null, and is [1]"),
    ("net.widths=[a]", "net.widths must be a number, and is 'a'"),
    ("~seed", "~seed takes away an option that a run reads"),
    ("model.encoder.widths=[3]", "model.encoder is ${net.encoder}"),
    ("model={", "'model={' cannot be read as group=option or key=value"),
    ("budget=null", "Its options: full, small. ~budget takes it away."),
    ("beta=-1", "beta must be a number from 0 up, and is -1."),
    ("latent_dim=0", "latent_dim must be a whole number from 1 up, and is 0."),
    ("+after_fit.reconstruct=0", "after_fit.reconstruct must be an application's options, and is 0."),
    ("latent_dim.size=${model.latent_dim}", "Recursive interpolation detected"),
    ("data.batch_size=${name}", "data.batch_size must be a number, and is 'cvae-digits-z10-beta1'"),
    ("seed=${nope}", "seed cannot be made out: Interpolation key 'nope' not found"),
    ("data=folder", "data.path must be given: data.path=<value>."),
    ("--foo", "unrecognized arguments: --foo"),
    ("data.batch_size=1.5", "data.batch_size must be a whole number, and is 1.5"),
    ("data.batch_size=0", "data.batch_size must be a number of images from 1 up"),
    ("data.size=3", "data.size must lie in 8 .. 1024 pixels"),
    ("data.test=-1", "data.test must be a share in (0, 1) or a whole number of images"),
    ("optimizer.lr=0", "optimizer.lr must be a number above 0, and is 0"),
    ("optimizer.lr=-1", "Invalid learning rate: -1"),
    ("+optimizer.weight_dekay=1", "optimizer has no option 'weight_dekay'. Did you mean optimizer.weight_decay?"),
    ("+model.foo=1", "model has no option 'foo'"),
    ("trainer.max_epochs=0", "trainer.max_epochs must be a whole number from 1 up"),
    ("trainer.max_epochs=-1", "this run has no end"),
    ("trainer.log_every_n_steps=0", "trainer.log_every_n_steps must be a whole number from 1 up"),
    ("latent_dim.size=1000000000", "weights, which take"),
    ("corruption=gaussian_noise corruption.sigma=1.5", "corruption.sigma must be a standard deviation in [0, 1]"),
    ("data=cartoons", "model=cvae needs labels, and the data have none"),
    ("callbacks=default +callbacks.samples.rows=0", "rows must be a whole number from 1 up"),
    ("callbacks=default callbacks.health._target_=a.b", "callbacks.health._target_ is 'a.b', which cannot be found"),
    (
        "application@after_fit=sample after_fit.sample.classifier=no",
        "no is neither a checkpoint nor the folder of a run",
    ),
]


@pytest.mark.parametrize(("words", "sentence"), CASES, ids=[words for words, _ in CASES])
def test_every_mistake_is_one_sentence_that_says_what_to_do(tmp_path, words, sentence):
    code, _, err = opened(train, ["logger=none", *words.split(" ")], tmp_path)
    assert sentence in err
    assert judged(code, err, tmp_path) != "passed"


@pytest.mark.parametrize(
    ("module", "words", "sentence"),
    [
        (train, "model=vae model.likelihood=0", "Choose likelihood=<option>."),
        (train, "model=vae model.likelihood=${seed}", "Choose likelihood=<option>."),
        (train, "after_fit=${seed}", "after_fit must be a group of options, and is 0"),
        (
            train,
            "application@after_fit=reconstruct after_fit.reconstruct=${seed}",
            "after_fit.reconstruct must be a group of options, and is 0",
        ),
        (train, "model.encoder=null", "Choose net=<option>."),
        (apply, "run=x application=reconstrct", "Did you mean application=reconstruct?"),
        (apply, "run=x application=reconstruct application.reconstruct.cuont=1", "application.reconstruct.count?"),
        (apply, "application=reconstruct", "run must be given: run=<value>."),
        (apply, "run=x", "You must specify 'application'"),
        (report, "runs=x tilte=y", "Did you mean title?"),
        (report, "runs=x megabytes=abc", "megabytes must be a number"),
        (train, "-m beta=1,abc", "beta has no option 'abc'"),
        (train, "-m data.batch_size=32,abc", "data.batch_size must be a number, and is 'abc'"),
    ],
)
def test_other_doors_and_sweeps_refuse_as_training_does(tmp_path, module, words, sentence):
    code, _, err = opened(module, words.split(" "), tmp_path)
    assert sentence in err
    assert judged(code, err, tmp_path) != "passed"
    assert list(tmp_path.rglob("*")) == [] or [p.name for p in tmp_path.rglob("*")] == ["runs"]


def test_what_a_run_may_do_without_can_be_left_out(tmp_path):
    words = ["~budget", "~experiment", "+after_fit.reconstruct=null"]
    assert judged(*opened(train, [*SHORT, *words], tmp_path)[::2], tmp_path) == "passed"


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(Exception, match="no option modle"):
        opened(train, ["modle=vae", "debug=true"], tmp_path)


@pytest.mark.slow
@settings(max_examples=1000, **quiet)
@given(lines.filter(harmless))
def test_the_training_door_in_a_thousand_cases(words):
    throw(words)


@pytest.mark.slow
@settings(max_examples=50, **quiet)
@given(lines.filter(harmless))
def test_the_command_ends_as_the_door_does(words):
    with tempfile.TemporaryDirectory() as cwd:
        command = [sys.executable, "-m", "autoencoders.train", *SHORT, *words]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=300)
        judged(done.returncode, done.stderr, cwd)


@settings(max_examples=40, derandomize=True, **quiet)
@given(
    st.sampled_from([apply, report]),
    st.lists(st.sampled_from(["run", "runs", "split", "application", "density", "classifier", "images", "root", "device",
                              "folder", "format", "title", "metrics", "figures", "parts", "megabytes", "copy", "nope",
                              "application.reconstruct.count"]), min_size=1, max_size=3), values)  # fmt: skip
def test_the_other_doors_end_cleanly_or_with_one_sentence(module, names, value):
    start = ["run=nowhere", "application=reconstruct"] if module is apply else ["runs=nowhere"]
    with tempfile.TemporaryDirectory() as cwd:
        code, _, err = opened(module, [*start, *(f"{name}={value}" for name in names)], cwd)
        judged(code, err, cwd)
