from typing import Any

import pytest

from sae.dead_latents import DeadLatentsConfig, Resampling
from sae.errors import SaeError


def test_resampling_member_names_are_what_the_user_types() -> None:
    assert all(member.name == member.value for member in Resampling)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"resample_every": 0}, "resample_every must be positive, but got 0"),
        ({"auxk_coefficient": -1}, "auxk_coefficient must not be negative, but got -1"),
        ({"encoder_l2": -1}, "encoder_l2 must not be negative, but got -1"),
        ({"diversity": float("nan")}, "diversity must not be negative, but got nan"),
        ({"auxk_latents": 0}, "auxk_latents must be positive, but got 0"),
    ],
)
def test_dead_latents_config_out_of_range_is_refused(
    setting: dict[str, Any], message: str
) -> None:
    with pytest.raises(SaeError, match=rf"^trainer\.dead_latents\.{message}"):
        DeadLatentsConfig(**setting)
