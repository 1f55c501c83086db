import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.thresholds import default_thresholds
from analysis.verdict import judge


def record(**changes: Any) -> dict[str, Any]:
    """A good trial in the middle of every limit, with `changes`."""
    good: dict[str, Any] = {
        "state": "complete",
        "latent_dim": 2048,
        "d_in": 384,
        "l1_alpha": 2.5,
        "target_l0": 64,
        "l0": 64.0,
        "l0_alive_fraction": 0.04,
        "converged": True,
        "fvu": 0.3,
        "dead_fraction": 0.02,
        "alive": 2007,
        "steps_done": 600,
        "total_steps": 600,
    }
    return good | changes


def test_judge_good_trial_is_a_success_without_reasons() -> None:
    verdict = judge(record())

    assert (verdict.level, verdict.reasons) == ("success", ())


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"l0": 64 * 1.05}, "success", None),
        ({"l0": 64 / 1.05}, "success", None),
        ({"l0": 64 * 1.051}, "warning", "out of the band 60.95 to 67.2"),
        ({"l0": 64 / 1.051}, "warning", "0.951 times its target 64"),
        ({"l0": 128.0}, "warning", "out of the band"),
        ({"l0": 128.1}, "failure", "more than a factor of 2 away"),
        ({"l0": 31.9}, "failure", "more than a factor of 2 away"),
        ({"l0": 0.0}, "failure", "no latent fires"),
        ({"l0": math.inf}, "failure", "l0 is not finite"),
        ({"fvu": 0.7999}, "success", None),
        ({"fvu": 0.80}, "warning", "poor reconstruction: fvu 0.800"),
        ({"fvu": 0.95}, "failure", "collapsed: fvu 0.950"),
        ({"fvu": math.inf}, "failure", "fvu is not finite"),
        ({"dead_fraction": 0.50}, "success", None),
        ({"dead_fraction": 0.501}, "warning", "50.1 % of the latents are dead"),
        ({"dead_fraction": 0.95}, "warning", "95.0 % of the latents are dead"),
        ({"dead_fraction": 0.951}, "failure", "95.1 % of the latents are dead, limit 95 %"),
        ({"l0_alive_fraction": 0.25}, "success", None),
        ({"l0_alive_fraction": 0.43}, "warning", "43 % of the alive latents fire"),
        ({"converged": False}, "warning", "L0 has not settled"),
        ({"loss_oscillation": 0.0499}, "success", None),
        ({"loss_oscillation": 0.05}, "warning", "the loss oscillates by 5.0 % about its trend"),
        ({"threshold_travel": 0.499}, "success", None),
        ({"threshold_travel": 0.5}, "warning", "thresholds moved 50 % of the way"),
        ({"outlier_share": 0.05}, "success", None),
        ({"outlier_share": 0.91}, "warning", "hold 91 % of the squared norm, limit 5 %"),
        ({"threshold_travel": 1.08}, "warning", "108 % of the way that one learning rate a step"),
        ({"target_l0": 0.03125}, "success", None),
        ({"target_l0": 0.05}, "warning", "0.625 times its target 102.4"),
    ],
)
def test_judge_one_value_at_its_limit_gives_the_level(
    changes: dict[str, Any], level: str, words: str | None
) -> None:
    verdict = judge(record(**changes))

    assert verdict.level == level
    assert [words in reason for reason in verdict.reasons if words] == [True] * bool(words)


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA])
@pytest.mark.parametrize("key", ["l0", "target_l0", "fvu", "dead_fraction", "converged"])
def test_judge_missing_value_is_named_and_no_success(key: str, missing: object) -> None:
    verdict = judge(record(**{key: missing}))

    assert verdict.level == "warning"
    assert verdict.reasons[0].startswith(f"warning: {key} is not recorded")


def test_judge_fraction_target_without_width_is_named_missing() -> None:
    verdict = judge(record(target_l0=0.05, latent_dim=None))

    assert verdict.reasons == ("warning: target_l0 is not recorded, so L0 cannot be judged",)


def test_judge_count_target_without_width_is_judged() -> None:
    assert judge(record(latent_dim=None)).level == "success"


@pytest.mark.parametrize(
    ("state", "level", "words"),
    [
        ("diverged", "failure", "diverged after 300 of 600 steps"),
        ("failed", "failure", "failed after 300 of 600 steps"),
        ("pruned", "warning", "pruned after 300 of 600 steps"),
        ("interrupted", "warning", "interrupted after 300 of 600 steps"),
        ("running", "warning", "running after 300 of 600 steps"),
    ],
)
def test_judge_run_without_end_says_only_that(state: str, level: str, words: str) -> None:
    verdict = judge(record(state=state, steps_done=300, fvu=0.99))

    assert (verdict.level, len(verdict.reasons)) == (level, 1)
    assert words in verdict.reasons[0]


@pytest.mark.parametrize(("target", "l0"), [(6.4 / 2048, 6.0), (0.0001, 1.0), (6.4, 6.0)])
def test_judge_topk_is_held_against_the_k_that_its_target_rounds_to(
    target: float, l0: float
) -> None:
    verdict = judge(record(architecture="topk", target_l0=target, l0=l0))

    assert (verdict.level, verdict.reasons) == ("success", ())


def test_judge_diverged_without_steps_still_says_why() -> None:
    verdict = judge({"state": "diverged"})

    assert verdict.reasons == ("failure: diverged: the reason is not recorded",)


@pytest.mark.parametrize("state", [None, "done"])
def test_judge_unknown_state_is_refused(state: str | None) -> None:
    with pytest.raises(AnalysisError, match="state must be one of complete, pruned"):
        judge(record(state=state))


def test_judge_several_reasons_worst_first_and_wins() -> None:
    verdict = judge(record(converged=False, fvu=0.99, dead_fraction=0.6))

    assert verdict.level == "failure"
    assert [reason.split(":")[0] for reason in verdict.reasons] == [
        "failure",
        "warning",
        "warning",
    ]


def test_judge_wider_tolerance_accepts_more() -> None:
    wider = default_thresholds().with_tolerance(0.5)

    assert judge(record(l0=90.0)).level == "warning"
    assert judge(record(l0=90.0), wider).level == "success"


def test_judge_row_of_a_table_equals_its_record() -> None:
    row = pd.DataFrame([record(l0=80.0)]).iloc[0]

    assert judge({str(key): value for key, value in row.items()}) == judge(record(l0=80.0))


@given(st.floats(1e-3, 2000), st.floats(1, 2048))
def test_judge_in_band_exactly_within_the_tolerance(l0: float, target: float) -> None:
    verdict = judge(record(l0=l0, target_l0=target))

    in_band = abs(math.log(l0 / target)) <= math.log(1.05)
    assert (verdict.level == "success") == in_band


@pytest.mark.parametrize(("l0", "level"), [(64 * 1.05, "success"), (64 * 1.051, "failure")])
def test_judge_controlled_run_out_of_band_is_a_failure_that_names_its_l0(
    l0: float, level: str
) -> None:
    verdict = judge(record(alpha_mode="controlled", l0=l0))

    assert verdict.level == level
    assert all(f"L0 {l0:.4g} is" in reason for reason in verdict.reasons)


def test_judge_micro_batch_below_the_batch_is_noted_and_changes_nothing() -> None:
    verdict = judge(record(batch_size=512, micro_batch=128))

    assert verdict.level == "success"
    assert verdict.reasons[0].startswith("note: memory was short")
    assert "parts of 128 of the batch's 512 tokens" in verdict.reasons[0]
