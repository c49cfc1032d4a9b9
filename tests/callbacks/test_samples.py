"""The columns of the samples of a conditional model."""

from types import SimpleNamespace

import torch

from autoencoders.callbacks.samples import Samples
from autoencoders.types import Batch, Context


def columns(count):
    """Return names, labels and number of the columns for a model conditioned on `count` classes."""
    model = SimpleNamespace(labels=Context("classes", tuple(f"c{i}" for i in range(count))), context_size=count)
    batch = Batch(torch.zeros(3), torch.zeros(3), torch.zeros(3).long(), torch.arange(3))
    trainer = SimpleNamespace(datamodule=SimpleNamespace(take=lambda split, size: batch))
    return Samples()._columns(trainer, model)


def test_few_classes_have_one_column_each():
    names, labels, count = columns(10)
    assert (list(names), labels.tolist(), count) == ([f"c{i}" for i in range(10)], list(range(10)), 10)


def test_1500_classes_have_20_columns_from_the_first_to_the_last_class():
    names, labels, count = columns(1500)
    assert count == len(names) == len(set(labels.tolist())) == 20
    assert (names[0], names[-1]) == ("c0", "c1499")
    assert names == [f"c{i}" for i in labels.tolist()]
