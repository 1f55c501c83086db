"""The guide's formulas, tables and advice, as it states them.

The guide is the founding document `sae_hyperparameter_guide.md` (2025-11-06). Everything here is
its word, kept so that it can be compared with data; `analysis.audit` says which of it holds. None
of it is used as a default anywhere.
"""

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from analysis.errors import AnalysisError

BASE_LATENT_DIM: Final = 65536
BASE_L1_ALPHA: Final = 0.10
SCALING_EXPONENT: Final = 6.64
DEFAULT_TARGET_L0: Final = 0.05
CURVE_AMPLITUDE: Final = 0.0731  # "L0(L1a) = 0.0731 * exp(-3.86 * L1a)", a fraction of latents
CURVE_RATE: Final = 3.86
EXPANSION_RATIO: Final = 32  # "hidden_dim = latent_dim / 32"; the guide's hidden_dim is our d_in

ALPHA_STEP: Final = (0.20, 0.30)  # "increase" or "decrease L1 alpha by 20-30%"
ALPHA_STEP_WHEN_DEAD: Final = (0.05, 0.10)  # "slightly reduce L1 alpha (5-10%)"
TOO_MANY_DEAD: Final = 0.95


def calculate_optimal_l1_alpha(latent_dim: int, target_l0: float = DEFAULT_TARGET_L0) -> float:
    """The guide's scaling law, to the letter: `0.10 * (latent_dim / 65536) ** 6.64`.

    Args:
        latent_dim: Number of latents.
        target_l0: Fraction of latents wanted active. The guide's body never uses it, so neither
            does this one: every target gives the same alpha.

    Returns:
        L1 alpha in the guide's units, whose reductions it never states.

    Raises:
        AnalysisError: `latent_dim` is not positive.
    """
    del target_l0
    if latent_dim <= 0:
        raise AnalysisError(f"latent_dim must be positive, but got {latent_dim}.")
    # Written as the guide writes it, so that the result is the same to the last bit.
    return BASE_L1_ALPHA * (latent_dim / BASE_LATENT_DIM) ** SCALING_EXPONENT


def l0_fraction_at(l1_alpha: float) -> float:
    """The guide's L0 curve, `0.0731 * exp(-3.86 * l1_alpha)`: a fraction of the latents.

    Raises:
        AnalysisError: `l1_alpha` is negative.
    """
    if l1_alpha < 0:
        raise AnalysisError(f"l1_alpha must not be negative, but got {l1_alpha}.")
    return CURVE_AMPLITUDE * math.exp(-CURVE_RATE * l1_alpha)


def alpha_at(
    l0_fraction: float, amplitude: float = CURVE_AMPLITUDE, rate: float = CURVE_RATE
) -> float:
    """Inverse of the exponential curve: the alpha at which it passes `l0_fraction`.

    Args:
        l0_fraction: Wanted fraction of active latents.
        amplitude: The curve's value at alpha 0, which is also its ceiling.
        rate: The curve's decay per unit of alpha.

    Raises:
        AnalysisError: No alpha of zero or more gives this fraction.
    """
    if not 0 < l0_fraction <= amplitude:
        raise AnalysisError(
            f"target_l0 must lie between 0 and the curve's ceiling {amplitude:.4g}, "
            f"but got {l0_fraction}."
        )
    return math.log(amplitude / l0_fraction) / rate


@dataclass(frozen=True, kw_only=True, slots=True)
class CommonConfiguration:
    """One row of the guide's table "Common Configurations", as printed."""

    latent_dim: int
    """Number of latents."""
    l1_alpha: float
    """The guide's coefficient; at 16,384 its own formula gives another."""
    expected_l0: float
    """Fraction of latents; "~5%" in every row."""
    expected_active: int
    """"Expected Active Neurons"; the numbers are those of alive latents at 90 % dead."""
    notes: str
    """The table's last column."""


