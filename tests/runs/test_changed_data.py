"""A run whose data changed after the training is refused, unless the change is accepted. Real commands are run."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from autoencoders import apply, report
from autoencoders import train as train_module
from autoencoders.config import instantiate
from autoencoders.runs import loading
from autoencoders.runs.data_check import DATA_IDENTITY
from autoencoders.types import UserError

WORDS = ["data=folder", "data.size=8", "data.batch_size=8", "data.color=false", "data.cache=cache", "model=cvae"]
WORDS += ["net=mlp", "net.widths=[8]", "latent_dim=2", "trainer=cpu", "logger=none", "callbacks=checkpoint"]
WORDS += ["schedule=constant", "beta=constant", "test=false"]


def write_image(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)).save(path)


def write_images(folder, count=40):
    for i in range(count):
        write_image(folder / "ab"[i % 2] / f"{i}.png", i)


@pytest.fixture
def trained(tmp_path, run_command):
    """The folder of a run that was trained in `tmp_path` on images in `pics/`, given as a relative path."""
    write_images(tmp_path / "pics")
    done = run_command(
        train_module, *WORDS, "data.path=pics", "trainer.max_epochs=1", "hydra.run.dir=run", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    return tmp_path / "run"


def apply_to(run_command, run, *words, cwd):
    return run_command(apply, f"run={run}", "application=reconstruct", "device=cpu", *words, cwd=cwd)


def resume(run_command, run, *words, cwd):
    words = [*WORDS, "trainer.max_epochs=2", f"resume={run}", *words]
    return run_command(train_module, *words, cwd=cwd)


def test_a_run_is_opened_from_another_folder(trained, run_command, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    done = apply_to(run_command, trained, cwd=tmp_path / "elsewhere")
    assert done.returncode == 0, done.stderr


def test_a_moved_folder_is_given_with_data_path(trained, run_command, tmp_path):
    (tmp_path / "pics").rename(tmp_path / "möved, [a]")
    done = apply_to(run_command, trained, cwd=tmp_path)
    assert done.returncode == 2
    assert f"data.path must be a folder of image files, got {tmp_path}/pics" in done.stderr
    done = apply_to(run_command, trained, "data.path=möved, [a]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = resume(run_command, trained, "data.path=möved, [a]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((trained / "run.json").read_text())["epochs"] == 2


def test_an_added_image_is_refused_or_accepted(trained, run_command, tmp_path):
    before = splits(tmp_path / "pics", tmp_path)
    for i in range(100, 120):
        write_image(tmp_path / f"pics/a/{i}.png", i)
    after = splits(tmp_path / "pics", tmp_path)
    for split, names in before.items():  # no image moved
        assert names <= after[split]
    sizes = {split: (len(after[split]), len(before[split])) for split in before}
    differing = ", ".join(f"{s} has {new} images instead of {old}" for s, (new, old) in sizes.items() if new != old)
    for run in (apply_to, resume):
        words = ["data.path=pics"] if run is resume else []
        record = (trained / "run.json").read_bytes()
        done = run(run_command, trained, *words, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert f"must be the same as in the training, but {differing}" in done.stderr
        assert "set changed_data=accept" in done.stderr
        assert (trained / "run.json").read_bytes() == record
    done = apply_to(run_command, trained, "changed_data=accept", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"warning: The data differ from the data of the training: {differing}." in done.stderr
    done = resume(run_command, trained, "data.path=pics", "changed_data=accept", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((trained / "run.json").read_text())
    assert any(note.startswith("The data differ from the data of the training") for note in record["data"]["notes"])
    assert apply_to(run_command, trained, cwd=tmp_path).returncode == 0  # the checkpoint has the new data


def splits(path, tmp_path):
    from autoencoders.data.folder import ImageFolderDataModule

    data = ImageFolderDataModule(str(path), size=8, color=False, batch_size=8, cache=str(tmp_path / "cache"), test=0.1)
    data.setup()
    return {split: set(data.annotations(split).names) for split in ("train", "val", "test")}


def test_a_changed_pixel_and_a_changed_label_are_found(trained, run_command, tmp_path):
    name = next(iter(splits(tmp_path / "pics", tmp_path)["val"]))
    original = (tmp_path / "pics" / name).read_bytes()
    write_image(tmp_path / "pics" / name, 1000)
    done = apply_to(run_command, trained, cwd=tmp_path)
    assert "but the images of the val split differ" in done.stderr
    (tmp_path / "pics" / name).write_bytes(original)
    assert apply_to(run_command, trained, cwd=tmp_path).returncode == 0
    (tmp_path / "pics/a").rename(tmp_path / "pics/c")
    done = apply_to(run_command, trained, "changed_data=accept", cwd=tmp_path)
    assert done.returncode == 2
    assert "The labels must be the 2 classes a, b of the training, got 2 classes b, c" in done.stderr


def test_other_options_are_refused_in_one_sentence(trained, run_command, tmp_path):
    done = apply_to(run_command, trained, "changed_data=maybe", cwd=tmp_path)
    assert "changed_data must be one of ['refuse', 'accept'], got 'maybe'" in done.stderr
    with pytest.raises(UserError, match=r"data\.colour cannot be set, because data=folder has no such option"):
        loading.open_run(trained, data_options={"colour": True})


def test_a_sample_of_a_large_dataset_is_compared(trained, tmp_path):
    run = loading.open_run(trained)
    complete = run.data
    complete.setup()
    assert loading.load_checkpoint(trained / "checkpoints/best.ckpt")[DATA_IDENTITY] == complete.identity()
    assert not complete.identity()["sampled"]
    mapped = instantiate.build({**run.config["data"], "memory": 10})
    mapped.setup()
    assert mapped.identity() == complete.identity(sampled=True) != complete.identity()
    assert mapped.identity()["sampled"]
    shutil.move(tmp_path / "pics/a/0.png", tmp_path / "pics/a/00.png")  # equal pixels, another name
    renamed = instantiate.build({**run.config["data"], "memory": 10})
    renamed.setup()
    assert renamed.identity() != mapped.identity()


def test_the_report_describes_the_data(trained, run_command, tmp_path):
    assert run_command(report, "runs=run", "out=page.html", cwd=tmp_path).returncode == 0
    page = (tmp_path / "page.html").read_text()
    assert "folder: 40 images with shape 1 x 8 x 8" in page
    assert "a (20), b (20)" in page
    assert f"{tmp_path}/pics" in page


@pytest.mark.slow
def test_train_and_apply_work_in_the_c_locale_with_names_that_are_not_utf_8(tmp_path):
    for kind in (b"Z\xfcrich", "th\u00e9".encode()):
        folder = os.fsencode(tmp_path / "pics") + b"/" + kind
        os.makedirs(folder)
        for i in range(20):
            write_image(tmp_path / "image.png", i + 100 * len(kind))
            os.rename(tmp_path / "image.png", folder + b"/\xff%d.png" % i)
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
    words = [*WORDS, "data.path=pics", "data.cache=Z\u00fcrich", "trainer.max_epochs=1", "callbacks=[default]"]
    words += ["logger=[csv,tensorboard]", "hydra.run.dir=run", "application@after_fit=[features,browse]"]
    commands = (
        ["train", *words],
        ["apply", "run=run", "application=features"],
        ["report", "runs=run", "out=page.html"],
    )
    for name, *arguments in commands:
        command = [sys.executable, "-m", f"autoencoders.{name}", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "failed" not in done.stdout + done.stderr
        assert "codec" not in done.stdout + done.stderr
    names = pd.read_csv(tmp_path / "run/tables/features/codes.csv")["name"]
    assert set(names.str.partition("/")[0]) == {r"Z\xfcrich", "th\u00e9"}
    assert names.str.contains(r"/\\xff\d+\.png$").all()
    assert "Z\\xfcrich (20), th\u00e9 (20)" in (tmp_path / "page.html").read_text(encoding="utf-8")
