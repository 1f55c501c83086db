import math

import pytest
import torch

from sae.held_out_moments import CentredMoments, power_of_two_near


def test_centred_moments_in_batches_agree_with_float64_of_all() -> None:
    x = torch.randn(300, 5, generator=torch.Generator().manual_seed(0)) + 0.3
    moments = CentredMoments(5, torch.device("cpu"))
    for part in x.split(64):
        moments.add(part)
    expected = (x.double() - x.double().mean(0)).square().sum()
    assert moments.total_variance() == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("scale", [1e-20, 0.3, 5.0])
def test_power_of_two_near_rounds_nothing(scale: float) -> None:
    unit = power_of_two_near(scale)
    assert math.frexp(unit)[0] == 0.5
    assert 0.7 < unit / scale < 1.5
