from collections.abc import Callable, Mapping, Sequence

import pytest

from sweeper.contradictions import refuse_contradictions
from sweeper.errors import SweepError
from sweeper.settings import Settings
from sweeper.space import parse_space

SEARCHED = "trainer.batch_size=choice(32,64)"


@pytest.mark.parametrize(
    ("settings", "arguments", "params", "named"),
    [
        (["sae=topk"], ["l1_alpha=interval(1,2)"], {}, "topk, whose k is target_l0"),
        (["sae=batchtopk"], ["l1_alpha=1,2"], {}, "got 1,2"),
        (["l1_alpha=3"], [], {"l1_alpha": "interval(1,2)"}, "both 3 and interval\\(1,2\\)"),
        ([], ["l1_alpha=1,2", SEARCHED], {}, "where trainer.batch_size is searched"),
        (["sweep=law"], [SEARCHED], {}, "sweep.goal must be land or fvu"),
        (["sweep=fvu"], [], {}, "sweep.goal must be land or law"),
        (["sweep.sampler=brute_force"], [SEARCHED], {}, "sweep.sampler must be .* brute_force"),
        (["sae.latent_dim=64", "target_l0=64"], [], {}, "target_l0 must be fewer .* got 64"),
        (["sweep.budgets=[0.5,1]"], [SEARCHED], {}, "sweep.budgets must be"),
        (
            ["sweep.train=mine:train", "trainer.controller=l0"],
            [],
            {},
            "trainer.controller must be none with sweep.train=mine:train, .* got l0",
        ),
        (["sweep.enqueue=[2]", "sae=topk"], [], {}, "sweep.enqueue must be empty"),
        (["sweep.enqueue=[2]"], ["l1_alpha=1,2"], {}, "sweep.enqueue must be empty"),
        (["sweep.enqueue=[2]"], [SEARCHED], {}, "sweep.enqueue must be empty"),
    ],
)
def test_refuse_contradictions_names_key_and_rule(
    settings_of: Callable[..., Settings],
    settings: list[str],
    arguments: list[str],
    params: Mapping[str, str],
    named: str,
) -> None:
    with pytest.raises(SweepError, match=named):
        refuse_contradictions(settings_of(*settings), parse_space(arguments, params))


QUADRATIC = ("sae=jumprelu", "sae.jumprelu.penalty=quadratic")


def test_refuse_contradictions_a_law_of_a_penalty_on_the_distance_names_the_penalty(
    settings_of: Callable[..., Settings],
) -> None:
    with pytest.raises(SweepError, match=r"^sweep.goal must be land .*quadratic.* got law"):
        refuse_contradictions(settings_of("sweep=law", *QUADRATIC), parse_space([]))


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        (["sweep=law", *QUADRATIC], ["l1_alpha=300,900"]),
        (QUADRATIC, []),
        (["sweep=fvu"], [SEARCHED]),
        (["sweep=fvu", "sae=topk"], [SEARCHED]),
        (["sweep=fvu"], [SEARCHED, "l1_alpha=interval(1,2)"]),
        ([], [SEARCHED, "l1_alpha=2"]),
        (["sweep.sampler=brute_force"], [SEARCHED, "l1_alpha=2"]),
        (["sweep=law"], ["l1_alpha=interval(1,2)"]),
    ],
)
def test_refuse_contradictions_lets_what_can_be_searched_pass(
    settings_of: Callable[..., Settings], settings: Sequence[str], arguments: list[str]
) -> None:
    space = parse_space(arguments)
    assert refuse_contradictions(settings_of(*settings, *space.fixed), space) is None
