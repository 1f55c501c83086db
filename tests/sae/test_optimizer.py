import pytest
import torch
from torch import Tensor

from sae.derived import norms_of
from sae.optimizer import Adam
from sae.workspace import Workspace

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


@pytest.mark.parametrize("own", [False, True], ids=["torch", "own"])
def test_adam_several_steps_agree_with_plain_float64_adam(device: torch.device, own: bool) -> None:
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
    kernels = None if own else False
    space = Workspace(torch.bfloat16, device, compiled=kernels, fused=kernels)
    adam = Adam(parameters, gradients, workspace=space)
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


@pytest.mark.parametrize("shape", [(3,), (3, 2)], ids=["vector", "matrix"])
def test_adam_with_a_divisor_takes_the_divided_gradient(shape: tuple[int, ...]) -> None:
    parameters = {name: torch.zeros(shape) for name in ("divided", "whole")}
    gradients = {"divided": torch.full(shape, 1e-8), "whole": torch.full(shape, 4e-8)}
    space = Workspace(torch.float32, torch.device("cpu"))
    for name, divisor in (("divided", None), ("whole", torch.tensor(4.0))):
        adam = Adam({name: parameters[name]}, {name: gradients[name]}, workspace=space)
        adam.step(0.1, divisor)
    torch.testing.assert_close(parameters["whole"], parameters["divided"])
    assert float(parameters["whole"].flatten()[0]) == pytest.approx(-0.05)


@pytest.mark.parametrize("in_words", [False, True])
def test_adam_renews_the_rounded_copy_that_a_step_has_used(in_words: bool) -> None:
    weight = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    space = Workspace(torch.bfloat16, torch.device("cpu"))
    copy_of = space.weight_rows if in_words else space.cast_weight
    adam = Adam({"w": weight}, {"w": torch.ones(5, 6)}, workspace=space)
    before = copy_of("w", weight).clone()
    adam.step(0.1)
    assert space.held_copy("w", weight) is not None
    after = copy_of("w", weight).clone()
    space.derived.clear()
    assert torch.equal(after, copy_of("w", weight))
    assert not torch.equal(after, before)


def test_adam_leaves_the_norms_of_the_rows_that_it_has_moved() -> None:
    weight = torch.randn(70, 38, generator=torch.Generator().manual_seed(0))
    space = Workspace(torch.bfloat16, torch.device("cpu"))
    Adam({"w": weight}, {"w": torch.ones(70, 38)}, workspace=space).step(0.1)
    norms_F = space.derived.get(norms_of("w"), weight)
    assert norms_F is not None
    torch.testing.assert_close(norms_F, weight.norm(dim=1))


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
