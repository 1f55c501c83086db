import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.units import (
    ActivationScale,
    InputScale,
    Objective,
    ObjectiveConfig,
    Reduction,
    assumption,
    from_canonical,
    objective_config,
    target_count,
    target_fraction,
    to_canonical,
)

Array = npt.NDArray[np.float64]
D_IN, LATENTS, ROWS = 7, 12, 500


@dataclass(frozen=True)
class Weights:
    encoder: Array
    decoder: Array
    encoder_bias: Array
    decoder_bias: Array

    def on(self, scale: float, shift: Array) -> "Weights":
        """The same SAE for data multiplied by `scale` and moved by `shift`."""
        return Weights(
            self.encoder,
            self.decoder,
            scale * self.encoder_bias,
            scale * self.decoder_bias + shift,
        )


def reference_loss(x: Array, weights: Weights, alpha: float, config: ObjectiveConfig) -> float:
    codes = np.maximum((x - weights.decoder_bias) @ weights.encoder + weights.encoder_bias, 0.0)
    squared = (x - codes @ weights.decoder - weights.decoder_bias) ** 2
    penalty = codes * np.linalg.norm(weights.decoder, axis=1)
    mse = squared.sum(1) if config.mse_reduction is Reduction.sum else squared.mean(1)
    l1 = penalty.sum(1) if config.l1_reduction is Reduction.sum else penalty.mean(1)
    return float(np.mean(mse + alpha * l1))


@pytest.fixture(scope="module")
def raw() -> Array:
    rng = np.random.default_rng(0)
    return rng.normal(size=(ROWS, D_IN)) * np.linspace(0.5, 3.0, D_IN) + np.linspace(-2, 4, D_IN)


@pytest.fixture(scope="module")
def norms(raw: Array) -> ActivationScale:
    lengths = np.linalg.norm(raw, axis=1)
    centred = np.linalg.norm(raw - raw.mean(0), axis=1)
    return ActivationScale(
        d_in=D_IN,
        centred_rms_norm=float(np.sqrt(np.mean(centred**2))),
        raw_mean_norm=float(np.mean(lengths)),
        raw_rms_norm=float(np.sqrt(np.mean(lengths**2))),
    )


def their_data(raw: Array, scale: InputScale) -> tuple[float, Array]:
    """Scale and shift from the raw data to the convention's, by its own definition."""
    lengths = np.linalg.norm(raw, axis=1)
    zero = np.zeros(D_IN)
    if scale is InputScale.centred_rms:
        centred = raw - raw.mean(0)
        factor = float(np.sqrt(D_IN / np.mean(np.sum(centred**2, axis=1))))
        return factor, -factor * raw.mean(0)
    if scale is InputScale.mean_norm:
        return float(np.sqrt(D_IN) / np.mean(lengths)), zero
    if scale is InputScale.unit_rms:
        return float(1 / np.sqrt(np.mean(lengths**2))), zero
    return 1.0, zero


CONVENTIONS = [
    objective_config(Objective.saelens),
    objective_config(Objective.dictionary_learning),
    objective_config(Objective.anthropic),
    objective_config(Objective.gemma_scope),
    ObjectiveConfig(scale=InputScale.raw),
    ObjectiveConfig(mse_reduction=Reduction.mean),
    ObjectiveConfig(l1_reduction=Reduction.mean),
    ObjectiveConfig(
        scale=InputScale.raw, mse_reduction=Reduction.mean, l1_reduction=Reduction.mean
    ),
]


@pytest.mark.parametrize("config", CONVENTIONS, ids=str)
def test_from_canonical_makes_the_two_losses_proportional_for_any_weights(
    config: ObjectiveConfig, raw: Array, norms: ActivationScale
):
    alpha = 0.7
    theirs = from_canonical(alpha, config, norms, LATENTS)
    own_scale, own_shift = their_data(raw, InputScale.centred_rms)
    scale, shift = their_data(raw, config.scale)
    rng = np.random.default_rng(1)
    ratios: list[float] = []
    for _ in range(5):
        weights = Weights(
            rng.normal(size=(D_IN, LATENTS)),
            rng.normal(size=(LATENTS, D_IN)),
            rng.normal(size=LATENTS),
            rng.normal(size=D_IN),
        )
        canonical = reference_loss(
            raw * own_scale + own_shift, weights.on(own_scale, own_shift), alpha, ObjectiveConfig()
        )
        other = reference_loss(raw * scale + shift, weights.on(scale, shift), theirs, config)
        ratios.append(other / canonical)
    assert ratios == pytest.approx([ratios[0]] * 5, rel=1e-12)


def jump_loss(
    x: Array, weights: Weights, threshold: Array, alpha: float, config: ObjectiveConfig, name: str
) -> float:
    """JumpReLU's loss with a penalty on the number of active latents."""
    before = (x - weights.decoder_bias) @ weights.encoder + weights.encoder_bias
    active = before > threshold
    squared = (x - np.where(active, before, 0.0) @ weights.decoder - weights.decoder_bias) ** 2
    mse = squared.sum(1) if config.mse_reduction is Reduction.sum else squared.mean(1)
    over_latents = active.sum(1) if config.l1_reduction is Reduction.sum else active.mean(1)
    target = 3.0 if config.l1_reduction is Reduction.sum else 3.0 / LATENTS
    penalty = over_latents.mean()
    if name == "quadratic":
        penalty = (penalty / target - 1) ** 2
    return float(mse.mean() + alpha * penalty)


