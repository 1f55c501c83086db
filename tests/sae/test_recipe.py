import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae.dead_latents import DeadLatentsConfig, Resampling
from sae.recipe import (
    alpha_at,
    checkpoint_interval,
    learning_rate_at,
    resamples_after,
    target_l0_at,
    warmup_warnings,
)
from sae.trainer_config import TrainerConfig

DEFAULT = TrainerConfig()


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 1e-5), (49, 5e-4), (99, 1e-3), (300, 1e-3), (480, 1e-3), (540, 5e-4), (599, 1e-3 / 120)],
)
def test_learning_rate_of_the_default_recipe(step: int, rate: float) -> None:
    assert learning_rate_at(step, DEFAULT) == pytest.approx(rate)


@pytest.mark.parametrize(("step", "alpha"), [(0, 0.01), (99, 1.0), (199, 2.0), (599, 2.0)])
def test_alpha_of_the_default_recipe(step: int, alpha: float) -> None:
    assert alpha_at(step, 2.0, DEFAULT) == pytest.approx(alpha)


@given(total_steps=st.integers(min_value=1, max_value=5000))
def test_recipe_of_any_length_trains_at_full_strength_somewhere(total_steps: int) -> None:
    trainer = TrainerConfig(total_steps=total_steps)
    assert max(learning_rate_at(step, trainer) for step in range(total_steps)) == 1e-3
    assert alpha_at(total_steps - 1, 2.0, trainer) == 2.0


def test_checkpoint_interval_of_a_run_of_one_step_is_one() -> None:
    assert checkpoint_interval(TrainerConfig(total_steps=1)) == 1


def test_checkpoint_interval_by_default_is_a_twentieth() -> None:
    assert checkpoint_interval(DEFAULT) == 30


def test_learning_rate_with_a_start_rises_from_there() -> None:
    guide = TrainerConfig(
        total_steps=100_000,
        learning_rate=1e-4,
        learning_rate_start=1e-5,
        learning_rate_warmup=10_000,
    )
    assert learning_rate_at(0, guide) == pytest.approx(1e-5, rel=1e-3)
    assert learning_rate_at(4_999, guide) == pytest.approx(5.5e-5)
    assert learning_rate_at(9_999, guide) == pytest.approx(1e-4)


@pytest.mark.parametrize(("step", "target"), [(0, 102.4), (150, 76.8), (300, 51.2), (599, 51.2)])
def test_target_l0_of_the_guides_schedule_falls_from_ten_to_five_percent(
    step: int, target: float
) -> None:
    trainer = TrainerConfig(target_l0_start=0.1)
    assert target_l0_at(step, 51.2, 1024, trainer) == pytest.approx(target)


@pytest.mark.parametrize(
    ("total", "length"), [(40, 40.0), (40, 1.0 - 1e-9), (40, 100.0), (1, 0.5)]
)
def test_target_l0_of_the_last_step_is_the_final_one_however_long_the_schedule(
    total: int, length: float
) -> None:
    trainer = TrainerConfig(total_steps=total, target_l0_start=0.5, target_l0_decay=length)
    assert target_l0_at(total - 1, 16, 512, trainer) == 16


def test_target_l0_start_from_one_on_is_a_count() -> None:
    assert target_l0_at(0, 32, 1024, TrainerConfig(target_l0_start=80)) == 80


@pytest.mark.parametrize("target", [None, 32.0])
def test_target_l0_without_a_schedule_is_constant(target: float | None) -> None:
    assert target_l0_at(0, target, 1024, DEFAULT) == target


def test_resamples_after_every_interval_until_the_decay() -> None:
    config = DeadLatentsConfig(resampling=Resampling.copy, resample_every=0.2)
    trainer = TrainerConfig(total_steps=100, dead_latents=config)
    steps = [step + 1 for step in range(100) if resamples_after(step, trainer)]
    assert steps == [20, 40, 60, 80]


@pytest.mark.parametrize(("every", "expected"), [(0.25, [25, 50, 75]), (0.3, [30, 60])])
def test_resamples_after_without_a_decay_leaves_new_latents_an_interval(
    every: float, expected: list[int]
) -> None:
    config = DeadLatentsConfig(resampling=Resampling.copy, resample_every=every)
    trainer = TrainerConfig(total_steps=100, decay_fraction=0, dead_latents=config)
    assert [step + 1 for step in range(100) if resamples_after(step, trainer)] == expected


def test_resamples_after_off_is_never() -> None:
    assert not any(resamples_after(step, DEFAULT) for step in range(600))


def test_alpha_warmup_as_a_fraction_is_taken_as_it_is() -> None:
    trainer = TrainerConfig(total_steps=600, alpha_warmup=0.5)
    assert alpha_at(149, 2.0, trainer) == pytest.approx(1.0)


def test_warmup_warnings_of_steps_that_are_cut_name_both_numbers() -> None:
    [line] = warmup_warnings(TrainerConfig(total_steps=600, alpha_warmup=400))
    assert line.startswith("trainer.alpha_warmup takes 200 steps in place of 400, 0.333 of 600;")


@pytest.mark.parametrize(
    "trainer",
    [
        TrainerConfig(total_steps=60),  # nobody chose the default's
        TrainerConfig(total_steps=600, alpha_warmup=150, learning_rate_warmup=0.9),
    ],
)
def test_warmup_warnings_of_nothing_that_was_asked_for_are_none(trainer: TrainerConfig) -> None:
    assert warmup_warnings(trainer) == []
