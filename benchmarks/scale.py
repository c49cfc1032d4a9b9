"""Costs as functions of the number of images: training steps, the work around them, memory, starts.

    python benchmarks/scale.py [--light] [--only steps|around|memory|folder] [--threads 1] [--rounds 5]
                               [--counts 1000 100000] [--words callbacks.baselines.pca=false]

steps   images per second of `model=vae` with its default net, trained by the real trainer on 1,000 to 1,000,000
        images of 28 x 28, in memory and memory-mapped. Every case is a separate process; the cases of a round run in
        turn, and each round gives a ratio to the smallest store. There is no validation.
around  seconds of the work that is done once per run or epoch, and microseconds per image of the store.
memory  the complete command, default callbacks, 100 steps and a complete validation and test of a small VAE on
        memory-mapped stores of 64 x 64 x 3: the peak of its anonymous memory (RssAnon, sampled every 10 ms), which
        the system cannot reclaim.
folder  a folder of 200,000 images of 16 x 16 in 400 sub-folders: time and opened files of a first and a second start.

--light: 1,000 and 100,000 images, two rounds; 20,000 and 60,000 for memory; 20,000 image files. Without it,
about 20 minutes and 8 GB in the folder of temporary files (TMPDIR).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autoencoders.data.datamodule import ImageDataModule, Source
from autoencoders.data.image_cache import cached_images
from autoencoders.data.loader import Split
from autoencoders.types import Context

WARM, STEPS, BATCH, LATENT = 50, 300, 128, 10
MAPPED = 1e5
"""A value of `data.memory` that keeps every store of this benchmark on disk."""


class Synthetic(ImageDataModule):
    """Smooth random images in the format of the cache, each with a class.

    Args:
        count: number of images.
        shape: (C, H, W).
        cache: folder of the store.
        **common: see `ImageDataModule`.
    """

    def __init__(self, *, count: int, shape: list[int], cache: str, **common: Any) -> None:
        super().__init__(**common)
        self.count, self.size, self.cache = count, tuple(shape), cache

    def read(self) -> Source:
        """Read the images, and create them if they do not exist."""
        stored = cached_images(
            "synthetic",
            ["synthetic", self.count, self.size],
            self.count,
            self.size,
            self._fill,
            cache=self.cache,
            memory=self.memory,
        )
        labels = torch.arange(self.count) % 10
        return Source(Split(stored.images, labels), None, Context("classes", tuple("0123456789")))

    def _fill(self, store: np.ndarray) -> None:
        rng = np.random.default_rng(0)
        channels, height, width = self.size
        basis = rng.normal(size=(20, channels, 4, 4)).repeat(height // 4, 2).repeat(width // 4, 3).reshape(20, -1)
        for start in range(0, self.count, 1000):
            rows = store[start : start + 1000]
            gray = 128 + 12 * (rng.normal(size=(len(rows), 20)).astype(np.float32) @ basis.astype(np.float32))
            rows[:] = gray.clip(0, 255).reshape(rows.shape).astype(np.uint8)


# Child processes ----------------------------------------------------------------------------------------------


def synthetic_config(folder: Path, count: int, shape: list[int], memory: float, overrides: list[str]) -> dict[str, Any]:
    """Compose the configuration of a command, with the synthetic data instead of a folder."""
    from omegaconf import OmegaConf

    from autoencoders.config.compose import compose_config

    base = ["model=vae", "data=folder", "net=mlp", f"data.path={folder}", f"data.memory={memory}", "trainer=cpu"]
    composed = compose_config("train", [*base, "likelihood=bernoulli", f"folder={folder}/run", *overrides])
    config = OmegaConf.to_container(composed, resolve=True)
    for key in ("path", "size", "color", "fit", "depth", "white", "labels", "group", "skip_unreadable"):
        del config["data"][key]
    config["data"]["batch_size"] = 128
    data = {"_target_": "scale.Synthetic", "count": count, "shape": shape, "cache": str(folder / "store")}
    return {**config, "data": {**config["data"], **data, "name": "synthetic"}}


def prepare(folder: str, count: int, memory: float) -> tuple[dict[str, Any], Synthetic]:
    """Return a configuration for gray images of 28 x 28 pixels, and its data."""
    from autoencoders.config import instantiate
    from autoencoders.utils.startup import load_heavy_libraries

    load_heavy_libraries()
    overrides = ["logger=none", "callbacks=none", "trainer.max_epochs=-1", f"trainer.max_steps={WARM + STEPS}"]
    config = synthetic_config(Path(folder), count, [1, 28, 28], memory, [*overrides, "trainer.limit_val_batches=0"])
    data = instantiate.build(config["data"])
    data.setup("fit")
    return config, data


def steps(case: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Yield the images per second, once for every input line."""
    import lightning.pytorch as pl

    from autoencoders.config import instantiate
    from autoencoders.training.pipeline import build_trainer

    class Timer(pl.Callback):
        began = ended = 0.0

        def on_train_batch_end(self, trainer: pl.Trainer, *rest: object) -> None:
            if trainer.global_step == WARM:
                self.began = time.perf_counter()
            if trainer.global_step == WARM + STEPS:
                self.ended = time.perf_counter()

    config, data = prepare(case["folder"], case["count"], case["memory"])
    print("{}", flush=True)
    for _ in sys.stdin:
        timer = Timer()
        build_trainer(config, [timer], []).fit(
            instantiate.build_model(config, data.shape, data.context), datamodule=data
        )
        yield {"rate": STEPS * BATCH / (timer.ended - timer.began)}


