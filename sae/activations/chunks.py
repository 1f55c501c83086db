"""Documents cut to what a model can read, and split into training and held-out."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sae.activations.corpus import Corpus
from sae.activations.extraction_config import ExtractionConfig
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
    """Documents one after the other, in shuffled order."""

    def tokens(self, split: Split) -> int:
        """Tokens kept in one split."""
        return sum(len(chunk.kept) for chunk in self.chunks[split])

    def documents(self, split: Split) -> int:
        """Documents that one split draws on."""
        return len({chunk.document for chunk in self.chunks[split]})


def plan_tokens(
    corpus: Corpus, tokenizer: Any, context_tokens: int, config: ExtractionConfig
) -> TokenPlan:
    """Shuffles the documents; holds the first ones out, and trains on those that follow.

    No document is in both splits. With `max_tokens` the last document of either split is cut,
    so that there are as many tokens as asked for; without, all documents are taken as they are.

    Args:
        corpus: The text.
        tokenizer: A fast tokenizer.
        context_tokens: Longest chunk, special tokens included.
        config: Tokens of either split and of a document, and the seed of the order.

    Raises:
        SaeError: The text is too short.
    """
    wanted = {
        Split.held_out: config.held_out_tokens,
        Split.train: (config.max_tokens or sys.maxsize) - config.held_out_tokens,
    }
    plan = _plan(corpus, tokenizer, context_tokens, config, wanted)
    _require_enough(corpus, {split: plan.tokens(split) for split in wanted}, config)
    return plan


def held_out_chunks(
    corpus: Corpus, tokenizer: Any, context_tokens: int, config: ExtractionConfig
) -> list[Chunk]:
    """What `plan_tokens` holds out, whether or not there is text left to train on."""
    wanted = {Split.held_out: config.held_out_tokens}
    return _plan(corpus, tokenizer, context_tokens, config, wanted).chunks[Split.held_out]


def _plan(
    corpus: Corpus,
    tokenizer: Any,
    context_tokens: int,
    config: ExtractionConfig,
    wanted: Mapping[Split, int],
) -> TokenPlan:
    """Fills the splits wanted one after the other, as far as the text goes."""
    special = tokenizer.num_special_tokens_to_add()
    if context_tokens <= special:
        raise SaeError(
            f"context_tokens must be above the {special} special tokens that the tokenizer adds, "
            f"but got {context_tokens}."
        )
    plan = TokenPlan()
    counts = dict.fromkeys(wanted, 0)
    draw = generator(config.seed, "activations/split")
    for document in torch.randperm(len(corpus.documents), generator=draw).tolist():
        split = next((split for split in wanted if counts[split] < wanted[split]), None)
        if split is None:
            break
        room = wanted[split] - counts[split] if config.max_tokens is not None else sys.maxsize
        room = min(room, config.document_tokens or room)
        chunks = _chunks(document, corpus.documents[document], tokenizer, context_tokens)
        for chunk in first_tokens(chunks, room):
            plan.chunks[split].append(chunk)
            counts[split] += len(chunk.kept)
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


def first_tokens(chunks: Iterable[Chunk], room: int) -> Iterator[Chunk]:
    """The chunks that hold the first `room` tokens kept, the last of them cut to fit."""
    for chunk in chunks:
        kept = chunk.kept[:room]
        if len(kept):
            yield Chunk(document=chunk.document, token_ids=chunk.token_ids, kept=kept)
        room -= len(kept)


def _special_ids(tokenizer: Any) -> Tensor:
    """All special tokens but the one for unknown words, which stands for text."""
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    # GPT-2 has one token in every role; there it is special.
    roles = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    special.update(role for role in roles if role is not None)
    return torch.tensor(sorted(special), dtype=torch.int64)


def _require_enough(corpus: Corpus, counts: Mapping[Split, int], config: ExtractionConfig) -> None:
    total = sum(counts.values())
    if config.max_tokens is not None and total < config.max_tokens:
        raise SaeError(
            f"max_tokens must be at most the {total} that {corpus.name} yields, "
            f"but got {config.max_tokens}."
        )
    if not counts[Split.train] or counts[Split.held_out] < config.held_out_tokens:
        raise SaeError(
            f"held_out_tokens must leave documents to train on (of {total} tokens in "
            f"{len(corpus.documents)} documents of {corpus.name}), "
            f"but got {config.held_out_tokens}."
        )
