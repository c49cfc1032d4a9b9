import hashlib
import re

import pytest
import torch
import yaml

import autoencoders
from autoencoders.applications.export import export
from autoencoders.config import instantiate
from autoencoders.runs.run import Run
from autoencoders.types import UserError

pytest.importorskip("safetensors")


@pytest.fixture
def run(compose, tmp_path):
    def make(*overrides):
        config = compose("data=digits", "data.size=8", "latent_dim=3", *overrides)
        data = instantiate.build(config["data"])
        data.setup()
        return Run(tmp_path, config, instantiate.build_model(config, data.shape, data.context).eval(), data)

    return make


@pytest.mark.parametrize("model", ["ae", "vae", "cvae"])
def test_an_export_loads_and_is_the_same_model(run, tmp_path, model):
    opened = run(f"model={model}")
    result = export(opened, folder=str(tmp_path), count=20, onnx=False, explorer=False)
    table = result.tables["differences"].set_index("format")
    assert table.loc["safetensors", ["codes", "decoded images"]].tolist() == [0, 0]
    loaded = autoencoders.load(tmp_path / "export").model
    assert not loaded.training
    assert "onnx" not in result.tables
    batch = opened.batch("test", 5)
    assert torch.equal(loaded(batch.x, batch.y), opened.model(batch.x, batch.y))


@pytest.mark.parametrize("model", ["vae", "cvae"])
def test_onnx_gives_the_same_codes_and_images(run, tmp_path, model):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    table = export(run(f"model={model}"), folder=str(tmp_path), onnx=True, explorer=False, count=7).tables[
        "differences"
    ]
    assert table.set_index("format").loc["onnx", ["codes", "decoded images"]].max() < 1e-5


def test_bad_exports_are_refused(run, tmp_path):
    export(run("model=ae"), folder=str(tmp_path), count=2, onnx=False, explorer=False)
    file = tmp_path / "export" / "config.yaml"
    plain = yaml.safe_load(file.read_text())
    plain["config"]["data"]["_target_"] = "os.system"
    file.write_text(yaml.safe_dump(plain))
    with pytest.raises(UserError, match=r"names the target 'os.system'"):
        autoencoders.load(tmp_path / "export")
    for text in ("{format: 2}", "[", "x", "format: 2\nconfig: !!python/object/apply:os.system ['false']\n"):
        file.write_text(text)
        with pytest.raises(UserError, match="is not a valid description of an exported model"):
            autoencoders.load(tmp_path / "export")
    with pytest.raises(UserError, match="must be a checkpoint or a run folder"):
        autoencoders.load(tmp_path / "nothing")


def test_the_card_lists_digests_metrics_and_baselines(run, tmp_path):
    export(
        run("model=vae"),
        folder=str(tmp_path),
        count=2,
        onnx=False,
        explorer=False,
        license="mit",
        limitations="Only for tests.",
    )
    folder = tmp_path / "export"
    card = (folder / "README.md").read_text()
    digests = dict(re.findall(r"^\| `([^`]+)` \| [\d,]+ \| `(\w+)` \|$", card, re.MULTILINE))
    assert set(digests) == {file.name for file in folder.iterdir()} - {"README.md"}
    for name, digest in digests.items():
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "mit"
    assert "Only for tests." in card
    assert re.search(r"test/mse .* PCA [\d.]+, mean image [\d.]+", card)
    lines = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1].replace("path/to/this/folder", str(folder))
    assert len([line for line in lines.splitlines() if line]) == 3
    results: dict = {}
    exec(lines, results)
    assert results["images"].shape == (16, 1, 8, 8)
    assert str(tmp_path) not in "".join(file.read_text() for file in (folder / "config.yaml", folder / "README.md"))


def test_an_export_knows_its_data(run, tmp_path):
    opened = run("model=vae")
    export(opened, folder=str(tmp_path), count=2, onnx=False, explorer=False)
    loaded = autoencoders.load(tmp_path / "export")
    assert torch.equal(loaded.batch("test", 3).x, opened.batch("test", 3).x)
    assert loaded.codes("test").distortion.mean() == pytest.approx(loaded.metrics["test/distortion"], rel=1e-6)


def test_float16_halves_the_size_and_costs_little(run, tmp_path):
    opened = run("model=vae", "net.widths=[128]")
    sizes = {}
    for dtype in ("float32", "float16"):
        result = export(opened, folder=str(tmp_path / dtype), count=5, onnx=False, explorer=False, dtype=dtype)
        sizes[dtype] = (tmp_path / dtype / "export/weights.safetensors").stat().st_size
    assert sizes["float16"] < 0.6 * sizes["float32"]
    assert abs(result.tables["differences"]["nats"][0]) < 0.05
    loaded = autoencoders.load(tmp_path / "float16/export").model
    state, original = loaded.state_dict(), opened.model.state_dict()
    for name, value in original.items():
        rounded = value.half().float() if value.ndim > 1 and value.numel() >= 1024 else value
        assert torch.equal(state[name], rounded), name
    with pytest.raises(UserError, match="dtype must be one of"):
        export(opened, folder=str(tmp_path), dtype="float8")


