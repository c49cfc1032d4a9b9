"""First and second start of image folders: seconds to the first batch, files opened, peak memory.

    python benchmarks/starts.py [--images 20000]

A folder of JPEG files is drawn for it, and LFW is used where AUTOENCODERS_DATA has it; caches are made afresh. Each
start is a process of its own, which counts what it opens and ends at the first training batch. `imports` is what a
process needs before any data, and is part of both starts.
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
sys.addaudithook(lambda event, words: opened.append(str(words[0])) if event == "open" else None)
import torch
from autoencoders.data.folder import Folder
from autoencoders.data.lfw import LFW
from autoencoders.data.batches import Batches
imported, memory = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
where, options = json.loads(sys.argv[1])
data = {"lfw": LFW, "folder": Folder}[where](name=where, batch_size=64, **options)
data.prepare_data()
data.setup("fit")
batch = next(iter(Batches(data._prepared("train"), "train", batch_size=64, train=True, flip=True)))
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
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, help="files in the drawn folder")
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory() as temporary:
        folder = draw(Path(temporary, "pictures"), count)
        cases = [("folder", {"path": str(folder)}), ("folder", {"path": str(folder), "memory": 1e6})]
        root = os.environ.get("AUTOENCODERS_DATA", "")
        if Path(root, "lfw").is_dir():
            cases = [("lfw", {"root": root, "split": "alphabetical"}), *cases]
        print(
            "data    store          start   images  imports s  first batch s  pictures opened  peak MiB  of it imports"
        )
        for i, (where, options) in enumerate(cases):
            options["cache"] = str(Path(temporary, f"cache {i}"))
            store = "memory-mapped" if "memory" in options else "in memory"
            for which in ("first", "second"):
                r = start(where, options)
                print(
                    f"{where:7} {store:14} {which:6} {r['images']:7,} {r['imports']:10.2f} {r['seconds']:14.2f} "
                    f"{r['pictures']:16,} {r['memory']:9.0f} {r['imports_memory']:11.0f}",
                    flush=True,
                )


def start(where: str, options: dict) -> dict:
    """One start in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps([where, options])], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def draw(folder: Path, count: int) -> Path:
    """Smooth random pictures of 96 x 96 pixels, in ten sub-folders."""
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
