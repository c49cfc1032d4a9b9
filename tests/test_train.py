"""python -m autoencoders.train, end to end on the digits."""

import csv
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from offline_wandb import everything

from autoencoders import apply
from autoencoders import train as train_command
from autoencoders.loggers.wandb_keys import media_key
from autoencoders.runs import loading
from autoencoders.train import train
from autoencoders.types import UserError

DRAWN = ("reconstructions", "samples", "latents", "loss_curves", "health")
QUICK = ["trainer.max_epochs=2", "trainer=cpu", "logger=none", "callbacks=none", "data.batch_size=64"]
SMALL = [*QUICK, "net.widths=[64]"]


def weights(folder, name="last"):
    return torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run of the default command with every figure: its folder and the completed process."""
    cwd = tmp_path_factory.mktemp("default")
    words = ["trainer.max_epochs=2", "callbacks=[default,gif]", "trainer.log_every_n_steps=10"]
    words += [f"callbacks.{name}.every_n_epochs=1" for name in DRAWN]
    words = [sys.executable, "-m", "autoencoders.train", *words, 'hydra.run.dir="here [1], a=b"']
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return cwd / "here [1], a=b", done


def test_the_run_folder_is_complete(finished):
    folder, _ = finished
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model"]["_target_"] == "autoencoders.models.cvae.CVAE"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test/neg_elbo"] == pytest.approx(metrics["test/distortion"] + metrics["test/rate"], rel=1e-5)
    assert {
        "val/objective",
        "test/mse",
        "test/psnr",
        "test/active_units",
        "test/mse_pca",
        "test/mse_mean_image",
    } <= set(metrics)
    metadata = json.loads((folder / "run.json").read_text())
    assert metadata["status"] == "done"
    assert metadata["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert metadata["data"]["images"] == {"train": 1258, "val": 180, "test": 359}
    assert metadata["images_per_second"] > 0
    for key in DRAWN:
        assert sorted(p.name for p in (folder / "figures" / key).iterdir()) == ["000039.png", "000078.png"]
    assert (folder / "figures/latents_tsne/000078.png").is_file()
    assert (folder / "figures/reconstructions.gif").read_bytes()[:3] == b"GIF"
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt", "previous.ckpt"]


def test_the_terminal_output(finished):
    folder, done = finished
    assert "epoch   2/2   val/objective" in done.stdout
    assert "images/s" in done.stdout
    last = done.stdout.splitlines()[-5:]
    assert [line.split()[0] for line in last] == ["test", "folder", "metrics", "figures", "wandb"]
    assert "PCA-10" in last[0]
    assert "mean image" in last[0]
    assert folder.name in last[1]
    assert f"wandb sync '{folder.name}/wandb/offline-run-" in last[4]
    assert done.stderr.splitlines() == [
        "autoencoders: warning: The run has only 78 optimizer steps, and fewer than 200 are usually too few. Set "
        "trainer.max_epochs=6 (it is 2), or lower data.batch_size (it is 32)."
    ]


def test_the_offline_wandb_run_has_the_config_all_metrics_and_all_figures(finished):
    folder, _ = finished
    found = everything(folder)
    config, history, run, summary = found.config, found.history, found.folder, found.summary
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert {k: v for k, v in config.items() if k in saved} == saved
    written = [
        {k: float(v) for k, v in row.items() if v and k not in ("epoch", "step")} | {"step": int(row["step"])}
        for row in rows(folder)
    ]
    logged = {}
    for row in history:
        logged.setdefault(row["trainer/global_step"], {}).update(row)
    for row in written:
        for key, value in row.items():
            if key.startswith(("test/", "val/mse_")):  # values that occur once
                assert summary[key] == pytest.approx(value, rel=1e-6), key
                assert key not in logged[row["step"]]
            elif key != "step" and not key.startswith("test_kl/"):
                assert logged[row["step"]][key] == pytest.approx(value, rel=1e-6), key
    pictures = {path for path in folder.glob("figures/*/*.png")}
    sent = [
        (row["trainer/global_step"], key.removesuffix("/path"), value)
        for row in history
        for key, value in row.items()
        if key.endswith("/path") and value.endswith(".png")
    ]
    assert len(sent) == len(pictures) == 12
    kinds = {media_key(path.parent.name): path.parent.name for path in pictures}
    for step, key, path in sent:
        original = folder / "figures" / kinds[key] / f"{step:06d}.png"
        assert (run / "files" / path).read_bytes() == original.read_bytes()


def test_validation_metrics_are_those_of_the_best_checkpoint(finished):
    from autoencoders.utils.modes import evaluation_mode

    folder, _ = finished
    run = loading.open_run(folder)
    run.data.setup()
    metrics = json.loads((folder / "metrics.json").read_text())
    batch = run.data.take("val", 180)
    with evaluation_mode(run.model):
        output = run.model(batch.x, batch.y)
    assert (output - batch.target).square().mean().item() == pytest.approx(metrics["val/mse"], rel=1e-4)


def test_a_single_checkpoint_is_loaded_and_foreign_targets_are_rejected(finished, tmp_path):
    folder, _ = finished
    alone = tmp_path / "some where.ckpt"
    shutil.copy(folder / "checkpoints/best.ckpt", alone)
    run = loading.open_run(alone)
    assert run.model.shape == (1, 28, 28)
    assert run.model.labels.names == tuple("0123456789")
    state = torch.load(alone, weights_only=True)
    for target in (
        "joblib.load",
        "autoencoders.runs.loading.Path.write_text",
        "autoencoders.models.autoencoder.torch.load",
        "autoencoders.data.lfw.unpack",
        "torch.optim.lr_scheduler.warnings.warn",
    ):
        state["hyper_parameters"]["data"]["_target_"] = target
        torch.save(state, alone)
        with pytest.raises(UserError, match=f"names the target '{target}'"):
            loading.open_run(alone)
    with pytest.raises(UserError, match="must be a checkpoint or a run folder"):
        loading.open_run(tmp_path)
    alone.write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="is not a checkpoint of this package"):
        loading.open_run(alone)


def test_callbacks_and_loggers_never_change_the_weights(compose, tmp_path):
    everything = [f"callbacks.{name}.every_n_epochs=1" for name in DRAWN]
    words = ["model=vae", *SMALL[:2], "data.batch_size=64"]
    train(compose(*words, "callbacks=none", "logger=none", folder=tmp_path / "off"))
    config = compose(
        *words,
        *everything,
        "callbacks=[default,early_stopping,gif]",
        "logger=[wandb,tensorboard,csv]",
        folder=tmp_path / "on",
    )
    train(config)
    assert len(list((tmp_path / "on/figures/samples").iterdir())) == 2
    assert same(weights(tmp_path / "on"), weights(tmp_path / "off"))


def test_seeds_repeat_and_differ(compose, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(compose("model=vae", *SMALL, f"seed={seed}", "trainer.max_epochs=1", folder=tmp_path / name))
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_a_random_seed_is_recorded(compose, tmp_path):
    train(compose(*SMALL, "seed=null", "trainer.max_epochs=1"))
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert config["seed"] == config["model"]["seed"] == config["data"]["seed"] > 0


@pytest.mark.parametrize("limit", ["null", "10"])
def test_a_resumed_run_ends_with_the_same_weights_and_one_metrics_file(compose, tmp_path, limit):
    words = ["model=vae", *SMALL[1:], "callbacks=checkpoint", "trainer.max_epochs=4", "beta=warmup"]
    words += ["+callbacks.every={_target_: lightning.pytorch.callbacks.ModelCheckpoint}"]
    words += ["+callbacks.every.filename='{step}'", "+callbacks.every.every_n_train_steps=15"]
    words += ["+callbacks.every.save_top_k=-1", f"+callbacks.every.dirpath='{tmp_path}/every'"]
    words += [f"trainer.limit_train_batches={limit}"]
    train(compose(*words, folder=tmp_path / "whole"))
    for step in (15, 30):  # in the middle of an epoch and, with a limit of 10, at the end of one
        resumed = tmp_path / f"resumed{step}"
        shutil.copytree(tmp_path / "whole", resumed)
        train(compose(*words, f"resume='{tmp_path}/every/step={step}.ckpt'", folder=resumed))
        for name in ("last", "best"):
            assert same(weights(tmp_path / "whole", name), weights(resumed, name))
        steps = [int(row["step"]) for row in rows(resumed)]
        assert steps == sorted(set(steps))
        assert [r["val/objective"] for r in rows(resumed)] == [r["val/objective"] for r in rows(tmp_path / "whole")]


def test_a_run_is_resumed_in_its_own_folder(run_command, tmp_path):
    words = ["model=vae", "trainer=cpu", "schedule=constant", "logger=none", "callbacks=checkpoint"]
    first = run_command(train_command, *words, "trainer.max_epochs=1", "hydra.run.dir=one", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    again = run_command(train_command, *words, "trainer.max_epochs=3", "resume=one", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stderr == ""
    assert [p.name for p in tmp_path.iterdir()] == ["one"]
    assert [int(r["step"]) for r in rows(tmp_path / "one") if r["val/objective"]] == [38, 77, 116]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=vae", "trainer.max_epochs=5"], "steps must be 38, as in the checkpoint"),
        (["model=vae", "latent_dim=7"], "model.latent_dim is 7 instead of 10"),
        (["model=ae"], "model._target_ is autoencoders.models.ae.AE instead of"),
    ],
)
def test_a_run_with_other_settings_is_not_resumed(compose, tmp_path, words, message):
    train(compose("model=vae", *SMALL, "test=false"))
    with pytest.raises(UserError, match=message):
        train(compose(*SMALL, *words, f"resume='{tmp_path}/run'"))


def test_the_last_checkpoint_is_that_of_the_last_epoch(compose, tmp_path):
    train(compose(*SMALL[1:3], "callbacks=checkpoint", "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2"))
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert state["global_step"] == 3 * 39


def test_an_epoch_without_validation_prints_no_old_metrics(compose, capsys):
    train(
        compose(
            *SMALL[:1], "trainer=cpu", "logger=none", "callbacks=[none,progress]", "trainer.max_steps=50", "test=false"
        )
    )
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert ["val/objective" in line for line in lines] == [True, False]


def test_throughput_counts_the_training_images(compose, tmp_path, monkeypatch):
    from autoencoders.callbacks.throughput import Throughput

    clocks = []
    monkeypatch.setattr(Throughput, "on_fit_end", lambda self, *_: clocks.append(self), raising=False)
    train(compose(*SMALL, "trainer.max_epochs=2", "trainer.limit_train_batches=5", "test=false"))
    train(compose(*SMALL, "trainer.max_steps=7", "test=false", folder=tmp_path / "b"))
    assert [clock.images for clock in clocks] == [2 * 5 * 64, 7 * 64]


def test_model_pca_equals_the_pca_baseline(compose):
    words = ["trainer.gradient_clip_val=1", "trainer.accumulate_grad_batches=2"]  # without effect on PCA
    metrics = train(compose("model=pca", "trainer=cpu", "logger=none", "callbacks=[none,baselines]", *words))
    assert metrics["test/mse"] == pytest.approx(metrics["test/mse_pca"], rel=1e-5)
    assert metrics["test/mse"] < metrics["test/mse_mean_image"] / 2


def test_a_failed_run_is_recorded(compose, tmp_path, monkeypatch):
    from autoencoders.models.vae import VAE

    monkeypatch.setattr(VAE, "on_train_epoch_end", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(compose(*SMALL))
    metadata = json.loads((tmp_path / "run/run.json").read_text())
    assert metadata["status"] == "failed"
    assert metadata["error"] == "ZeroDivisionError: division by zero"


def test_the_rate_falls_and_the_distortion_rises_with_beta(compose, tmp_path):
    results = [
        train(compose("model=vae", *SMALL, "trainer.max_epochs=4", f"beta={b}", folder=tmp_path / str(b)))
        for b in (0.2, 1, 5)
    ]
    rates, distortions = ([m[f"test/{k}"] for m in results] for k in ("rate", "distortion"))
    assert rates == sorted(rates, reverse=True)
    assert distortions == sorted(distortions)


def test_objective_uses_the_final_beta(compose):
    words = ["model=vae", *SMALL, "beta=warmup", "beta.value=3", "beta.share=1.0", "trainer.max_epochs=4"]
    train(compose(*words))
    table = [row for row in rows(Path(compose(*words)["folder"])) if row["val/loss"]]
    for row in table:
        value = {k: float(v) for k, v in row.items() if v}
        assert value["val/objective"] == pytest.approx(value["val/distortion"] + 3 * value["val/rate"], rel=1e-5)
        assert value["val/loss"] == pytest.approx(
            value["val/distortion"] + value["val/beta"] * value["val/rate"], rel=1e-5
        )
    last_steps = [18, 37, 56, 75]  # of each epoch, whose beta validation uses
    assert [float(row["val/beta"]) for row in table] == pytest.approx([3 * s / 76 for s in last_steps], rel=1e-5)


@pytest.mark.parametrize(
    "words",
    [
        ["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1.0"],
        ["trainer.gradient_clip_val=0.5", "trainer.accumulate_grad_batches=3"],
        ["optimizer=adamw", "schedule=cosine"],
        ["schedule=constant", "trainer.max_steps=5"],
        ["net=conv", "net.width=4", "data.binarize=dynamic", "model.join=every_layer"],
    ],
    ids=lambda words: "-".join(words),
)
def test_trainer_options_from_the_command_line(compose, words):
    metrics = train(compose(*QUICK, "trainer.max_epochs=1", *words))
    assert metrics["test/neg_elbo"] < 784 * math.log(2) - 5  # one bit per pixel is that of an untrained decoder


def test_a_net_is_initialized_once_from_the_training_images_and_never_on_resume(compose, tmp_path, monkeypatch):
    from autoencoders.nets.mlp import Decoder

    seen = []
    monkeypatch.setattr(Decoder, "initialize", lambda self, images: seen.append(images), raising=False)
    train(compose(*SMALL, "model=vae", "test=false", "trainer.max_epochs=1"))
    assert [(i.dtype, tuple(i.shape)) for i in seen] == [(torch.uint8, (1258, 1, 28, 28))]
    train(
        compose(
            *SMALL, "model=vae", "test=false", "trainer.max_epochs=1", f"resume='{tmp_path}/run'", folder=tmp_path / "b"
        )
    )
    assert len(seen) == 1


def test_early_stopping_stops(compose):
    words = [
        "callbacks=[early_stopping]",
        "+callbacks.early_stopping.min_delta=1e9",
        "callbacks.early_stopping.patience=2",
    ]
    train(compose(*SMALL[1:3], "trainer.max_epochs=9", *words, "test=false"))
    assert max(int(row["epoch"]) for row in rows(Path(compose()["folder"]))) == 2


def test_a_sweep_with_failing_jobs(run_command, tmp_path):
    words = ["model=vae", "beta=0.5,4", "latent_dim=10,900", "net=residual", "likelihood=gaussian", "trainer=debug"]
    done = run_command(
        train_command,
        "-m",
        *words,
        "callbacks=checkpoint",
        "figures.format=svg",
        "hydra.sweep.dir=a sweep",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "2 of the 4 jobs that were started did not finish" in done.stderr
    folders = sorted((tmp_path / "a sweep").glob("*_vae*"))
    assert [f.name.partition("_vae")[0] for f in folders] == ["0", "1", "2", "3"]
    with (tmp_path / "a sweep/sweep.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["status"] for row in table] == ["done", "failed", "done", "failed"]
    assert [row["overrides"] for row in table[::3]] == ["beta=0.5 latent_dim=10", "beta=4 latent_dim=900"]
    assert "latent_dim must be at most 784" in table[1]["reason"]
    assert (tmp_path / "a sweep/rate_distortion.png").stat().st_size > 5000
    assert "</svg>" in (tmp_path / "a sweep/rate_distortion.svg").read_text()
    for folder, beta, row in zip(folders[::2], (0.5, 4), table[::2], strict=True):
        metrics = json.loads((folder / "metrics.json").read_text())
        assert float(row["test/neg_elbo"]) == metrics["test/neg_elbo"]
        found = everything(folder)  # each job has a W&B run of its own
        assert found.config["beta"]["value"] == beta
        assert found.summary["test/neg_elbo"] == pytest.approx(metrics["test/neg_elbo"])


def test_a_users_own_model_from_another_folder(run_command, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from autoencoders.models.vae import VAE\n\n\nclass Mine(VAE):\n    def __init__(self, *, shift, **options):\n"
        "        super().__init__(**options)\n        self.shift = shift\n"
    )
    (tmp_path / "myconf/model").mkdir(parents=True)
    (tmp_path / "myconf/model/mine.yaml").write_text(
        "defaults: [vae, _self_]\n_target_: mine.Mine\nname: mine\nshift: 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    done = run_command(train_command, "model=mine", "model.shift=4", f"hydra.searchpath=[file://{tmp_path}/myconf]",
                       "trainer=debug", "logger=none", "callbacks=none", "hydra.run.dir=out",
                       cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((tmp_path / "out/config.yaml").read_text())["model"]["shift"] == 4
    with pytest.raises(UserError, match=r"mine\.Mine"):
        loading.open_run(tmp_path / "out")
    assert loading.open_run(tmp_path / "out", trust=("mine.",)).model.shift == 4
    words = ["run=out", "application=reconstruct", "application.reconstruct.count=2"]
    refused, applied = (run_command(apply, *words, *more, cwd=tmp_path) for more in ([], ["trust=[mine]"]))
    sys.modules.pop("mine", None)
    assert refused.returncode == 2
    assert "add trust=[mine] to the command of autoencoders.apply" in refused.stderr
    assert applied.returncode == 0, applied.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=pca", "likelihood=bernoulli"], "model=pca cannot use likelihood=bernoulli"),
        (["data.batch_size=5000"], "data.batch_size must not exceed the 1258 training images of data=digits, got 5000"),
        (["latent_dim.size=0"], "latent_dim.size must be an integer >= 1"),
        (["beta.value=abc"], "beta.value must be a number, got .abc."),
        (["seed=-1"], "seed must be an integer >= 0"),
        (["trainer.precision=bf16-true"], "trainer.precision must be one of"),
        (["trainer=gpu"], "trainer cannot be instantiated"),
        (["data=mnist", "data.root=nowhere", "model.join=top"], "model.join must be one of"),
        (["resume=nowhere"], "nowhere must be a checkpoint or a run folder"),
    ],
)
def test_user_errors_are_one_sentence_and_leave_no_files(compose, tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        train(compose(*words, "logger=none", folder=tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_overwritten(compose, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="already contains a run, which is not overwritten"):
        train(compose(folder=tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_user_error_is_one_line_on_the_terminal_and_status_2(run_command, tmp_path):
    done = run_command(train_command, "latent_dim.size=0", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "autoencoders: latent_dim.size must be an integer >= 1 and < 2**32, got 0.\n"
    assert list(tmp_path.glob("runs/*")) == []


def test_a_model_that_cannot_be_built_on_the_meta_device_is_accepted(compose, monkeypatch):
    from autoencoders.models.vae import VAE

    def fragile(self, encoder, decoder):
        if self.shape != (1, 28, 28):
            raise RuntimeError("only for digits")
        return type(self).__mro__[1].build(self, encoder, decoder)

    monkeypatch.setattr(VAE, "build", fragile, raising=False)
    assert train(compose("model=vae", *SMALL, "trainer.max_epochs=1"))["test/neg_elbo"] < 784 * math.log(2)


@pytest.mark.slow
def test_the_wheel_contains_the_configuration(repository, tmp_path):
    pip = [sys.executable, "-m", "pip", "--quiet"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(repository)]
    subprocess.run(wheel, check=True, capture_output=True)
    (built,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(tmp_path / "site"), str(built)], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "autoencoders.train", "model=vae", "beta=3", "--cfg", "job"],
        cwd=tmp_path / "site", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "autoencoders.models.vae.VAE" in done.stdout


@pytest.mark.slow
def test_torch_compile_gives_the_same_run(compose, tmp_path):
    plain = train(compose(*SMALL, "model=vae", folder=tmp_path / "plain"))
    compiled = train(compose(*SMALL, "model=vae", "compile=true", folder=tmp_path / "compiled"))
    # Fused kernels round differently, and 38 steps at a high rate amplify that.
    assert compiled["test/neg_elbo"] == pytest.approx(plain["test/neg_elbo"], rel=1e-2)


@pytest.mark.parametrize(
    ("capabilities", "slow"),
    [
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"architecture": "aarch64"}, False),
        ({}, False),
    ],
)
def test_a_warning_for_slow_bfloat16(compose, capsys, monkeypatch, capabilities, slow):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    train(compose(*SMALL, "model=vae", "trainer.precision=bf16-mixed", "trainer.max_steps=1", "test=false"))
    assert ("has no bfloat16 instructions" in capsys.readouterr().err) == slow


def test_an_experiment_without_its_applications(compose, tmp_path):
    words = ["experiment=iwae_table", "schedule.rungs=1", "data=digits", "trainer=debug", "logger=none"]
    train(compose(*words, "application@after_fit=none", "callbacks=none", "test=false"))
    assert not (tmp_path / "run/tables").exists()


def test_an_interpolation_on_the_command_line_is_resolved_and_recorded(run_command, tmp_path):
    words = [*SMALL, "model=vae", "latent_dim.size=${seed}", "seed=3", "hydra.run.dir=runs/${seed}"]
    done = run_command(train_command, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "runs/3/run.json").read_text())
    assert record["code"] == 3
    assert "latent_dim.size=${seed}" in record["overrides"]
