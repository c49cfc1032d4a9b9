"""The tables at the end of a sweep."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from autoencoders.training import sweeps
from autoencoders.training.sweeps import METRICS, SweepReport, gather, over_seeds, seeds_table


@pytest.fixture
def folder(tmp_path):
    """Three seeds of two settings; one job failed."""
    rng, number = np.random.default_rng(0), 0
    for beta in ("beta=0.5", "beta=4"):
        for seed in range(3):
            job = tmp_path / f"{number}_vae"
            job.mkdir()
            failed = number == 4
            record = {"overrides": ["model=vae", beta, f"seed={seed}"], "status": "failed" if failed else "done"}
            (job / "run.json").write_text(json.dumps(record))
            if not failed:
                metrics = dict(zip(METRICS, rng.normal(100, 5, len(METRICS)), strict=True))
                (job / "metrics.json").write_text(json.dumps(metrics))
            number += 1
    return tmp_path


def test_settings_are_averaged_over_their_seeds(folder):
    jobs = gather(folder)
    rows = over_seeds(jobs)
    assert [(row["overrides"], row["seeds"]) for row in rows] == [("beta=0.5", 3), ("beta=4", 2)]
    for row, chosen in zip(rows, (jobs[:3], [jobs[3], jobs[5]]), strict=True):
        values = [job["test/neg_elbo"] for job in chosen]
        assert row["test/neg_elbo"] == pytest.approx(np.mean(values))
        assert row["test/neg_elbo sd"] == pytest.approx(np.std(values, ddof=1))
    lines = seeds_table(rows)
    assert len(lines) == 3
    assert lines[1].startswith("beta=0.5")


def test_a_sweep_of_one_seed_has_no_such_table(folder):
    jobs = [job for job in gather(folder) if "seed=0" in job["overrides"]]
    assert over_seeds(jobs) == []
    assert over_seeds([job | {"overrides": "beta=4"} for job in jobs]) == []


def test_a_sweep_may_end_with_a_report_and_fails_with_it(folder, monkeypatch):
    called = []
    outcome = SimpleNamespace(returncode=0)
    monkeypatch.setattr(sweeps.subprocess, "run", lambda words: called.append(words) or outcome)
    config = SimpleNamespace(hydra=SimpleNamespace(sweep=SimpleNamespace(dir=str(folder))))
    SweepReport(question="Why?").on_multirun_end(config)
    assert called[0][1:] == [
        "-m",
        "autoencoders.report",
        f"runs={folder}",
        f"out={folder / 'report.html'}",
        "question=Why?",
    ]
    outcome.returncode = 2
    with pytest.raises(SystemExit):
        SweepReport().on_multirun_end(config)