def around(case: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Yield the seconds of the work that is done once per run or epoch."""
    from autoencoders.callbacks.baselines import pca_mse
    from autoencoders.config import instantiate
    from autoencoders.data.loader import Batches
    from autoencoders.training.pipeline import build_trainer
    from autoencoders.utils.pca import PCABaseline

    config, data = prepare(case["folder"], case["count"], case["memory"])
    config["trainer"]["limit_val_batches"] = 1.0
    second = instantiate.build(config["data"])
    model, trainer = instantiate.build_model(config, data.shape, data.context), build_trainer(config, [], [])
    epoch = Batches(data.get_split("train"), "train", batch_size=BATCH, train=True)
    train = data.images("train")
    yield {
        "start": seconds(lambda: second.setup("fit")),
        "fingerprint": seconds(data.fingerprint),
        "order": seconds(lambda: next(iter(epoch))),
        "5,000 codes": seconds(lambda: data.take("val", 5000)),
        "validation": seconds(lambda: trainer.validate(model, data, verbose=False)),
        "mean image": seconds(lambda: data.mean_image_mse("val")),
        "PCA": seconds(lambda: PCABaseline.of(train, LATENT)),
        "its MSE": seconds(lambda: pca_mse(data, "val", LATENT)),
    }


def memory(case: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Yield the peak of anonymous memory of a command, and the memory of the libraries and the model, in MiB."""
    from autoencoders.train import train
    from autoencoders.utils.startup import load_heavy_libraries

    load_heavy_libraries()
    config = synthetic_config(Path(case["folder"]), case["count"], case["shape"], MAPPED, case["overrides"])
    before, highest, finished = anonymous(), [0.0], threading.Event()

    def watch() -> None:
        while not finished.wait(0.01):
            highest[0] = max(highest[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        train(config)
    elapsed = time.perf_counter() - start
    finished.set()
    watcher.join()
    parameters = json.loads(Path(config["folder"], "run.json").read_text())["parameters"]
    yield {"libraries": before, "peak": highest[0], "seconds": elapsed, "model": parameters * 4 * 4 / 2**20}


def folder(case: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Yield the seconds of each stage of a start, and the number of image files that it opened."""
    opened: list[str] = []
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    import lightning.pytorch  # noqa: F401

    from autoencoders.data.folder import ImageFolderDataModule
    from autoencoders.data.loader import Batches

    before, result = anonymous(), {}
    data = ImageFolderDataModule(name="folder", batch_size=BATCH, **case["options"])
    read = data.read

    def timed() -> Source:
        began = time.perf_counter()
        source = read()
        result["read"] = time.perf_counter() - began
        return source

    data.read = timed
    result["cut"] = seconds(lambda: data.setup("fit")) - result["read"]
    result["fingerprint"] = seconds(data.fingerprint)
    training = Batches(data.get_split("train"), "train", batch_size=BATCH, train=True)
    result["first batch"] = seconds(lambda: next(iter(training)))
    result["annotations"] = seconds(lambda: data.annotations("val"))
    result["sum"] = sum(result.values())
    result["opened"] = sum(path.lower().endswith((".jpg", ".png")) for path in opened)
    yield result | {"anonymous": anonymous() - before}


def seconds(call: Callable[[], object]) -> float:
    """Return the duration of a call in seconds."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def anonymous() -> float:
    """Return the anonymous memory of this process (not backed by a file) in MiB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024


# Parent process ------------------------------------------------------------------------------------------------


class Child:
    """A separate process for one case. It returns one line of JSON per result.

    Args:
        function: name of the function that yields the results.
        threads: threads of its tensor operations.
        **case: argument of the function.
    """

    def __init__(self, function: str, threads: int, **case: Any) -> None:
        command = [sys.executable, __file__, "--child", function, "--case", json.dumps(case), "--threads", str(threads)]
        environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def read(self) -> dict[str, float]:
        """Return the next result."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"A child process failed with exit status {self.process.wait()}.")
        return json.loads(line)

    def request(self) -> dict[str, float]:
        """Request one more result and return it."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def print_steps(temporary: Path, counts: list[int], rounds: int, threads: int) -> None:
    """Print the speed of training steps, and its ratio to the smallest store of the same kind within each round."""
    print(f"\nTraining steps, images per second ({STEPS} steps of {BATCH} after {WARM}; {threads} threads)")
    print(f"{'store':14} {'images':>10} {'median':>9} {'to the smallest, median (lowest .. highest)':>44}")
    for kind, limit in (("in memory", 2e9), ("memory-mapped", MAPPED)):
        children = [Child("steps", threads, folder=str(temporary), count=count, memory=limit) for count in counts]
        for child in children:
            child.read()
        results = []
        for i in range(rounds):
            order = range(len(counts)) if i % 2 == 0 else reversed(range(len(counts)))
            results.append({k: children[k].request()["rate"] for k in order})
        for child in children:
            child.close()
        for k, count in enumerate(counts):
            ratios = sorted(one[k] / one[0] for one in results)
            rate = statistics.median(one[k] for one in results)
            spread = f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} .. {ratios[-1]:.3f})"
            print(f"{kind:14} {count:10,} {rate:9,.0f} {spread:>44}", flush=True)


def print_around(temporary: Path, counts: list[int], threads: int) -> None:
    """Print seconds, and microseconds per image."""
    print(f"\nWork once per run or epoch: seconds (microseconds per image of the store; {threads} threads)")
    for kind, limit in (("in memory", 2e9), ("memory-mapped", MAPPED)):
        for count in counts:
            child = Child("around", threads, folder=str(temporary), count=count, memory=limit)
            result = child.read()
            child.close()
            if count == counts[0]:
                print(f"{kind:14}" + "".join(f"{name:>19}" for name in result))
            cells = (f"{value:9.3f} ({1e6 * value / count:7.2f})" for value in result.values())
            print(f"{count:14,}" + "".join(f"{cell:>19}" for cell in cells), flush=True)


def print_memory(temporary: Path, counts: list[int], threads: int, overrides: list[str]) -> None:
    """Print the peaks of anonymous memory for stores of increasing size."""
    print("\nAnonymous memory of the complete command, MiB; 64 x 64 x 3, memory-mapped, default callbacks")
    print("model: four numbers per parameter (value, gradient, two moments)")
    print("split              images  store MiB  libraries      model   peak  peak minus both  seconds")
    for split in ("random", "alphabetical"):
        for count in counts:
            place = temporary / f"memory {split} {count}"
            place.mkdir()
            (temporary / "store").mkdir(exist_ok=True)
            (place / "store").symlink_to(temporary / "store")
            settings = ["trainer.max_epochs=1", "trainer.limit_train_batches=100", "net.widths=[64]"]
            settings += [f"data.split={split}", *overrides]
            child = Child("memory", threads, folder=str(place), count=count, shape=[3, 64, 64], overrides=settings)
            r = child.read()
            child.close()
            remainder = r["peak"] - r["libraries"] - r["model"]
            print(
                f"{split:14} {count:10,} {count * 12288 / 2**20:10,.0f} {r['libraries']:10,.0f} {r['model']:10,.0f} "
                f"{r['peak']:6,.0f} {remainder:16,.0f} {r['seconds']:8.0f}",
                flush=True,
            )


def print_folder(temporary: Path, count: int, threads: int) -> None:
    """Print the duration of a first and a second start."""
    images = create_images(temporary / "pictures", count)
    print(f"\n{count:,} images of 16 x 16: seconds after imports ({threads} threads)")
    for i, options in enumerate(({"size": 16}, {"size": 64})):
        for which in ("first", "second"):
            case = {**options, "path": str(images), "cache": str(temporary / f"cache {i}")}
            child = Child("folder", threads, options=case)
            result = child.read()
            child.close()
            if i == 0 and which == "first":
                print(f"{'data.size':>9} {'start':>7}" + "".join(f"{name:>13}" for name in result) + " (MiB)")
            cells = (f"{v:13,.0f}" if k in ("opened", "anonymous") else f"{v:13.2f}" for k, v in result.items())
            print(f"{options['size']:9} {which:>7}" + "".join(cells), flush=True)


def create_images(folder: Path, count: int) -> Path:
    """Write images of 16 x 16 pixels to 400 sub-folders of 20 classes, with a hundred different contents."""
    from PIL import Image

    rng, contents = np.random.default_rng(0), []
    for _ in range(100):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(stream, "png")
        contents.append(stream.getvalue())
    for i in range(400):
        (folder / f"class {i % 20:02d}" / f"part {i // 20:02d}").mkdir(parents=True)
    for i in range(count):
        place = f"class {i % 20:02d}/part {i // 20 % 20:02d}/{i:07d}.png"
        Path(folder, place).write_bytes(contents[i % len(contents)])
    return folder


def main() -> None:
    """Run the selected benchmarks and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--light", action="store_true", help="smaller; takes two minutes")
    parser.add_argument("--only", choices=("steps", "around", "memory", "folder"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--words", nargs="+", default=[], help="more overrides for the commands of `memory`")
    parser.add_argument("--counts", type=int, nargs="+", help="numbers of images, instead of the defaults")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        for result in globals()[options.child](json.loads(options.case)):
            print(json.dumps(result), flush=True)
        return
    light, threads = options.light, options.threads
    counts = options.counts or ([1_000, 100_000] if light else [1_000, 10_000, 100_000, 1_000_000])
    large = options.counts or ([20_000, 60_000] if light else [50_000, 100_000, 200_000])
    files = options.counts[0] if options.counts else 20_000 if light else 200_000
    with tempfile.TemporaryDirectory(prefix="scale-") as temporary:
        place = Path(temporary)
        for name, call in {
            "steps": lambda: print_steps(place, counts, options.rounds or (2 if light else 5), threads),
            "around": lambda: print_around(place, counts, threads),
            "memory": lambda: print_memory(place, large, threads, options.words),
            "folder": lambda: print_folder(place, files, threads),
        }.items():
            if options.only in (None, name):
                call()


if __name__ == "__main__":
    main()
