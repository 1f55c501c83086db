import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae.recipe import alpha_at, checkpoint_interval, learning_rate_at
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
