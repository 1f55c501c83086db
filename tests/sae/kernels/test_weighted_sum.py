"""The encoder's weighted rows in sum, against float64."""

import pytest
import torch

from sae.kernels.weighted_sum import weighted_row_sum


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1), (31, 7), (32, 16), (100, 38), (257, 384)])
def test_weighted_row_sum_agrees_with_float64(shape: tuple[int, int], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(shape[0])
    matrix_FD = torch.randn(shape, generator=generator).to(dtype)
    weights_F = torch.randn(shape[0], generator=generator)
    expected_D = weights_F.double() @ matrix_FD.double()
    found_D = weighted_row_sum(matrix_FD, weights_F)
    torch.testing.assert_close(found_D.double(), expected_D, rtol=1e-5, atol=1e-5)
    assert found_D.dtype is torch.float32
