import json

import pytest
import torch

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
    table = export(opened, folder=str(tmp_path), count=20).tables["differences"].set_index("format")
    assert table.loc["safetensors", ["codes", "images"]].tolist() == [0, 0]
    loaded = autoencoders.load(tmp_path / "export").model
    assert not loaded.training
    batch = opened.batch("test", 5)
    assert torch.equal(loaded(batch.x, batch.y), opened.model(batch.x, batch.y))


@pytest.mark.parametrize("model", ["vae", "cvae"])
def test_onnx_gives_the_same_codes_and_images(run, tmp_path, model):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    table = export(run(f"model={model}"), folder=str(tmp_path), onnx=True, count=7).tables["differences"]
    assert table.set_index("format").loc["onnx", ["codes", "images"]].max() < 1e-5


def test_bad_exports_are_refused(run, tmp_path):
    export(run("model=ae"), folder=str(tmp_path), count=2)
    file = tmp_path / "export" / "config.json"
    plain = json.loads(file.read_text())
    plain["config"]["data"]["_target_"] = "os.system"
    file.write_text(json.dumps(plain))
    with pytest.raises(UserError, match=r"names the target 'os.system'"):
        autoencoders.load(tmp_path / "export")
    file.write_text('{"format": 2}')
    with pytest.raises(UserError, match="is not a valid description of an exported model"):
        autoencoders.load(tmp_path / "export")
    with pytest.raises(UserError, match="must be a checkpoint or a run folder"):
        autoencoders.load(tmp_path / "nothing")
