"""Unusual names of classes in the report, in tables and in W&B, with the real commands."""

import csv
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
from offline_wandb import everything
from PIL import Image

from autoencoders import apply, report, train

NAMES = ["$", "$$", "_x", "a/b", "<b>", '"q"', "n" * 200, "\N{GRINNING FACE}", "two\nlines"]


@pytest.mark.slow
def test_unusual_class_names_are_text_everywhere(run_command, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    rows = [("file", "class")]
    for i in range(20 * len(NAMES)):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"in/{i}.png")
        rows.append((f"{i}.png", NAMES[i % len(NAMES)]))
    with (tmp_path / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    words = ["data=folder", "data.path=in", "data.labels=labels.csv", "data.size=8", "model=cvae", "net=mlp"]
    words += ["net.widths=[8]", "latent_dim=2", "trainer=cpu", "trainer.max_epochs=1", "hydra.run.dir=run"]
    words += ["application@after_fit=[conditional_sample,evaluate]"]
    done = run_command(train, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stderr
    keys = {key for row in everything(tmp_path / "run").history for key in row}
    assert any(key.startswith("conditional_sample/") for key in keys), keys
    for name in ("browse", "latent_map"):
        done = run_command(apply, "run=run", f"application={name}", "device=cpu", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    found = set()
    for file in (tmp_path / "run/tables").rglob("*.csv"):
        table = pd.read_csv(file, keep_default_na=False)
        found |= ({*table.columns} | {str(value) for value in table.to_numpy().ravel()}) & set(NAMES)
    assert found == set(NAMES)
    done = run_command(report, "runs=run", "out=page.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    body = re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL)
    assert body.count("<b>") == body.count("</b>")  # the page has elements <b>, but a name would not be closed
    assert "&lt;b&gt;" in body
    shown = unescape(body)
    assert [name for name in NAMES if name not in shown] == []
