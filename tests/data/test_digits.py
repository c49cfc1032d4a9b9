import pytest
import torch
from sklearn.datasets import load_digits

from autoencoders.data.digits import DigitsDataModule


def test_digits_are_those_of_scikit_learn_resized_to_28_pixels(digits):
    assert digits.shape == (1, 28, 28)
    assert digits.context.size == 10
    total = sum(len(digits.images(s)) for s in ("train", "val", "test"))
    assert total == len(load_digits().images) == 1797
    small = DigitsDataModule(size=8)
    small.setup()
    mean = torch.cat([small.images(s) for s in ("train", "val", "test")]).float().mean() * 16 / 255
    assert mean.item() == pytest.approx(load_digits().images.mean(), rel=1e-3)
