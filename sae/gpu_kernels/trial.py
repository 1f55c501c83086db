"""Whether Triton's kernels can be compiled here: that takes a C compiler, which not all have."""

import logging
import subprocess
from functools import cache

import torch

LOG = logging.getLogger(__name__)


@cache
def compiles(device: torch.device) -> bool:
    """Whether a small kernel runs on the device; says once why not."""
    try:
        from sae.gpu_kernels.latents import weighted_row_sum

        weighted_row_sum(torch.ones(1, 16, device=device), torch.ones(1, device=device))
    except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        reason = str(error).strip().splitlines()
        LOG.warning(
            "Triton's kernels cannot be compiled here, so that steps run in torch's operations, "
            "which takes longer: %s",
            reason[0] if reason else type(error).__name__,
        )
        return False
    return True
