import pytest
import torch

from sae.layout import is_transposed


@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (4, 1)])
def test_is_transposed_tells_a_matrix_from_a_transpose_of_its_shape(
    shape: tuple[int, int],
) -> None:
    assert not is_transposed(torch.zeros(shape))
    assert is_transposed(torch.zeros(shape[::-1]).t())


@pytest.mark.parametrize("tensor", [torch.zeros(4), torch.zeros(1, 1), torch.zeros(4, 8)[:, ::2]])
def test_is_transposed_of_what_is_no_transpose_is_false(tensor: torch.Tensor) -> None:
    assert not is_transposed(tensor)
