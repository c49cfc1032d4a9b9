"""What does not stay constant as the images become more: training steps, the work around them, memory, starts.

    python benchmarks/scale.py [--light] [--only steps|around|memory|folder] [--threads 1] [--rounds 5]
                               [--counts 1000 100000] [--words callbacks.baselines.pca=false]

steps   images per second of `model=vae` with its default net, trained by the real trainer on 1,000 to 1,000,000
        images of 28 x 28, in memory and memory-mapped. Every case is a process of its own that waits for its turn;
        rounds are interleaved, and each gives a ratio to the smallest store. Validation is left out.
around  seconds of what is done once a run or an epoch, and microseconds per image of the store.
memory  the whole command, default callbacks, 100 steps and a whole validation and test of a small VAE on
        memory-mapped stores of 64 x 64 x 3: the peak of its anonymous memory (RssAnon, a sample every 10 ms), which
        is what cannot be given back.
folder  a folder of 200,000 pictures of 16 x 16 in 400 sub-folders: what a first and a second start spend, and open.

--light: 1,000 and 100,000 images, two rounds; 20,000 and 60,000 for memory; 20,000 pictures. Else about 20 minutes
and 8 GB in the folder of temporary files (TMPDIR).
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
"""`data.memory` that leaves every store here on disk."""


class Synthetic(ImageDataModule):
    """Smooth random images in the cache's format, with a class each.

    Args:
        count: of images.
        shape: (C, H, W).
        cache: folder of the store.
        **common: see `ImageData`.
    """

    def __init__(self, *, count: int, shape: list[int], cache: str, **common: Any) -> None:
        super().__init__(**common)
        self.count, self.size, self.cache = count, tuple(shape), cache

    def read(self) -> Source:
        """Made where they are not there yet."""
        images, _ = cached_images(
            "synthetic",
            ["synthetic", self.count, self.size],
            self.count,
            self.size,
            self._fill,
            cache=self.cache,
            memory=self.memory,
        )
        return Source(Split(images, torch.arange(self.count) % 10), None, Context("classes", tuple("0123456789")))

    def _fill(self, store: np.ndarray) -> None:
        rng = np.random.default_rng(0)
        channels, height, width = self.size
        basis = rng.normal(size=(20, channels, 4, 4)).repeat(height // 4, 2).repeat(width // 4, 3).reshape(20, -1)
        for start in range(0, self.count, 1000):
            rows = store[start : start + 1000]
            gray = 128 + 12 * (rng.normal(size=(len(rows), 20)).astype(np.float32) @ basis.astype(np.float32))
            rows[:] = gray.clip(0, 255).reshape(rows.shape).astype(np.uint8)


# What the child processes do ----------------------------------------------------------------------------------


def configured(folder: Path, count: int, shape: list[int], memory: float, words: list[str]) -> dict[str, Any]:
    """The configuration of a command, with the synthetic data in place of a folder's."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from autoencoders.config.compose import CONF

    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = ["model=vae", "data=folder", f"data.path={folder}", f"data.memory={memory}", "trainer=cpu"]
        config = compose("train", [*given, "likelihood=bernoulli", f"folder={folder}/run", *words])
        config = OmegaConf.to_container(config, resolve=True)
    for key in ("path", "size", "color", "fit", "labels", "skip_unreadable"):
        del config["data"][key]
    data = {"_target_": "scale.Synthetic", "count": count, "shape": shape, "cache": str(folder / "store")}
    return {**config, "data": {**config["data"], **data, "name": "synthetic"}}


def prepared(folder: str, count: int, memory: float) -> tuple[dict[str, Any], Synthetic]:
    """A configuration of gray images of 28 x 28 pixels, and its data."""
    from autoencoders.config import instantiate
    from autoencoders.utils.startup import load_heavy_libraries

    load_heavy_libraries()
    words = ["logger=none", "callbacks=none", "trainer.max_epochs=-1", f"trainer.max_steps={WARM + STEPS}"]
    config = configured(Path(folder), count, [1, 28, 28], memory, [*words, "trainer.limit_val_batches=0"])
    data = instantiate.build(config["data"])
    data.setup("fit")
    return config, data


