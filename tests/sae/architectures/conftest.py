"""One hand-written step held against float64 autograd, the same way for every architecture."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from sae.architectures.base import StepSettings, TrainableSae
from sae.architectures.config import SaeConfig
from sae.architectures.registry import build
from sae.workspace import Workspace

B, D, F = 64, 12, 40

Loss = Callable[[dict[str, Tensor], Tensor], Tensor]


@dataclass
class Step:
    """A model whose weights are as if trained for a while, and one batch."""

    model: TrainableSae
    x: Tensor

    def gradient_errors(self, settings: StepSettings, loss: Loss) -> dict[str, float]:
        """Relative distance of each gradient from float64 autograd's."""
        self.model.compute_gradients(self.x, settings)
        weights = {
            name: value.double().requires_grad_() for name, value in self.model.parameters.items()
        }
        loss(weights, self.x.double()).backward()
        errors: dict[str, float] = {}
        for name, weight in weights.items():
            assert weight.grad is not None, name
            distance = self.model.gradients[name].double() - weight.grad
            errors[name] = float(distance.norm() / weight.grad.norm())
        return errors


@pytest.fixture
def make_step(device: torch.device) -> Callable[[SaeConfig, torch.dtype], Step]:
    def make(config: SaeConfig, dtype: torch.dtype = torch.float32) -> Step:
        generator = torch.Generator().manual_seed(0)
        model = build(config, D, generator, Workspace(dtype, device))
        for name, value in model.parameters.items():
            size = 0.1 if name.startswith("W") else 0.05
            value += size * torch.randn(value.shape, generator=generator).to(device)
        model.after_update()
        x = torch.randn(B, D, generator=generator).to(device)
        return Step(model, x)

    return make
