"""Alpha for a target before anything has run: a law, from theory or measured.

    effective = constant * (d_in / K)^(1 / elasticity) * (latent_dim / 1024)^width_power
                * budget term
    effective = alpha / (1 + alpha * (flattening * (latent_dim / 1024)^flattening_width_power
                                      * 0.6 / T - steepening))

with T = learning_rate * steps.

The effective alpha is that part of alpha which so short a training lets the weights feel. Of the
tanh penalty it is more than alpha: the less a latent fires, the more of the penalty's slope meets
it, so that latents fall together as alpha nears 1 / steepening. Along
one curve L0(alpha) the law then says

    -d ln L0 / d ln alpha = elasticity * effective / alpha

so that elasticity and flattening follow from the slopes of curves alone. That the form is right is
seen where the first line's power is left free: from alphas of different targets it comes out as
0.73, 0.70 and 1.08 (standard, gated, jumprelu), where 1 / elasticity is 0.73, 0.71 and 1.08
(benchmarks/results/recipe.md).

With s = ln(T / 0.6), the budget term is exp(budget_exponent * s) where the exponent is constant.
Measured, it fades with the budget, alpha coming to rest:

    d ln effective / d s = budget_exponent * exp(-budget_decay * s)
"""

from dataclasses import dataclass, replace
from math import exp, expm1, hypot, log, log1p
from typing import ClassVar

from sweeper.errors import SweepError
from sweeper.search.curve_model import DEFAULT_SHAPE, ShapePrior

REFERENCE_D_IN = 384
REFERENCE_WIDTH = 1024
REFERENCE_EXPOSURE = 0.6
"""learning_rate * total_steps of the measured recipe (1e-3 for 600 steps)."""
MOST_OVER_EFFECTIVE = 4.0
"""Beyond which the law is not believed: it was measured up to 2.1 times, and where it says that
no alpha is large enough, curves of short runs fall off a cliff (assumption)."""
LEAST_OVER_EFFECTIVE = 0.08
"""Below which steepening ends, and the curve is as flat again as that of a small alpha: the tanh
penalty's by one run, of L0 1.9 at alpha 3.46 (layer 3, width 1024, 600 steps)."""

