"""Equal images in different splits, compared with a search by Python's bytes."""

from typing import ClassVar

import pytest
import torch
from data_samples import CountedDataModule

from autoencoders.data.duplicates import find_duplicates, hash_images
from autoencoders.data.loader import RowView, Split
from autoencoders.data.splits import Source
from autoencoders.types import UserError


def random_images(count, shape=(3, 5, 7), seed=0):
    return torch.randint(0, 256, (count, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7), (1, 1, 1)])
def test_duplicates_are_those_with_equal_bytes(shape):
    pool = random_images(300, shape)
    images, a, b = (pool[torch.randint(0, 300, (count,))] for count in (200, 40, 50))
    known = {bytes(image.numpy()) for image in torch.cat([a, b])}
    expected = [bytes(image.numpy()) in known for image in images]
    assert 0 < sum(expected)
    assert find_duplicates(images, [a, b]).tolist() == expected
    view = RowView(pool, torch.arange(0, 300, 2))
    assert find_duplicates(view, [a, b]).tolist() == [bytes(image.numpy()) in known for image in pool[::2]]


def test_similar_images_are_no_duplicates():
    image = random_images(1, (1, 8, 8))
    images = image.repeat(64 * 8, 1, 1, 1)
    for i, row in enumerate(images):  # each differs from the image in one bit
        row.view(-1)[i // 8] ^= 1 << (i % 8)
    assert not find_duplicates(images, [image]).any()
    assert len(set(hash_images(images).tolist())) == len(images)


class CopiedDataModule(CountedDataModule):
    """200 images in the order of the source, of which some training images are copies of later images."""

    copies: ClassVar[dict[int, int]] = {}

    def read(self):
        images = random_images(200, (1, 8, 8))
        for copy, original in self.copies.items():
            images[copy] = images[original]
        return Source(Split(images, torch.arange(200)), None, None)


def prepare_copied(**options):
    data = CopiedDataModule(name="copied", batch_size=4, split="alphabetical", validation=10, test=40, **options)
    data.setup()
    return data


@pytest.mark.parametrize("binarize", ["none", "static"])
def test_copies_of_validation_and_test_images_are_counted(binarize):
    CopiedDataModule.copies = {0: 150, 1: 199, 2: 199, 3: 4, 151: 160}
    data = prepare_copied(binarize=binarize)
    assert data.duplicate_counts() == {"train": 3, "val": 1}
    assert len(data.images("train")) == 150
    assert data.left_out == {}


def test_dropping_removes_exactly_the_training_copies():
    CopiedDataModule.copies = {0: 150, 1: 199, 2: 199, 3: 4, 151: 160}
    kept, dropped = prepare_copied(), prepare_copied(duplicates="drop")
    assert dropped.get_split("train").labels.tolist() == list(range(3, 150))
    for split in ("val", "test"):
        assert torch.equal(dropped.images(split), kept.images(split))
    assert torch.equal(dropped.images("train"), kept.images("train")[3:])
    assert dropped.duplicate_counts() == {"train": 0, "val": 1}
    assert dropped.left_out == {"an equal image is in val or test": 3}


def test_dropping_all_training_images_is_refused():
    CopiedDataModule.copies = dict.fromkeys(range(150), 199)
    with pytest.raises(UserError, match=r"must leave at least one training image of data=copied, got none"):
        prepare_copied(duplicates="drop")
    with pytest.raises(UserError, match=r"data\.duplicates must be one of \['keep', 'drop'\], got 'all'"):
        prepare_copied(duplicates="all")