def steps(case: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Images per second, once for every line that comes in."""
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

    config, data = prepared(case["folder"], case["count"], case["memory"])
    print("{}", flush=True)
    for _ in sys.stdin:
        timer = Timer()
        build_trainer(config, [timer], []).fit(
            instantiate.build_model(config, data.shape, data.context), datamodule=data
        )
        yield {"rate": STEPS * BATCH / (timer.ended - timer.began)}


def around(case: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Seconds of what a run or an epoch does once."""
    from autoencoders.callbacks.baselines import pca_mse
    from autoencoders.config import instantiate
    from autoencoders.data.loader import Batches
    from autoencoders.training.pipeline import build_trainer
    from autoencoders.utils.pca import PCABaseline

    config, data = prepared(case["folder"], case["count"], case["memory"])
    config["trainer"]["limit_val_batches"] = 1.0
    again = instantiate.build(config["data"])
    model, trainer = instantiate.build_model(config, data.shape, data.context), build_trainer(config, [], [])
    part = data._prepared("train")
    epoch = Batches(part, "train", batch_size=BATCH, train=True)
    train = data.images("train")
    yield {
        "start": seconds(lambda: again.setup("fit")),
        "fingerprint": seconds(data.fingerprint),
        "order": seconds(lambda: next(iter(epoch))),
        "5,000 codes": seconds(lambda: data.take("val", 5000)),
        "validation": seconds(lambda: trainer.validate(model, data, verbose=False)),
        "mean image": seconds(lambda: data.mean_image_mse("val")),
        "PCA": seconds(lambda: PCABaseline.of(train, LATENT)),
        "its MSE": seconds(lambda: pca_mse(data, "val", LATENT)),
    }


def memory(case: dict[str, Any]) -> Iterator[dict[str, float]]:
    """The peak of anonymous memory over a whole command, and what the libraries alone and the model take, in MiB."""
    from autoencoders.train import train
    from autoencoders.utils.startup import load_heavy_libraries

    load_heavy_libraries()
    config = configured(Path(case["folder"]), case["count"], case["shape"], MAPPED, case["words"])
    before, highest, over = anonymous(), [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            highest[0] = max(highest[0], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        train(config)
    taken = time.perf_counter() - began
    over.set()
    watcher.join()
    parameters = json.loads(Path(config["folder"], "run.json").read_text())["parameters"]
    yield {"libraries": before, "peak": highest[0], "seconds": taken, "model": parameters * 4 * 4 / 2**20}


def folder(case: dict[str, Any]) -> Iterator[dict[str, float]]:
    """Seconds of a start, part by part, and how many pictures it opened."""
    opened: list[str] = []
    sys.addaudithook(lambda event, words: opened.append(str(words[0])) if event == "open" else None)
    import lightning.pytorch  # noqa: F401

    from autoencoders.data.folder import ImageFolderDataModule
    from autoencoders.data.loader import Batches

    before, found = anonymous(), {}
    data = ImageFolderDataModule(name="folder", batch_size=BATCH, **case["options"])
    read = data.read

    def timed() -> Source:
        began = time.perf_counter()
        source = read()
        found["read"] = time.perf_counter() - began
        return source

    data.read = timed
    found["cut"] = seconds(lambda: data.setup("fit")) - found["read"]
    found["fingerprint"] = seconds(data.fingerprint)
    training = Batches(data._prepared("train"), "train", batch_size=BATCH, train=True)
    found["first batch"] = seconds(lambda: next(iter(training)))
    found["annotations"] = seconds(lambda: data.annotations("val"))
    found["sum"] = sum(found.values())
    found["opened"] = sum(path.lower().endswith((".jpg", ".png")) for path in opened)
    yield found | {"anonymous": anonymous() - before}


def seconds(what: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def anonymous() -> float:
    """Memory of this process that no file stands behind, MiB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024


# What the parent prints ---------------------------------------------------------------------------------------


class Child:
    """A process of its own for one case; each line sent to it is answered by one line of JSON.

    Args:
        what: the function that answers.
        threads: of its tensor operations.
        **case: its argument.
    """

    def __init__(self, what: str, threads: int, **case: Any) -> None:
        words = [sys.executable, __file__, "--child", what, "--case", json.dumps(case), "--threads", str(threads)]
        environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def hear(self) -> dict[str, float]:
        """Its next line."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"A child process has ended with {self.process.wait()}.")
        return json.loads(line)

    def ask(self) -> dict[str, float]:
        """One more answer."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self) -> None:
        """Let it finish."""
        self.process.stdin.close()
        self.process.wait()


def print_steps(temporary: Path, counts: list[int], rounds: int, threads: int) -> None:
    """Ratios to the smallest store of the same kind, within each round."""
    print(f"\nTraining steps, images per second ({STEPS} steps of {BATCH} after {WARM}; {threads} threads)")
    print(f"{'store':14} {'images':>10} {'median':>9} {'to the smallest, median (lowest .. highest)':>44}")
    for kind, limit in (("in memory", 2e9), ("memory-mapped", MAPPED)):
        children = [Child("steps", threads, folder=str(temporary), count=count, memory=limit) for count in counts]
        for child in children:
            child.hear()
        found = []
        for i in range(rounds):
            order = range(len(counts)) if i % 2 == 0 else reversed(range(len(counts)))
            found.append({k: children[k].ask()["rate"] for k in order})
        for child in children:
            child.end()
        for k, count in enumerate(counts):
            ratios = sorted(one[k] / one[0] for one in found)
            rate = statistics.median(one[k] for one in found)
            spread = f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} .. {ratios[-1]:.3f})"
            print(f"{kind:14} {count:10,} {rate:9,.0f} {spread:>44}", flush=True)


def print_around(temporary: Path, counts: list[int], threads: int) -> None:
    """Seconds, and microseconds per image."""
    print(f"\nOnce a run or an epoch: seconds (microseconds per image of the store; {threads} threads)")
    for kind, limit in (("in memory", 2e9), ("memory-mapped", MAPPED)):
        for count in counts:
            child = Child("around", threads, folder=str(temporary), count=count, memory=limit)
            found = child.hear()
            child.end()
            if count == counts[0]:
                print(f"{kind:14}" + "".join(f"{name:>19}" for name in found))
            cells = (f"{value:9.3f} ({1e6 * value / count:7.2f})" for value in found.values())
            print(f"{count:14,}" + "".join(f"{cell:>19}" for cell in cells), flush=True)


def print_memory(temporary: Path, counts: list[int], threads: int, further: list[str]) -> None:
    """Peaks of anonymous memory, the store growing."""
    print("\nAnonymous memory of the whole command, MiB; 64 x 64 x 3, memory-mapped, default callbacks")
    print("the model: four numbers a parameter, its value, its gradient and two moments")
    print("split              images  store MiB  libraries  the model   peak  peak beyond both  seconds")
    for split in ("random", "alphabetical"):
        for count in counts:
            place = temporary / f"memory {split} {count}"
            place.mkdir()
            (temporary / "store").mkdir(exist_ok=True)
            (place / "store").symlink_to(temporary / "store")
            words = ["trainer.max_epochs=1", "trainer.limit_train_batches=100", "net.widths=[64]"]
            words += [f"data.split={split}", *further]
            child = Child("memory", threads, folder=str(place), count=count, shape=[3, 64, 64], words=words)
            r = child.hear()
            child.end()
            beyond = r["peak"] - r["libraries"] - r["model"]
            print(
                f"{split:14} {count:10,} {count * 12288 / 2**20:10,.0f} {r['libraries']:10,.0f} {r['model']:10,.0f} "
                f"{r['peak']:6,.0f} {beyond:17,.0f} {r['seconds']:8.0f}",
                flush=True,
            )


def print_folder(temporary: Path, count: int, threads: int) -> None:
    """First and second start."""
    drawn = draw(temporary / "pictures", count)
    print(f"\n{count:,} pictures of 16 x 16: seconds beyond imports ({threads} threads)")
    for i, options in enumerate(({"size": 16}, {"size": 64})):
        for which in ("first", "second"):
            case = {**options, "path": str(drawn), "cache": str(temporary / f"cache {i}")}
            child = Child("folder", threads, options=case)
            found = child.hear()
            child.end()
            if i == 0 and which == "first":
                print(f"{'data.size':>9} {'start':>7}" + "".join(f"{name:>13}" for name in found) + " (MiB)")
            cells = (f"{v:13,.0f}" if k in ("opened", "anonymous") else f"{v:13.2f}" for k, v in found.items())
            print(f"{options['size']:9} {which:>7}" + "".join(cells), flush=True)


def draw(folder: Path, count: int) -> Path:
    """Pictures of 16 x 16 pixels in 400 sub-folders of 20 classes, of a hundred different contents."""
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
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--light", action="store_true", help="smaller, in two minutes")
    parser.add_argument("--only", choices=("steps", "around", "memory", "folder"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--words", nargs="+", default=[], help="further options of the commands under `memory`")
    parser.add_argument("--counts", type=int, nargs="+", help="images, instead of the usual numbers")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        for found in globals()[options.child](json.loads(options.case)):
            print(json.dumps(found), flush=True)
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
