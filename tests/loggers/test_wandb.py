"""W&B: logged runs, workspaces and sweeps, read back without a network."""

import json
import re
import shutil
import sys
from types import SimpleNamespace

import pytest
import torch
import yaml
from offline_wandb import everything
from PIL import Image
from wandb.sdk.launch.sweeps import utils as wandb_sweeps

from autoencoders import dashboard
from autoencoders.loggers.wandb import WandbMediaLogger
from autoencoders.loggers.wandb_keys import definition, media_key, result_keys
from autoencoders.loggers.wandb_workspaces import workspaces
from autoencoders.train import train
from autoencoders.types import UserError

WORDS = ["net.widths=[64]", "data.size=8", "trainer=cpu", "data.shift=0"]
EPOCHS = 3


@pytest.fixture(scope="module")
def logged(tmp_path_factory, compose_into):
    """A short run whose rate is all but forbidden: its folder, and what W&B holds of it."""
    folder = tmp_path_factory.mktemp("wandb") / "run"
    words = [*WORDS, "model=vae", f"trainer.max_epochs={EPOCHS}", "data.batch_size=16", "beta=3000"]
    words += [f"callbacks.{name}.every_n_epochs=0" for name in ("reconstructions", "samples", "latents", "health")]
    words += ["application@after_fit=[retrieve,detect]", "after_fit.detect.other=noise", "after_fit.detect.limit=60"]
    train(compose_into(*words, "trainer.log_every_n_steps=20", "logger.wandb.artifact=always", folder=folder))
    return folder, everything(folder)


def rows(found, name):
    """The rows of a table, read from the file that the history names by its relative path."""
    (path,) = [row[f"{name}/path"] for row in found.history if f"{name}/path" in row]
    content = json.loads((found.folder / "files" / path).read_text())
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def logged_images(found, name):
    """The files of a list of images in the history, and their captions."""
    (row,) = [row for row in found.history if f"{name}/filenames" in row]
    return row[f"{name}/filenames"], row[f"{name}/captions"]


def test_the_summary_holds_what_metrics_json_does(logged):
    folder, found = logged
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"val/objective", "test/neg_elbo", "test/mse_pca"} <= set(metrics)
    for name, value in metrics.items():
        if "_kl/" in name:
            assert name not in found.summary
        else:
            assert found.summary[name] == pytest.approx(value, rel=1e-6), name
    assert not [name for name in found.summary if name.startswith("step/")]


def test_the_summary_is_of_the_best_epoch_so_far(tmp_path):
    logger, summary = WandbMediaLogger(str(tmp_path)), {}
    logger._run = SimpleNamespace(log=lambda row: None, define_metric=lambda *a, **b: None, summary=summary)
    for objective, rate in ((float("nan"), 1), (3, 2), (1, 5), (2, 4)):
        logger.log_metrics({"val/objective": objective, "val/rate": rate, "val/distortion": 1}, 0)
    assert summary == {"val/objective": 1, "val/rate": 5, "val/distortion": 1}


def test_metrics_have_their_axis(logged):
    _, found = logged
    assert found.metrics["*"].step_metric == "trainer/global_step"
    assert found.metrics["rate_distortion/distortion"].step_metric == "rate_distortion/rate"
    assert found.metrics["step/lr"].summary.none
    assert found.metrics["val_kl/latent_0"].options.hidden
    assert all("trainer/global_step" in row for row in found.history)
    pairs = [row for row in found.history if "val/rate" in row]
    assert [row["rate_distortion/rate"] for row in pairs] == [row["val/rate"] for row in pairs]


def test_a_run_has_a_name_tags_and_a_job_type(logged):
    folder, found = logged
    assert list(found.run.tags) == ["vae", "digits", "mlp"]
    assert (found.run.job_type, found.run.run_group) == ("train", "")
    metadata = json.loads((folder / "run.json").read_text())
    assert (
        found.config["run"]["git_commit"] == metadata["git_commit"]
    )  # with +changes; W&B's own record has no such word
    assert found.config["run"]["data"]["sha256"] == metadata["data"]["sha256"]
    if metadata["git_commit"]:
        assert metadata["git_commit"].startswith(found.environment.git.commit)


def test_pictures_have_sections_and_captions(logged):
    _, found = logged
    captions = {key.removesuffix("/caption"): value for key, value in found.summary.items() if key.endswith("/caption")}
    assert {"media/reconstructions", "media/samples", "latent/latents", "latent/health"} <= set(captions)
    assert re.fullmatch(r"VAE on digits, beta 3000, 10 latents, step \d+", captions["media/samples"])
    histograms = [row["latent/codes/bins"] for row in found.history if row.get("latent/codes/_type") == "histogram"]
    assert len(histograms) == EPOCHS  # one a validation, whatever its size
    assert all(len(bins) == 65 for bins in histograms)


