"""Documents cut to what a model can read, and split into training and held-out."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sae.activations.corpus import Corpus
from sae.activations.manifest import Split
from sae.errors import SaeError
from sae.seeding import generator


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Chunk:
    """A piece of a document that the model reads at once."""

    document: int
    """The document's place in the corpus."""
    token_ids: Tensor
    """int64 [positions], with the special tokens that the tokenizer adds."""
    kept: Tensor
    """int64: the positions whose activations are kept; no special token is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenPlan:
    """Which tokens are extracted, known before the model runs."""

    chunks: dict[Split, list[Chunk]] = field(
        default_factory=lambda: {split: [] for split in Split}
    )
    """Whole documents one after the other, in shuffled order."""

    def tokens(self, split: Split) -> int:
        """Tokens kept in one split."""
        return sum(len(chunk.kept) for chunk in self.chunks[split])

    def documents(self, split: Split) -> int:
        """Documents that one split draws on."""
        return len({chunk.document for chunk in self.chunks[split]})


def plan_tokens(
    corpus: Corpus,
    tokenizer: Any,
    context_tokens: int,
    *,
    max_tokens: int | None,
    held_out_tokens: int,
    seed: int,
) -> TokenPlan:
    """Shuffles the documents; holds the first ones out, and trains on those that follow.

    Held-out documents are taken whole until they make `held_out_tokens`, so that there may be
    more of them; training tokens fill the rest, and the last document is cut to fit.

    Args:
        corpus: The text.
        tokenizer: A fast tokenizer.
        context_tokens: Longest chunk, special tokens included.
        max_tokens: Tokens of both splits together; all there are when None.
        held_out_tokens: Fewest held-out tokens.
        seed: Of the order of documents.

    Raises:
        SaeError: The text is too short.
    """
    plan = TokenPlan()
    counts = dict.fromkeys(Split, 0)
    order = torch.randperm(len(corpus.documents), generator=generator(seed, "activations/split"))
    for document in order.tolist():
        split = Split.train if counts[Split.held_out] >= held_out_tokens else Split.held_out
        for chunk in _chunks(document, corpus.documents[document], tokenizer, context_tokens):
            room = len(chunk.kept)
            if split is Split.train and max_tokens is not None:
                room = min(room, max_tokens - sum(counts.values()))
            if room > 0:
                plan.chunks[split].append(_cut(chunk, room))
                counts[split] += room
        if max_tokens is not None and sum(counts.values()) >= max_tokens and counts[Split.train]:
            break
    _require_enough(corpus, counts, max_tokens, held_out_tokens)
    return plan


def _chunks(document: int, text: str, tokenizer: Any, context_tokens: int) -> Iterator[Chunk]:
    special = _special_ids(tokenizer)
    encoded = tokenizer(
        text, truncation=True, max_length=context_tokens, return_overflowing_tokens=True
    )
    for ids in encoded["input_ids"]:
        token_ids = torch.tensor(ids, dtype=torch.int64)
        kept = (~torch.isin(token_ids, special)).nonzero().squeeze(1)
        yield Chunk(document=document, token_ids=token_ids, kept=kept)


def _special_ids(tokenizer: Any) -> Tensor:
    """All special tokens but the one for unknown words, which stands for text."""
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    # GPT-2 has one token in every role; there it is special.
    roles = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    special.update(role for role in roles if role is not None)
    return torch.tensor(sorted(special), dtype=torch.int64)


def _cut(chunk: Chunk, tokens: int) -> Chunk:
    return Chunk(document=chunk.document, token_ids=chunk.token_ids, kept=chunk.kept[:tokens])


def _require_enough(
    corpus: Corpus, counts: dict[Split, int], max_tokens: int | None, held_out_tokens: int
) -> None:
    total = sum(counts.values())
    if max_tokens is not None and total < max_tokens:
        raise SaeError(
            f"max_tokens must be at most the tokens of {corpus.name} ({total}), "
            f"but got {max_tokens}."
        )
    if not counts[Split.train] or counts[Split.held_out] < held_out_tokens:
        raise SaeError(
            f"held_out_tokens must leave documents to train on (of {total} tokens in "
            f"{len(corpus.documents)} documents of {corpus.name}), but got {held_out_tokens}."
        )
