from typing import Any

import pytest

from analysis.guide_verdict import early_warnings, judge_by_guide


def record(**changes: Any) -> dict[str, Any]:
    """The guide's job 1 with its loss in units of loss / d_in, with `changes`."""
    job_1: dict[str, Any] = {
        "state": "complete",
        "latent_dim": 65536,
        "d_in": 2048,
        "l1_alpha": 0.10,
        "target_l0": 0.05,
        "l0": 0.0497 * 65536,
        "loss": 0.027 * 2048,
        "loss_change": -0.0072,
        "dead_fraction": 0.885,
        "alive": 7556,
        "fvu": 0.1,
    }
    return job_1 | changes


def l0(ratio: float) -> dict[str, float]:
    return {"l0": ratio * 3276.8}


def loss(value: float) -> dict[str, float]:
    return {"loss": value * 2048}


def test_judge_by_guide_job_1_is_a_success() -> None:
    verdict = judge_by_guide(record())

    assert (verdict.level, verdict.reasons) == ("success", ())


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        (loss(0.0299), "success", None),
        (loss(0.03), "warning", "a gap of the guide"),
        (loss(1.0), "warning", "a gap of the guide"),
        (loss(1.01), "failure", "loss / d_in 1.01 is above 1"),
        (l0(1.10), "success", None),
        (l0(0.90), "success", None),
        (l0(1.101), "warning", "an error of 10 to 20 %: a gap of the guide"),
        (l0(1.20), "warning", "a gap of the guide"),
        (l0(1.201), "warning", "an error above 20 %"),
        (l0(2.0), "warning", "an error above 20 %"),
        (l0(0.5), "warning", "an error above 20 %"),
        (l0(2.001), "failure", "beyond 0.5 to 2 times"),
        (l0(0.499), "failure", "beyond 0.5 to 2 times"),
        ({"dead_fraction": 0.70}, "success", None),
        ({"dead_fraction": 0.95}, "success", None),
        ({"dead_fraction": 0.951}, "warning", "95.1 % dead is above 95 %"),
        ({"dead_fraction": 0.699}, "warning", "50 to 70 %: a gap of the guide"),
        ({"dead_fraction": 0.50}, "warning", "a gap of the guide"),
        ({"dead_fraction": 0.499}, "failure", "49.9 % dead is below 50 %"),
        ({"loss_change": 0.0099}, "success", None),
        ({"loss_change": -0.01}, "warning", "not below 1 %"),
        ({"loss_change": -0.051}, "warning", "-5.1 % over the last tenth of the run: it is still"),
        ({"loss_change": 0.05}, "warning", "not below 1 %"),
        ({"loss_oscillation": 0.049}, "success", None),
        ({"loss_oscillation": 0.05}, "failure", "the loss oscillates by 5.0 %"),
        ({"loss_change": 0.051}, "failure", "upwards: it diverged"),
        ({"alive": 5001}, "success", None),
        ({"alive": 5000}, "warning", "5000 latents are alive, not above 5000"),
    ],
)
def test_judge_by_guide_one_value_at_its_limit_gives_the_level(
    changes: dict[str, float], level: str, words: str | None
) -> None:
    verdict = judge_by_guide(record(**changes))

    assert verdict.level == level
    assert words is None or words in verdict.reasons[0]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("loss", "loss or d_in is not recorded"),
        ("d_in", "loss or d_in is not recorded"),
        ("l0", "l0 or target_l0 is not recorded"),
        ("dead_fraction", "dead_fraction is not recorded"),
        ("loss_change", "loss_change is not recorded"),
        ("alive", "alive is not recorded"),
    ],
)
def test_judge_by_guide_missing_value_is_named_and_no_success(key: str, words: str) -> None:
    verdict = judge_by_guide(record(**{key: None}))

    assert verdict.level == "warning"
    assert words in verdict.reasons[0]


def test_judge_by_guide_collapsed_sae_on_target_is_not_seen() -> None:
    assert judge_by_guide(record(fvu=0.999)).level == "success"


def test_judge_by_guide_too_dense_ends_in_its_advice() -> None:
    verdict = judge_by_guide(record(**l0(3)))

    assert verdict.reasons[-1] == "advice: L0 is too high: alpha up 20-30 %, to 0.12 or 0.13"


def test_judge_by_guide_without_alpha_says_that_it_cannot_advise() -> None:
    verdict = judge_by_guide(record(l1_alpha=None))

    assert verdict.reasons == ("note: l1_alpha is not recorded, so there is no advice on it",)


def test_judge_by_guide_small_width_notes_that_alive_cannot_be_met() -> None:
    small = record(latent_dim=1024, l0=51.2, alive=200)

    verdict = judge_by_guide(small)

    assert verdict.level == "success"
    assert (
        "5000 alive latents and 70 % dead cannot both be had at width 1024" in verdict.reasons[0]
    )


def test_judge_by_guide_alive_without_width_is_judged() -> None:
    verdict = judge_by_guide(record(latent_dim=None, target_l0=3277, alive=4000))

    assert "4000 latents are alive" in verdict.reasons[0]


def test_judge_by_guide_unfinished_run_says_only_that() -> None:
    verdict = judge_by_guide(record(state="pruned"))

    assert verdict.reasons == ("warning: pruned: an unfinished run is not judged",)


def running(**changes: Any) -> dict[str, Any]:
    return record(steps_done=60, total_steps=600) | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (loss(1.01), "loss / d_in 1.01 is above 1"),
        (l0(10.1), "is above 10 times its target"),
        ({"dead_fraction": 0.099}, "9.9 % dead is below 10 %"),
    ],
)
def test_early_warnings_bad_sign_from_a_tenth_on_is_named(
    changes: dict[str, float], words: str
) -> None:
    (sign,) = early_warnings(running(**changes))

    assert words in sign


@pytest.mark.parametrize(
    "changes",
    [
        {"steps_done": 59, "dead_fraction": 0.0},
        {"steps_done": None, "dead_fraction": 0.0},
        loss(1.0),
        l0(10.0),
        {"dead_fraction": 0.10},
        {"loss": None, "l0": None, "dead_fraction": None},
    ],
)
def test_early_warnings_too_early_or_within_limits_is_empty(changes: dict[str, Any]) -> None:
    assert early_warnings(running(**changes)) == ()


@pytest.mark.parametrize(("hours", "notes"), [(1.9, 1), (2.0, 0), (4.0, 0), (4.1, 1)])
def test_judge_by_guide_training_time_outside_its_range_is_only_noted(
    hours: float, notes: int
) -> None:
    verdict = judge_by_guide(record(wall_s=3600 * hours))

    assert verdict.level == "success"
    assert sum(reason.startswith("note: training took") for reason in verdict.reasons) == notes
