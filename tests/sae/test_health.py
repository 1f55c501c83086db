import pytest
import torch
from torch import Tensor

from sae.architectures.base import StepStatistics, TrainableSae
from sae.architectures.config import Architecture, JumpReluConfig, SaeConfig
from sae.architectures.registry import build
from sae.health import non_finite_tensor, reason_to_stop, threshold_travel
from sae.trace import Trace
from sae.trainer_config import TrainerConfig
from sae.workspace import Workspace


def statistics(loss: float) -> StepStatistics:
    one = torch.tensor(1.0)
    return StepStatistics(
        mse=one, l1=one, penalty=one, loss=torch.tensor(loss), firings=torch.ones(3)
    )


def gradients() -> dict[str, Tensor]:
    return {"W_enc": torch.ones(2, 3), "b_enc": torch.ones(3)}


def test_non_finite_tensor_of_a_sound_step_is_none() -> None:
    assert non_finite_tensor(statistics(1.0), gradients()) is None


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_non_finite_tensor_names_the_loss(loss: float) -> None:
    assert non_finite_tensor(statistics(loss), gradients()) == "the loss"


def test_non_finite_tensor_names_the_first_gradient() -> None:
    broken = gradients()
    broken["W_enc"][1, 2] = float("nan")
    broken["b_enc"][2] = float("nan")
    assert non_finite_tensor(statistics(1.0), broken) == "the gradient of W_enc"


def test_non_finite_tensor_names_a_sum_that_overflows() -> None:
    broken = gradients()
    broken["b_enc"].fill_(3e38)
    assert non_finite_tensor(statistics(1.0), broken) == "a gradient's sum"


TRAINER = TrainerConfig(total_steps=100)


def trace_with(mse: list[float]) -> Trace:
    trace = Trace(100, 3, torch.device("cpu"))
    trace.values[: len(mse), 1] = torch.tensor(mse)
    trace.values[: len(mse), 3] = 0.25
    return trace


def test_reason_to_stop_of_a_run_far_above_the_datas_variance_says_diverged() -> None:
    reason = reason_to_stop(trace_with([21.0] * 60), 60, TRAINER, 10)
    assert reason == "diverged by step 60: fvu 2.1, L0 0.25"


def test_reason_to_stop_of_a_run_stuck_at_the_datas_variance_says_collapsed() -> None:
    reason = reason_to_stop(trace_with([9.99] * 60), 60, TRAINER, 10)
    assert reason == "collapsed by step 60: fvu 0.999, L0 0.25"


@pytest.mark.parametrize(
    ("mse", "steps_done"),
    [
        ([9.99] * 40, 40),  # still within the warm-ups and two windows
        ([10 - 0.01 * step for step in range(60)], 60),  # bad, but falling
        ([9.8] * 60, 60),
        ([2.0] * 60, 60),
    ],
)
def test_reason_to_stop_of_a_run_that_may_come_right_is_none(
    mse: list[float], steps_done: int
) -> None:
    assert reason_to_stop(trace_with(mse), steps_done, TRAINER, 10) is None


def model_of(architecture: Architecture) -> TrainableSae:
    config = SaeConfig(
        architecture=architecture,
        latent_dim=4,
        jumprelu=JumpReluConfig(initial_threshold=0.5, threshold_rate_factor=10.0),
    )
    cpu = Workspace(torch.float32, torch.device("cpu"))
    return build(config, 3, torch.Generator().manual_seed(0), cpu)


def test_threshold_travel_is_the_way_over_the_sum_of_rates() -> None:
    trainer = TrainerConfig(total_steps=100, learning_rate_warmup=0, decay_fraction=0)
    model = model_of(Architecture.jumprelu)
    model.parameters["threshold"][:2] += 1.0
    assert threshold_travel(model, trainer) == pytest.approx(0.5 / (100 * 1e-3 * 10))


def test_threshold_travel_without_thresholds_is_none() -> None:
    assert threshold_travel(model_of(Architecture.batchtopk), TrainerConfig()) is None
