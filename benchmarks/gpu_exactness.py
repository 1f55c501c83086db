"""Every architecture's gradients on a device against float64 autograd."""

import torch

from benchmarks.markdown import table
from benchmarks.reference_losses import reference_gradients
from sae.architectures.base import Revival, StepSettings
from sae.architectures.config import Architecture, SaeConfig
from sae.architectures.registry import build
from sae.dead_set import DeadLatents
from sae.deferred_gradient import Written
from sae.workspace import Workspace

LARGEST_ERROR = {torch.float32: 1e-4, torch.bfloat16: 0.25}
"""Of a gradient, relative; in bf16 a rounded strength may change what topk selects."""


def exactness(device: torch.device) -> tuple[str, bool]:
    """Every architecture's gradients against float64; a table, and whether all are right."""
    rows: list[list[str]] = []
    is_right = True
    kinds = list(Written) if Workspace(torch.bfloat16, device).fused else [Written.gradients]
    for architecture in Architecture:
        for dtype, largest in LARGEST_ERROR.items():
            for writes in kinds:
                errors = [
                    gradient_error(architecture, dtype, device, writes, revives=revives)
                    for revives in (False, True)
                ]
                is_right = is_right and max(errors) <= largest
                name = str(dtype).removeprefix("torch.")
                shown = [f"{error:.1e}" for error in errors]
                rows.append([architecture, name, writes.name, *shown, f"{largest}"])
    header = ["architecture", "products", "written", "worst error", "reviving", "at most"]
    return table(header, rows), is_right


def _revival(device: torch.device) -> Revival:
    """Of the first 128 latents."""
    listed = torch.arange(128, device=device)
    dead = DeadLatents(listed=listed, are_dead=torch.ones_like(listed, dtype=torch.bool))
    return Revival(dead=dead, latents=128, coefficient=0.3, pre_activation=0.1)


def gradient_error(
    architecture: Architecture,
    dtype: torch.dtype,
    device: torch.device,
    writes: Written = Written.gradients,
    *,
    revives: bool = False,
) -> float:
    """Largest relative distance of a parameter's gradient from float64 autograd's."""
    config = SaeConfig(architecture=architecture, latent_dim=256)
    generator = torch.Generator().manual_seed(0)
    model = build(config, 64, generator, Workspace(dtype, device))
    for name, value in model.parameters.items():
        noise = torch.randn(value.shape, generator=generator).to(device)
        value += (0.1 if name.startswith("W") else 0.05) * noise
    model.after_update()
    x_BD = torch.randn(128, 64, generator=generator).to(device)
    step = StepSettings(
        alpha=0.0 if architecture.sets_l0 else 0.7,
        target_l0=8.0,
        revival=_revival(device) if revives else None,
    )
    expected = reference_gradients(config, model.parameters, x_BD, step)
    model.writes = writes
    model.compute_gradients(x_BD, step)
    found = dict(model.gradients)
    for name, parts in model.deferred.items():
        is_decoder = name == "W_dec"
        rows_FD = parts.value(model.parameters["W_dec"])
        found[name] = rows_FD if is_decoder else rows_FD.t()
        if is_decoder:
            difference = parts.squared_norm() / rows_FD.double().square().sum() - 1
            assert abs(float(difference)) < 1e-3, f"norm of {name} off by {float(difference)}"
    return max(
        float((found[name].double() - value).norm() / value.norm())
        for name, value in expected.items()
        # A straight-through estimate counts latents in a narrow band, which bf16 blurs.
        if name != "threshold" or dtype is torch.float32
    )
