import pytest
import torch

from sae.captured_call import WARM_CALLS, CapturedCall


def test_captured_call_repeats_what_the_function_does(device: torch.device) -> None:
    source, seen = torch.zeros(4, device=device), torch.zeros(4, device=device)

    def compute() -> torch.Tensor:
        seen.add_(source)
        return source * 2

    call: CapturedCall[torch.Tensor] = CapturedCall(device)
    for value in range(1, WARM_CALLS + 4):
        source.fill_(value)
        assert call(compute).tolist() == [2.0 * value] * 4
    assert seen[0].item() == sum(range(1, WARM_CALLS + 4))


def test_captured_call_error_of_the_function_is_passed_on(device: torch.device) -> None:
    def compute() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        CapturedCall(device)(compute)
