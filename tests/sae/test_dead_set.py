import torch

from sae.dead_set import DeadSet

CPU = torch.device("cpu")
NOW = torch.tensor([True, False, True, False])
LATER = torch.tensor([True, True, True, True])


def test_dead_set_renewed_at_every_step_lists_what_is_dead_now() -> None:
    dead = DeadSet(4, CPU, every=1)
    assert dead.at(0, NOW).tolist() == [0, 2]
    assert dead.at(1, LATER).tolist() == [0, 1, 2, 3]


def test_dead_set_between_renewals_keeps_its_list() -> None:
    dead = DeadSet(4, CPU, every=10)
    assert dead.at(20, NOW).tolist() == [0, 2]
    assert dead.at(29, LATER).tolist() == [0, 2]
    assert dead.at(30, LATER).tolist() == [0, 1, 2, 3]


def test_dead_set_restored_between_renewals_goes_on_with_its_list() -> None:
    before, after = DeadSet(4, CPU, every=10), DeadSet(4, CPU, every=10)
    before.at(20, NOW)
    after.state_tensors()["dead"].copy_(before.state_tensors()["dead"])
    assert after.at(25, LATER).tolist() == [0, 2]


def test_dead_set_renewed_at_every_step_adds_nothing_to_checkpoints() -> None:
    assert DeadSet(4, CPU, every=1).state_tensors() == {}
