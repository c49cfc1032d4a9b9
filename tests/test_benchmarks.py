"""The benchmarks run on the current package, and their tables have a header for every column."""

import argparse
import sys

import pytest


@pytest.fixture
def benchmarks(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    yield
    for name in ("scale", "speed", "contenders", "starts"):
        sys.modules.pop(name, None)


def test_synthetic_images_form_a_data_module(benchmarks, tmp_path):
    import scale

    config, data = scale.prepare(str(tmp_path), 200, scale.MAPPED)
    assert data.shape == (1, 28, 28)
    assert sum(len(data.images(split)) for split in ("train", "val", "test")) == 200
    assert 40 < data.images("train")[:].float().std() < 80  # 12 * sqrt(20) gray levels
    assert config["data"]["_target_"] == "scale.Synthetic"


def test_tables_of_complete_runs_have_a_header_for_every_column(benchmarks, monkeypatch):
    import speed

    result = {"wall": 1.0, "first": 0.5, "rate": 1e3, "memory": 100.0, "boundary": 0.1}
    monkeypatch.setattr(speed, "run_and_watch", lambda command, out: result)
    options = argparse.Namespace(ways="abcde", device="cpu", epochs=1)
    _, _, header, rule, *rows = speed.complete_runs_table(options, "here")
    assert len(rows) == 6
    assert {row.count("|") for row in (header, rule, *rows)} == {7}
    assert "10.0%" in rows[0]


def test_names_in_the_child_process_of_starts_exist(benchmarks):
    """The code of the child process is a string, which linters do not check."""
    import starts

    for line in starts.CHILD.splitlines():
        if line.startswith("from autoencoders"):
            exec(line, {})
