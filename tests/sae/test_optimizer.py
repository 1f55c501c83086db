import pytest
import torch
from torch import Tensor

from sae.optimizer import Adam

RATES = (1e-2, 3e-3, 1e-3, 5e-3)


def float64_adam(parameter: Tensor, gradients: list[Tensor]) -> Tensor:
    value = parameter.double().clone()
    mean, square = torch.zeros_like(value), torch.zeros_like(value)
    for step, (gradient, rate) in enumerate(zip(gradients, RATES, strict=True), start=1):
        mean = 0.9 * mean + 0.1 * gradient.double()
        square = 0.999 * square + 0.001 * gradient.double().square()
        corrected = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        value -= rate * corrected[0] / (corrected[1].sqrt() + 1e-8)
    return value


def test_adam_several_steps_agree_with_plain_float64_adam(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = {"W_enc": (6, 10), "W_dec": (10, 6), "b_enc": (10,)}
    start = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    start["W_enc"] = start["W_enc"].t().contiguous().t()
    sequence = [
        {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        for _ in RATES
    ]
    parameters = {name: value.clone().to(device) for name, value in start.items()}
    gradients = {name: torch.zeros_like(value) for name, value in parameters.items()}
    adam = Adam(parameters, gradients)
    for values, rate in zip(sequence, RATES, strict=True):
        for name, value in values.items():
            gradients[name].copy_(value)
        adam.step(rate)
    for name, value in parameters.items():
        expected = float64_adam(start[name], [values[name] for values in sequence])
        torch.testing.assert_close(value.cpu().double(), expected, rtol=1e-5, atol=1e-6)


def test_adam_transposed_gradient_is_refused() -> None:
    with pytest.raises(ValueError, match="W_enc and its gradient must lie in memory alike"):
        Adam({"W_enc": torch.zeros(4, 6)}, {"W_enc": torch.zeros(6, 4).t()})


def test_adam_parameter_with_gaps_in_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="W_enc and its gradient must lie in memory alike"):
        Adam({"W_enc": torch.zeros(4, 12)[:, ::2]}, {"W_enc": torch.zeros(4, 12)[:, ::2]})


def test_adam_with_a_divisor_takes_the_divided_gradient() -> None:
    parameters = {name: torch.zeros(3) for name in ("divided", "whole")}
    gradients = {"divided": torch.full((3,), 1e-8), "whole": torch.full((3,), 4e-8)}
    for name, divisor in (("divided", None), ("whole", torch.tensor(4.0))):
        Adam({name: parameters[name]}, {name: gradients[name]}).step(0.1, divisor)
    torch.testing.assert_close(parameters["whole"], parameters["divided"])
    assert float(parameters["whole"][0]) == pytest.approx(-0.05)


def test_adam_transposed_parameter_is_refused() -> None:
    with pytest.raises(ValueError, match="W_enc and its gradient must lie in memory alike"):
        Adam({"W_enc": torch.zeros(6, 4).t()}, {"W_enc": torch.zeros(4, 6)})


def test_adam_gradient_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="gradient of W_enc must have its shape"):
        Adam({"W_enc": torch.zeros(6, 4)}, {"W_enc": torch.zeros(4, 6)})


def test_adam_state_tensors_copied_into_another_continue_alike() -> None:
    first, second = torch.ones(5), torch.ones(5)
    gradient = torch.linspace(-1, 1, 5)
    source = Adam({"w": first}, {"w": gradient})
    source.step(0.1)
    target = Adam({"w": second}, {"w": gradient})
    second.copy_(first)
    for name, value in target.state_tensors().items():
        value.copy_(source.state_tensors()[name])
    source.step(0.1)
    target.step(0.1)
    assert torch.equal(first, second)


def test_adam_with_a_rate_factor_moves_that_parameter_further() -> None:
    parameters = {"w": torch.zeros(3), "threshold": torch.zeros(3)}
    gradients = {name: torch.ones(3) for name in parameters}
    Adam(parameters, gradients, {"threshold": 30.0}).step(0.01)
    torch.testing.assert_close(parameters["w"], torch.full((3,), -0.01))
    torch.testing.assert_close(parameters["threshold"], torch.full((3,), -0.3))
