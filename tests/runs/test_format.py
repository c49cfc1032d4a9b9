"""Run folders of an earlier format are refused in one sentence by every command."""

import json
import re

import pytest
import torch

from autoencoders import apply, report, train
from autoencoders.runs import loading
from autoencoders.types import FormatError


@pytest.fixture
def old_run(tmp_path):
    """A run folder whose record and checkpoints have no `format`."""
    folder = tmp_path / "old"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"status": "done"}))
    (folder / "config.yaml").write_text("name: old\n")
    (folder / "metrics.json").write_text("{}")
    hyperparameters = {"model": {}, "data": {}, "shape": [1, 8, 8], "context": None}
    for name in ("best", "last", "previous"):
        torch.save({"hyper_parameters": hyperparameters, "state_dict": {}}, folder / f"checkpoints/{name}.ckpt")
    return folder


def test_newest_checkpoint_does_not_try_other_checkpoints(old_run, capsys):
    with pytest.raises(FormatError, match=r"last\.ckpt must have format 2, got a file from an earlier version"):
        loading.newest_checkpoint(old_run)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("module", "option"), [(apply, "run"), (train, "resume"), (report, "runs")], ids=["apply", "train", "report"]
)
def test_command_refuses_an_old_run_in_one_sentence(run_command, old_run, tmp_path, module, option):
    further = {apply: ["application=reconstruct"], train: ["logger=none", "trainer=cpu"], report: []}[module]
    done = run_command(module, f"{option}={old_run}", *further, cwd=tmp_path)
    assert done.returncode == 2
    assert len(re.findall("must have format 2, got", done.stderr)) == 1
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
