from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sae.deferred_gradient import DeferredGradient, RowPart
from sae.optimizer import Adam
from sae.workspace import Workspace

RATES = (1e-2, 3e-3, 1e-3)


def float64_adam(weight: Tensor, gradients: list[Tensor], divisor: float) -> Tensor:
    value = weight.double().clone()
    mean, square = torch.zeros_like(value), torch.zeros_like(value)
    for step, (gradient, rate) in enumerate(zip(gradients, RATES, strict=True), start=1):
        divided = gradient.double() / divisor
        mean = 0.9 * mean + 0.1 * divided
        square = 0.999 * square + 0.001 * divided.square()
        corrected = mean / (1 - 0.9**step), square / (1 - 0.999**step)
        value -= rate * corrected[0] / (corrected[1].sqrt() + 1e-8)
    return value


def factored(rows: int, columns: int, tokens: int, device: torch.device) -> DeferredGradient:
    random = torch.Generator().manual_seed(rows + tokens)
    left, right = (
        torch.randn(rows, tokens, generator=random),
        torch.randn(tokens, columns, generator=random),
    )
    return DeferredGradient(left=left.to(device), right=right.to(device))


@settings(max_examples=8)
@given(rows=st.integers(1, 9), columns=st.integers(1, 150))  # a program each row
def test_move_of_any_shape_agrees_with_float64_adam(rows: int, columns: int) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    random = torch.Generator().manual_seed(columns)
    start = torch.randn(rows, columns, generator=random)
    sequence = [torch.randn(rows, columns, generator=random) for _ in RATES]
    weight, gradient = start.to(device, copy=True), torch.zeros(rows, columns, device=device)
    space = Workspace(torch.float32, device, compiled=False, fused=True)
    adam = Adam({"w": weight}, {"w": gradient}, workspace=space)
    for values, rate in zip(sequence, RATES, strict=True):
        gradient.copy_(values)
        adam.step(rate, torch.tensor(2.0, device=device))
    expected = float64_adam(start, sequence, divisor=2.0)
    torch.testing.assert_close(weight.cpu().double(), expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=8)
@given(rows=st.integers(1, 70), columns=st.integers(1, 150), tokens=st.integers(1, 90))
def test_move_of_factors_agrees_with_float64_adam(rows: int, columns: int, tokens: int) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    start = torch.randn(rows, columns, generator=torch.Generator().manual_seed(columns))
    weight, gradient = start.to(device, copy=True), torch.zeros(rows, columns, device=device)
    found = factored(rows, columns, tokens, device)
    space = Workspace(torch.float32, device, compiled=False, fused=True)
    adam = Adam({"w": weight}, {"w": gradient}, workspace=space)
    for rate in RATES:
        adam.step(rate, None, {"w": found})
    expected = float64_adam(
        start, [found.left.cpu() @ found.right.cpu()] * len(RATES), divisor=1.0
    )
    torch.testing.assert_close(weight.cpu().double(), expected, rtol=1e-4, atol=1e-5)


def test_move_leaves_the_norms_of_the_rows(kernel_device: torch.device) -> None:
    weight = torch.randn(20, 30, generator=torch.Generator().manual_seed(0)).to(kernel_device)
    space = Workspace(torch.float32, kernel_device, compiled=False, fused=True)
    Adam({"w": weight}, {"w": torch.ones_like(weight)}, workspace=space).step(0.1)
    norms = space.derived.get("norms of w", weight)
    assert norms is not None
    torch.testing.assert_close(norms, weight.norm(dim=1))


def test_move_renews_the_rounded_copy_that_a_step_has_used(kernel_device: torch.device) -> None:
    weight = torch.randn(20, 30, generator=torch.Generator().manual_seed(0)).to(kernel_device)
    # Powers of two are the same in both precisions; the interpreter rounds others its own way.
    weight = weight.sign() * 4
    space = Workspace(torch.bfloat16, kernel_device, compiled=False, fused=True)
    adam = Adam({"w": weight}, {"w": torch.ones_like(weight)}, workspace=space)
    before = space.cast_weight("w", weight).clone()
    adam.step(2.0)
    assert space.held_copy("w", weight) is not None
    after = space.cast_weight("w", weight)
    assert not torch.equal(after, before)
    torch.testing.assert_close(after.float(), weight, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("has_row_part", [False, True])
def test_squared_norm_of_parts_is_that_of_their_value(
    has_row_part: bool, is_written: bool
) -> None:
    device = torch.device("cpu")
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(40, 30, generator=random)
    found = factored(40, 30, 12, device)
    if is_written:
        found = replace(found, written=found.left @ found.right)
    if has_row_part:
        along = ((found.left @ found.right) * weight).sum(1)
        part = RowPart(weights=torch.rand(40), along=along, norms=weight.norm(dim=1))
        found = replace(found, row_part=part)
    expected = found.value(weight).double().square().sum()
    torch.testing.assert_close(found.squared_norm().double(), expected, rtol=1e-5, atol=0)
