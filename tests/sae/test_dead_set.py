import torch

from sae.dead_set import DeadSet

CPU = torch.device("cpu")
NONE = torch.tensor([False, False, False, False])
NOW = torch.tensor([True, False, True, False])
LATER = torch.tensor([True, True, True, True])


def test_dead_set_renewed_at_every_step_lists_what_is_dead_now() -> None:
    dead = DeadSet(4, CPU, every=1)
    assert dead.at(0, NOW).tolist() == [0, 2]
    assert dead.at(1, LATER).tolist() == [0, 1, 2, 3]


def test_dead_set_lists_what_was_dead_at_the_renewal_before(device: torch.device) -> None:
    dead = DeadSet(4, device, every=10)
    assert dead.at(0, NONE.to(device)).tolist() == []
    assert dead.at(10, NOW.to(device)).tolist() == []
    assert dead.at(19, LATER.to(device)).tolist() == []
    assert dead.at(20, LATER.to(device)).tolist() == [0, 2]
    assert dead.at(29, NONE.to(device)).tolist() == [0, 2]
    assert dead.at(30, NONE.to(device)).tolist() == [0, 1, 2, 3]


def test_dead_set_restored_between_renewals_goes_on_with_its_lists() -> None:
    before, after = DeadSet(4, CPU, every=10), DeadSet(4, CPU, every=10)
    before.at(10, NOW)
    before.at(20, LATER)
    for name, value in before.state_tensors().items():
        after.state_tensors()[name].copy_(value)
    assert after.at(25, NONE).tolist() == [0, 2]
    assert after.at(30, NONE).tolist() == [0, 1, 2, 3]


def test_dead_set_restored_just_before_a_renewal_takes_the_list_that_was_counted() -> None:
    before, after = DeadSet(4, CPU, every=10), DeadSet(4, CPU, every=10)
    before.at(20, NOW)
    for name, value in before.state_tensors().items():
        after.state_tensors()[name].copy_(value)
    assert after.at(30, LATER).tolist() == [0, 2]


def test_dead_set_renewed_at_every_step_adds_nothing_to_checkpoints() -> None:
    assert DeadSet(4, CPU, every=1).state_tensors() == {}
