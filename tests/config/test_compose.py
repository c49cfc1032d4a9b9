import re
import subprocess
import sys

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from autoencoders.config.compose import (
    CONF,
    NUMERIC_GROUPS,
    config_groups,
    help_text,
    merge_list_option,
    numeric_config,
    quote_option,
)

SINGLE = [g for g in config_groups() if g not in ("callbacks", "logger")]


def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra_compose("train", list(overrides))


@pytest.mark.parametrize("option", [f"{g}={o}" for g, options in config_groups().items() for o in options])
def test_every_option_of_every_group_composes_and_resolves(compose, option):
    required = ["data.path=somewhere"] if option == "data=folder" else []
    option = option.replace("application=", "application@after_fit=")
    assert compose(option, *required)["name"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["beta=4"], 4),
        (["beta=0.5"], 0.5),
        (["beta=1e-3"], 1e-3),
        (["beta=0"], 0),
        (["beta=warmup"], 1),
        (["beta=warmup", "beta.value=4"], 4),
        (["beta=7", "beta.value=8"], 8),
        (["beta.value=4"], 4),
    ],
)
def test_beta_on_the_command_line(words, expected):
    config = composed(*words)
    assert config.beta.value == expected
    kind = "Warmup" if "beta=warmup" in words else "Constant"
    assert config.model.beta_schedule._target_.endswith(kind)


@pytest.mark.parametrize(
    ("words", "expected"), [(["latent_dim=16"], 16), (["latent_dim=plane"], 2), (["latent_dim.size=24"], 24)]
)
def test_latent_dim_on_the_command_line(words, expected):
    assert composed(*words).model.latent_dim == expected


@pytest.mark.parametrize("word", ["latent_dim=1.5", "latent_dim=0", "beta=-1", "beta=nan", "latent_dim=vast"])
def test_invalid_numbers_are_rejected(word):
    with pytest.raises(HydraException, match=word.split("=")[0]):
        composed(word)


def test_only_numeric_groups_accept_numbers():
    assert numeric_config("beta/0.5")["value"] == 0.5
    assert numeric_config("model/3") is None
    assert numeric_config("beta/warmup") is None
    assert set(NUMERIC_GROUPS) <= set(config_groups())


def test_the_likelihood_depends_on_model_and_data_unless_it_is_set():
    assert composed("model=pca").likelihood._target_.endswith("GaussianLearned")
    assert composed("model=pca", "likelihood=laplace").likelihood._target_.endswith("Laplace")
    assert composed("model=vae").likelihood._target_.endswith("Bernoulli")
    assert composed("data=lfw").likelihood._target_.endswith("Gaussian")
    assert composed("data=lfw", "model=pca").likelihood._target_.endswith("GaussianLearned")
    assert composed("data=lfw", "likelihood=laplace").likelihood._target_.endswith("Laplace")


def test_the_ladder_of_an_experiment_sets_its_epochs():
    assert composed("experiment=iwae_table").trainer.max_epochs == 3280
    assert composed("experiment=iwae_table", "schedule.rungs=4").trainer.max_epochs == 1 + 3 + 9 + 27
    assert composed("experiment=iwae_table", "model=cvae").model.name == "cvae"


def test_lists_of_callbacks_and_loggers():
    config = composed("callbacks=[default,early_stopping,gif]", "logger=[wandb,tensorboard]")
    assert {"best", "last_checkpoint", "samples", "early_stopping", "gif"} <= set(config.callbacks)
    assert set(config.logger) == {"wandb", "tensorboard"}
    assert not composed("callbacks=none").callbacks
    assert not composed("logger=none").logger


def test_the_name_of_a_run():
    assert composed("model=vae", "data=mnist", "latent_dim=2", "beta=0.5").name == "vae-mnist-z2-beta0.5"


def test_help_lists_all_groups_and_loads_no_heavy_library():
    text = help_text("words")
    assert all(option in text for options in config_groups().values() for option in options)
    code = (
        "import sys, autoencoders.train as command; sys.argv = ['train', '--help']; command.main(); "
        "sys.exit(bool({'torch', 'lightning', 'numpy', 'matplotlib', 'wandb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"beta +capacity", done.stdout)


PATHS = [
    "plain/run", "a run, with [brackets] = 'quotes' (1)", "it's", 'say "so"', "back\\slash", "a=b,c", "${x}", "end\\",
    "runs/*", "[a",
]  # fmt: skip


def read(word):
    """Return the value that Hydra and OmegaConf parse from an argument."""
    value = OverridesParser.create().parse_override(word).value()
    value = [str(part) for part in value] if isinstance(value, list) else str(value)
    return OmegaConf.to_container(OmegaConf.create({"key": value}), resolve=True)["key"]


@pytest.mark.parametrize("path", PATHS)
def test_quoted_paths_are_parsed_unchanged(path):
    assert read(quote_option(f"run={path}", ("run",))) == path


def test_other_options_and_null_are_not_quoted():
    words = ["application=[a,b]", "run=null", "run='quoted by hand'"]
    assert [quote_option(word, ("run",)) for word in words] == words


def test_repeated_and_single_options_become_one_list():
    words = ["runs=a b", "title=x", "runs=[c,d]", *(f"runs={path}" for path in PATHS)]
    title, runs = merge_list_option(words, "runs")
    assert title == "title=x"
    assert read(runs) == ["a b", "c", "d", *PATHS]
    assert merge_list_option(["title=x"], "runs") == ["title=x"]
    assert read(merge_list_option(["runs=[]"], "runs")[0]) == []
