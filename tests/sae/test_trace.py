import dataclasses
import math

import pytest
import torch

from sae.architectures.base import StepStatistics
from sae.trace import Trace


def statistics(l0: float, firings: list[float] | None = None) -> StepStatistics:
    fired = torch.tensor(firings if firings is not None else [l0 * 10, 0.0])
    return StepStatistics(
        mse=torch.tensor(3.0),
        l1=torch.tensor(2.0),
        penalty=torch.tensor(2.0),
        loss=torch.tensor(5.0),
        firings=fired,
    )


def trace_of(l0: list[float]) -> Trace:
    trace = Trace(len(l0), 2, torch.device("cpu"))
    for step, value in enumerate(l0):
        trace.record(step, statistics(value), 10)
    return trace


def test_trace_mean_is_over_the_steps_asked_for() -> None:
    means = trace_of([1, 2, 3, 4]).mean(1, 3)
    assert means == {"loss": 5.0, "mse": 3.0, "l1": 2.0, "l0": 2.5}


def test_trace_leaves_out_of_the_loss_what_records_leave_out() -> None:
    trace = Trace(1, 2, torch.device("cpu"))
    trace.record(0, dataclasses.replace(statistics(1), auxiliary=torch.tensor(1.5)), 10)
    assert trace.mean(0, 1)["loss"] == 3.5


def test_dead_fraction_counts_tokens_since_the_last_firing() -> None:
    trace = Trace(3, 3, torch.device("cpu"))
    for step, firings in enumerate(([1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 2.0, 0.0])):
        trace.record(step, statistics(1, firings), 10)
    assert trace.tokens_since_fired_F.tolist() == [20, 0, 30]
    assert trace.dead_fraction(30) == pytest.approx(1 / 3)
    assert trace.dead_fraction(20) == pytest.approx(2 / 3)
    assert trace.dead_fraction(31) == 0


def test_converged_constant_l0_has_settled() -> None:
    assert trace_of([8.0] * 200).converged()


@pytest.mark.parametrize(("change", "converged"), [(0.04, True), (0.06, False), (-0.06, False)])
def test_converged_compares_the_last_steps_with_five_percent_earlier(
    change: float, converged: bool
) -> None:
    l0 = [8.0] * 195 + [8.0 * (1 + change)] * 5
    assert trace_of(l0).converged() is converged


@pytest.mark.parametrize("l0", [[1000.0 / 2**step for step in range(10)], [8.0]])
def test_converged_short_run_that_still_falls_or_has_one_step_has_not_settled(
    l0: list[float],
) -> None:
    assert not trace_of(l0).converged()


def test_relative_change_from_zero_is_infinite() -> None:
    assert trace_of([0.0] * 195 + [1.0] * 5).relative_change("l0", 0.05) == math.inf


def test_relative_change_of_nothing_active_is_zero() -> None:
    assert trace_of([0.0] * 50).relative_change("l0", 0.05) == 0


def test_relative_change_in_a_run_of_one_step_is_zero() -> None:
    assert trace_of([3.0]).relative_change("l0", 0.05) == 0


def test_oscillation_of_a_straight_line_is_zero() -> None:
    trace = trace_of([1000.0 - step for step in range(400)])
    assert trace.oscillation("l0", 0.1) == pytest.approx(0.0, abs=1e-6)


def test_oscillation_is_the_spread_of_block_means_over_their_mean() -> None:
    waves = [100.0 + 10 * (-1) ** (step // 4) for step in range(400)]
    assert trace_of(waves).oscillation("l0", 0.1) == pytest.approx(0.11, rel=0.05)


def test_oscillation_within_a_block_does_not_count() -> None:
    noise = [100.0 + 10 * (-1) ** step for step in range(400)]
    assert trace_of(noise).oscillation("l0", 0.1) == pytest.approx(0.0, abs=1e-6)


def test_oscillation_of_a_run_too_short_to_tell_is_zero() -> None:
    assert trace_of([1.0, 5.0, 1.0]).oscillation("l0", 0.1) == 0.0
