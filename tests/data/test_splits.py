import pytest
import torch
from data_samples import CountedDataModule, prepare_counted

from autoencoders.data.splits import Source
from autoencoders.types import UserError


def test_splits_are_disjoint_and_complete_and_depend_on_the_seed():
    data, same, different = prepare_counted(), prepare_counted(seed=9), prepare_counted(split_seed=1)
    rows = {split: set(data.images(split)[:, 0, 0, 0].tolist()) for split in ("train", "val", "test")}
    assert [len(rows[s]) for s in rows] == [140, 20, 40]
    assert set.union(*rows.values()) == set(range(200))
    assert torch.equal(data.images("val"), same.images("val"))
    assert not torch.equal(data.images("val"), different.images("val"))


def test_alphabetical_splits_keep_the_order_of_the_source():
    data = prepare_counted(split="alphabetical", validation=30, test=0.1)
    rows = [data.images(split)[:, 0, 0, 0].tolist() for split in ("train", "val", "test")]
    assert rows == [list(range(150)), list(range(150, 180)), list(range(180, 200))]


def test_excluded_classes_are_removed_from_training_and_validation_only():
    data, complete = prepare_counted(exclude=[3, "8"]), prepare_counted()
    for split in ("train", "val"):
        rows = complete.images(split)[:, 0, 0, 0]
        expected = rows[(rows % 10 != 3) & (rows % 10 != 8)]
        assert torch.equal(data.images(split)[:, 0, 0, 0], expected)
        assert torch.equal(data.annotations(split).classes, expected.long() % 10)
    assert torch.equal(data.images("test"), complete.images("test"))
    assert data.excluded.tolist() == [3, 8]


def test_excluding_an_unknown_class_lists_the_classes():
    with pytest.raises(
        UserError, match=r"data.exclude must contain only classes of data=counted, got 'cat'. Choose from: 0, 1, 2"
    ):
        prepare_counted(exclude=["cat"])


def test_excluding_all_classes_is_an_error():
    with pytest.raises(UserError, match="must leave at least one image of data=counted in the train split, got none"):
        prepare_counted(exclude=range(10))


def test_excluding_from_data_without_classes_is_an_error():
    class Unlabeled(CountedDataModule):
        def read(self):
            return Source(super().read().train, None, None)

    with pytest.raises(UserError, match=r"Remove data\.exclude because there are no classes"):
        Unlabeled(name="unlabeled", batch_size=8, exclude=["a"]).setup()
