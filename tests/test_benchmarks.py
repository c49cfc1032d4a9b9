"""The benchmarks still build what they measure, and their tables have a head for every column."""

import argparse
import sys

import pytest


@pytest.fixture
def benchmarks(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    yield
    for name in ("scale", "speed", "contenders"):
        sys.modules.pop(name, None)


def test_synthetic_images_are_data_like_any(benchmarks, tmp_path):
    import scale

    config, data = scale.prepared(str(tmp_path), 200, scale.MAPPED)
    assert data.shape == (1, 28, 28)
    assert sum(len(data.images(split)) for split in ("train", "val", "test")) == 200
    assert 40 < data.images("train")[:].float().std() < 80  # 12 * sqrt(20) gray levels
    assert config["data"]["_target_"] == "scale.Synthetic"


def test_tables_of_whole_runs_have_a_head_for_every_column(benchmarks, monkeypatch):
    import speed

    told = {"wall": 1.0, "first": 0.5, "rate": 1e3, "memory": 100.0, "boundary": 0.1}
    monkeypatch.setattr(speed, "watched", lambda command, out: told)
    options = argparse.Namespace(ways="abcde", device="cpu", epochs=1)
    _, _, head, rule, *rows = speed.whole_table(options, "here")
    assert len(rows) == 6
    assert {row.count("|") for row in (head, rule, *rows)} == {7}
    assert "10.0%" in rows[0]
