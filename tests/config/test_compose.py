import re
import subprocess
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from autoencoders.config.arguments import (
    FLAGS,
    NUMERIC_GROUPS,
    collapse_numbers,
    expand_numbers,
    merge_list_option,
    quote_option,
    split_arguments,
)
from autoencoders.config.compose import compose_config, config_groups, help_text
from autoencoders.types import UserError

REQUIRED = {
    "data=folder": ["data.path=somewhere"],
    "data=arrays": ["data.path=somewhere"],
    "data=torchvision": ["data.dataset=CIFAR10"],
    "data=huggingface": ["data.dataset=mnist"],
    "data=dataset": ["data.dataset._target_=mine.Pictures"],
    "data=dsprites": ["data.path=somewhere"],
    "data=shapes3d": ["data.path=somewhere"],
}
PLUGINS = {"hparams_search=optuna": "hydra_plugins.hydra_optuna_sweeper"}
SINGLE = [g for g in config_groups() if g not in ("callbacks", "logger")]


def composed(*overrides):
    return compose_config("train", overrides)


@pytest.mark.parametrize(
    "option",
    [f"{g}={o}" for g, options in config_groups().items() for o in options if g != "experiment"],  # test_experiments.py
)
def test_every_option_of_every_group_composes_and_resolves(compose, option):
    if option in PLUGINS:
        pytest.importorskip(PLUGINS[option], reason=f"{option} needs a plugin of Hydra that is an extra")
    required = REQUIRED.get(option, [])
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


@pytest.mark.parametrize(
    "word",
    ["latent_dim=1.5", "latent_dim=0", "latent_dim=4,-1", "beta=-1", "beta=nan", "beta=interval(-1,2)", "beta=.5,-2"],
)
def test_invalid_numbers_are_rejected(word):
    name = word.split("=")[0]
    with pytest.raises(UserError, match=rf"{name} must be {NUMERIC_GROUPS[name].describe()}, got "):
        expand_numbers([word])


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("beta=4", ["beta=constant", "beta.value=4"]),
        ("beta=0.5,1,4", ["beta=constant", "beta.value=0.5,1,4"]),
        ("beta=range(1,4)", ["beta=constant", "beta.value=range(1,4)"]),
        ("beta=interval(0.1,4)", ["beta=constant", "beta.value=interval(0.1,4)"]),
        ("beta=tag(log,interval(0.1,4))", ["beta=constant", "beta.value=tag(log,interval(0.1,4))"]),
        ("beta=choice(1,2)", ["beta=constant", "beta.value=choice(1,2)"]),
        ("latent_dim=2,16", ["latent_dim.size=2,16"]),
        ("latent_dim=plane,small", ["latent_dim=plane,small"]),
        ("beta=warmup,cyclical", ["beta=warmup,cyclical"]),
        ("beta.value=4", ["beta.value=4"]),
        ("model=3", ["model=3"]),
        ("beta=[1", ["beta=[1"]),
    ],
)
def test_numbers_of_groups_become_options(word, expected):
    assert expand_numbers([word]) == expected
    assert collapse_numbers(expected) == [word if expected != ["beta.value=4"] else "beta.value=4"]
    assert set(NUMERIC_GROUPS) <= set(config_groups())


def test_a_sweep_of_numbers_and_options_is_refused():
    with pytest.raises(
        UserError, match="beta must be either numbers or options in one sweep, got numbers and options: beta=warmup,4"
    ):
        expand_numbers(["beta=warmup,4"])


def test_flags_and_overrides_are_divided():
    line = split_arguments(["-m", "--cfg", "job", "-i", "model=vae", "--config-dir=x", "seed=1"])
    assert line.flags == {"-m": "", "--cfg": "job", "-i": "", "--config-dir": "x"}
    assert line.overrides == ["model=vae", "seed=1"]
    assert line.is_multirun
    with pytest.raises(UserError, match="There is no flag --foo"):
        split_arguments(["--foo"])
    with pytest.raises(UserError, match="Put -m first"):
        split_arguments(["hydra/sweeper=optuna", "-m", "model=vae"])


def test_the_flags_are_those_of_hydra(tmp_path):
    command = [sys.executable, "-m", "autoencoders.train", "--hydra-help"]
    lines = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout.splitlines()
    flags = {flag for line in lines if line.startswith("--") for flag in line.split(" : ")[0].split(",")}
    assert flags == set(FLAGS)


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


def test_a_plugin_that_is_not_installed_is_named():
    from hydra.errors import MissingConfigException

    from autoencoders.config.cli_errors import error_message

    error = MissingConfigException("", "hydra/sweeper/optuna", ["basic"])
    assert error_message(error) == (
        "hydra/sweeper=optuna needs the package hydra-optuna-sweeper. Install it with pip install hydra-optuna-sweeper."
    )