def test_tables_hold_single_images_with_their_numbers(logged):
    folder, found = logged
    examples = rows(found, "media/examples")
    assert len(examples) == 32
    assert list(examples[0]) == ["row", "class", "distortion", "rate", "mse"]
    files, captions = logged_images(found, "media/examples_images")
    assert captions[0].startswith(f"row {examples[0]['row']}, class {examples[0]['class']}, distortion ")
    with Image.open(found.folder / "files" / files[31]) as strip:
        assert strip.size == (8 + 2 + 8, 8)  # input, gap, output
    from autoencoders.runs import loading

    codes = loading.open_run(folder / "checkpoints/last.ckpt").codes("val")
    for name in ("distortion", "rate"):
        measured = torch.tensor([row[name] for row in examples])
        torch.testing.assert_close(measured, getattr(codes, name)[:32], rtol=1e-4, atol=1e-4)
    scored = rows(found, "detect/scored")
    assert {row["kind"] for row in scored} == {"normal", "noise"}
    assert {row["called anomalous"] for row in scored} <= {True, False}
    assert len(rows(found, "retrieve/queried")) == len(logged_images(found, "retrieve/queried_images")[0]) == 6
    assert rows(found, "retrieve/retrieval")[0]["method"] == "vae"


def test_media_of_an_offline_run_survive_a_move_of_its_folder(logged, tmp_path):
    folder, _ = logged
    shutil.copytree(folder, tmp_path / "moved")
    found = everything(tmp_path / "moved")
    media = [path for row in found.history for key, value in row.items() if key.endswith(("/path", "/filenames"))
             for path in (value if isinstance(value, list) else [value])]  # fmt: skip
    assert len(media) > 50
    assert all((found.folder / "files" / path).is_file() for path in media)
    tables = [artifact for artifact in found.artifacts if artifact.type == "run_table"]
    assert len(tables) >= 3
    for table in tables:  # W&B stores absolute paths of artifacts, so that images in a table would be lost
        (entry,) = table.manifest.contents
        assert entry.path.endswith(".table.json")


def test_results_and_test_metrics_are_only_in_the_summary(logged):
    folder, found = logged
    history = {key for row in found.history for key in row}
    assert not [key for key in history if key.startswith(("test", "val/mse_")) or "vae" in key]
    metrics = json.loads((folder / "tables/retrieve/metrics.json").read_text())
    names = {"map/vae": "map", "map_error/vae": "map_se", "map/PCA-10": "map_pca", "map/pixels": "map_pixels",
             "map_error/pixels": "map_pixels_se"}  # fmt: skip
    for name, key in names.items():
        assert found.summary[f"retrieve/{key}"] == pytest.approx(metrics[name])
        assert f"retrieve/{key}" not in history


def test_results_of_a_repeated_application_are_in_the_history(tmp_path):
    logger, rows = WandbMediaLogger(str(tmp_path)), []
    logger._run = SimpleNamespace(log=rows.append, define_metric=lambda *a, **b: None, summary={})
    logger.send_results({"evaluate/MSE/vae": 0.5}, "vae", 7, repeated=True)
    assert rows == [{"evaluate/mse": 0.5, "trainer/global_step": 7}]
    assert logger._run.summary == {}


def test_a_collapse_is_alerted_once_and_the_best_checkpoint_is_an_artifact(logged):
    folder, found = logged
    (alert,) = found.alerts
    assert (alert.title, alert.level) == ("Posterior collapse", "WARN")
    assert alert.text == found.summary["warnings/posterior_collapse"]
    (model,) = [artifact for artifact in found.artifacts if artifact.type == "model"]
    assert "best" in model.aliases
    (entry,) = model.manifest.contents
    best = folder / "checkpoints/best.ckpt"
    assert (entry.path, entry.size) == ("best.ckpt", best.stat().st_size)
    assert entry.local_path == str(best)  # it is not copied


def test_values_that_are_not_finite_send_an_alert(tmp_path, compose):
    words = [*WORDS, "callbacks=health", "optimizer.lr=1e30", "schedule=constant", "trainer.max_epochs=1"]
    with pytest.raises(UserError, match="Training has stopped"):
        train(compose(*words))
    found = everything(tmp_path / "run")
    (alert,) = [alert for alert in found.alerts if alert.level == "ERROR"]
    assert alert.text.startswith("Training has stopped at optimizer step")
    assert found.summary["warnings/not_finite"] == alert.text


