"""The compiled step against float64 autograd, dense and sparse, and against itself."""

import pytest
import torch
from torch import Tensor

from sae.architectures import listed, screened
from sae.architectures.base import Revival, StepSettings, StepStatistics
from sae.architectures.compiled import SPARSE_BELOW
from sae.architectures.compiled_standard import compiled_gradients
from sae.architectures.config import SaeConfig
from sae.architectures.standard import StandardSae
from sae.dead_set import DeadLatents
from sae.kernels import matrix_units, tiles
from sae.kernels.compiling import target_has
from sae.workspace import Workspace

D, F = 38, 70  # no multiples of anything that the kernels cut work into
ALPHA = 0.7
CPU = torch.device("cpu")
SPARSE, DENSE = -8.0, 0.0
"""Encoder biases that leave few latents on, or half of them."""

WAYS = [
    pytest.param(dtype, bias, id=f"{dtype}-{'sparse' if bias else 'dense'}".removeprefix("torch."))
    for dtype in (torch.float32, torch.bfloat16)
    for bias in (SPARSE, DENSE)
]


def standard_sae(
    dtype: torch.dtype, bias: float, d_in: int = D, latent_dim: int = F
) -> StandardSae:
    random = torch.Generator().manual_seed(0)
    config = SaeConfig(latent_dim=latent_dim, decoder_init_norm=1.0)
    model = StandardSae(config, d_in, random, Workspace(dtype, CPU))
    for name, value in model.parameters.items():
        value += 0.05 * torch.randn(value.shape, generator=random)
        if name == "b_enc":
            value += bias / 3
    return model


def tokens(batch: int = 200, d_in: int = D) -> Tensor:
    return torch.randn(batch, d_in, generator=torch.Generator().manual_seed(1))


def step(model: StandardSae, x: Tensor) -> StepStatistics:
    return compiled_gradients(model, x, StepSettings(alpha=ALPHA))


