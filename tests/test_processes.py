"""Two processes on the processor against one."""

import csv
import json
import subprocess
import sys

import pytest
import torch


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same run, of a net without norms, by one process and by two."""
    cwd = tmp_path_factory.mktemp("processes")
    words = ["model=vae", "net.norm=none", "optimizer.lr=1e-3", "trainer.max_epochs=2", "logger=none"]
    words += ["trainer.limit_train_batches=8"]  # rounding grows with every step: few show that nothing else differs
    words += ["data.batch_size=34", "corruption=gaussian_noise", "callbacks=[checkpoint,progress,baselines]"]
    for name, trainer in (("one", "cpu"), ("two", "ddp_cpu")):
        done = subprocess.run(
            [sys.executable, "-m", "autoencoders.train", *words, f"trainer={trainer}", f"hydra.run.dir={name}"],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("epoch   2/2") == 1  # rank zero alone speaks
    return cwd / "one", cwd / "two"


def test_weights_are_equal_within_rounding(folders):
    one, two = (torch.load(f / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for f in folders)
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=2e-5, msg=name)


def test_metrics_are_equal_though_the_splits_are_odd(folders):
    one, two = (json.loads((f / "metrics.json").read_text()) for f in folders)
    assert one.keys() == two.keys()
    for name in one:
        assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-4), name


def test_every_step_is_recorded_once(folders):
    steps = []
    for folder in folders:
        with (folder / "metrics.csv").open() as file:
            steps.append([row["step"] for row in csv.DictReader(file)])
    assert steps[0] == steps[1]
