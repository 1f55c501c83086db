"""Finding what makes going on with a run pointless."""

import math
from collections.abc import Mapping

from torch import Tensor

from sae.architectures.base import StepStatistics


def non_finite_tensor(statistics: StepStatistics, gradients: Mapping[str, Tensor]) -> str | None:
    """Names what is NaN or infinite in a step, before the optimizer spreads it.

    Only the loss and the biases' gradients are read: those are sums over the latents' gradients,
    so a NaN anywhere shows in them. On the CPU that costs microseconds; elsewhere it waits for
    the device.

    Args:
        statistics: The step's statistics.
        gradients: By the parameters' names.

    Returns:
        "loss" or "the gradient of W_enc", say; None where all is finite.
    """
    vectors = [value.sum() for value in gradients.values() if value.dim() == 1]
    if all(math.isfinite(float(value)) for value in (statistics.loss, *vectors)):
        return None
    if not math.isfinite(float(statistics.loss)):
        return "the loss"
    found = [name for name, value in gradients.items() if not value.isfinite().all()]
    return f"the gradient of {found[0]}" if found else "a gradient's sum"
