"""Train the pretrained models of the package, and write them to `autoencoders/pretrained/`.

Usage: python pretrained/build.py [name ...]

Each model is trained on a CPU in minutes, in `runs/pretrained/<name>`. A run that exists there is not trained again.
MNIST is downloaded, or read from AUTOENCODERS_DATA.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
RUNS = REPOSITORY / "runs/pretrained"
TARGET = REPOSITORY / "autoencoders/pretrained"
LIMIT = 10_000_000
"""Maximum size of all models together, in bytes."""
MAX_NATS = 0.05
"""Maximum change of the mean loss by float16 weights, in nats per image."""


class Model(NamedTuple):
    """A pretrained model.

    Attributes:
        options: options of the training.
        description: first sentence of the model card.
    """

    options: str
    description: str


DIGITS = "data=digits net.widths=[192,96] trainer.max_epochs=60"
MODELS = {
    "digits-ae": Model(f"model=ae latent_dim=10 {DIGITS}", "An autoencoder of the digits of scikit-learn."),
    "digits-vae-2": Model(
        f"model=vae latent_dim=2 {DIGITS}", "A VAE of the digits of scikit-learn whose codes are points of a plane."
    ),
    "digits-cvae": Model(
        f"model=cvae latent_dim=10 {DIGITS}", "A VAE of the digits of scikit-learn that draws a requested digit."
    ),
    "mnist-classifier": Model(
        "model=classifier data=mnist net.width=16 trainer.max_epochs=4",
        "A classifier of MNIST digits for FID, KID, density, coverage and label accuracy.",
    ),
    "mnist-vae-2": Model(
        "model=vae data=mnist latent_dim=2 net.widths=[320,160] trainer.max_epochs=15",
        "A VAE of MNIST digits whose codes are points of a plane.",
    ),
    "mnist-cvae": Model(
        "model=cvae data=mnist latent_dim=10 net.widths=[320,160] model.guide=30 trainer.max_epochs=12",
        "A VAE of MNIST digits that draws a requested digit. A small classifier guides its samples.",
    ),
    "cartoons-cvae": Model(
        "model=cvae data=cartoons data.attributes=[mouth,glasses,hair_length] latent_dim=8 net=conv net.width=16 "
        "prior=mixture trainer.max_epochs=20",
        "A VAE of synthetic cartoon faces that draws a requested mouth, glasses and hair length. Its prior is a "
        "mixture of Gaussians that is trained with it.",
    ),
}
"""Name of a pretrained model -> how it is trained."""


def train(name: str) -> None:
    """Train a model in `runs/pretrained/<name>`, unless this folder contains a finished run."""
    if (RUNS / name / "metrics.json").is_file():
        return
    shutil.rmtree(RUNS / name, ignore_errors=True)
    words = [*MODELS[name].options.split(), "trainer=cpu", "logger=csv", "callbacks=[checkpoint,baselines]"]
    command = [sys.executable, "-m", "autoencoders.train", *words, f"hydra.run.dir={RUNS / name}"]
    subprocess.run(command, check=True, cwd=REPOSITORY)


def write(name: str) -> int:
    """Export the run of a model to `autoencoders/pretrained/<name>`, and return the size of the files in bytes.

    Raises:
        RuntimeError: if float16 changes the loss by more than MAX_NATS.
    """
    import autoencoders

    run = autoencoders.load(RUNS / name)
    options = {
        "onnx": False,
        "explorer": False,
        "dtype": "float16",
        "license": "mit",
        "description": MODELS[name].description,
    }
    result = run.apply("export", folder=str(RUNS / name), **options)
    nats = float(result.tables["differences"]["nats"][0])
    if abs(nats) > MAX_NATS:
        raise RuntimeError(f"float16 must change the loss of {name} by at most {MAX_NATS} nats, got {nats:.3g}.")
    target = TARGET / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(RUNS / name / "export", target)
    card = target / "README.md"
    card.write_text(card.read_text().replace("path/to/this/folder", f"pretrained:{name}"))
    size = sum(file.stat().st_size for file in target.iterdir())
    print(f"{name:18} {size:9,} bytes, float16 changes the loss by {nats:+.5f} nats", flush=True)
    return size


def main() -> None:
    """Train and write the models that the command line names, or all."""
    for name in sys.argv[1:] or MODELS:
        train(name)
        write(name)
    total = sum(file.stat().st_size for file in TARGET.rglob("*") if file.is_file())
    print(f"{total:,} bytes in {TARGET}")
    if total > LIMIT:
        raise RuntimeError(f"All models together must have at most {LIMIT:,} bytes, got {total:,}.")


if __name__ == "__main__":
    main()
