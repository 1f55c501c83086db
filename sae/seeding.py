"""Independent random streams derived from one seed."""

import hashlib

import torch


def stream_seed(seed: int, stream: str) -> int:
    """A 63-bit seed for the named stream, so that no two uses of one seed share random numbers.

    Args:
        seed: The run's seed.
        stream: What the numbers are for, such as "init" or "shuffle/epoch 3".
    """
    digest = hashlib.sha256(f"{stream}:{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, stream: str) -> torch.Generator:
    """A CPU generator of torch for the named stream."""
    return torch.Generator().manual_seed(stream_seed(seed, stream))
