import pytest
import torch

from sae.dead_set import DeadLatents, DeadSet

CPU = torch.device("cpu")
NONE = torch.tensor([False, False, False, False])
NOW = torch.tensor([True, False, True, False])
LATER = torch.tensor([True, True, True, True])


def dead_ones(found: DeadLatents | None) -> list[int]:
    if found is None:
        return []
    are_dead = slice(None) if found.are_dead is None else found.are_dead
    return found.listed[are_dead].tolist()


def test_dead_set_renewed_at_every_step_lists_what_is_dead_now() -> None:
    dead = DeadSet(4, CPU, every=1)
    assert dead_ones(dead.at(0, NOW)) == [0, 2]
    assert dead_ones(dead.at(1, LATER)) == [0, 1, 2, 3]
    assert dead.at(2, NONE) is None


@pytest.mark.parametrize(
    ("number", "length"), [(1, 128), (128, 128), (129, 256), (300, 512), (900, 1000)]
)
def test_dead_set_fills_its_list_up_with_living_latents(number: int, length: int) -> None:
    dead = DeadSet(1000, CPU, every=10)
    dead_F = torch.arange(1000) % 1000 >= 1000 - number
    dead.at(0, dead_F)
    found = dead.at(10, dead_F)
    assert found is not None
    assert found.are_dead is not None
    assert len(found.listed) == len(found.listed.unique()) == length
    assert dead_ones(found) == list(range(1000 - number, 1000))


def test_dead_set_lists_what_was_dead_at_the_renewal_before(device: torch.device) -> None:
    dead = DeadSet(4, device, every=10)
    assert dead_ones(dead.at(0, NONE.to(device))) == []
    assert dead_ones(dead.at(10, NOW.to(device))) == []
    assert dead_ones(dead.at(19, LATER.to(device))) == []
    assert dead_ones(dead.at(20, LATER.to(device))) == [0, 2]
    assert dead_ones(dead.at(29, NONE.to(device))) == [0, 2]
    assert dead_ones(dead.at(30, NONE.to(device))) == [0, 1, 2, 3]


def test_dead_set_restored_between_renewals_goes_on_with_its_lists() -> None:
    before, after = DeadSet(4, CPU, every=10), DeadSet(4, CPU, every=10)
    before.at(10, NOW)
    before.at(20, LATER)
    for name, value in before.state_tensors().items():
        after.state_tensors()[name].copy_(value)
    assert dead_ones(after.at(25, NONE)) == [0, 2]
    assert dead_ones(after.at(30, NONE)) == [0, 1, 2, 3]


def test_dead_set_restored_just_before_a_renewal_takes_the_list_that_was_counted() -> None:
    before, after = DeadSet(4, CPU, every=10), DeadSet(4, CPU, every=10)
    before.at(20, NOW)
    for name, value in before.state_tensors().items():
        after.state_tensors()[name].copy_(value)
    assert dead_ones(after.at(30, LATER)) == [0, 2]


def test_dead_set_renewed_at_every_step_adds_nothing_to_checkpoints() -> None:
    assert DeadSet(4, CPU, every=1).state_tensors() == {}
