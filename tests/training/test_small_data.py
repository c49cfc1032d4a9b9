"""Small and degenerate folders, with the real commands: one sentence or a result, and no traceback."""

import json

import numpy as np
import pytest
from PIL import Image

from autoencoders import apply, train

QUICK = ["data=folder", "data.size=8", "trainer=cpu", "logger=none", "trainer.max_epochs=1"]


def write(folder, counts, constant=False):
    rng = np.random.default_rng(0)
    for i, count in enumerate(counts):
        (folder / f"class {i}").mkdir(parents=True)
        for j in range(count):
            pixels = np.full((8, 8, 3), 128) if constant else rng.integers(0, 256, (8, 8, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"class {i}/{j}.png")
    return f"data.path={folder}"


@pytest.mark.parametrize(
    ("counts", "words", "says"),
    [
        ((5,), ["model=vae"], "data.validation=1"),
        ((12,), ["model=vae", "data.validation=1", "data.test=1"], "latent_dim must be <= 9"),
        ((3,), ["model=vae", "data.validation=1", "data.test=1"], "must have at least 2 images, got 1"),
        ((12,), ["model=cvae", "data.validation=1", "data.test=1"], "model=cvae needs labels"),
    ],
)
def test_too_few_images_are_refused_in_one_sentence(run_command, tmp_path, counts, words, says):
    done = run_command(train, *QUICK, write(tmp_path / "in", counts), *words, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["net=mlp"], ["model=classifier"]])
def test_batches_of_one_image_with_batch_norm_are_refused_before_data_work(run_command, tmp_path, words):
    done = run_command(train, *QUICK, "data.path=nowhere", *words, "data.batch_size=1", cwd=tmp_path)
    assert done.returncode == 2
    assert "data.batch_size must be >= 2 images per process, because the model has batch normalization" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("constant", [False, True])
def test_one_test_image_gives_nan_for_the_numbers_that_do_not_exist(run_command, tmp_path, constant):
    words = [write(tmp_path / "in", (4, 4, 4), constant), "latent_dim=4", "data.validation=2", "data.test=1"]
    done = run_command(train, *QUICK, *words, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stderr
    for name in ("latent_map", "dimension", "evaluate", "conditional_sample", "browse"):
        done = run_command(apply, "run=run", f"application={name}", "device=cpu", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    metrics = json.loads((tmp_path / "run/tables/dimension/metrics.json").read_text())
    assert not any(name.startswith("two-nn") for name in metrics)  # TwoNN needs two neighbors
    assert "participation ratio/pixels" in metrics
