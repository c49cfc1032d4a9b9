"""Training against the practical limit, the usual way and pythae: the same model, batch and images, interleaved.

    python benchmarks/speed.py [--workloads mlp,conv,faces] [--threads 1,2] [--rounds 5] [--whole] [--device cuda]

(a) the real command, `python -m autoencoders.train`, default callbacks and logging on; (b) with callbacks=none
logger=none; (c) the fastest bare loop: float images in memory, fused Adam, no log, no checkpoint, no validation (on
a GPU one captured graph); (d) the usual way: a torchvision dataset with ToTensor, a DataLoader, a plain loop; (e)
pythae's trainer, where installed (`pip install --no-deps pythae imageio cloudpickle`). Images per second are of
training steps, without the first ten. Every round runs all of them in turn, in a process with that many threads; a
ratio is of one round, and its median and range over rounds are told. `--whole` runs 20 epochs in processes of their
own, from the command to its end: wall time, time to the first step, peak anonymous memory, and of (a) the share of
the fit that is no training (validation, figures, checkpoints); and start-ups. `--write docs/speed.md` puts the
tables there.

Needs MNIST and LFW under AUTOENCODERS_DATA.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEFAULT_NET = "model=vae", "data=mnist"
NAMES = {
    "a": "the real command",
    "b": "without callbacks and logger",
    "c": "bare loop",
    "d": "usual way",
    "e": "pythae",
    "A": "the real command, default net",
}


def one_round(workload: str, ways: str, device: str, steps: int | None) -> dict[str, float]:
    """Images per second of each way, in this process."""
    import contenders as c

    from autoencoders.utils.startup import load_heavy_libraries

    load_heavy_libraries()
    work = c.WORKLOADS[workload]
    steps, images = steps or work.steps, c.preloaded(work)
    made = {
        "a": lambda: c.real(work, steps, device),
        "b": lambda: c.real(work, steps, device, quiet=True),
        "c": lambda: c.bare(work, images, steps, device).rate(work.batch),
        "d": lambda: c.usual(work, steps, device).rate(work.batch),
        "e": lambda: c.pythae(work, images, steps, device).rate(work.batch),
    }
    return {way: made[way]() for way in ways}


def whole(workload: str, way: str, device: str, epochs: int, out: str) -> None:
    """A whole training by (c), (d) or (e), in this process."""
    import contenders as c

    work = c.WORKLOADS[workload]
    every = 10**9  # steps: all of an epoch
    if way == "d":
        watch = c.usual(work, every, device, epochs)
    else:
        watch = {"c": c.bare, "e": c.pythae}[way](work, c.preloaded(work), every, device, epochs)
    c.report(out, watch, rate=watch.rate(work.batch))


def watched(command: list[str], out: Path | None = None) -> dict[str, float]:
    """Run a command; its wall time, the most anonymous memory it held (MiB), and what it reported."""
    began, peak = time.time(), 0
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        peak = max([peak, *(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))])
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{process.stderr.read()}")
    told = json.loads(out.read_text()) if out else {}
    told["first"] = told.get("first", began) - began
    return {"wall": time.time() - began, "memory": peak / 1024, **told}


def steps_table(workload: str, threads: int, options: argparse.Namespace) -> list[str]:
    """A row of images per second and ratios."""
    rounds = []
    for i in range(options.rounds):
        order = options.ways if i % 2 == 0 else options.ways[::-1]
        words = ["--child", workload, "--ways", order, "--device", options.device]
        if options.steps:
            words += ["--steps", str(options.steps)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        done = subprocess.run([sys.executable, __file__, *words], env=environment, stdout=subprocess.PIPE, text=True,
                              check=True)  # fmt: skip
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"  {workload}, {threads} threads, round {i + 1}: "
              + ", ".join(f"{way} {rounds[-1][way]:,.0f}" for way in sorted(rounds[-1])), flush=True)  # fmt: skip
    cells = [f"{statistics.median(r[way] for r in rounds):,.0f}" for way in sorted(options.ways)]
    for other in (w for w in "cde" if w in options.ways and "a" in options.ways):
        ratios = sorted(r["a"] / r[other] for r in rounds)
        cells.append(f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} .. {ratios[-1]:.2f})")
    return cells


def whole_table(options: argparse.Namespace, where: str) -> list[str]:
    """Rows of whole runs."""
    import contenders

    rows, work = [], contenders.WORKLOADS["mlp"]
    with tempfile.TemporaryDirectory() as folder:
        for way in (*options.ways, "A"):
            out = Path(folder, f"{way}.json")
            if way in "abA":
                words = [*(DEFAULT_NET if way == "A" else work.words), f"trainer.max_epochs={options.epochs}",
                         f"hydra.run.dir={folder}/{way}",
                         f"trainer={options.device.replace('cuda', 'gpu')}", "+callbacks.span._target_=contenders.Span",
                         f"+callbacks.span.out={out}", *(contenders.QUIET if way == "b" else ())]  # fmt: skip
                command = [sys.executable, "-m", "autoencoders.train", *words]
            else:
                command = [sys.executable, __file__, "--child", "mlp", "--ways", way, "--whole", "--out", str(out),
                           "--device", options.device, "--epochs", str(options.epochs)]  # fmt: skip
            told = watched(command, out)
            share = f"{told['boundary']:.1%}" if "boundary" in told else ""
            numbers = f"{told['wall']:.1f} | {told['first']:.1f} | {told['rate']:,.0f} | {share}"
            rows.append(f"| ({way.lower()}) {NAMES[way]} | {numbers} | {told['memory']:,.0f} |")
            print(f"  {rows[-1]}", flush=True)
    title = (
        f"{work.title}, {options.epochs} epochs, {where}, each in a process of its own, from the command to its end:"
    )
    return [title, "",
            "| | wall time, s | to the first step, s | images/s | of the fit: validation, figures, checkpoints | "
            "peak anonymous memory, MiB |", "|---|---|---|---|---|---|", *rows]  # fmt: skip


def starts_table() -> list[str]:
    """Rows of start-ups: medians of three."""
    import contenders

    freeze = "import gc; gc.disable(); import lightning.pytorch; gc.freeze()"
    codes = {"import torch": "import torch", "import torch, lightning.pytorch": "import torch, lightning.pytorch",
             "the same without garbage collection": freeze}  # fmt: skip
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.json")
        for i in range(3):
            for name, code in codes.items():
                seconds.setdefault(name, []).append(watched([sys.executable, "-c", code])["wall"])
            door = [sys.executable, "-m", "autoencoders.train"]
            seconds.setdefault("`--help`", []).append(watched([*door, "--help"])["wall"])
            for name, words in (("", ()), (", callbacks=none logger=none", contenders.QUIET)):
                command = [*door, *contenders.MLP, "trainer=cpu", "trainer.max_epochs=1",
                           f"hydra.run.dir={folder}/{i}{len(name)}",
                           "trainer.limit_train_batches=2", "test=false", "+callbacks.span._target_=contenders.Span",
                           f"+callbacks.span.out={out}", *words]  # fmt: skip
                seconds.setdefault(f"command to its first step{name}", []).append(watched(command, out)["first"])
    bare = statistics.median(seconds["import torch, lightning.pytorch"])
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    rows = [f"| {name} | {median:.2f} | {median / bare:.2f} |" for name, median in medians.items()]
    print("\n".join(rows), flush=True)
    return ["", "Start-ups, medians of three processes:", "",
            "| | s | of the bare import |", "|---|---|---|", *rows]  # fmt: skip


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default="mlp,conv,faces")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="per round, instead of the workload's own number")
    parser.add_argument("--ways", default="abcde" if importlib.util.find_spec("pythae") else "abcd")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--whole", action="store_true", help="whole runs and start-ups too")
    parser.add_argument("--epochs", type=int, default=20, help="of the whole runs")
    parser.add_argument("--write", type=Path, help="a Markdown file whose tables are replaced")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child and options.whole:
        whole(options.child, options.ways, options.device, options.epochs, options.out)
        return
    if options.child:
        print(json.dumps(one_round(options.child, options.ways, options.device, options.steps)))
        return
    os.environ.setdefault("WANDB_MODE", "offline")
    import contenders
    import torch

    where = torch.cuda.get_device_name() if options.device == "cuda" else processor()
    ways = sorted(options.ways)
    heads = ["", "threads", *(f"({way})" for way in ways), *(f"(a) / ({w})" for w in "cde" if w in ways)]
    lines, found = [], {}
    for workload in filter(None, options.workloads.split(",")):
        for threads in map(int, options.threads.split(",")):
            work = contenders.WORKLOADS[workload]
            title = f"{work.title}, batch {work.batch}"
            lines.append("| " + " | ".join([title, str(threads), *steps_table(workload, threads, options)]) + " |")
    if lines:
        found["steps"] = [f"Images per second of training steps, {where}, torch {torch.__version__}, medians of "
                          f"{options.rounds} rounds; ratios of one round, with their range:", "",
                          "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|", *lines]  # fmt: skip
    if options.whole:
        found["runs"] = [*whole_table(options, f"{where}, torch {torch.__version__}"), *starts_table()]
    for place, lines in found.items():
        print("\n".join(lines))
        if options.write:
            begin, end = (f"<!-- {place}: {word} -->" for word in ("begin", "end"))
            before, _, rest = options.write.read_text().partition(begin)
            options.write.write_text(f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{rest.partition(end)[2]}")


def processor() -> str:
    """The processor's name, where Linux tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
