import gc
import os
import weakref

import pytest
import torch

from autoencoders.callbacks.throughput import NullProfiler
from autoencoders.config.compose import CONF
from autoencoders.training.pipeline import build_trainer
from autoencoders.training.processes import Processes
from autoencoders.utils import startup

VARIABLE = "PYTORCH_NVML_BASED_CUDA_CHECK"


@pytest.mark.parametrize(("there", "kept"), [(False, "0"), (True, "1")])
def test_the_driver_search_is_skipped_without_a_gpu(there, kept, monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")  # as Lightning sets it
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    startup.skip_driver_search()
    assert os.environ[VARIABLE] == kept


@pytest.mark.parametrize(("words", "kind"), [([], "NullProfiler"), (["+trainer.profiler=simple"], "SimpleProfiler")])
def test_a_configured_profiler_is_kept(words, kind, tmp_path):
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["trainer=cpu", f"folder={tmp_path}", *words])
    config = OmegaConf.to_container(config, resolve=True)
    trainer = build_trainer(config, [], [], Processes(config))
    assert type(trainer.profiler).__name__ == kind
    assert words == [] or (trainer.profiler.dirpath, trainer.profiler.filename) == (str(tmp_path), "profile")


def test_the_null_profiler_creates_no_context_per_action():
    profiler = NullProfiler()
    assert profiler.profile("a step") is profiler.profile("another")
    with profiler.profile("a step"), profiler.profile("within it"):
        pass


def test_frozen_objects_are_collected_after_the_block():
    """Without the end of the freeze, each job of a sweep would keep the model of the previous job in memory."""
    gc.collect()
    module = torch.nn.Module()
    object.__setattr__(module, "itself", module)
    reference = weakref.ref(module)
    del module
    with startup.freeze_objects():
        gc.collect()
        assert reference() is not None
    gc.collect()
    assert reference() is None
