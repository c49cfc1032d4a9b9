import pytest

from autoencoders.utils.json_files import read_json, write_json


def test_written_values_are_read_back(tmp_path):
    write_json(tmp_path / "new" / "run.json", {"status": "done", "seed": None})
    assert read_json(tmp_path / "new" / "run.json") == {"status": "done", "seed": None}


def test_a_missing_file_is_empty(tmp_path):
    assert read_json(tmp_path / "run.json") == {}


def test_a_failed_write_keeps_the_old_file(tmp_path):
    write_json(tmp_path / "run.json", {"status": "running"})
    with pytest.raises(TypeError):
        write_json(tmp_path / "run.json", {"status": object()})
    assert read_json(tmp_path / "run.json") == {"status": "running"}
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]
