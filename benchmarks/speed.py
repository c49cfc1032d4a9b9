"""Training speed compared with the practical limit, the usual way and pythae, with equal models, batches and images.

    python benchmarks/speed.py [--workloads mlp,conv,faces] [--threads 1,2] [--rounds 5] [--whole] [--device cuda]

(a) the real command, `python -m autoencoders.train`, default callbacks and logging on; (b) with callbacks=none
logger=none; (c) the fastest bare loop: float images in memory, fused Adam, no log, no checkpoint, no validation (on
a GPU one CUDA graph); (d) the usual way: a torchvision dataset with ToTensor, a DataLoader, a plain loop; (e)
pythae's trainer, where installed (`pip install --no-deps pythae imageio cloudpickle`). Images per second are of
training steps, without the first ten. Every round runs all of them in turn, in a process with that many threads. On a
CPU, (a) and (c) alternate within one run: after each group of steps of (a), (c) runs as many steps. A ratio is computed
within a round; its median and range over rounds are printed. `--whole` runs 20 epochs in separate
processes, from the command to its end, and measures wall time, time to the first step, peak anonymous memory and, for
(a), the share of the fit outside of training (validation, figures, checkpoints); it also measures start-ups.
`--write docs/speed.md` writes the tables to that file.

Requires MNIST and LFW under AUTOENCODERS_DATA.
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
    """Return the images per second of each way, measured in this process."""
    import contenders as c

    from autoencoders.utils.startup import load_heavy_libraries

    load_heavy_libraries()
    work = c.WORKLOADS[workload]
    steps, images = steps or work.steps, c.load_images(work)
    measure = {
        "a": lambda: c.real(work, steps, device),
        "b": lambda: c.real(work, steps, device, quiet=True),
        "c": lambda: c.bare(work, images, steps, device).rate(work.batch),
        "d": lambda: c.usual(work, steps, device).rate(work.batch),
        "e": lambda: c.pythae(work, images, steps, device).rate(work.batch),
    }
    paired = device == "cpu" and {"a", "c"} <= set(ways)
    rates = {way: measure[way]() for way in ways if not (paired and way in "ac")}
    if paired:
        rates["a"], rates["c"] = c.alternate(work, images, steps)
    return rates


def complete_run(workload: str, way: str, device: str, epochs: int, out: str) -> None:
    """Run a complete training by (c), (d) or (e) in this process."""
    import contenders as c

    work = c.WORKLOADS[workload]
    unlimited = 10**9  # steps: all of an epoch
    if way == "d":
        watch = c.usual(work, unlimited, device, epochs)
    else:
        watch = {"c": c.bare, "e": c.pythae}[way](work, c.load_images(work), unlimited, device, epochs)
    c.report(out, watch, rate=watch.rate(work.batch))


def run_and_watch(command: list[str], out: Path | None = None) -> dict[str, float]:
    """Run a command; return its wall time, its peak anonymous memory (MiB) and the numbers that it reported."""
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
    reported = json.loads(out.read_text()) if out else {}
    reported["first"] = reported.get("first", began) - began
    return {"wall": time.time() - began, "memory": peak / 1024, **reported}


def steps_table(workload: str, threads: int, options: argparse.Namespace) -> list[str]:
    """Return the cells of a row: images per second and ratios."""
    rounds = []
    for i in range(options.rounds):
        order = options.ways if i % 2 == 0 else options.ways[::-1]
        arguments = ["--child", workload, "--ways", order, "--device", options.device]
        if options.steps:
            arguments += ["--steps", str(options.steps)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        done = subprocess.run([sys.executable, __file__, *arguments], env=environment, stdout=subprocess.PIPE,
                              text=True,
                              check=True)  # fmt: skip
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"  {workload}, {threads} threads, round {i + 1}: "
              + ", ".join(f"{way} {rounds[-1][way]:,.0f}" for way in sorted(rounds[-1])), flush=True)  # fmt: skip
    cells = [f"{statistics.median(r[way] for r in rounds):,.0f}" for way in sorted(options.ways)]
    for other in (w for w in "cde" if w in options.ways and "a" in options.ways):
        ratios = sorted(r["a"] / r[other] for r in rounds)
        cells.append(f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} .. {ratios[-1]:.2f})")
    return cells


def complete_runs_table(options: argparse.Namespace, where: str) -> list[str]:
    """Return the table of complete runs."""
    import contenders

    rows, work = [], contenders.WORKLOADS["mlp"]
    with tempfile.TemporaryDirectory() as folder:
        for way in (*options.ways, "A"):
            out = Path(folder, f"{way}.json")
            if way in "abA":
                overrides = [*(DEFAULT_NET if way == "A" else work.overrides), f"trainer.max_epochs={options.epochs}",
                         f"hydra.run.dir={folder}/{way}",
                         f"trainer={options.device.replace('cuda', 'gpu')}", "+callbacks.span._target_=contenders.Span",
                         f"+callbacks.span.out={out}", *(contenders.QUIET if way == "b" else ())]  # fmt: skip
                command = [sys.executable, "-m", "autoencoders.train", *overrides]
            else:
                command = [sys.executable, __file__, "--child", "mlp", "--ways", way, "--whole", "--out", str(out),
                           "--device", options.device, "--epochs", str(options.epochs)]  # fmt: skip
            result = run_and_watch(command, out)
            share = f"{result['boundary']:.1%}" if "boundary" in result else ""
            numbers = f"{result['wall']:.1f} | {result['first']:.1f} | {result['rate']:,.0f} | {share}"
            rows.append(f"| ({way.lower()}) {NAMES[way]} | {numbers} | {result['memory']:,.0f} |")
            print(f"  {rows[-1]}", flush=True)
    title = f"{work.title}, {options.epochs} epochs, {where}, each in a separate process, from the command to its end:"
    return [title, "",
            "| | wall time, s | to the first step, s | images/s | share of the fit: validation, figures, checkpoints | "
            "peak anonymous memory, MiB |", "|---|---|---|---|---|---|", *rows]  # fmt: skip


def starts_table() -> list[str]:
    """Return the table of start-ups: medians of three."""
    import contenders

    freeze = "import gc; gc.disable(); import lightning.pytorch; gc.freeze()"
    codes = {"import torch": "import torch", "import torch, lightning.pytorch": "import torch, lightning.pytorch",
             "the same without garbage collection": freeze}  # fmt: skip
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.json")
        for i in range(3):
            for name, code in codes.items():
                seconds.setdefault(name, []).append(run_and_watch([sys.executable, "-c", code])["wall"])
            train = [sys.executable, "-m", "autoencoders.train"]
            seconds.setdefault("`--help`", []).append(run_and_watch([*train, "--help"])["wall"])
            for name, overrides in (("", ()), (", callbacks=none logger=none", contenders.QUIET)):
                command = [*train, *contenders.MLP, "trainer=cpu", "trainer.max_epochs=1",
                           f"hydra.run.dir={folder}/{i}{len(name)}",
                           "trainer.limit_train_batches=2", "test=false", "+callbacks.span._target_=contenders.Span",
                           f"+callbacks.span.out={out}", *overrides]  # fmt: skip
                seconds.setdefault(f"command to its first step{name}", []).append(run_and_watch(command, out)["first"])
    bare = statistics.median(seconds["import torch, lightning.pytorch"])
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    rows = [f"| {name} | {median:.2f} | {median / bare:.2f} |" for name, median in medians.items()]
    print("\n".join(rows), flush=True)
    return ["", "Start-ups, medians of three processes:", "",
            "| | s | ratio to the import of Lightning |", "|---|---|---|", *rows]  # fmt: skip


def main() -> None:
    """Measure, print the tables and write them to the file of `--write`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default="mlp,conv,faces")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="steps per round, instead of the number of the workload")
    parser.add_argument("--ways", default="abcde" if importlib.util.find_spec("pythae") else "abcd")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--whole", action="store_true", help="also measure complete runs and start-ups")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of the complete runs")
    parser.add_argument("--write", type=Path, help="Markdown file whose tables are replaced")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child and options.whole:
        complete_run(options.child, options.ways, options.device, options.epochs, options.out)
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
    lines, tables = [], {}
    for workload in filter(None, options.workloads.split(",")):
        for threads in map(int, options.threads.split(",")):
            work = contenders.WORKLOADS[workload]
            title = f"{work.title}, batch {work.batch}"
            lines.append("| " + " | ".join([title, str(threads), *steps_table(workload, threads, options)]) + " |")
    if lines:
        tables["steps"] = [f"Images per second of training steps, {where}, torch {torch.__version__}, medians of "
                          f"{options.rounds} rounds; medians and ranges of the ratios within a round:", "",
                          "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|", *lines]  # fmt: skip
    if options.whole:
        tables["runs"] = [*complete_runs_table(options, f"{where}, torch {torch.__version__}"), *starts_table()]
    for place, lines in tables.items():
        print("\n".join(lines))
        if options.write:
            begin, end = (f"<!-- {place}: {edge} -->" for edge in ("begin", "end"))
            before, _, rest = options.write.read_text().partition(begin)
            options.write.write_text(f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{rest.partition(end)[2]}")


def processor() -> str:
    """Return the name of the processor (from /proc/cpuinfo on Linux) and the number of cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
