"""Batches on the run's device, each copied there while its predecessor is used."""

from collections.abc import Iterator

import torch
from torch import Tensor

from sae.activations.one_ahead import one_ahead


def batches_on(device: torch.device, batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """The same batches in the same order, on the device.

    For CUDA they go through pinned memory on a stream of their own, one ahead, so that neither
    the host nor the device waits for a copy. Elsewhere each is moved when it is asked for.

    Args:
        device: Where they are wanted.
        batches: Float32 [batch, d_in] in the host's memory; not used elsewhere meanwhile.
    """
    if device.type == "cuda":
        return _copied_ahead(device, batches)
    return (batch_BD.to(device) for batch_BD in batches)


def _copied_ahead(device: torch.device, batches: Iterator[Tensor]) -> Iterator[Tensor]:
    copies = _copies(torch.cuda.Stream(device), batches)
    for batch_BD, copied in one_ahead(copies):
        current = torch.cuda.current_stream(device)
        current.wait_event(copied)
        # Its memory belongs to the other stream, which must not reuse it before this one is done.
        batch_BD.record_stream(current)
        yield batch_BD


def _copies(
    stream: torch.cuda.Stream, batches: Iterator[Tensor]
) -> Iterator[tuple[Tensor, torch.cuda.Event]]:
    for batch_BD in batches:
        pinned_BD = batch_BD.pin_memory()
        with torch.cuda.stream(stream):
            copy_BD = pinned_BD.to(stream.device, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record(stream)
        yield copy_BD, copied
