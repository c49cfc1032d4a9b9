"""First and second start of image folders: seconds to the first batch, opened files, peak memory.

    python benchmarks/starts.py [--images 20000]

The benchmark creates a folder of JPEG files, and uses LFW if AUTOENCODERS_DATA has it. The caches are new. Each start
is a separate process, which counts the files that it opens and ends at the first training batch. `imports` is the time
before any data are read; both starts include it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import json, resource, sys, time
began, opened = time.perf_counter(), []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
import torch
from autoencoders.data.folder import ImageFolderDataModule
from autoencoders.data.lfw import LFWDataModule
from autoencoders.data.loader import Batches
imported, memory = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
where, options = json.loads(sys.argv[1])
data = {"lfw": LFWDataModule, "folder": ImageFolderDataModule}[where](name=where, batch_size=64, **options)
data.prepare_data()
data.setup("fit")
batch = next(iter(Batches(data.get_split("train"), "train", batch_size=64, train=True, flip=True)))
print(json.dumps({
    "images": sum(len(data.images(s)) for s in ("train", "val", "test")),
    "imports": imported - began,
    "seconds": time.perf_counter() - began,
    "pictures": sum(path.lower().endswith((".jpg", ".png")) for path in opened),
    "imports_memory": memory / 1024,
    "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "shape": list(batch.x.shape),
}))
"""


def main() -> None:
    """Measure all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, help="files in the created folder")
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as temporary:
        folder = create_images(Path(temporary, "pictures"), count)
        cases = [("folder", {"path": str(folder)}), ("folder", {"path": str(folder), "memory": 1e6})]
        root = os.environ.get("AUTOENCODERS_DATA", "")
        if Path(root, "lfw").is_dir():
            cases = [("lfw", {"root": root, "split": "alphabetical"}), *cases]
        print(
            "data    store          start   images  imports s  first batch s    images opened  peak MiB  at imports MiB"
        )
        for i, (where, options) in enumerate(cases):
            options["cache"] = str(Path(temporary, f"cache {i}"))
            store = "memory-mapped" if "memory" in options else "in memory"
            for which in ("first", "second"):
                r = start(where, options)
                print(
                    f"{where:7} {store:14} {which:6} {r['images']:7,} {r['imports']:10.2f} {r['seconds']:14.2f} "
                    f"{r['pictures']:16,} {r['memory']:9.0f} {r['imports_memory']:15.0f}",
                    flush=True,
                )


def start(where: str, options: dict) -> dict:
    """Run one start in a new process and return its measurements."""
    process = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps([where, options])], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(process.stdout)


def create_images(folder: Path, count: int) -> Path:
    """Write smooth random images of 96 x 96 pixels to ten sub-folders."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(10):
        (folder / f"class {i}").mkdir(parents=True)
    for i in range(count):
        small = Image.fromarray(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8))
        small.resize((96, 96), Image.Resampling.BICUBIC).save(folder / f"class {i % 10}" / f"{i:06d}.jpg")
    return folder


if __name__ == "__main__":
    main()
