"""python -m autoencoders.apply: paths with special characters, written files, errors."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from autoencoders import apply
from autoencoders.applications import reconstruct
from autoencoders.train import train
from autoencoders.types import ApplicationResult, UserError

ODD = "a run, with [brackets] = 'quotes' (1)"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small trained VAE in a folder whose name has special characters."""
    from omegaconf import OmegaConf

    from autoencoders.config.compose import compose_config

    folder = tmp_path_factory.mktemp("runs") / ODD
    words = ["model=vae", "net.widths=[32]", "trainer.max_epochs=1", "callbacks=[checkpoint]", "logger=none"]
    config = compose_config("train", [*words, "latent_dim=3"])
    plain = OmegaConf.to_container(config, resolve=False)
    plain["folder"] = str(folder)
    train(OmegaConf.to_container(OmegaConf.create(plain), resolve=True))
    return folder


def test_figures_tables_and_metrics_are_saved_in_the_run_folder(run_command, run):
    done = run_command(apply, f"run={run}", "application=reconstruct", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(run / "tables/reconstruct/errors.csv")
    assert table["method"].tolist() == ["vae", "PCA-3", "mean image"]
    metrics = json.loads((run / "tables/reconstruct/metrics.json").read_text())
    final = json.loads((run / "metrics.json").read_text())
    assert metrics["mse/vae"] == pytest.approx(final["test/mse"], rel=1e-5)
    assert (
        metrics["mse/mean image"] == pytest.approx(final["test/mse_mean_image"], rel=1e-5)
        if final.get("test/mse_mean_image")
        else metrics["mse/mean image"] > 0
    )
    assert len(list((run / "figures/reconstruct").glob("*/*.png"))) == 2
    assert "PCA-3" in done.stdout
    assert sorted(p.name for p in run.parent.iterdir()) == [run.name]  # no other files


def test_images_of_the_user_are_reconstructed(run_command, run, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    for name in ("one", "two"):
        Image.fromarray(pixels).save(tmp_path / f"{name}, [x].png")
    words = [f"run={run}", "application=reconstruct", f"folder={tmp_path / 'out=here'}"]
    done = run_command(apply, *words, f"images={tmp_path}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out=here/figures/reconstruct").glob("*/*.png"))) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run={tmp}"], "must be a checkpoint or a run folder"),
        (["run={tmp}/other.ckpt"], "is not a checkpoint of this package"),
        (["run={run}", "images={tmp}/none.png"], "does not exist"),
        (["run={run}", "images={tmp}/broken.png"], "image files cannot be read"),
        (["run={run}", "split=all"], "split must be train, val or test"),
        (["run={run}", "application.reconstruct.count=two"], "count must be an integer, got 'two'"),
        (["run={run}", "application.reconstruct.count=null"], "count must be an integer, got None"),
    ],
)
def test_user_errors_are_one_sentence(run, run_command, tmp_path, words, sentence):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    words = [word.format(tmp=tmp_path, run=run) for word in words]
    done = run_command(apply, *words, "application=reconstruct", f"folder={tmp_path}/out", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_message_for_an_unknown_attribute_lists_all_attributes():
    from autoencoders.types import Annotations

    with pytest.raises(UserError, match=r"has no attribute 'Hat'\. The attributes of the data are: Male, Smiling"):
        Annotations(attributes=torch.zeros(1, 2), attribute_names=("Male", "Smiling")).attribute("Hat")


def test_values_and_errors_are_printed_in_one_cell_and_rows_without_images_are_omitted():
    columns = {"measure": ["mse", "FID"], "value": [0.6291, np.nan], "+-": [0.0412, np.nan], "images": [20, 0]}
    headers, rows = apply.format_table(pd.DataFrame(columns))
    assert headers == ["measure", "value", "images"]
    assert rows == [["mse", "0.629 ± 0.041", "20"]]
    assert apply.format_cell(np.nan, np.nan) == "n/a"


def test_dropped_columns_are_named_with_their_file(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    table = pd.DataFrame({f"a column with a long name {i}": [0.5] for i in range(4)})
    apply.print_result(ApplicationResult(tables={"errors": table}), [tmp_path / "errors.csv"])
    out = capsys.readouterr().out
    assert f"2 more columns in {tmp_path / 'errors.csv'}" in " ".join(out.split())
    assert "0.5" in out


def test_the_other_applications_are_applied_if_one_is_refused_or_fails(run, run_command, tmp_path, monkeypatch):
    words = [f"run={run}", f"folder={tmp_path}/out"]
    monkeypatch.setattr(reconstruct, "reconstruct", lambda *_, **__: 1 / 0)
    done = run_command(apply, *words, "application=[conditional_sample,reconstruct,browse]", cwd=tmp_path)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[0].startswith("autoencoders: conditional_sample: application=conditional_sample needs a conditional ")
    assert lines[1] == (
        "autoencoders: reconstruct: It failed (ZeroDivisionError: division by zero). Set traceback=true to show the "
        "traceback."
    )
    assert lines[2:] == ["autoencoders: 2 of 3 applications failed: conditional_sample, reconstruct."]
    assert (tmp_path / "out/tables/browse/metrics.json").is_file()


def test_the_other_runs_of_a_sweep_are_applied_if_one_is_refused(run, run_command, tmp_path):
    (tmp_path / "run").symlink_to(run)
    words = ["-m", "run=missing,run", "application=browse", f"folder={tmp_path}/out", "hydra.sweep.dir=sweep"]
    done = run_command(apply, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("autoencoders: missing must be ")
    assert (tmp_path / "out/tables/browse/metrics.json").is_file()