ABOVE_A_FLOOR = replace(DEFAULT_SHAPE, floor_probability=1.0)
"""Of a curve that comes to rest near the target, however large alpha is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """What alpha is wanted for.

    Raises:
        SweepError: A number is not positive.
    """

    d_in: int
    """Input dimension."""
    latent_dim: int
    """Width."""
    target_count: float
    """K, the target L0 as a count."""
    learning_rate: float
    """Peak learning rate."""
    total_steps: int
    """Training steps."""

    def __post_init__(self) -> None:
        named = {
            "d_in": self.d_in,
            "sae.latent_dim": self.latent_dim,
            "target_l0": self.target_count,
            "trainer.learning_rate": self.learning_rate,
            "trainer.total_steps": self.total_steps,
        }
        for name, value in named.items():
            if not value > 0:
                raise SweepError(f"{name} must be positive, but got {value}.")

    @property
    def exposure(self) -> float:
        """learning_rate * total_steps."""
        return self.learning_rate * self.total_steps


@dataclass(frozen=True, kw_only=True, slots=True)
class AlphaRule:
    """One such law and how far it is trusted."""

    name: str
    """Shown in `prior_weights`."""
    constant: float = 1.0
    """Effective alpha at K = d_in, the reference width and exposure."""
    elasticity: float = 2.0
    """-d ln L0 / d ln alpha after a long training; effective alpha rises with d_in / K by one
    over it."""
    flattening: float = 0.0
    """How much flatter the curve is where alpha is large for the training."""
    flattening_width_power: float = 0.0
    """How that grows with the width."""
    steepening: float = 0.0
    """How much steeper it is there, whatever the training and the width."""
    width_power: float = 0.0
    """How effective alpha rises with the width at a fixed K."""
    budget_exponent: float = -0.45
    """How effective alpha changes with learning rate times steps, at the reference."""
    budget_decay: float = 0.0
    """How fast that exponent fades as learning rate times steps grows."""
    budget_exponent_sd: float = 0.1
    """Its spread; widens the rule away from the measured recipe."""
    d_in_power_sd: float = 0.0
    """Doubt per ln d_in away from the reference."""
    width_power_sd: float = 0.0
    """Doubt per ln width away from the reference."""
    sd: float = 0.5
    """Sd of ln alpha at the reference."""
    ln_elasticity_sd: float | None = 0.25
    """Sd of ln elasticity: at the reference 0.06, more for other activations
    (assumption). None: nothing is told of a curve's shape."""
    family: ClassVar[ShapePrior] = DEFAULT_SHAPE
    """What else is believed of a curve's shape."""

    def shape(self, ln_alpha: float, latent_dim: int, exposure: float) -> ShapePrior:
        """What is believed of a curve's shape before any run of it.

        Args:
            ln_alpha: ln of the canonical alpha where the shape is wanted.
            latent_dim: Width.
            exposure: learning_rate * total_steps.
        """
        if self.ln_elasticity_sd is None:
            return self.family
        return replace(
            self.family,
            ln_elasticity=log(self.elasticity) - self.ln_slope(ln_alpha, latent_dim, exposure),
            ln_elasticity_sd=self.ln_elasticity_sd,
        )

    def ln_flatter(self, ln_alpha: float, latent_dim: int, exposure: float) -> float:
        """Ln of alpha over its effective part.

        From ln `LEAST_OVER_EFFECTIVE` to ln `MOST_OVER_EFFECTIVE`.
        """
        more = exp(ln_alpha) * self._flattening(latent_dim, exposure)
        return min(log1p(max(more, LEAST_OVER_EFFECTIVE - 1)), log(MOST_OVER_EFFECTIVE))

    def ln_slope(self, ln_alpha: float, latent_dim: int, exposure: float) -> float:
        """Ln of d ln alpha / d ln effective alpha: how much flatter the curve is there."""
        flatter = self.ln_flatter(ln_alpha, latent_dim, exposure)
        return 0.0 if flatter <= log(LEAST_OVER_EFFECTIVE) else flatter

    def ln_effective(self, ln_alpha: float, latent_dim: int, exposure: float) -> float:
        """Ln of the effective part of alpha."""
        return ln_alpha - self.ln_flatter(ln_alpha, latent_dim, exposure)

    def ln_alpha_of(self, ln_effective: float, latent_dim: int, exposure: float) -> float:
        """Ln of the alpha that has this effective part."""
        lost = exp(ln_effective) * self._flattening(latent_dim, exposure)
        return ln_effective - log(
            min(max(1 - lost, 1 / MOST_OVER_EFFECTIVE), 1 / LEAST_OVER_EFFECTIVE)
        )

    def _flattening(self, latent_dim: int, exposure: float) -> float:
        """What the curve is flatter by, per unit of alpha; negative: steeper."""
        by_width = (latent_dim / REFERENCE_WIDTH) ** self.flattening_width_power
        return self.flattening * by_width * REFERENCE_EXPOSURE / exposure - self.steepening

    def ln_alpha(self, situation: Situation) -> float:
        """Expected ln of the canonical alpha."""
        effective = self.ln_effective_for(situation)
        return self.ln_alpha_of(effective, situation.latent_dim, situation.exposure)

    def ln_effective_for(self, situation: Situation) -> float:
        """Expected ln of its effective part."""
        return (
            log(self.constant)
            + log(situation.d_in / situation.target_count) / self.elasticity
            + self.width_power * log(situation.latent_dim / REFERENCE_WIDTH)
            + self._budget_term(log(situation.exposure))
        )

    def at_exposure(self, ln_alpha: float, latent_dim: int, before: float, after: float) -> float:
        """Ln of the alpha that gives the same L0 at another learning_rate * total_steps."""
        effective = self.ln_effective(ln_alpha, latent_dim, before)
        moved = effective + self._budget_term(log(after)) - self._budget_term(log(before))
        return self.ln_alpha_of(moved, latent_dim, after)

    def _budget_term(self, ln_exposure: float) -> float:
        """Change of ln effective alpha from the reference."""
        distance = ln_exposure - log(REFERENCE_EXPOSURE)
        if self.budget_decay == 0:
            return self.budget_exponent * distance
        return self.budget_exponent * -expm1(-self.budget_decay * distance) / self.budget_decay

    def sd_at(self, situation: Situation) -> float:
        """Sd of ln alpha: the reference's, and each doubt times the distance from there."""
        return hypot(
            self.sd,
            self.budget_exponent_sd * log(situation.exposure / REFERENCE_EXPOSURE),
            self.d_in_power_sd * log(situation.d_in / REFERENCE_D_IN),
            self.width_power_sd * log(situation.latent_dim / REFERENCE_WIDTH),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StrengthRule(AlphaRule):
    """Of a penalty that is L0's distance from the target: alpha says how strongly it holds L0.

    Where what another latent gains, `gain * d_in` of the error per unit of ln L0, is weighed
    against alpha (L0 / target - 1)^2, training comes to rest at about

        L0 / target - 1 = gain * d_in / (2 alpha)

    whatever the target, the width and the budget. So every alpha from some multiple of d_in on
    lands, and none brings L0 below the target.
    """

    constant: float = 9.0
    """First alpha over d_in."""
    elasticity: float = 0.05
    """-d ln L0 / d ln alpha within a few percent of the target (between its values at a third of
    d_in and at three times d_in, 0.1 and 0.01)."""
    ln_elasticity_sd: float | None = 0.5
    """It reaches both of them within two sds."""
    budget_exponent: float = 0.0
    """The balance knows no budget."""
    family: ClassVar[ShapePrior] = ABOVE_A_FLOOR

    def ln_effective_for(self, situation: Situation) -> float:
        """Expected ln of alpha."""
        return log(self.constant * situation.d_in)


THEORY = AlphaRule(name="theory", ln_elasticity_sd=None)
"""The energy argument (K codes share ||x||^2 = d_in) times a measured budget term: neighbours in
steps have -0.36 to -0.62. On `tests/data/l0_curves_minilm_layer3.csv` 32 of 35 pairs of width and
target lie within a factor of 1.5 of it. Its units are those of an L1 penalty."""


_BEYOND_ONE_MODEL: dict[str, float] = {"d_in_power_sd": 0.2, "width_power_sd": 0.1, "sd": 0.35}
"""How far a rule of one model's activations reaches beyond them: assumption."""

_MEASURED = {
    ("standard", "l1"): AlphaRule(
        name="measured",
        constant=0.355,
        elasticity=1.369,
        flattening=0.082,
        flattening_width_power=0.5,
        width_power=0.194,
        budget_exponent=-0.377,
        budget_decay=0.66,
        **_BEYOND_ONE_MODEL,
    ),
    ("gated", "l1"): AlphaRule(
        name="measured",
        constant=0.616,
        elasticity=1.418,
        flattening=0.029,
        width_power=0.158,
        budget_exponent=-0.335,
        budget_decay=0.50,
        **_BEYOND_ONE_MODEL,
    ),
    ("jumprelu", "l0"): AlphaRule(
        name="measured",
        constant=0.061,
        elasticity=0.922,
        flattening=0.103,
        flattening_width_power=0.5,
        width_power=-0.185,
        budget_exponent=-0.254,
        budget_decay=0.34,
        **_BEYOND_ONE_MODEL,
    ),
    ("jumprelu", "tanh"): AlphaRule(
        name="measured",
        constant=0.097,
        elasticity=0.867,
        steepening=0.927,
        width_power=-0.253,
        budget_exponent=-0.016,
        **_BEYOND_ONE_MODEL,
    ),
    ("jumprelu", "quadratic"): StrengthRule(name="measured", sd=0.5, d_in_power_sd=0.2),
}
"""The shipped recipe on layer 3 of all-MiniLM-L6-v2 (measured: python -m benchmarks.recipe).

JumpReLU's tanh penalty was trained at widths 512 to 2048 and for 300 to 2400 steps only, down to
L0 6; below that it is `LEAST_OVER_EFFECTIVE` that speaks.

JumpReLU's quadratic penalty (measured: python -m benchmarks.quadratic): L0 comes to rest 2 to 3 %
above the target at 9 d_in and beyond, 3 to 4 % at 3 d_in, 10 % at a third of d_in. Against 3 d_in
fvu is 1 % higher at 9, up to 3 % at 27 and 6 % at 81: 9 lies well inside of what lands.
"""


def rule_for(architecture: str, penalty: str, situation: Situation) -> AlphaRule:
    """The rule that is surest of a situation: the measured one near its reference, or the theory.

    The theory speaks for L1 penalties, and for any penalty that has not been measured.
    """
    measured = _MEASURED.get((architecture, penalty))
    if measured is None:
        return THEORY
    if penalty == "l1" and THEORY.sd_at(situation) < measured.sd_at(situation):
        return THEORY
    return measured