def test_options_are_refused_and_pictures_bounded(tmp_path):
    with pytest.raises(UserError, match="artifact must be one of"):
        WandbMediaLogger(str(tmp_path), artifact="sometimes")
    with pytest.raises(UserError, match="media_megabytes must be a number >= 0"):
        WandbMediaLogger(str(tmp_path), media_megabytes=-1)
    picture = tmp_path / "a.png"
    picture.write_bytes(b"0" * 1000)
    logger, sent = WandbMediaLogger(str(tmp_path), media_megabytes=0.0005), []
    logger._run = SimpleNamespace(log=sent.append, summary={})
    logger.send_figure("samples", picture, "", 1)
    assert sent == []
    assert logger._run.summary == {"media_left_out": 1}


@pytest.mark.parametrize(
    ("settings", "job_type"), [({"model": "classifier"}, "classifier"), ({"group": "a"}, "sweep"), ({}, "train")]
)
def test_job_types(settings, job_type, tmp_path):
    assert WandbMediaLogger(str(tmp_path), **settings)._init["job_type"] == job_type


# Workspaces -----------------------------------------------------------------------------------------------


def named(node):
    """Every metric, picture or setting that a workspace's JSON names."""
    if isinstance(node, list):
        return {name for part in node for name in named(part)}
    if not isinstance(node, dict):
        return set()
    names = {
        node[key] for key in ("xAxis", "yAxis", "zAxis", "accessor", "targetKey") if isinstance(node.get(key), str)
    }
    names |= {name for key in ("metrics", "mediaKeys", "columnOrder") for name in node.get(key, [])}
    if {"section", "name"} <= node.keys() and node["section"] in ("config", "summary"):  # of a sort
        names.add(f"{node['section']}:{node['name']}")
    if node.get("nodeType") == "const":  # of a table
        names.add(node["val"])
    return names | {name for key, part in node.items() if key != "gridSettings" for name in named(part)}


@pytest.mark.parametrize("kind", ["runs", "sweeps"])
def test_a_workspace_names_what_runs_log_and_round_trips(kind, logged):
    _, found = logged
    keys = {key.removesuffix("/_type") for row in found.history for key in row} | found.summary.keys()
    built = workspaces("me", "autoencoders", "autoencoders")[kind]
    # What W&B receives, in its own words. This is the library's internal model.
    specification = json.loads(built._to_model().model_dump_json(by_alias=True, exclude_none=True))
    names = named(specification)
    assert len(names) > 15
    for name in names:
        section, _, key = name.partition(":")
        if section == "config":  # `beta.value.size`: W&B's envelope behind the first part
            first, envelope, *rest = key.split(".")
            assert envelope == "value"
            value = found.config[first]
            for part in rest:
                value = value[part]
            assert isinstance(value, (int, float)), name
        elif section == "summary":
            assert isinstance(found.summary[key], (int, float)), name
        elif section != "run":
            assert name in keys, name
    printed = dashboard.to_dict(built)
    assert [section["name"] for section in printed["sections"]] == [section.name for section in built.sections]
    assert json.loads(json.dumps(printed)) == printed


