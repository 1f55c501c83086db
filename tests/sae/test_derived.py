import torch
from torch.autograd.graph import increment_version

from sae.derived import Derived


def test_derived_value_is_kept_while_its_sources_do_not_change() -> None:
    derived, source, value = Derived(), torch.zeros(3, 2), torch.ones(1)
    derived.keep("sum", value, source)
    assert derived.get("sum", source) is value
    assert derived.get("other", source) is None


def test_derived_value_is_gone_after_a_change_through_a_view() -> None:
    derived, source = Derived(), torch.zeros(3, 2)
    derived.keep("sum", torch.ones(1), source)
    source.t()[0, 1] = 5
    assert derived.get("sum", source) is None


def test_derived_value_is_gone_after_a_change_that_was_announced() -> None:
    derived, source = Derived(), torch.zeros(3)
    derived.keep("sum", torch.ones(1), source)
    increment_version(source)
    assert derived.get("sum", source) is None


def test_derived_value_is_not_that_of_another_tensor() -> None:
    derived = Derived()
    source, other = torch.zeros(3), torch.zeros(3)
    derived.keep("sum", torch.ones(1), source)
    assert derived.get("sum", other) is None
