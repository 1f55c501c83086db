from dataclasses import replace
from typing import Any

import pytest

from sae.architectures.config import Architecture, JumpReluConfig, JumpReluPenalty, SaeConfig
from sae.trainer_config import TrainerConfig
from sweeper.kin import are_kin, share_law
from sweeper.settings import Settings, to_plain

CELL = Settings()


@pytest.mark.parametrize(
    ("changes", "kin", "one_law"),
    [
        ({"target_l0": 32.0, "seed": 7}, True, True),
        ({"sae": replace(SaeConfig(), latent_dim=CELL.sae.latent_dim * 2)}, True, True),
        ({"trainer": replace(TrainerConfig(), total_steps=77)}, True, False),
        ({"trainer": replace(TrainerConfig(), learning_rate=0.002)}, True, False),
        ({"trainer": replace(TrainerConfig(), batch_size=77)}, False, False),
        ({"sae": replace(SaeConfig(), tied_init=not CELL.sae.tied_init)}, False, False),
        ({"activations": replace(CELL.activations, layer=77)}, False, False),
    ],
)
def test_are_kin_and_share_law_of_two_cells_go_by_what_they_differ_in(
    changes: dict[str, Any], kin: bool, one_law: bool
) -> None:
    one, other = to_plain(CELL), to_plain(replace(CELL, **changes))

    assert (are_kin(one, other), share_law(one, other)) == (kin, one_law)


def test_are_kin_and_share_law_of_a_quadratic_penalty_go_by_the_target_too() -> None:
    jumprelu = JumpReluConfig(penalty=JumpReluPenalty.quadratic)
    sae = replace(SaeConfig(), architecture=Architecture.jumprelu, jumprelu=jumprelu)
    one, wider, other = (
        to_plain(replace(CELL, sae=replace(sae, latent_dim=latent_dim), target_l0=target))
        for latent_dim, target in ((256, 12.0), (512, 12.0), (256, 40.0))
    )

    assert are_kin(one, wider)
    assert share_law(one, wider)
    assert not are_kin(one, other)
    assert not share_law(one, other)


def test_are_kin_of_other_data_is_refused() -> None:
    plain = to_plain(CELL)

    assert not are_kin(plain | {"data": "one"}, plain | {"data": "another"})