def test_dashboard_command(run_command, tmp_path, monkeypatch):
    done = run_command(dashboard, "dry_run=true", "kinds=[sweeps]", "project=faces", cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["sweeps"]["project"] == "faces"
    assert list(tmp_path.iterdir()) == []
    done = run_command(dashboard, cwd=tmp_path)
    assert done.returncode == 2
    assert re.fullmatch(r"autoencoders: A W&B login is needed to save workspaces, .*dry_run=true\.\n", done.stderr)
    assert "kinds must be a list" in run_command(dashboard, "kinds=[all]", cwd=tmp_path).stderr
    assert "one URL per workspace in kinds" in run_command(dashboard, "urls=[a]", cwd=tmp_path).stderr
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    done = run_command(dashboard, "dry_run=true", cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install 'lightning-autoencoders[dashboard]'." in done.stderr


def test_the_contents_of_an_existing_workspace_are_replaced(monkeypatch):
    from wandb_workspaces.workspaces import Workspace

    saved, existing = [], workspaces("me", "p", "old")["sweeps"]
    monkeypatch.setattr(dashboard, "call_wandb", lambda request: request())
    monkeypatch.setattr(Workspace, "from_url", classmethod(lambda cls, url: existing))
    monkeypatch.setattr(Workspace, "save", lambda self: saved.append(self))
    monkeypatch.setattr(Workspace, "url", "address")
    new = workspaces("me", "p", "new")["runs"]
    assert dashboard.save(new) == "address"
    assert dashboard.save(new, "https://wandb.ai/me/p?nw=1") == "address"
    assert [id(workspace) for workspace in saved] == [id(new), id(existing)]
    assert (existing.name, existing.sections) == ("new: runs", new.sections)


# Sweeps ---------------------------------------------------------------------------------------------------


def drawn(parameter):
    """A value as W&B's server would send it: each that is listed, else the ends of the range."""
    if "value" in parameter:
        return [parameter["value"]]
    return parameter.get("values") or [parameter["min"], parameter["max"]]


@pytest.mark.parametrize("name", ["beta", "search"])
def test_an_agents_command_composes_and_its_metric_is_logged(name, repository, compose, logged):
    sweep = yaml.safe_load((repository / f"experiments/sweeps/{name}.yaml").read_text())
    for end in (0, -1):
        values = {key: drawn(parameter)[end] for key, parameter in sweep["parameters"].items()}
        made = wandb_sweeps.create_sweep_command_args(
            {"args": {key: {"value": value} for key, value in values.items()}}
        )
        command = []
        for word in wandb_sweeps.create_sweep_command(sweep["command"]):
            command += made.get(word[2:-1], [word]) if word.startswith("${") else [word]
        command = [{"${program}": sweep["program"]}.get(word, word) for word in command]
        place = command.index("autoencoders.train")
        assert command[place - 1] == "-m"
        config = compose(*command[place + 1 :])
        for key, value in values.items():
            node = config
            for part in key.split("."):
                node = node[part]
            assert (node["name"] if isinstance(node, dict) else node) == value
    _, found = logged
    metric = sweep["metric"]["name"]
    assert isinstance(found.summary[metric], float)
    assert sum(metric in row for row in found.history) == EPOCHS


def test_a_run_of_an_agent_is_the_agents(tmp_path, compose, monkeypatch):
    import wandb

    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("beta.value: {value: 2}\n")
    for name, value in {"SWEEP_ID": "s1", "RUN_ID": "r1", "SWEEP_PARAM_PATH": str(parameters)}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    wandb.teardown()  # what it has read of the environment
    try:
        words = [*WORDS, "beta.value=2", "trainer.max_epochs=1", "callbacks=checkpoint"]
        train(compose(*words))
    finally:
        monkeypatch.undo()
        wandb.teardown()
    found = everything(tmp_path / "run")
    assert (found.run.run_id, found.run.sweep_id, found.run.run_group) == ("r1", "s1", "")
    assert found.run.job_type == "sweep"
    assert found.config["beta.value"] == found.config["beta"]["value"] == 2
    assert isinstance(found.summary["val/neg_elbo"], float)


def test_definitions_and_keys():
    assert definition("val/neg_elbo") == {}
    assert definition("retrieve/map_se") == {"hidden": True}
    assert (media_key("samples"), media_key("mine"), media_key("sample/samples")) == (
        "media/samples",
        "media/mine",
        "sample/samples",
    )


@pytest.mark.parametrize("model", ["ae", "vae", "cvae"])
def test_results_of_all_models_have_the_same_keys(model):
    expected = {
        f"evaluate/MSE/{model}": "evaluate/mse",
        f"evaluate/MSE_error/{model}": "evaluate/mse_se",
        "evaluate/MSE/PCA-20": "evaluate/mse_pca",
        "evaluate/MSE_error/PCA-20": "evaluate/mse_pca_se",
        "evaluate/MSE/whitened PCA-20": "evaluate/mse_whitened_pca",
        f"evaluate/-ELBO/{model}": "evaluate/neg_elbo",
        f"features/accuracy/{model}/100": "features/accuracy_100",
        "dimension/mse, codes_error/2.0": "dimension/mse_codes_2_se",
        f"restore/level/mse/{model}": "restore/level_mse",
    }
    assert result_keys(expected, model) == expected


def test_no_two_results_share_a_key():
    names = ["a/mse/PCA-2", "a/mse/PCA-20", "a/mse/x y", "a/mse/x_y", "a/mse/vae"]
    keys = result_keys(names, "vae")
    assert list(keys.values()) == ["a/mse_pca_2", "a/mse_pca_20", "a/mse/x y", "a/mse/x_y", "a/mse"]
