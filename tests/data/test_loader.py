import pytest
import torch
from data_samples import cache_counted, prepare_counted

from autoencoders.data.loader import Batches, RowView, Split, binarize_pixels, move_to_device
from autoencoders.utils.chunks import chunk_slices
from autoencoders.utils.pca import principal_components


def rows_of(batches):
    return [batch.index.tolist() for batch in batches]


def training_batches(data, **options):
    return Batches(data.get_split("train"), "train", batch_size=16, train=True, **options)


def test_an_epoch_visits_each_row_once_in_its_own_order():
    data = prepare_counted()
    batches = training_batches(data)
    first = rows_of(batches)
    assert len(first) == len(batches) == 140 // 16
    flat = sum(first, [])
    assert len(set(flat)) == len(flat) == 128
    assert rows_of(batches) == first
    batches.set_epoch(1)
    assert rows_of(batches) != first
    assert rows_of(training_batches(data, seed=1)) != first


def test_batches_hold_the_images_and_labels_of_their_rows():
    data = prepare_counted()
    batch = next(iter(training_batches(data)))
    assert batch.x is batch.target
    assert batch.x.dtype == torch.float32
    stored = data.images("train")[batch.index]
    torch.testing.assert_close(batch.x, stored.float() / 255)
    assert torch.equal(batch.y, stored[:, 0, 0, 0].long() % 10)


def test_an_epoch_continues_after_the_batches_that_are_done():
    data = prepare_counted()
    complete, interrupted, resumed = (training_batches(data) for _ in range(3))
    iterator = iter(interrupted)
    done = [next(iterator).index.tolist() for _ in range(3)]
    resumed.go_to(interrupted.position())
    assert done + rows_of(resumed) == rows_of(complete)
    assert rows_of(resumed) == rows_of(complete)  # the next iteration starts at the beginning


def test_a_training_batch_can_be_rebuilt_by_its_number():
    batches = training_batches(prepare_counted(), flip=True, shift=1)
    for number, batch in enumerate(batches):
        rebuilt = batches.training_batch(number)
        assert torch.equal(rebuilt.index, batch.index)
        assert torch.equal(rebuilt.x, batch.x)


def test_processes_share_every_batch():
    data = prepare_counted()
    shares = [rows_of(training_batches(data, rank=r, world=2)) for r in (0, 1)]
    for first, second, complete in zip(*shares, rows_of(training_batches(data)), strict=True):
        assert len(first) == len(second) == 8
        assert sorted(first + second) == sorted(complete)


def test_evaluation_visits_each_row_exactly_once_over_processes():
    split = prepare_counted().get_split("train")
    shares = [rows_of(Batches(split, "val", batch_size=16, rank=r, world=3)) for r in range(3)]
    assert sorted(sum(sum(shares, []), [])) == list(range(140))
    assert [len(Batches(split, "val", batch_size=16, rank=r, world=3)) for r in range(3)] == [len(s) for s in shares]


def test_binary_images_have_their_gray_levels_as_means():
    gray = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8).expand(20_000, 1, 8, 8)
    mean = binarize_pixels(gray, 0, torch.arange(20_000)).mean(0)
    torch.testing.assert_close(mean, gray[0], atol=5 * 0.5 / 20_000**0.5, rtol=0)


def test_a_memory_mapped_store_serves_the_same_images(tmp_path):
    small, large = cache_counted(tmp_path), cache_counted(tmp_path, memory=10)
    index = torch.tensor([3, 17, 5, 9, 11, 2])
    splits = [Split(images, None).select(index, memory=10) for images in (small, large)]
    assert isinstance(splits[1].images, RowView)
    batches = [torch.cat([b.x for b in Batches(split, "val", batch_size=4)]) for split in splits]
    assert torch.equal(*batches)
    assert batches[0][:, 0, 0, 0].mul(255).round().tolist() == index.tolist()
    for got, expected in zip(
        principal_components(splits[1].images, 1), principal_components(small[index], 1), strict=True
    ):
        torch.testing.assert_close(got, expected)


def test_rows_of_a_memory_mapped_store_move_to_an_accelerator(tmp_path, monkeypatch):
    monkeypatch.setattr("autoencoders.utils.chunks.CHUNK_BYTES", 16 * 3)  # three rows per chunk
    store, index = cache_counted(tmp_path, memory=10), torch.tensor([3, 17, 5, 9, 11, 2, 8])
    split = Split(store, torch.arange(20)).select(index, memory=10)
    moved = move_to_device(split, torch.device("meta"))
    assert moved.images.shape == split.images.shape
    assert (moved.images.device.type, moved.labels.device.type) == ("meta", "meta")
    assert torch.equal(split.images.to(torch.device("cpu")), store[index])
    assert torch.equal(split.images[2], store[5])


@pytest.mark.parametrize(
    ("count", "row", "most", "sizes"), [(10, 10, 4, [4, 4, 2]), (5, 40, 4, [2, 2, 1]), (2, 1000, 4, [1, 1])]
)
def test_chunks_have_fewer_rows_if_the_rows_are_larger(monkeypatch, count, row, most, sizes):
    monkeypatch.setattr("autoencoders.utils.chunks.CHUNK_BYTES", 99)
    chunks = list(chunk_slices(count, row, most))
    assert [chunk.stop - chunk.start for chunk in chunks] == sizes
    assert [i for chunk in chunks for i in range(count)[chunk]] == list(range(count))
