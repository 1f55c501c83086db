from collections.abc import Callable

import pytest

from sae.recipe import learning_rate_at
from sweeper.settings import Settings


def test_trainer_guide_warms_up_from_1e_5_to_1e_4_over_10000_steps(
    settings_of: Callable[..., Settings],
) -> None:
    trainer = settings_of("trainer=guide").trainer
    rates = [learning_rate_at(step, trainer) for step in (0, 4_999, 9_999, 99_999)]
    assert rates == pytest.approx([1e-5, 5.5e-5, 1e-4, 1e-4], rel=1e-3)
