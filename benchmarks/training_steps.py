"""Training steps of the real command against the fastest bare loop, interleaved in one process.

    python benchmarks/training_steps.py [--threads 1] [--rounds 5]

(a) `python -m autoencoders.train model=vae data=mnist`, default callbacks and logging on: its own clock, which
leaves validation and figures out. (c) the same network and batch size in a plain loop over float images kept
in memory, with fused Adam: the practical limit. Each round trains one epoch of both, in alternating order.
Needs the MNIST files under AUTOENCODERS_DATA.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

BATCH, LATENT = 128, 10


def real(folder: Path) -> float:
    """Images per second of one epoch of the real command's training steps."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from autoencoders.compose import CONF
    from autoencoders.train import train

    with initialize_config_dir(str(CONF), version_base="1.3"):
        words = ["model=vae", "data=mnist", "trainer=cpu", "trainer.max_epochs=1", "test=false"]
        config = compose("train", [*words, f"folder={folder}"])
    with contextlib.redirect_stdout(io.StringIO()):
        train(OmegaConf.to_container(config, resolve=True))
    return json.loads((folder / "run.json").read_text())["images_per_second"]


def pyramid(*sizes: int) -> nn.Sequential:
    """Linear - BatchNorm - ReLU."""
    layers = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def bare(images: torch.Tensor) -> float:
    """Images per second of one epoch of the plain loop."""
    encoder = nn.Sequential(pyramid(784, 768, 384, 128), nn.Linear(128, 2 * LATENT))
    decoder = nn.Sequential(pyramid(LATENT, 128, 384, 768), nn.Linear(768, 784))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=True)
    order, steps = torch.randperm(len(images)), len(images) // BATCH
    start = time.perf_counter()
    for index in order.split(BATCH)[:steps]:
        x = images[index]
        mean, log_variance = encoder(x).chunk(2, dim=1)
        logits = decoder(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / BATCH
        rate = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / BATCH
        optimizer.zero_grad()
        (distortion + rate).backward()
        optimizer.step()
    return steps * BATCH / (time.perf_counter() - start)


def main() -> None:
    """Interleave, then print the medians and the ratio with its spread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ.setdefault("WANDB_MODE", "offline")

    from autoencoders.train import load_heavy_libraries

    load_heavy_libraries()
    from autoencoders.data.mnist import MNIST

    data = MNIST(name="mnist", validation=5000)
    data.setup()
    images = data.images("train").flatten(1).float() / 255
    bare(images[:6400])
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(options.rounds):
            if i % 2:
                b, a = bare(images), real(Path(folder, str(i)))
            else:
                a, b = real(Path(folder, str(i))), bare(images)
            pairs.append((a, b))
            print(f"round {i}: real {a:,.0f} images/s, bare {b:,.0f} images/s, ratio {a / b:.3f}", flush=True)
    ratios = sorted(a / b for a, b in pairs)
    a, b = (statistics.median(p[k] for p in pairs) for k in (0, 1))
    print(
        f"{options.threads} threads: real {a:,.0f}, bare {b:,.0f} images/s; ratio, median "
        f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} .. {ratios[-1]:.3f})"
    )


if __name__ == "__main__":
    main()
