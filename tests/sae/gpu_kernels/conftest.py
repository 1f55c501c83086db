import pytest
import torch


@pytest.fixture
def kernel_device() -> torch.device:
    """A GPU, or else the host's memory, where Triton's kernels are interpreted."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
