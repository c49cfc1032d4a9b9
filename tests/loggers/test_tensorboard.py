"""TensorBoard holds what the folder holds, read back by TensorBoard."""

import csv
import json

import pytest

from autoencoders.loggers.tensorboard import TensorBoardMediaLogger
from autoencoders.train import train

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture(scope="module")
def logged(tmp_path_factory, compose_into):
    """A run's folder, and its events."""
    folder = tmp_path_factory.mktemp("board") / "run"
    words = ["model=vae", "trainer=cpu", "trainer.max_epochs=2", "net.widths=[16]", "data.batch_size=64"]
    words += ["logger=tensorboard", "callbacks=[gif,checkpoint]", "trainer.log_every_n_steps=7", "posterior.std=exp"]
    drawn = {"samples.Samples": 5, "reconstructions.Reconstructions": 1}
    for i, (name, often) in enumerate(drawn.items()):
        node = f"{{_target_: autoencoders.callbacks.{name}, every_n_epochs: {often}}}"
        words.append(f"+callbacks.drawn{i}={node}")
    train(compose_into(*words, folder=folder))
    sizes = {"scalars": 0, "images": 0, "tensors": 0}
    return folder, accumulator.EventAccumulator(str(folder / "tensorboard"), sizes).Reload()


def test_exactly_the_metrics_are_logged(logged):
    folder, events = logged
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    written = {
        (key, int(row["step"])): float(value)
        for row in rows
        for key, value in row.items()
        if value and key not in ("step", "epoch")
    }
    names = [name for name in events.Tags()["scalars"] if name != "epoch"]
    told = {(name, event.step): event.value for name in names for event in events.Scalars(name)}
    assert told.keys() == written.keys()
    assert all(told[key] == pytest.approx(value, rel=1e-5) for key, value in written.items())


def test_figures_and_animations_are_logged_as_their_files(logged):
    folder, events = logged
    told = {(name, event.step): event for name in events.Tags()["images"] for event in events.Images(name)}
    files = {(f.parent.name, int(f.stem)): f for f in (folder / "figures").glob("*/*.png")}
    files["reconstructions_animation", 38] = folder / "figures/reconstructions.gif"
    assert told.keys() == files.keys()
    assert len(files) == 4
    assert all(told[key].encoded_image_string == file.read_bytes() for key, file in files.items())
    assert told["reconstructions_animation", 38].encoded_image_string.startswith(b"GIF89a")


def test_notes_are_texts_and_settings_stand_beside_results(logged):
    folder, events = logged
    notes = json.loads((folder / "run.json").read_text())["notes"]
    texts = [event.tensor_proto.string_val[0].decode() for event in events.Tensors("notes/text_summary")]
    assert texts == [" ".join(notes)]
    plugin = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    for words in (b"beta.value", b"latent_dim.size", b"test/neg_elbo"):
        assert words in plugin or words in events.SummaryMetadata("_hparams_/experiment").plugin_data.content


def test_results_have_keys_without_the_name_of_the_model(tmp_path):
    logger = TensorBoardMediaLogger(save_dir=str(tmp_path))
    logger.send_results({"evaluate/MSE/vae": 0.5, "evaluate/MSE_error/PCA-20": 0.25}, "vae", 3, repeated=False)
    logger.finalize("success")
    events = accumulator.EventAccumulator(logger.log_dir).Reload()
    written = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert written == {"evaluate/mse": [(3, 0.5)], "evaluate/mse_pca_se": [(3, 0.25)]}
