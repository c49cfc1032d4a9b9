from types import SimpleNamespace

import pytest
import torch

from autoencoders.config.validation import check_splits
from autoencoders.types import UserError


def check(val, test, processes, with_test=True):
    images = {"val": torch.zeros(val, 1, 8, 8), "test": torch.zeros(test, 1, 8, 8)}
    data = SimpleNamespace(name="folder", images=images.__getitem__)
    check_splits({"test": with_test}, SimpleNamespace(world_size=processes), data)


def test_each_process_needs_an_image_of_the_validation_and_the_test_split():
    check(4, 4, 4)
    with pytest.raises(UserError) as error:
        check(3, 9, 4)
    assert str(error.value) == (
        "The val split of data=folder must have at least 4 images, one for each process, got 3. Set data.validation to "
        "at least 4, or use fewer processes with trainer.devices."
    )
    with pytest.raises(UserError, match=r"The test split .* got 1\. Set data\.test to at least 2"):
        check(2, 1, 2)
    check(2, 1, 2, with_test=False)
