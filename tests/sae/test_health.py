import pytest
import torch
from torch import Tensor

from sae.architectures.base import StepStatistics
from sae.health import non_finite_tensor


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