def test_missing_packages_are_one_sentence(run, tmp_path, monkeypatch):
    from autoencoders.applications import export as module

    monkeypatch.setattr(module, "find_missing", lambda packages: ["onnxscript"])
    result = export(run("model=ae"), folder=str(tmp_path), count=2)
    assert result.tables["notes"]["note"].tolist() == [
        "ONNX files and explorer.html were not written, because onnxscript cannot be imported. Install the extra "
        "export to write them."
    ]
    assert {file.suffix for file in (tmp_path / "export").iterdir()} == {".safetensors", ".yaml", ".json", ".md"}


def test_files_of_an_earlier_export_that_are_not_written_again_are_removed(run, tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    for name in ("explorer.html", "decoder.onnx"):
        (folder / name).write_text("earlier")
    result = export(run("model=ae"), folder=str(tmp_path), count=2, onnx=False, explorer=False)
    assert {file.name for file in folder.iterdir()} == set(result.tables["files"]["file"])
    assert "explorer.html" not in result.tables["files"]["file"].tolist()


def test_the_explorer_page_is_that_of_the_exported_weights(run, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from autoencoders.explorer.content import collect_run

    opened = run("model=cvae")
    opened.step = 70
    result = export(opened, folder=str(tmp_path), count=2, onnx=False, dtype="float16")
    folder = tmp_path / "export"
    assert not list(folder.glob("*.onnx"))
    page = (folder / "explorer.html").read_text()
    content = collect_run(autoencoders.load(folder)).content
    assert content["check"]["values"] in page
    assert '"step":70' in page
    assert "`explorer.html` contains validation images" in (folder / "README.md").read_text()
    assert result.tables["notes"]["note"].tolist() == [
        "explorer.html contains validation images. application.export.explorer=false leaves it out."
    ]
    assert str(tmp_path) not in page


def test_private_images_are_shown_only_on_request(run, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    opened = run("model=vae")
    opened.config["data"] = opened.config["data"] | {"path": "/home/me/photos"}
    result = export(opened, folder=str(tmp_path), count=2, onnx=False)
    assert "explorer.html" not in result.tables["files"]["file"].tolist()
    assert "which may be private" in result.tables["notes"]["note"][0]
    assert "No image is part of these files." in (tmp_path / "export/README.md").read_text()
    result = export(opened, folder=str(tmp_path), count=2, onnx=False, explorer=True)
    assert "explorer.html" in result.tables["files"]["file"].tolist()


@pytest.mark.parametrize(
    ("data", "is_public"),
    [
        ({"_target_": "autoencoders.data.mnist.MNISTDataModule", "root": "/data", "cache": "/cache"}, True),
        ({"_target_": "autoencoders.data.mnist.MNISTDataModule", "labels": "/home/me/labels.csv"}, False),
        ({"_target_": "autoencoders.data.folder.FolderDataModule", "path": "/home/me/photos"}, False),
        ({"_target_": "autoencoders.data.huggingface.HuggingFaceDataModule", "dataset": "me/private"}, False),
        ({"_target_": "autoencoders.data.folder.FolderDataModule", "path": "photos"}, False),
        ({"_target_": "mine.Data"}, False),
        (None, False),
    ],
)
def test_which_images_are_public(data, is_public):
    from autoencoders.applications.export import has_public_images

    assert has_public_images({"data": data}) is is_public


def test_a_classifier_is_exported(classifier_folder, tmp_path):
    from autoencoders.applications.label_classifiers import load_classifier

    original = autoencoders.load(classifier_folder)
    result = original.apply("export", folder=str(tmp_path), onnx=False, explorer=False, dtype="float16", count=20)
    assert result.tables["differences"]["logits"][0] < 0.1
    loaded = autoencoders.load(tmp_path / "export")
    x = original.batch("test", 50).x
    assert torch.equal(loaded.model(x).argmax(1), original.model(x).argmax(1))
    assert loaded.metrics["test/accuracy"] == original.metrics["test/accuracy"]
    classifier = load_classifier(original, str(tmp_path / "export"))
    assert torch.equal(classifier.features(x), loaded.model.features(x))


def test_private_files_are_not_named(tmp_path):
    from autoencoders.applications.export import portable_config

    data = {"_target_": "x", "name": "folder", "path": "/home/me/p"}
    config = {"name": "a", "folder": "/home/me/runs/a", "data": data}
    assert portable_config(config) == {"name": "a", "data": {"name": "folder"}}
    config = {"data": {"_target_": "x", "name": "mnist", "root": "/data", "labels": "classes"}}
    assert portable_config(config)["data"] == {"_target_": "x", "name": "mnist", "root": None, "labels": "classes"}
