import math

import pytest

from sae.controller import FREEZE, L0Controller, sure_part
from sae.recipe import learning_rate_at
from sae.trainer_config import TrainerConfig

TRAINER = TrainerConfig(total_steps=1500)
WIDE_STANDARD = ((59, 2041.0), (119, 1933.0), (179, 1642.0), (239, 1058.0))
"""L0 after steps of a run of width 4096, where a fixed alpha of 0.6 ends at 205."""


class Plant:
    """L0 that follows alpha with a fast and a slow lag while training lowers it by a power law."""

    def __init__(self, elasticity: float, level: float) -> None:
        self.elasticity = elasticity
        self.level = level
        self.fast = self.slow = math.log(0.01)
        self.time = 0.0

    def step(self, alpha: float, learning_rate: float) -> float:
        self.time += learning_rate
        self.fast += (math.log(alpha) - self.fast) * min(1.0, learning_rate / 0.03)
        self.slow += (math.log(alpha) - self.slow) * min(1.0, learning_rate / 0.25)
        felt = 0.65 * self.fast + 0.35 * self.slow
        drift = -0.6 * math.log(self.time + 0.05)
        return min(1024.0, math.exp(self.level + self.elasticity * felt + drift))


def steer(controller: L0Controller, plant: Plant, trainer: TrainerConfig = TRAINER) -> list[float]:
    l0: list[float] = []
    for step in range(trainer.total_steps):
        l0.append(plant.step(controller.alpha_at(step), learning_rate_at(step, trainer)))
        if controller.measures_after(step):
            controller.observe(step, l0[-1])
    return l0


@pytest.mark.parametrize("start", [0.2, 2.0, 20.0])
@pytest.mark.parametrize("elasticity", [-0.9, -1.3, -1.9])
def test_controller_on_a_lagging_drifting_plant_ends_within_5_percent(
    start: float, elasticity: float
) -> None:
    controller = L0Controller(TRAINER, start, 32.0)
    l0 = steer(controller, Plant(elasticity, math.log(80)))
    assert abs(math.log(l0[-1] / 32)) < math.log(1.05)


def test_controller_leaves_alpha_alone_for_the_last_fifth() -> None:
    controller = L0Controller(TRAINER, 20.0, 32.0)
    steer(controller, Plant(-1.3, math.log(80)))
    frozen = {controller.alpha_at(step) for step in range(int(FREEZE * 1500), 1500)}
    assert len(frozen) == 1


def test_controller_that_measured_nothing_follows_the_warm_up() -> None:
    controller = L0Controller(TRAINER, 2.0, 32.0)
    assert controller.alpha_at(0) == pytest.approx(2.0 / 200)
    assert controller.alpha_at(59) == pytest.approx(2.0 * 60 / 200)


def test_controller_in_the_warm_up_only_lowers_alpha() -> None:
    low, high = (L0Controller(TRAINER, 2.0, 32.0) for _ in range(2))
    for step in (59, 119):
        low.observe(step, 500.0)
        high.observe(step, 3.0)
    assert low.alpha_at(120) == pytest.approx(2.0 * 121 / 200)
    assert high.alpha_at(120) < high.alpha_at(119)


def test_controller_before_the_learning_rate_has_risen_leaves_alpha_alone() -> None:
    controller = L0Controller(TRAINER, 2.0, 32.0)
    controller.observe(59, 0.0)
    assert controller.alpha_at(60) == pytest.approx(2.0 * 61 / 200)


def test_controller_after_the_warm_up_does_not_take_its_latents_for_a_want_of_alpha() -> None:
    controller = L0Controller(TRAINER, 0.62, 204.8)
    for step, l0 in WIDE_STANDARD:
        controller.observe(step, l0)
    assert controller.alpha_at(240) < 1.2 * 0.62


def test_controller_that_misses_by_less_than_it_may_be_wrong_leaves_alpha_alone() -> None:
    near, far = (L0Controller(TRAINER, 0.62, 204.8) for _ in range(2))
    for step, l0 in WIDE_STANDARD:
        near.observe(step, l0)
        far.observe(step, 3 * l0)
    assert near.alpha_at(240) == pytest.approx(0.62)
    assert far.alpha_at(240) > 1.2 * 0.62


def test_sure_part_halfway_lowers_alpha_where_it_would_not_yet_raise_it() -> None:
    """Latents that a late fall of alpha should bring back stay off."""
    ahead = math.log(2)
    assert sure_part(0.05, ahead) == 0
    assert sure_part(-0.05, ahead) == pytest.approx(-0.05 + 0.06 * ahead**3)


def test_sure_part_at_the_end_is_all_of_it() -> None:
    assert sure_part(0.05, 0.0) == 0.05
    assert sure_part(-0.05, 0.0) == -0.05


def test_controller_moves_by_a_bounded_factor_even_where_nothing_fires() -> None:
    controller = L0Controller(TrainerConfig(total_steps=1500, alpha_warmup=0), 2.0, 32.0)
    controller.observe(59, 0.0)
    assert controller.alpha_at(60) == pytest.approx(2.0 * math.exp(-0.7))


def test_controller_with_a_target_out_of_reach_keeps_alpha_finite() -> None:
    controller = L0Controller(TRAINER, 2.0, 1000.0)
    for step in range(1500):
        if controller.measures_after(step):
            controller.observe(step, 50.0)
    assert 0 < controller.alpha_at(1499) < 2.0


def test_controller_with_the_table_of_another_goes_on_alike() -> None:
    first, second = (L0Controller(TRAINER, 2.0, 32.0) for _ in range(2))
    for step in range(600):
        if first.measures_after(step):
            first.observe(step, 400 / (1 + step / 30))
    second.table.copy_(first.table)
    assert second.alpha_at(600) == first.alpha_at(600)


@pytest.mark.parametrize("total_steps", [1, 7, 20])
def test_controller_of_a_very_short_run_works(total_steps: int) -> None:
    trainer = TrainerConfig(total_steps=total_steps)
    steer(L0Controller(trainer, 2.0, 32.0), Plant(-1.3, math.log(80)), trainer)
