"""What a machine does to a run: full disks, refused folders, memory that ran out, loggers and figures that fail."""

import csv
import errno
import functools
import json
import os
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from autoencoders import apply
from autoencoders import train as train_module
from autoencoders.callbacks.reconstructions import Reconstructions
from autoencoders.callbacks.samples import Samples
from autoencoders.config import instantiate
from autoencoders.loggers.csv import MetricsCSVLogger
from autoencoders.loggers.media import MediaWriter
from autoencoders.loggers.wandb import WandbMediaLogger
from autoencoders.models.vae import VAE
from autoencoders.train import train
from autoencoders.training import checkpointing
from autoencoders.types import UserError
from autoencoders.utils import atomic, error_messages

TINY = ["model=vae", "net.widths=[16]", "trainer=cpu", "logger=none", "data.batch_size=64", "trainer.max_epochs=2"]
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def raising(error, when=lambda *_: True, plain=None):
    def method(*arguments, **keywords):
        if when(*arguments):
            raise error
        return plain(*arguments, **keywords)

    return method


def record(folder):
    return json.loads((folder / "run.json").read_text())


def steps(folder, *names):
    return [torch.load(folder / f"checkpoints/{n}.ckpt", weights_only=True)["global_step"] for n in names]


# Files ----------------------------------------------------------------------------------------------------------


def test_a_file_is_written_completely_or_stays_unchanged(tmp_path):
    file = tmp_path / "deep/x"
    with atomic.atomic_write(file) as partial:
        partial.write_text("one")

    def interrupted():
        with atomic.atomic_write(file) as partial:
            partial.write_text("tw")
            raise FULL

    with pytest.raises(OSError, match="space"):
        interrupted()
    assert [(p.name, p.read_text()) for p in file.parent.iterdir()] == [("x", "one")]


def test_writers_of_one_file_do_not_mix_their_content(tmp_path):
    file = tmp_path / "x"
    (tmp_path / "checkpoint").write_text("good")
    os.link(tmp_path / "checkpoint", tmp_path / "x.partial")  # of a killed process
    with atomic.atomic_write(file) as one, atomic.atomic_write(file) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    files = {"checkpoint": "good", "x": "one"}
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == files
    with atomic.atomic_write(file) as again:
        again.unlink()
        os.link(file, again)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == files


# A full disk ----------------------------------------------------------------------------------------------------


