import pytest
import torch

from autoencoders.types import Annotations, UserError


def test_a_missing_attribute_is_refused_with_at_most_20_names():
    names = tuple(f"a{i}" for i in range(1500))
    many = Annotations(attributes=torch.arange(3000.0).view(2, 1500), attribute_names=names)
    assert many.attribute("a7").tolist() == [7, 1507]
    with pytest.raises(UserError) as error:
        many.attribute("b")
    assert str(error.value).endswith(" a0, a1, a2, a3, " + ", ".join(names[4:20]) + ", ... (1,500 in total).")
    few = Annotations(attributes=many.attributes[:, :2], attribute_names=names[:2])
    with pytest.raises(UserError, match=r"no attribute 'b'. The attributes of the data are: a0, a1\.$"):
        few.attribute("b")
    with pytest.raises(UserError, match=r"are: none\.$"):
        Annotations().attribute("b")
