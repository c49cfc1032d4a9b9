"""A CVAE takes attributes in the units of the data and standardizes them by the training images."""

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from autoencoders.config import instantiate
from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.loader import Split
from autoencoders.data.splits import Source
from autoencoders.metrics.labels import attribute_scales
from autoencoders.runs import loading
from autoencoders.types import Context

NAMES = ("age", "area", "smiling", "male")


def persons(count=120):
    """Attributes in four units: years from 20 to 89, pixels from 2,000 to 9,000, 0 or 1, and -1 or 1."""
    generator = torch.Generator().manual_seed(0)
    age = torch.randint(20, 90, (count,), generator=generator)
    area = torch.randint(2000, 9000, (count,), generator=generator)
    smiling, male = torch.randint(0, 2, (2, count), generator=generator)
    return torch.stack([age, area, smiling, 2 * male - 1], 1).float()


class Persons(ImageDataModule):
    """Gray images whose brightness is the age of the person."""

    def __init__(self, values, **options):
        super().__init__(name="persons", batch_size=24, **options)
        self.values = values

    def read(self):
        images = (2 * persons()[:, 0])[:, None, None, None].expand(-1, 1, 8, 8).to(torch.uint8).contiguous()
        return Source(Split(images, self.values), None, Context("attributes", NAMES[: self.values.shape[1]]))


def fit(compose, values, *overrides, resume=None, epochs=2):
    """Return a CVAE that was trained for some epochs, and its data."""
    data = Persons(values)
    data.setup()
    pl.seed_everything(0, verbose=False)
    words = ["model=cvae", "latent_dim=2", "schedule=constant", *overrides]
    model = instantiate.build_model(compose(*words), data.shape, data.context)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.ckpt_path = resume
    trainer.fit(model, data)
    return model.eval(), data


@pytest.mark.parametrize("net", ["mlp", "residual"])
def test_results_do_not_depend_on_the_units_of_the_attributes(compose, net):
    values = persons()
    losses = []
    for change in (values, (values - torch.tensor([50, 0, 0, 0])) * torch.tensor([12, 1e-4, 1, 1])):
        model, data = fit(compose, change, f"net={net}")
        losses.append(float(model.trainer.callback_metrics["val/neg_elbo"]))
        context = model.context(data.get_split("train").labels)
        assert context[:, :2].std(0).tolist() == pytest.approx([1, 1], abs=0.02)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_scales_are_those_of_scikit_learn_and_binary_or_constant_attributes_keep_their_values():
    values = torch.cat([persons(), torch.full((120, 1), 7.3), torch.tensor([-1.0, 0, 1]).repeat(40)[:, None]], 1)
    scaler = StandardScaler().fit(values.double().numpy())
    mean, scale = attribute_scales(values)
    np.testing.assert_allclose(mean[[0, 1, 5]], scaler.mean_[[0, 1, 5]], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(scale[[0, 1, 5]], scaler.scale_[[0, 1, 5]], rtol=1e-12)
    assert (mean[2:4].tolist(), scale[2:5].tolist()) == ([0, 0], [1, 1, 1])
    assert float(values[0, 4] - mean[4]) == 0


def test_binary_attributes_reach_the_nets_unchanged(compose):
    model, data = fit(compose, persons()[:, 2:])
    labels = data.get_split("train").labels
    assert torch.equal(model.context(labels), labels)


def test_the_scales_are_computed_from_training_images_and_saved_with_the_weights(compose, tmp_path):
    model, data = fit(compose, persons())
    train = data.get_split("train").labels.double()
    np.testing.assert_allclose(model.attribute_mean[:2], train.mean(0)[:2], rtol=1e-6)
    state = {"hyper_parameters": dict(model.hparams), "state_dict": model.state_dict()}
    torch.save(state, tmp_path / "x.ckpt")
    loaded = loading.open_run(tmp_path / "x.ckpt").model
    z, y = torch.randn(3, 2), torch.tensor([[20.0, 2000, 0, -1], [50, 5000, 1, 1], [89, 9000, 1, -1]])
    assert torch.equal(loaded.decode(z, y), model.decode(z, y))
    assert (loaded.decode(z[:1], y[:1]) - loaded.decode(z[:1], y[2:])).abs().max() > 0.01


def test_a_resumed_run_keeps_the_scales_of_its_first_start(compose, tmp_path):
    first, _ = fit(compose, persons())
    first.trainer.save_checkpoint(tmp_path / "last.ckpt")
    second, _ = fit(compose, 10 * persons(), resume=tmp_path / "last.ckpt", epochs=3)
    assert second.trainer.global_step == 9
    assert torch.equal(second.attribute_mean, first.attribute_mean)
    assert torch.equal(second.attribute_scale, first.attribute_scale)
