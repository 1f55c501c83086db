"""Running a model over chunks, up to the deepest layer wanted.

Shapes: B chunks of a batch, S positions, N tokens of a window, D = d_in.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sae.activations.chunks import Chunk
from sae.activations.model import LanguageModel

BATCH_TOKENS = 4_096
"""Positions, padding included, that the model reads at once (keeps two CPU cores busy)."""


def window_rows(
    model: LanguageModel, layers: Sequence[int], window: Sequence[Chunk]
) -> dict[int, Tensor]:
    """The activations kept of a window of chunks.

    Args:
        model: The model to run.
        layers: Counted from 1, see `sae.activations.model`.
        window: Chunks; they are read in the order of their lengths.

    Returns:
        For each layer float32 [n, d_in], in the order of the window's chunks and positions.
    """
    rows: dict[int, list[Tensor]] = {layer: [torch.empty(0)] * len(window) for layer in layers}
    device = model.network.device
    for places in _batches(window):
        input_ids_BS, mask_BS = _padded([window[place].token_ids for place in places])
        streams = residual_streams(model, layers, input_ids_BS.to(device), mask_BS.to(device))
        for layer, stream_BSD in streams.items():
            for place, stream_SD in zip(places, stream_BSD.float().cpu(), strict=True):
                rows[layer][place] = stream_SD[window[place].kept]
    return {layer: torch.cat(pieces) for layer, pieces in rows.items()}


def _batches(window: Sequence[Chunk]) -> Iterator[list[int]]:
    """Places of chunks of about the same length, so that little padding is computed."""
    batch: list[int] = []
    for place in sorted(range(len(window)), key=lambda place: -len(window[place].token_ids)):
        longest = len(window[batch[0]].token_ids) if batch else 0
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    yield batch


def _padded(sequences: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Right-padded token ids and their mask, int64 [batch, positions] each."""
    ones = [torch.ones_like(sequence) for sequence in sequences]
    pad = torch.nn.utils.rnn.pad_sequence
    return pad(list(sequences), batch_first=True), pad(ones, batch_first=True)


class _DeepestLayerReached(Exception):  # noqa: N818 - a signal, not an error
    """Ends the forward pass: what follows would be computed for nothing."""


def residual_streams(
    model: LanguageModel, layers: Sequence[int], input_ids_BS: Tensor, attention_mask_BS: Tensor
) -> dict[int, Tensor]:
    """Runs one batch up to the deepest of `layers`.

    Args:
        model: The model.
        layers: Counted from 1, see the module's docstring.
        input_ids_BS: int64 [batch, positions], padded on the right.
        attention_mask_BS: int64 [batch, positions], 0 at the padding.

    Returns:
        For each layer the residual stream after its block, float32 [batch, positions, d_in].
    """
    streams: dict[int, Tensor] = {}
    deepest = max(layers)

    def keep(layer: int, output: Any) -> None:
        streams[layer] = output[0] if isinstance(output, tuple) else output
        if layer == deepest:
            raise _DeepestLayerReached

    handles = [
        model.blocks[layer - 1].register_forward_hook(
            lambda _module, _inputs, output, layer=layer: keep(layer, output)
        )
        for layer in set(layers)
    ]
    try:
        with torch.inference_mode():
            model.network(input_ids=input_ids_BS, attention_mask=attention_mask_BS)
    except _DeepestLayerReached:
        return streams
    finally:
        for handle in handles:
            handle.remove()
    raise AssertionError("the forward pass ended before its deepest layer")
