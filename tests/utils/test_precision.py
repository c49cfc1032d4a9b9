from pathlib import Path

import pytest
import torch

from autoencoders import train
from autoencoders.types import UserError
from autoencoders.utils import precision


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="/proc/cpuinfo does not exist")
def test_bfloat16_instructions_are_those_of_the_kernel():
    flags = Path("/proc/cpuinfo").read_text().split()
    assert precision.processor_has_bf16() == bool({"avx512_bf16", "amx_bf16"} & set(flags))


@pytest.mark.parametrize(
    ("accelerator", "gpu", "processor", "expected"),
    [
        ("cpu", True, True, "bf16-mixed"),
        ("cpu", True, False, "32-true"),
        ("auto", True, False, "bf16-mixed"),
        ("auto", False, False, "32-true"),
        ("auto", None, True, "bf16-mixed"),
        ("gpu", True, False, "bf16-mixed"),
        ("mps", None, True, "32-true"),
    ],
)
def test_auto_is_the_precision_of_the_device(monkeypatch, capsys, accelerator, gpu, processor, expected):
    """`gpu`: whether the CUDA GPU has the instructions; None if there is none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: gpu)
    monkeypatch.setattr(torch.mps, "is_available", lambda: False)
    monkeypatch.setattr(precision, "processor_has_bf16", lambda: processor)
    trainer = precision.resolve_precision({"accelerator": accelerator, "precision": "auto", "devices": 1})
    assert trainer == {"accelerator": accelerator, "precision": expected, "devices": 1}
    assert f"trainer.precision is {expected}, because the" in capsys.readouterr().out
    assert precision.resolve_precision(trainer) == trainer
    assert capsys.readouterr().out == ""


def test_the_chosen_precision_is_trained_with_and_recorded(run_command, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "processor_has_bf16", lambda: True)
    words = ["model=vae", "net.widths=[8]", "trainer.max_epochs=1", "trainer.limit_train_batches=2", "logger=none"]
    words += ["callbacks=checkpoint", "trainer=cpu", "trainer.precision=auto", "hydra.run.dir=run"]
    done = run_command(train, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trainer.precision is bf16-mixed, because the processor has bfloat16") == 1
    assert "precision: bf16-mixed" in (tmp_path / "run/config.yaml").read_text()


def test_another_precision_is_refused(compose):
    with pytest.raises(UserError, match="must be one of auto, 32, 32-true, bf16-mixed, 16-mixed, because"):
        train.train(compose("trainer.precision=64-true"))
