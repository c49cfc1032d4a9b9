"""data.batch_size=auto, and training splits that are too small."""

import pytest
from data_samples import CountedDataModule, prepare_counted

from autoencoders.data.options import choose_batch_size
from autoencoders.types import UserError


@pytest.mark.parametrize(
    ("images", "size"), [(2, 2), (16, 2), (31, 2), (32, 4), (64, 8), (240, 16), (511, 32), (512, 64), (10**6, 64)]
)
def test_auto_is_a_power_of_two_with_at_least_eight_steps_per_epoch(images, size):
    assert choose_batch_size(images) == size


def test_the_chosen_size_is_used_and_noted():
    data = CountedDataModule(name="counted", batch_size="auto")
    with pytest.raises(RuntimeError, match="setup"):
        _ = data.batch_size
    data.setup()
    assert (len(data.images("train")), data.batch_size, data.training_batch_count) == (140, 16, 8)
    (note,) = data.notes
    assert note.startswith("data.batch_size=auto selects 16 images per optimizer step for 140 training images, which")


def test_a_single_training_image_is_refused():
    with pytest.raises(UserError, match="training split of data=counted must have at least 2 images, got 1"):
        prepare_counted(validation=100, test=99)