def test_a_full_disk_keeps_every_checkpoint_and_prints_the_command_to_continue(run_command, tmp_path, monkeypatch):
    """The second epoch's checkpoints are cut short: last.ckpt, and previous.ckpt linked to it, are the first's."""
    plain = Path.write_bytes

    def cut(path, content):
        if path.name == "last.ckpt.partial" and path.with_name("last.ckpt").is_file():
            plain(path, content[: len(content) // 2])
            raise FULL
        return plain(path, content)

    words = [*TINY, "callbacks=checkpoint", "test=false", "hydra.run.dir=run"]
    with monkeypatch.context() as patch:
        patch.setattr(checkpointing.Path, "write_bytes", cut)
        done = run_command(train_module, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        f"autoencoders: {tmp_path}/run could not be written (No space left on device). Free disk space, or set "
        "hydra.run.dir to a folder on another disk. checkpoints/last.ckpt was written before this error. Continue the "
        "run with resume=run.\n"
    )
    assert record(tmp_path / "run")["status"] == "failed"
    assert record(tmp_path / "run")["error"] in done.stderr
    assert steps(tmp_path / "run", "last", "previous") == [19, 19]
    assert sorted(os.listdir(tmp_path / "run/checkpoints")) == ["best.ckpt", "last.ckpt", "previous.ckpt"]
    done = run_command(train_module, *words[:-1], "resume=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert steps(tmp_path / "run", "last", "previous") == [38, 19]


def test_checkpoints_are_written_beside_their_place_and_copied_where_files_cannot_be_linked(
    compose, tmp_path, monkeypatch
):
    """The folder for temporary files may be on another disk: a copy from there would spoil what is there."""
    monkeypatch.setattr("tempfile.mkstemp", raising(AssertionError("a temporary file elsewhere")))
    monkeypatch.setattr(os, "link", raising(OSError(errno.EPERM, "Operation not permitted")))
    train(compose(*TINY, "callbacks=checkpoint", "test=false"))
    assert steps(tmp_path / "run", "last", "previous", "best") == [38, 19, 38]


# Figures, applications, loggers ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spared(tmp_path_factory, compose_into):
    """A run in which two figures, an application, a baseline and a logger fail, and one where nothing does."""

    class Failing(CSVLogger):
        def log_metrics(self, metrics, step=None):
            raise ConnectionError("gone")

        log_hyperparams = finalize = save = log_metrics

    root, patch = tmp_path_factory.mktemp("spared"), pytest.MonkeyPatch()
    words = [*TINY, "callbacks=[default,gif,applications]", "callbacks.baselines.pca=false"]
    words += [f"callbacks.{n}.every_n_epochs=1" for n in ("reconstructions", "samples", "applications")]
    words += ["callbacks.latents=null", "callbacks.loss_curves=null", "callbacks.health=null"]
    train(compose_into(*words, folder=root / "good"))
    build = instantiate.build
    logger = {"CSVLogger": lambda **_: Failing(str(root / "csv"))}
    patch.setattr(
        instantiate, "build", lambda node, **parts: logger.get(kind(node), functools.partial(build, node))(**parts)
    )
    patch.setattr(Samples, "draw", raising(ValueError("boom\nand more")))
    write = Path.write_bytes

    def write_half(path, content):
        if "reconstruct/" in str(path):
            write(path, b"half")
            raise FULL
        return write(path, content)

    patch.setattr(Path, "write_bytes", write_half)
    patch.setattr("autoencoders.data.datamodule.ImageDataModule.mean_image_mse", raising(MemoryError()))
    try:
        metrics = train(compose_into(*words, "logger=csv", folder=root / "bad"))
    finally:
        patch.undo()
    return root, metrics


def kind(node):
    return node["_target_"].rpartition(".")[2]


def test_training_continues_if_figures_applications_and_loggers_fail(spared):
    root, metrics = spared
    good, bad = (
        torch.load(root / f"{n}/checkpoints/last.ckpt", weights_only=True)["state_dict"] for n in ("good", "bad")
    )
    assert all(torch.equal(good[key], bad[key]) for key in good)
    assert record(root / "bad")["status"] == "done"
    assert metrics["test/neg_elbo"] > 0
    files = ((root / name / "metrics.csv").read_text().splitlines() for name in ("good", "bad"))
    tables = [list(csv.DictReader(lines)) for lines in files]
    for key in ("val/objective", "train/loss", "test/neg_elbo"):
        values = [[row[key] for row in rows if row[key]] for rows in tables]
        assert values[0] == values[1], key
        assert len(values[0]) == (1 if key == "test/neg_elbo" else 2), key


def test_each_failure_is_reported_once_with_its_option(spared):
    root, _ = spared
    said = record(root / "bad")["warnings"]
    message = {sentence.partition(" failed")[0]: sentence for sentence in said}
    assert len(message) == len(said)
    assert set(message) == {
        "Failing", "callbacks.samples", "callbacks.reconstructions", "application reconstruct", "callbacks.baselines",
    }  # fmt: skip
    assert message["callbacks.samples"] == (
        "callbacks.samples failed at step 19 (ValueError: boom), but training continues; the figures of this step are "
        "missing. Set callbacks.samples=null to disable them, or traceback=true to show the traceback."
    )
    assert "(MemoryError)" in message["callbacks.reconstructions"]  # the baseline beside its MSE
    assert "(No space left on device)" in message["application reconstruct"]
    assert "warnings" not in record(root / "good")
    written = [path for path in (root / "bad").rglob("*") if path.is_file()]
    assert not [path for path in written if path.suffix == ".partial" or path.read_bytes() == b"half"]


def test_debug_shows_where_a_figure_fails(compose, monkeypatch):
    monkeypatch.setattr(Reconstructions, "draw", raising(ValueError("boom")))
    words = ["callbacks=none", "+callbacks.one={_target_: autoencoders.callbacks.reconstructions.Reconstructions}"]
    with pytest.raises(ValueError, match="boom"):
        train(compose(*TINY, *words, "traceback=true", "test=false"))


def test_an_application_after_the_fit_that_fails_keeps_the_run_and_fails_the_command(
    run_command, tmp_path, monkeypatch
):
    present = MediaWriter.save_result
    monkeypatch.setattr(MediaWriter, "save_result", raising(FULL, lambda self, name, *_: name == "browse", present))
    words = [*TINY, "trainer.max_epochs=1", "callbacks=checkpoint", "application@after_fit=[browse,reconstruct]"]
    done = run_command(train_module, *words, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 2
    warning = (
        "application browse failed at step 19 (No space left on device), but training continues; the training and "
        "its metrics are kept."
    )
    assert done.stderr.splitlines() == [
        f"autoencoders: warning: {warning}",
        "autoencoders: The training is complete, but browse failed. Run the failed applications with: python -m "
        f"autoencoders.apply run={tmp_path}/run 'application=[browse]'",
    ]
    assert f"warning  {warning}" in done.stdout
    assert record(tmp_path / "run")["status"] == "done"
    assert json.loads((tmp_path / "run/metrics.json").read_text())["test/neg_elbo"] > 0
    assert (tmp_path / "run/tables/reconstruct/metrics.json").is_file()


def test_a_row_that_did_not_fit_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    file = MetricsCSVLogger(tmp_path / "metrics.csv")
    file.log_metrics({"a": 1.0}, 0)
    before = file.path.read_text()
    with monkeypatch.context() as patch:
        patch.setattr(csv.DictWriter, "writerow", raising(FULL))
        with pytest.raises(OSError, match="space"):
            file.log_metrics({"a": 2.0}, 1)
        patch.setattr(csv.DictWriter, "writeheader", raising(FULL))
        with pytest.raises(OSError, match="space"):
            file.log_metrics({"a": 2.0, "b": 1.0}, 2)
    assert file.path.read_text() == before
    file.log_metrics({"a": 3.0, "b": 4.0}, 3)
    assert file.path.read_text() == "epoch,step,a,b\n,0,1.0,\n,3,3.0,4.0\n"
    file.log_metrics({"c": 5.0}, 0)  # of a step before: what was known of it stays
    assert file.path.read_text() == "epoch,step,a,b,c\n,0,1.0,,\n,3,3.0,4.0,\n,0,,,5.0\n"
    assert os.listdir(tmp_path) == ["metrics.csv"]


# W&B ------------------------------------------------------------------------------------------------------------


def test_wandb_is_offline_without_a_server(tmp_path, monkeypatch, capsys):
    import wandb

    (tmp_path / "run.json").write_text('{"status": "running"}')
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    logger = WandbMediaLogger(str(tmp_path), init_timeout=1)
    logger.log_metrics({"a": 1.0}, 0)
    (said,) = record(tmp_path)["warnings"]
    assert said.startswith("W&B could not start online (CommError: ")
    assert said.endswith("W&B is offline for this run, but metrics.csv and figures/ are complete.")
    assert capsys.readouterr().err == f"autoencoders: warning: {said}\n"
    monkeypatch.setattr(wandb.Run, "finish", raising(TimeoutError("not in 300 seconds"), lambda *_: True))
    where = logger.close({}, tmp_path / "none", failed=False)
    monkeypatch.undo()
    wandb.finish()
    assert where.startswith("upload incomplete (TimeoutError: not in 300 seconds); upload with: wandb sync ")
    assert Path(where.rpartition(" ")[2]).is_dir()


# Folders that refuse --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "option"),
    [(["hydra.run.dir=file/x"], "hydra.run.dir"), (["-m", "hydra.sweep.dir=file/x"], "hydra.sweep.dir")],
)
def test_a_run_folder_that_cannot_be_made_is_one_sentence(run_command, tmp_path, words, option):
    (tmp_path / "file").touch()
    done = run_command(train_module, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        f"autoencoders: file/x cannot be used (Not a directory). Set {option} to a folder with write permission.\n"
    )


def test_a_run_folder_without_permission_is_one_sentence(run_command, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    done = run_command(train_module, "hydra.run.dir=run", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "run cannot be used (Permission denied). Set hydra.run.dir to a folder" in done.stderr


def test_a_result_that_cannot_be_written_is_one_sentence(spared, run_command, tmp_path):
    (tmp_path / "file").touch()
    words = [f"run={spared[0]}/good", "application=reconstruct", "folder=file/x"]
    done = run_command(apply, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "autoencoders: file/x/figures/reconstruct/rows cannot be used (Not a directory). Set folder to a folder "
        "with write permission.\n"
    )


# Memory ---------------------------------------------------------------------------------------------------------

GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has ...")
CPU = RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


@pytest.mark.parametrize(
    ("error", "method", "options", "says"),
    [
        (GPU, "training_step", ["objective.samples=3"], "The GPU ran out of memory during training "
         "(OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.). Lower data.batch_size (now 64), or set "
         "trainer.precision=bf16-mixed, or lower objective.samples (now 3)."),
        (CPU, "validation_step", [], "The machine ran out of memory during evaluation "
         "(RuntimeError: [enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.). "
         "Lower data.eval_batch_size (now 500)."),
    ],
)  # fmt: skip
def test_out_of_memory_names_the_option_and_the_kept_files(
    compose, tmp_path, monkeypatch, error, method, options, says
):
    plain = getattr(VAE, method)
    monkeypatch.setattr(VAE, method, raising(error, lambda self, *_: self.trainer.current_epoch == 1, plain))
    config = compose(*TINY, "callbacks=checkpoint", *options)
    with pytest.raises(RuntimeError) as raised:
        train(config)
    message = str(error_messages.explain_error(raised.value, config))
    assert says in message
    assert message.endswith(
        f" checkpoints/last.ckpt was written before this error. Continue the run with resume={tmp_path}/run."
    )
    assert record(tmp_path / "run")["error"] == message
    assert steps(tmp_path / "run", "last") == [19]


def test_out_of_memory_in_another_place_is_reported(compose):
    def setup():
        raise MemoryError("Unable to allocate 30 GiB")

    config = compose()
    with pytest.raises(MemoryError) as raised:
        setup()
    assert str(error_messages.explain_error(raised.value, config)) == (
        "The machine ran out of memory during data preparation (MemoryError: Unable to allocate 30 GiB). Lower "
        "data.memory (now 2e+09 bytes)."
    )
    assert "Set device=cpu" in str(error_messages.explain_error(GPU, {"device": "cuda"})).replace("or set", "Set")
    gone = RuntimeError("[gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:45767.")
    assert (
        str(error_messages.explain_error(gone, {}))
        == "Another process of this run has ended. Therefore this process ends too."
    )
    assert error_messages.explain_error(ValueError("a defect"), config) is None
    assert error_messages.explain_error(FileNotFoundError(errno.ENOENT, "a defect"), config) is None


# Numbers that are not finite, with nothing to watch them --------------------------------------------------------


@pytest.mark.parametrize("spoils", ["loss", "last step"])
def test_a_training_without_guard_fails_at_its_end_if_values_are_not_finite(compose, tmp_path, monkeypatch, spoils):
    plain = VAE.training_step

    def step(self, batch, batch_idx):
        loss = plain(self, batch, batch_idx)
        return loss * float("nan") if spoils == "loss" or self.trainer.global_step == 18 else loss

    monkeypatch.setattr(VAE, "training_step", step)
    with pytest.raises(UserError) as raised:
        train(compose(*TINY, "callbacks=none", "trainer.max_epochs=1"))
    message = str(raised.value)
    assert message.startswith("Training ended with values that are not finite: ")
    assert "val/objective is nan, " in message
    assert "contains NaN or infinity. Lower optimizer.lr (it is " in message
    assert record(tmp_path / "run")["status"] == "failed"
    assert steps(tmp_path / "run", "last") == [19]