def float64_step(model: StandardSae, x: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    weights = {name: value.double().requires_grad_() for name, value in model.parameters.items()}
    x = x.double()
    f = torch.relu((x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"])
    mse = (f @ weights["W_dec"] + weights["b_dec"] - x).square().sum(1).mean()
    loss = mse + ALPHA * (f * weights["W_dec"].norm(dim=1)).sum(1).mean()
    loss.backward()
    gradients = {name: value.grad for name, value in weights.items() if value.grad is not None}
    return loss.detach(), f.detach(), gradients


def errors(model: StandardSae, expected: dict[str, Tensor]) -> dict[str, float]:
    return {
        name: float((model.gradients[name].double() - value).norm() / value.norm())
        for name, value in expected.items()
    }


@pytest.mark.parametrize("bias", [SPARSE, DENSE])
def test_compiled_step_in_fp32_agrees_with_float64_autograd(bias: float) -> None:
    model, x = standard_sae(torch.float32, bias), tokens()
    statistics = step(model, x)
    loss, f, expected = float64_step(model, x)
    assert max(errors(model, expected).values()) < 1e-6
    assert float(statistics.loss) == pytest.approx(float(loss), rel=1e-6)
    assert float(statistics.mse + ALPHA * statistics.l1) == pytest.approx(float(loss), rel=1e-6)
    assert statistics.firings.tolist() == (f > 0).sum(0).tolist()


@pytest.mark.parametrize("bias", [SPARSE, DENSE])
def test_compiled_step_in_bf16_is_as_near_to_float64_as_the_plain_one(bias: float) -> None:
    compiled, plain = standard_sae(torch.bfloat16, bias), standard_sae(torch.bfloat16, bias)
    statistics = step(compiled, tokens())
    plain.plain_gradients(tokens(), StepSettings(alpha=ALPHA))
    loss, _, expected = float64_step(compiled, tokens())
    limits = errors(plain, expected)
    for name, error in errors(compiled, expected).items():
        assert error < 1.5 * limits[name] + 1e-3, name
    assert float(statistics.loss) == pytest.approx(float(loss), rel=0.01)


@pytest.mark.parametrize(("dtype", "bias"), WAYS)
def test_sparse_tests_are_below_the_threshold_and_dense_ones_above(
    dtype: torch.dtype, bias: float
) -> None:
    _, f, _ = float64_step(standard_sae(dtype, bias), tokens())
    density = float((f > 0).double().mean())
    assert (0.001 < density < SPARSE_BELOW[dtype]) == bool(bias)


@pytest.mark.parametrize(("dtype", "bias"), WAYS)
def test_compiled_step_gives_the_same_bytes_on_any_number_of_threads(
    dtype: torch.dtype, bias: float
) -> None:
    found: list[dict[str, Tensor]] = []
    for count in (1, 2, 2):
        torch.set_num_threads(count)
        model = standard_sae(dtype, bias)
        step(model, tokens())
        found.append({"W_enc": model.gradients["W_enc"], "W_dec": model.gradients["W_dec"]})
    for name, value in found[1].items():
        assert torch.equal(value, found[2][name])
        torch.testing.assert_close(value, found[0][name], rtol=1e-3, atol=1e-5)


def test_compiled_step_with_a_batch_that_four_does_not_divide_agrees_too() -> None:
    model, x = standard_sae(torch.float32, SPARSE), tokens(203)
    step(model, x)
    _, _, expected = float64_step(model, x)
    for name, value in expected.items():
        torch.testing.assert_close(model.gradients[name].double(), value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("bias", [SPARSE, DENSE])
def test_compiled_step_on_a_token_that_is_not_a_number_says_so_in_the_loss(bias: float) -> None:
    x = tokens()
    x[3, 5] = torch.nan
    assert not bool(step(standard_sae(torch.float32, bias), x).loss.isfinite())


@pytest.fixture
def screens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the screen run where a processor has something faster too."""
    if not target_has("avx2"):
        pytest.skip("no AVX2 on this machine")
    monkeypatch.setattr(tiles, "has_tiles", lambda: True)


def revival(dead: int, latent_dim: int = F) -> Revival:
    found = DeadLatents(listed=torch.arange(latent_dim)[latent_dim - dead :], are_dead=None)
    return Revival(dead=found, latents=4, coefficient=0.1, pre_activation=0.01)


def gradients(model: StandardSae, x: Tensor, settings: StepSettings) -> dict[str, Tensor]:
    compiled_gradients(model, x, settings)
    return {name: value.clone() for name, value in model.gradients.items()}


@pytest.mark.usefixtures("screens")
def test_screened_step_is_that_of_all_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    x, settings = tokens(203), StepSettings(alpha=ALPHA, revival=revival(dead=5))
    found = gradients(standard_sae(torch.float32, SPARSE), x, settings)
    monkeypatch.setattr(tiles, "has_tiles", lambda: False)
    expected = gradients(standard_sae(torch.float32, SPARSE), x, settings)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("screens")
@pytest.mark.parametrize(
    ("dtype", "bias", "d_in", "dead", "is_screened"),
    [
        pytest.param(torch.float32, SPARSE, D, 0, True, id="few on"),
        pytest.param(torch.float32, SPARSE, D, 5, True, id="few on, few dead"),
        pytest.param(torch.float32, DENSE, D, 0, False, id="many on"),
        pytest.param(torch.float32, SPARSE, D, 40, False, id="many dead"),
        pytest.param(torch.float32, SPARSE, D - 1, 0, False, id="odd d_in"),
        pytest.param(torch.bfloat16, SPARSE, D, 0, False, id="bfloat16"),
    ],
)
def test_screen_is_used_where_it_is_faster(
    dtype: torch.dtype, bias: float, d_in: int, dead: int, is_screened: bool
) -> None:
    model, x = standard_sae(dtype, bias, d_in), tokens(d_in=d_in)
    settings = StepSettings(alpha=ALPHA, revival=revival(dead) if dead else None)
    assert (screened.rectify(model, x, settings) is not None) == is_screened


@pytest.mark.usefixtures("screens")
def test_screen_of_a_batch_with_more_on_than_its_first_tokens_show_gives_way() -> None:
    x = tokens(400)
    x[: screened.SAMPLE_TOKENS] *= 0.01
    assert screened.rectify(standard_sae(torch.float32, DENSE), x, StepSettings(alpha=1)) is None
    model = standard_sae(torch.float32, DENSE)
    model.parameters["b_enc"] -= 0.5
    step(model, x)
    _, _, expected = float64_step(model, x)
    assert max(errors(model, expected).values()) < 1e-6


WHOLE_D, WHOLE_F = 2 * matrix_units.STEP, 3 * matrix_units.SIDE
needs_matrix_units = pytest.mark.skipif(
    not matrix_units.has_matrix_units(), reason="no matrix units for bfloat16 on this machine"
)


@needs_matrix_units
@pytest.mark.parametrize("dead", [0, 7])
def test_listed_step_is_as_near_to_all_latents_in_fp32_as_the_plain_one(
    monkeypatch: pytest.MonkeyPatch, dead: int
) -> None:
    settings = StepSettings(alpha=ALPHA, revival=revival(dead, WHOLE_F) if dead else None)
    x = tokens(603, WHOLE_D)

    def model(dtype: torch.dtype) -> StandardSae:
        return standard_sae(dtype, SPARSE, WHOLE_D, WHOLE_F)

    assert listed.rectify(model(torch.bfloat16), x, settings) is not None
    found = gradients(model(torch.bfloat16), x, settings)
    monkeypatch.setattr(matrix_units, "has_matrix_units", lambda: False)
    exact = gradients(model(torch.float32), x, settings)
    plain = model(torch.bfloat16)
    plain.plain_gradients(x, settings)
    for name, value in exact.items():
        limit = 1.5 * float((plain.gradients[name] - value).norm()) + 1e-3 * float(value.norm())
        assert float((found[name] - value).norm()) < limit, name


@needs_matrix_units
@pytest.mark.parametrize(
    ("dtype", "bias", "d_in", "latent_dim", "dead", "is_listed"),
    [
        pytest.param(torch.bfloat16, SPARSE, WHOLE_D, WHOLE_F, 0, True, id="few on"),
        pytest.param(torch.bfloat16, SPARSE, WHOLE_D, WHOLE_F, 5, True, id="few on, few dead"),
        pytest.param(torch.bfloat16, DENSE, WHOLE_D, WHOLE_F, 0, False, id="many on"),
        pytest.param(torch.bfloat16, SPARSE, WHOLE_D, WHOLE_F, 40, False, id="many dead"),
        pytest.param(torch.bfloat16, SPARSE, WHOLE_D - 2, WHOLE_F, 0, False, id="part of a step"),
        pytest.param(torch.bfloat16, SPARSE, WHOLE_D, F, 0, False, id="part of a block"),
        pytest.param(torch.float32, SPARSE, WHOLE_D, WHOLE_F, 0, False, id="float32"),
    ],
)
def test_lists_are_used_where_they_are_faster(
    dtype: torch.dtype, bias: float, d_in: int, latent_dim: int, dead: int, is_listed: bool
) -> None:
    model, x = standard_sae(dtype, bias, d_in, latent_dim), tokens(d_in=d_in)
    settings = StepSettings(alpha=ALPHA, revival=revival(dead, latent_dim) if dead else None)
    assert (listed.rectify(model, x, settings) is not None) == is_listed


@needs_matrix_units
def test_batch_whose_first_tokens_have_many_on_is_not_listed() -> None:
    model, x, settings = (
        standard_sae(torch.bfloat16, SPARSE, WHOLE_D, WHOLE_F),
        tokens(603, WHOLE_D),
        StepSettings(alpha=ALPHA),
    )
    x[: screened.SAMPLE_TOKENS] *= 10
    assert listed.rectify(model, x, settings) is None
    x[: screened.SAMPLE_TOKENS] = x[-screened.SAMPLE_TOKENS :]
    assert listed.rectify(model, x, settings) is not None


@needs_matrix_units
def test_listed_step_gives_the_same_bytes_on_any_number_of_threads() -> None:
    found: list[dict[str, Tensor]] = []
    for count in (1, 2):
        torch.set_num_threads(count)
        model = standard_sae(torch.bfloat16, SPARSE, WHOLE_D, WHOLE_F)
        statistics = step(model, tokens(603, WHOLE_D))
        found.append(model.gradients | {"loss": statistics.loss, "firings": statistics.firings})
    for name, value in found[1].items():
        assert torch.equal(value, found[0][name]), name


@needs_matrix_units
def test_listed_step_after_others_is_that_of_a_new_model() -> None:
    """After another size of batch, and one with more on than its first tokens show."""
    model, new = (standard_sae(torch.bfloat16, SPARSE, WHOLE_D, WHOLE_F) for _ in range(2))
    bright = tokens(603, WHOLE_D)
    bright[screened.SAMPLE_TOKENS :] *= 10
    assert listed.rectify(model, bright, StepSettings(alpha=ALPHA)) is None
    for x in (tokens(97, WHOLE_D), bright):
        step(model, x)
    x = tokens(603, WHOLE_D)
    step(model, x)
    step(new, x)
    for name, value in new.gradients.items():
        assert torch.equal(model.gradients[name], value), name


def test_compiled_step_where_nothing_fires_has_the_gradient_of_b_dec_only() -> None:
    model = standard_sae(torch.bfloat16, -300.0)
    step(model, tokens())
    assert model.gradients["b_dec"].norm() > 0
    assert not any(model.gradients[name].any() for name in ("W_enc", "W_dec", "b_enc"))
