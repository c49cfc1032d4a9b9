"""torchrun on two hosts, which are network namespaces of this machine; see two_hosts.sh."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
WORDS = ["model=vae", "net.norm=none", "optimizer.lr=1e-3", "logger=none", "callbacks=[checkpoint,progress]"]
WORDS += ["data.batch_size=34"]


def namespaces():
    """Return whether this process can create network namespaces."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    made = subprocess.run(["ip", "netns", "add", "aetest"], capture_output=True).returncode == 0
    subprocess.run(["ip", "netns", "del", "aetest"], capture_output=True)
    return made


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not namespaces(), reason="two_hosts.sh needs root, iproute2 and network namespaces"),
]


def run(folder, cut, *words):
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run(["bash", HERE / "two_hosts.sh", folder, cut, *WORDS, *words], env=environment, timeout=580)
    status = [int((folder / f"host{i}.rc").read_text()) for i in (1, 2)]
    return status, [(folder / f"host{i}.err").read_text() for i in (1, 2)]


def test_two_hosts_give_the_metrics_of_one_process(tmp_path):
    words = ["trainer.max_epochs=2", "trainer.limit_train_batches=8"]
    status, errors = run(tmp_path, "0", *words)
    assert status == [0, 0], errors
    command = [sys.executable, "-m", "autoencoders.train", *WORDS, *words, "trainer=cpu", "hydra.run.dir=one"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    two, one = (json.loads((tmp_path / f / "metrics.json").read_text()) for f in ("run", "one"))
    assert two == pytest.approx(one, rel=1e-4, abs=1e-4)


def test_a_cut_cable_ends_both_hosts_with_one_sentence(tmp_path):
    status, errors = run(tmp_path, "2", "trainer.max_epochs=5000", "peer_timeout=20")
    cut, end = (int((tmp_path / f"{name}.time").read_text()) for name in ("cut", "end"))
    assert end - cut < 60
    assert status == [1, 1]  # of torchrun
    for error, rank in zip(errors, (1, 0), strict=True):
        assert error.count(f"autoencoders: Rank {rank} has not answered for 20 s (peer_timeout).") == 1
        assert error.count("autoencoders: ") == 1
        assert "gloo" not in error
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["status"] == "failed"
    assert "Rank 1 has not answered" in record["error"]
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert all(tensor.isfinite().all() for tensor in state["state_dict"].values())
