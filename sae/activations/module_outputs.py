"""Running a model over chunks, as far as the modules wanted.

Shapes: B chunks of a batch, S positions, N tokens of a window, D a module's width.
"""

from collections.abc import Iterator, Sequence, Set
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sae.activations.chunks import Chunk
from sae.activations.model import LanguageModel
from sae.errors import SaeError

BATCH_TOKENS = 4_096
"""Positions, padding included, that the model reads at once (keeps two CPU cores busy)."""


def window_rows(
    model: LanguageModel, modules: Sequence[str], window: Sequence[Chunk]
) -> dict[str, Tensor]:
    """The activations kept of a window of chunks.

    Args:
        model: The model to run.
        modules: Names in the network.
        window: Chunks; they are read in the order of their lengths.

    Returns:
        For each module float32 [n, width], in the order of the window's chunks and positions.
    """
    rows = {module: [torch.empty(0)] * len(window) for module in modules}
    device = model.network.device
    for places in _batches(window):
        input_ids_BS, mask_BS = _padded([window[place].token_ids for place in places])
        outputs = module_outputs(model, modules, input_ids_BS.to(device), mask_BS.to(device))
        for module, output_BSD in outputs.items():
            for place, output_SD in zip(places, output_BSD.float().cpu(), strict=True):
                rows[module][place] = output_SD[window[place].kept]
    return {module: torch.cat(pieces) for module, pieces in rows.items()}


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


class _AllTaken(Exception):  # noqa: N818 - a signal, not an error
    """Ends the forward pass: what follows would be computed for nothing."""


def module_outputs(
    model: LanguageModel, modules: Sequence[str], input_ids_BS: Tensor, attention_mask_BS: Tensor
) -> dict[str, Tensor]:
    """Runs one batch until all of `modules` have put something out.

    One thread at a time, since a hook sees the outputs of everybody's pass through the network.

    Args:
        model: The model.
        modules: Names in the network.
        input_ids_BS: int64 [batch, positions], padded on the right.
        attention_mask_BS: int64 [batch, positions], 0 at the padding.

    Returns:
        For each module its output, or the first of several: float [batch, positions, width].

    Raises:
        SaeError: A module does not run, or puts out something else than activations.
    """
    with model.running:
        outputs = _run(model, frozenset(modules), input_ids_BS, attention_mask_BS)
    for module in modules:
        _require_activations(model, module, outputs.get(module), input_ids_BS)
    return outputs


def _run(
    model: LanguageModel, wanted: Set[str], input_ids_BS: Tensor, attention_mask_BS: Tensor
) -> dict[str, Tensor]:
    """As `module_outputs`, by hooks that go again; outputs may lack modules that did not run."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str, _module: nn.Module, _inputs: Any, output: Any) -> None:
        outputs.setdefault(name, first_output(output))
        if outputs.keys() == wanted:
            raise _AllTaken

    handles = [
        model.network.get_submodule(name).register_forward_hook(partial(keep, name))
        for name in wanted
    ]
    try:
        with torch.inference_mode():
            model.network(input_ids=input_ids_BS, attention_mask=attention_mask_BS)
    except _AllTaken:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def first_output(output: Any) -> Any:
    """What a module put out, or the first of several."""
    return output if isinstance(output, Tensor) else output[0]


def output_widths(model: LanguageModel, modules: Sequence[str]) -> dict[str, int]:
    """Dimensions of the activations of each module, found by running one short chunk.

    Raises:
        SaeError: As `module_outputs`.
    """
    ids_BS = torch.zeros(1, 2, dtype=torch.int64, device=model.network.device)
    outputs = module_outputs(model, modules, ids_BS, torch.ones_like(ids_BS))
    return {module: outputs[module].shape[2] for module in modules}


def _require_activations(
    model: LanguageModel, module: str, output: Tensor | None, input_ids_BS: Tensor
) -> None:
    if output is None:
        raise SaeError(f"module {module} must run when {model.name} does, but it does not.")
    if output.dim() != 3 or output.shape[:2] != input_ids_BS.shape:
        raise SaeError(
            f"module {module} of {model.name} must put out [batch, positions, width] for "
            f"{list(input_ids_BS.shape)} tokens, but got {list(output.shape)}."
        )
