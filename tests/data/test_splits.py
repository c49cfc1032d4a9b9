import hashlib

import pytest
import torch
from data_samples import CountedDataModule, prepare_counted

from autoencoders.data.loader import Split
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


# Splits by a hash of the name --------------------------------------------------------------------------------------


class NamedDataModule(CountedDataModule):
    """The images of `CountedDataModule` with keys."""

    keys = [f"{i:03d}.png" for i in range(200)]

    def read(self):
        return super().read()._replace(keys=self.keys)


def prepare_named(keys=None, **options):
    data = NamedDataModule(name="named", batch_size=4, **options)
    data.keys = keys or NamedDataModule.keys
    data.setup()
    return {split: set(data.images(split)[:, 0, 0, 0].tolist()) for split in ("train", "val", "test")}


def expected_split(key, seed, validation, test):
    u = int(hashlib.sha256(f"{seed}\0{key}".encode()).hexdigest()[:16], 16) / 16**16
    return "val" if u < validation else "test" if u < validation + test else "train"


@pytest.mark.parametrize("seed", [0, 3])
def test_the_split_of_an_image_follows_from_the_hash_of_its_name(seed):
    splits = prepare_named(split_seed=seed, validation=0.15, test=0.3)
    for split, images in splits.items():
        assert images == {
            i for i, key in enumerate(NamedDataModule.keys) if expected_split(key, seed, 0.15, 0.3) == split
        }
    assert len(splits["val"]) == pytest.approx(30, abs=15)  # 3 standard deviations
    assert len(splits["test"]) == pytest.approx(60, abs=20)


@pytest.mark.parametrize("sizes", [{}, {"validation": 20, "test": 0.2}, {"validation": 17, "test": 31}])
def test_all_images_with_the_same_key_are_in_one_split(sizes):
    keys = [f"person {i // 5}" for i in range(200)]
    splits = prepare_named(keys, **sizes)
    assert sorted(set.union(*splits.values())) == list(range(200))
    for images in splits.values():
        assert len(images) % 5 == 0
        assert {i // 5 for i in images} == {i // 5 for i in range(200) if i // 5 * 5 in images}
    if sizes:
        assert len(splits["val"]) == 20  # at least the number of images, with complete groups
    if sizes.get("test") == 31:
        assert len(splits["test"]) == 35


def test_numbers_of_images_are_exact_and_independent_of_the_order_of_the_images():
    exact = prepare_named(validation=17, test=31)
    assert [len(exact[split]) for split in ("train", "val", "test")] == [152, 17, 31]
    keys = NamedDataModule.keys
    backwards = prepare_named(keys[::-1], validation=17, test=31)
    for split, images in exact.items():
        assert {keys[i] for i in images} == {keys[199 - i] for i in backwards[split]}


ALL = "the 200 images of data=named"


@pytest.mark.parametrize(
    ("options", "keys", "message"),
    [
        ({"validation": 0.001}, None, f"validation must select at least one of {ALL}, but the fraction 0.001 selects"),
        ({"validation": 0.001}, None, r"Set a number of images instead of a fraction, such as data.validation=1\."),
        ({"test": 0.1}, ["a"] * 100 + ["b"] * 100, "must select at least one of the 2 groups with 200 images"),
        ({"validation": 0.6, "test": 0.4}, None, f"must leave at least one of {ALL} for training, got 0.6 and 0.4"),
        ({"validation": 150, "test": 50}, None, f"must leave at least one of {ALL} for training, got 150 and 50"),
    ],
)
def test_an_empty_split_is_refused(options, keys, message):
    with pytest.raises(UserError, match=message):
        prepare_named(keys, **options)


def test_data_without_names_keep_their_random_split():
    """The splits of published results: a permutation with the seed, cut into validation, test and training images."""
    order = torch.randperm(200, generator=torch.Generator().manual_seed(5)).tolist()
    data = prepare_counted(split_seed=5)
    for split, images in (("val", order[:20]), ("test", order[20:60]), ("train", order[60:])):
        assert data.images(split)[:, 0, 0, 0].tolist() == sorted(images)


# Parts and unknown labels ---------------------------------------------------------------------------------------------


class PartsDataModule(CountedDataModule):
    """The images of `CountedDataModule`: 0 to 99 for training, 100 to 149 for validation, 150 to 199 for test."""

    parts = ("train", "val", "test")

    def read(self):
        images, labels = super().read().train[:2]
        cut = dict(
            zip(
                ("train", "val", "test"),
                zip(images.split([100, 50, 50]), labels.split([100, 50, 50]), strict=True),
                strict=True,
            )
        )
        splits = {part: Split(*cut[part]) for part in self.parts}
        return Source(splits["train"], splits.get("test"), super().read().context, splits.get("val"))


@pytest.mark.parametrize("parts", [("train", "val", "test"), ("train", "val"), ("train", "test")])
def test_official_splits_are_kept_and_others_are_cut_from_training(parts):
    data = PartsDataModule(name="parts", batch_size=4)
    data.parts = parts
    data.setup()
    rows = {split: data.images(split)[:, 0, 0, 0].tolist() for split in ("train", "val", "test")}
    official = {"train": range(100), "val": range(100, 150), "test": range(150, 200)}
    for split in parts[1:]:
        assert rows[split] == list(official[split])
    assert sorted(sum((rows[split] for split in rows if split not in parts[1:]), [])) == list(range(100))
    for split, images in rows.items():
        assert data.annotations(split).classes.tolist() == [i % 10 for i in images]


def test_images_without_a_class_are_left_out_and_counted():
    class Unknown(CountedDataModule):
        def read(self):
            source = super().read()
            labels = source.train.labels.clone()
            labels[::50] = -1
            return source._replace(train=source.train._replace(labels=labels))

    data, complete = Unknown(name="unknown", batch_size=4), prepare_counted()
    data.setup()
    for split in ("train", "val", "test"):
        rows = complete.images(split)[:, 0, 0, 0]
        assert torch.equal(data.images(split)[:, 0, 0, 0], rows[rows % 50 != 0])
    assert data.left_out == {"the class is unknown": 4}


def test_a_different_number_of_labels_is_refused():
    class Longer(CountedDataModule):
        def read(self):
            source = super().read()
            return source._replace(train=source.train._replace(labels=torch.zeros(201, dtype=torch.long)))

    with pytest.raises(UserError, match="must have one label per image, got 200 images and 201 labels"):
        Longer(name="longer").setup()