@pytest.mark.parametrize("penalty", ["l0", "quadratic"])
@pytest.mark.parametrize("config", CONVENTIONS, ids=str)
def test_from_canonical_of_a_jumprelu_penalty_makes_the_two_losses_proportional(
    config: ObjectiveConfig, penalty: str, raw: Array, norms: ActivationScale
):
    alpha = 0.7
    theirs = from_canonical(alpha, config, norms, LATENTS, penalty=penalty)
    own_scale, own_shift = their_data(raw, InputScale.centred_rms)
    scale, shift = their_data(raw, config.scale)
    rng = np.random.default_rng(1)
    ratios: list[float] = []
    for _ in range(5):
        weights = Weights(
            rng.normal(size=(D_IN, LATENTS)),
            rng.normal(size=(LATENTS, D_IN)),
            rng.normal(size=LATENTS),
            rng.normal(size=D_IN),
        )
        threshold = np.abs(rng.normal(size=LATENTS))
        canonical = jump_loss(
            raw * own_scale + own_shift,
            weights.on(own_scale, own_shift),
            threshold * own_scale,
            alpha,
            ObjectiveConfig(),
            penalty,
        )
        other = jump_loss(
            raw * scale + shift,
            weights.on(scale, shift),
            threshold * scale,
            theirs,
            config,
            penalty,
        )
        ratios.append(other / canonical)
    assert ratios == pytest.approx([ratios[0]] * 5, rel=1e-12)


@pytest.mark.parametrize("name", ["saelens", "gemma_scope"])
def test_to_canonical_of_the_tanh_penalty_on_other_data_is_refused(
    name: str, norms: ActivationScale
):
    with pytest.raises(AnalysisError, match=f"canonical and {name} units .* but got 'tanh'"):
        to_canonical(1.0, name, norms, penalty="tanh")


def test_to_canonical_of_the_tanh_penalty_on_canonical_data_is_alpha():
    assert to_canonical(0.3, "canonical", penalty="tanh") == 0.3


def test_from_canonical_anthropic_five_is_gemma_scope_five_over_root_d_on_isotropic_norms():
    # Every vector of one length: mean norm and rms norm are the same.
    norms = ActivationScale(d_in=768, centred_rms_norm=2.0, raw_mean_norm=3.0, raw_rms_norm=3.0)
    canonical = to_canonical(5.0, Objective.anthropic, norms)
    gemma = from_canonical(canonical, Objective.gemma_scope, norms)
    assert gemma == pytest.approx(5 / math.sqrt(768))


@given(
    alpha=st.floats(1e-6, 1e3),
    objective=st.sampled_from(list(Objective)),
    centred=st.floats(0.1, 10),
    excess=st.floats(1, 3),
)
def test_to_canonical_inverts_from_canonical(
    alpha: float, objective: Objective, centred: float, excess: float
):
    norms = ActivationScale(
        d_in=64, centred_rms_norm=centred, raw_mean_norm=centred, raw_rms_norm=centred * excess
    )
    there = from_canonical(alpha, objective, norms)
    assert to_canonical(there, objective, norms) == pytest.approx(alpha, rel=1e-12)


def test_to_canonical_guide_keeps_alpha_and_names_the_assumption():
    assert to_canonical(0.1, "guide") == 0.1
    assert "assumption" in str(assumption("guide"))
    assert assumption("canonical") is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, "canonical"), "alpha must be at least 0 and finite, but got -1.0"),
        ((math.nan, "canonical"), "alpha must be at least 0 and finite, but got nan"),
        ((1.0, "sparsify"), "objective must be one of canonical, guide"),
        ((1.0, "saelens"), "d_in must be known to convert mean_norm units, but got None"),
        (
            (1.0, ObjectiveConfig(l1_reduction=Reduction.mean)),
            "latent_dim must be known for a mean over latents",
        ),
    ],
)
def test_to_canonical_bad_input_is_one_line(arguments: tuple[float, str], message: str):
    with pytest.raises(AnalysisError, match=message):
        to_canonical(*arguments)


def test_to_canonical_missing_raw_norm_is_named():
    with pytest.raises(AnalysisError, match="raw_mean_norm must be known"):
        to_canonical(1.0, "saelens", ActivationScale(d_in=4, centred_rms_norm=2.0))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_activation_scale_impossible_norm_is_refused(value: float):
    with pytest.raises(AnalysisError, match="centred_rms_norm must be positive and finite"):
        ActivationScale(d_in=4, centred_rms_norm=value)


@pytest.mark.parametrize(
    ("target", "count"), [(0.05, 51.2), (1, 1.0), (64, 64.0), (1024, 1024.0), (0.999, 1022.976)]
)
def test_target_count_below_one_is_a_fraction(target: float, count: float):
    assert target_count(target, 1024) == pytest.approx(count)
    assert target_fraction(target, 1024) == pytest.approx(count / 1024)


@pytest.mark.parametrize("target", [0.0, -1.0, 1025.0, math.nan, math.inf])
def test_target_count_impossible_is_refused(target: float):
    with pytest.raises(AnalysisError, match="target_l0 must be above 0 and at most latent_dim"):
        target_count(target, 1024)


def test_target_count_impossible_width_is_refused():
    with pytest.raises(AnalysisError, match="latent_dim must be at least 1, but got 0"):
        target_count(0.5, 0)
