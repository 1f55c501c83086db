"""What a model loses when an SAE's reconstruction takes the place of its activations.

With E_clean the model's own cross-entropy, E_sae that with the SAE spliced in, and E_zero that
with zeros there instead, the cross-entropy recovered is (E_zero - E_sae) / (E_zero - E_clean), as
in SAELens and dictionary_learning. A model without a head has no cross-entropy: there it is the
cosine between pooled outputs (mean over tokens), clean and spliced, that takes E's place, so that
(C_sae - C_zero) / (1 - C_zero) is recovered.

Only tokens that an SAE is trained on are replaced: special tokens and padding stay.

Shapes: C chunks of text, B chunks of a batch, S positions, D = d_in, V tokens of the vocabulary.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sae.activations.chunks import Chunk
from sae.activations.model import Head, LanguageModel
from sae.activations.module_outputs import first_output, output_widths
from sae.errors import SaeError
from sae.seeding import generator

LOG = logging.getLogger(__name__)

MASKED_PART = 0.15
"""Of the tokens, hidden from a masked model (Devlin et al. 2018)."""
LEAST_ERRORS = 2.0
"""Standard errors that zeros must cost for the share of it that is recovered to mean anything."""

Replacement = Callable[[Tensor], Tensor]
"""Raw activations [n, d_in] to what stands in for them, such as an `Sae`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DownstreamEffect:
    """How much of what a model does survives the splice."""

    measure: str
    """"cross_entropy" (nats a token) or "cosine" (of the pooled output)."""
    clean: float
    """Of the model as it is; 1 for a cosine."""
    spliced: float
    """With the SAE's reconstruction."""
    zero: float
    """With zeros."""
    recovered: float | None
    """(zero - spliced) / (zero - clean): 1 where nothing is lost, 0 where zeros do as well. None
    where zeros are not worse than the model as it is by two standard errors: it is noise then."""
    tokens: int
    """Tokens predicted for a cross-entropy, which is their mean; tokens pooled for a cosine, which
    is the mean over chunks of text."""


def measure(
    replacement: Replacement,
    model: LanguageModel,
    module: str,
    chunks: Sequence[Chunk],
    head: Head,
    seed: int = 0,
) -> DownstreamEffect:
    """Runs the model three times over the text: as it is, spliced, and with zeros.

    Args:
        replacement: An SAE, or anything else that maps raw activations to others.
        model: Loaded with `head`.
        module: Whose output is replaced.
        chunks: The text, such as the held-out part of a `TokenPlan`.
        head: What the model predicts.
        seed: Which tokens are hidden from a masked model.

    Raises:
        SaeError: There is no text, or the module's output cannot be replaced.
    """
    if not chunks:
        raise SaeError("text must hold at least one document to measure on, but got none.")
    (site,) = model.sites((), (module,))
    output_widths(model, [site.module])
    runs = _Runs(model, module, head, seed)
    splices: tuple[Replacement | None, ...] = (None, replacement, torch.zeros_like)
    with torch.inference_mode():
        losses_C5 = torch.stack(
            [runs.losses(chunk, number, splices) for number, chunk in enumerate(chunks)]
        )
    totals = losses_C5.sum(0)
    if totals[3] == 0:
        raise SaeError("text must hold chunks of two tokens or more, but got none.")
    clean, spliced, zero = (totals[:3] / totals[3]).tolist()
    if clean == zero:
        raise SaeError(
            f"module {module} must matter to what {model.name} puts out, but zeros change nothing."
        )
    lost = clean - zero if head is Head.none else zero - clean
    noise = _standard_error(losses_C5[:, 2] - losses_C5[:, 0], losses_C5[:, 3])
    matters = lost > LEAST_ERRORS * noise
    if not matters:
        LOG.warning(
            "recovered is null: with zeros for module %s the %s is %.6g, as it is %.6g, which on "
            "so little text is no difference.",
            module,
            "cosine" if head is Head.none else "cross-entropy",
            zero,
            clean,
        )
    return DownstreamEffect(
        measure="cosine" if head is Head.none else "cross_entropy",
        clean=clean,
        spliced=spliced,
        zero=zero,
        recovered=(zero - spliced) / (zero - clean) if matters else None,
        tokens=int(totals[4]),
    )


