"""Tables and report at the end of a sweep."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from autoencoders.training import sweeps
from autoencoders.training.sweep_table import METRICS, gather, over_seeds, print_jobs, print_settings, report_jobs
from autoencoders.training.sweeps import SweepReport


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


def test_settings_are_averaged_over_seeds(folder, capsys):
    jobs = gather(folder)
    rows = over_seeds(jobs)
    assert [(row["overrides"], row["seeds"]) for row in rows] == [("beta=0.5", 3), ("beta=4", 2)]
    for row, chosen in zip(rows, (jobs[:3], [jobs[3], jobs[5]]), strict=True):
        values = [job["test/neg_elbo"] for job in chosen]
        assert row["test/neg_elbo"] == pytest.approx(np.mean(values))
        assert row["test/neg_elbo sd"] == pytest.approx(np.std(values, ddof=1))
    print_settings(rows)
    title, _, *lines = capsys.readouterr().out.splitlines()
    assert title == "test metrics, mean ± standard deviation over seeds"
    assert len(lines) == 2
    assert lines[0].startswith("beta=0.5")
    assert "±" in lines[0]


def test_table_of_jobs_fits_80_columns(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    file = folder / "0_vae/run.json"
    record = json.loads(file.read_text())
    file.write_text(
        json.dumps(record | {"overrides": [*record["overrides"], "model.decoder.hidden_sizes=[512,512,256]"]})
    )
    assert report_jobs(folder, started=0)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 or str(folder) in line for line in lines)
    assert lines[2].split()[:5] == ["job", "overrides", "status", "neg_elbo", "distortion"]
    assert f"table    {folder}/sweep.csv" in lines


def test_metrics_that_no_job_has_are_left_out_on_the_terminal_only(folder, capsys):
    for file in folder.glob("*/metrics.json"):
        metrics = json.loads(file.read_text())
        del metrics["test/neg_elbo"]
        file.write_text(json.dumps(metrics))
    jobs = gather(folder)
    print_jobs(jobs)
    assert "neg_elbo" not in capsys.readouterr().out
    assert "test/neg_elbo" in jobs[0]


def test_sweep_of_one_seed_has_no_table_over_seeds(folder):
    jobs = [job for job in gather(folder) if "seed=0" in job["overrides"]]
    assert over_seeds(jobs) == []
    assert over_seeds([job | {"overrides": "beta=4"} for job in jobs]) == []


def test_sweep_report_runs_the_report_command_and_passes_its_exit_status_on(folder, monkeypatch):
    commands = []
    outcome = SimpleNamespace(returncode=0)
    monkeypatch.setattr(sweeps.subprocess, "run", lambda command: commands.append(command) or outcome)
    config = SimpleNamespace(hydra=SimpleNamespace(sweep=SimpleNamespace(dir=str(folder))))
    SweepReport(question="Why?").on_multirun_end(config)
    assert commands[0][1:] == [
        "-m",
        "autoencoders.report",
        f"runs={folder}",
        f"out={folder / 'report.html'}",
        "question=Why?",
    ]
    outcome.returncode = 2
    with pytest.raises(SystemExit):
        SweepReport().on_multirun_end(config)
