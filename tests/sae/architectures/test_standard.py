import pytest
import torch
from torch import Tensor

from sae.architectures.base import StepSettings
from sae.architectures.config import SaeConfig
from sae.architectures.standard import StandardSae
from sae.workspace import Workspace

B, D, F = 64, 12, 40
ALPHA = 0.7


def float64_loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    z = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    f = torch.relu(z)
    x_hat = f @ weights["W_dec"] + weights["b_dec"]
    l1 = (f * weights["W_dec"].norm(dim=1)).sum(1).mean()
    return (x - x_hat).square().sum(1).mean() + ALPHA * l1


def trained_weights(model: StandardSae) -> None:
    generator = torch.Generator().manual_seed(3)
    for name, value in model.parameters.items():
        noise = torch.randn(value.shape, generator=generator).to(value.device)
        value += (0.1 if name.startswith("W") else 0.05) * noise


def standard_sae(dtype: torch.dtype, device: torch.device) -> StandardSae:
    generator = torch.Generator().manual_seed(0)
    space = Workspace(dtype, device, compiled=False)
    model = StandardSae(SaeConfig(latent_dim=F), D, generator, space)
    trained_weights(model)
    return model


def batch(device: torch.device) -> Tensor:
    return torch.randn(B, D, generator=torch.Generator().manual_seed(1)).to(device)


def float64_gradients(model: StandardSae, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    weights = {name: value.double().requires_grad_() for name, value in model.parameters.items()}
    loss = float64_loss(weights, x.double())
    loss.backward()
    gradients = {name: value.grad for name, value in weights.items() if value.grad is not None}
    return loss.detach(), gradients


@pytest.mark.parametrize("name", ["W_enc", "W_dec", "b_enc", "b_dec"])
def test_gradient_in_fp32_agrees_with_float64_autograd(name: str, device: torch.device) -> None:
    model = standard_sae(torch.float32, device)
    x = batch(device)
    model.compute_gradients(x, StepSettings(alpha=ALPHA))
    _, expected = float64_gradients(model, x)
    error = (model.gradients[name].double() - expected[name]).norm() / expected[name].norm()
    assert float(error) < 1e-6


@pytest.mark.parametrize("name", ["W_enc", "W_dec", "b_enc", "b_dec"])
def test_gradient_in_bf16_is_close_to_float64_autograd(name: str, device: torch.device) -> None:
    model = standard_sae(torch.bfloat16, device)
    x = batch(device)
    model.compute_gradients(x, StepSettings(alpha=ALPHA))
    _, expected = float64_gradients(model, x)
    error = (model.gradients[name].double() - expected[name]).norm() / expected[name].norm()
    assert float(error) < 0.03


def test_gradient_computed_twice_is_overwritten_not_added(device: torch.device) -> None:
    model = standard_sae(torch.float32, device)
    model.compute_gradients(batch(device), StepSettings(alpha=ALPHA))
    first = {name: value.clone() for name, value in model.gradients.items()}
    model.compute_gradients(batch(device), StepSettings(alpha=ALPHA))
    for name, value in model.gradients.items():
        torch.testing.assert_close(value, first[name], rtol=0, atol=0)


def test_statistics_agree_with_float64(device: torch.device) -> None:
    model = standard_sae(torch.float32, device)
    x = batch(device)
    statistics = model.compute_gradients(x, StepSettings(alpha=ALPHA))
    weights = {name: value.double() for name, value in model.parameters.items()}
    f = torch.relu((x.double() - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"])
    loss, _ = float64_gradients(model, x)
    assert float(statistics.loss) == pytest.approx(float(loss), rel=1e-6)
    assert float(statistics.loss) == pytest.approx(
        float(statistics.mse + ALPHA * statistics.l1), rel=1e-6
    )
    assert statistics.firings.tolist() == (f > 0).sum(0).tolist()


def test_gradient_of_zero_decoder_row_is_finite(device: torch.device) -> None:
    model = standard_sae(torch.float32, device)
    model.parameters["W_dec"][3] = 0
    model.compute_gradients(batch(device), StepSettings(alpha=ALPHA))
    assert all(bool(value.isfinite().all()) for value in model.gradients.values())


def test_step_repeated_on_one_batch_lowers_the_loss(device: torch.device) -> None:
    model = standard_sae(torch.float32, device)
    x = batch(device)
    losses: list[float] = []
    for _ in range(30):
        losses.append(float(model.compute_gradients(x, StepSettings(alpha=ALPHA)).loss))
        for name, value in model.parameters.items():
            value -= 0.01 * model.gradients[name]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.8 * losses[0]