COMMON_CONFIGURATIONS: Final = tuple(
    CommonConfiguration(
        latent_dim=latent_dim,
        l1_alpha=l1_alpha,
        expected_l0=0.05,
        expected_active=active,
        notes=notes,
    )
    for latent_dim, l1_alpha, active, notes in (
        (16384, 0.00006, 1600, "Small SAE"),
        (32768, 0.00100, 3200, "Medium SAE"),
        (65536, 0.10000, 6500, "Large SAE (validated)"),
        (131072, 10.00000, 13000, "Very Large SAE"),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """One block of the guide's "Complete Optimal Settings"."""

    latent_dim: int
    """Number of latents."""
    hidden_dim: int
    """Dimension of the activations, d_in."""
    l1_alpha: float
    """Sparsity coefficient in the guide's units."""
    learning_rate: float = 0.0001
    """Of Adam."""
    batch_size: int = 64
    """Tokens a step."""
    total_steps: int = 100_000
    """Optimiser steps."""
    target_l0: float = DEFAULT_TARGET_L0
    """Fraction of latents."""


COMPLETE_SETTINGS: Final = MappingProxyType(
    {
        "16k": Settings(latent_dim=16384, hidden_dim=512, l1_alpha=0.00006),
        "32k": Settings(latent_dim=32768, hidden_dim=1024, l1_alpha=0.00100),
        "65k": Settings(latent_dim=65536, hidden_dim=2048, l1_alpha=0.10),
        "131k": Settings(latent_dim=131072, hidden_dim=4096, l1_alpha=10.0, total_steps=150_000),
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """One line of the guide's "Training Convergence Indicators"."""

    job: int
    """1 (good) or 2 (bad)."""
    step: int
    """Optimiser steps done."""
    loss: float
    """Total loss; reductions not stated."""
    l0_fraction: float
    """Fraction of latents active."""
    dead_fraction: float
    """Fraction of latents dead; window not stated."""


CHECKPOINTS: Final = tuple(
    Checkpoint(job=job, step=step, loss=loss, l0_fraction=l0, dead_fraction=dead)
    for job, step, loss, l0, dead in (
        (1, 10_000, 0.045, 0.082, 0.42),
        (1, 50_000, 0.028, 0.055, 0.78),
        (1, 100_000, 0.027, 0.0497, 0.885),
        (2, 10_000, 92.1, 0.51, 0.001),
        (2, 50_000, 86.3, 0.50, 0.002),
        (2, 100_000, 83.7, 0.493, 0.003),
    )
)


def alpha_step(l1_alpha: float, *, too_dense: bool) -> tuple[float, float]:
    """The guide's next alpha, "20-30 %" up when L0 is too high and down when it is too low.

    Returns:
        The end of the step nearer to `l1_alpha` and the farther one: 0.12 and 0.13 for 0.10.
    """
    sign = 1 if too_dense else -1
    near, far = ALPHA_STEP
    return l1_alpha * (1 + sign * near), l1_alpha * (1 + sign * far)


def fine_tuning_advice(
    l1_alpha: float, *, l0_ratio: float, dead_fraction: float, tolerance: float = 0.10
) -> tuple[str, ...]:
    """What the guide's section "Fine-Tuning L1 Alpha" tells to do, in words.

    Args:
        l1_alpha: The coefficient of the finished run.
        l0_ratio: L0 over its target; NaN where unknown, which gives no advice on L0.
        dead_fraction: Fraction of dead latents; NaN where unknown.
        tolerance: The target counts as hit within this fraction.

    Returns:
        One sentence a piece of advice; empty where the guide has nothing to say.
    """
    advice: list[str] = []
    if abs(l0_ratio - 1) > tolerance:
        too_dense = l0_ratio > 1
        near, far = alpha_step(l1_alpha, too_dense=too_dense)
        what, move = ("high", "up") if too_dense else ("low", "down")
        advice.append(f"L0 is too {what}: alpha {move} 20-30 %, to {near:.4g} or {far:.4g}")
    if dead_fraction > TOO_MANY_DEAD:
        low, high = (l1_alpha * (1 - step) for step in ALPHA_STEP_WHEN_DEAD)
        advice.append(
            f"dead above 95 %: alpha down 5-10 %, to {low:.4g} or {high:.4g}, "
            "learning-rate warm-up, auxiliary loss"
        )
    return tuple(advice)