def _standard_error(sums_C: Tensor, counts_C: Tensor) -> float:
    """Of the ratio of two sums over chunks (Cochran 1977, section 6.3); 0 for a single chunk."""
    chunks = len(sums_C)
    if chunks == 1:
        return 0.0
    about_C = sums_C - sums_C.sum() / counts_C.sum() * counts_C
    variance = about_C.square().sum() * chunks / (chunks - 1)
    return float(variance.sqrt() / counts_C.sum())


class _Runs:
    """One chunk at a time, so that nothing is padded."""

    def __init__(self, model: LanguageModel, module: str, head: Head, seed: int) -> None:
        self._model = model
        self._module = model.network.get_submodule(module)
        self._head = head
        self._seed = seed

    def losses(self, chunk: Chunk, number: int, splices: Sequence[Replacement | None]) -> Tensor:
        """Summed losses of every splice, how many they sum, and of how many tokens: [n + 2]."""
        ids_S, targets_S = self._task(chunk, number)
        outputs = [self._run(ids_S, chunk.kept, splice) for splice in splices]
        if self._head is Head.none:
            pooled = [output_SD[chunk.kept].mean(0) for output_SD in outputs]
            values = [functional.cosine_similarity(one, pooled[0], dim=0) for one in pooled]
            return torch.tensor([*values, 1, len(chunk.kept)], dtype=torch.float64)
        count = (targets_S >= 0).sum()
        values = [
            functional.cross_entropy(logits_SV, targets_S, ignore_index=-1, reduction="sum")
            for logits_SV in outputs
        ]
        return torch.stack([*values, count, count]).double()

    def _task(self, chunk: Chunk, number: int) -> tuple[Tensor, Tensor]:
        """Token ids to read, and what each position is to predict (-1: nothing), int64 [s]."""
        ids_S = chunk.token_ids
        targets_S = torch.full_like(ids_S, -1)
        if self._head is Head.causal:
            # Of a chunk cut short only what is kept: what follows is hardly touched by a splice.
            last = max(chunk.kept.tolist(), default=len(ids_S) - 1)
            targets_S[:last] = ids_S[1 : last + 1]
        elif self._head is Head.masked:
            draw = generator(self._seed, f"downstream/mask {number}")
            count = max(1, round(MASKED_PART * len(chunk.kept)))
            hidden = chunk.kept[torch.randperm(len(chunk.kept), generator=draw)[:count]]
            targets_S[hidden] = ids_S[hidden]
            ids_S = ids_S.index_fill(0, hidden, self._model.tokenizer.mask_token_id)
        return ids_S, targets_S

    def _run(self, ids_S: Tensor, kept: Tensor, splice: Replacement | None) -> Tensor:
        """Logits [s, vocabulary], or the last hidden state [s, d_in]; float32 on the CPU."""
        network = self._model.network
        ids_BS = ids_S[None].to(network.device)
        with self._spliced(kept.to(network.device), splice):
            output = network(input_ids=ids_BS, attention_mask=torch.ones_like(ids_BS))
        return output[0][0].float().cpu()

    def _spliced(self, kept: Tensor, splice: Replacement | None) -> AbstractContextManager[object]:
        if splice is None:
            return nullcontext()

        def replace(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            stream_BSD = first_output(output).clone()
            stream_BSD[0, kept] = splice(stream_BSD[0, kept]).to(stream_BSD.dtype)
            return stream_BSD if isinstance(output, Tensor) else (stream_BSD, *output[1:])

        return self._module.register_forward_hook(replace)
