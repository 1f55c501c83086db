import itertools
from collections.abc import Generator, Mapping
from threading import Event, Timer
from typing import Any

import pytest
import torch
from torch import Tensor

from sae.activations import stream as stream_module
from sae.activations.canonical import CanonicalUnits
from sae.activations.chunks import plan_tokens
from sae.activations.corpus import Corpus
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.manifest import Split
from sae.activations.model import LanguageModel
from sae.activations.module_outputs import window_rows
from sae.activations.stream import TokenStream

RAW = CanonicalUnits(mean=torch.zeros(()), scale=1.0)
CONFIG = ExtractionConfig(layers=(2,), held_out_tokens=60)


def make_stream(model: LanguageModel, corpus: Corpus, buffer_tokens: int) -> TokenStream:
    plan = plan_tokens(corpus, model.tokenizer, 32, CONFIG)
    return TokenStream(model, model.hook_name(2), plan.chunks[Split.train], buffer_tokens)


def first_batches(
    stream: TokenStream, batch_size: int, count: int, start_step: int = 0, seed: int = 0
) -> list[Tensor]:
    return list(itertools.islice(stream.batches(batch_size, seed, start_step, RAW), count))


def in_order(stream: TokenStream, chunks: int) -> Tensor:
    return stream.rows(torch.arange(chunks), 0, len(stream))


def shadow(rows: Tensor) -> Tensor:
    """The rows on one line, sorted: the same for the same rows in any order."""
    line = torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(3))
    return (rows @ line).sort().values


@pytest.mark.parametrize("buffer_tokens", [7, 64, 10_000])
def test_batches_cover_every_token_once_an_epoch(
    buffer_tokens: int, gpt2: LanguageModel, corpus: Corpus
) -> None:
    stream = make_stream(gpt2, corpus, buffer_tokens)
    n = len(stream)
    plan = plan_tokens(corpus, gpt2.tokenizer, 32, CONFIG)
    expected = in_order(stream, len(plan.chunks[Split.train]))
    rows = torch.cat(first_batches(stream, 10, 2 * n // 10 + 1))
    for epoch in range(2):
        seen = rows[epoch * n : (epoch + 1) * n]
        torch.testing.assert_close(shadow(seen), shadow(expected), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("start_step", [1, 6, 12, 31])
def test_batches_started_later_equal_those_skipped_to(
    start_step: int, bert: LanguageModel, corpus: Corpus
) -> None:
    stream = make_stream(bert, corpus, 64)
    skipped = first_batches(stream, 20, start_step + 4)[start_step:]
    started = first_batches(stream, 20, 4, start_step)
    assert all(torch.equal(a, b) for a, b in zip(skipped, started, strict=True))


def test_batches_twice_are_equal_and_of_another_seed_are_not(
    bert: LanguageModel, corpus: Corpus
) -> None:
    stream = make_stream(bert, corpus, 64)
    first, again = (first_batches(stream, 50, 4) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first_batches(stream, 50, 1, seed=1)[0])


def test_batches_of_two_epochs_are_ordered_differently(
    bert: LanguageModel, corpus: Corpus
) -> None:
    stream = make_stream(bert, corpus, 10_000)
    first, second = first_batches(stream, len(stream), 2)
    assert not torch.equal(first, second)


def test_batches_closed_run_the_model_over_no_further_text(
    gpt2: LanguageModel, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = make_stream(gpt2, corpus, 10_000)
    plan = plan_tokens(corpus, gpt2.tokenizer, 32, CONFIG)
    of_a_buffer = len(plan.chunks[Split.train])  # which holds an epoch
    windows: list[int] = []
    second_begun, closing = Event(), Event()

    def counted(*asked: Any) -> Mapping[str, Tensor]:
        windows.append(1)
        if len(windows) > of_a_buffer:
            second_begun.set()
            assert closing.wait(60)
        return window_rows(*asked)

    monkeypatch.setattr(stream_module, "WINDOW_CHUNKS", 1)
    monkeypatch.setattr(stream_module, "window_rows", counted)
    batches = stream.batches(20, 0, 0, RAW)
    assert isinstance(batches, Generator)
    next(batches)
    assert second_begun.wait(60)
    Timer(0.3, closing.set).start()  # by then `close` has said that nobody reads on
    batches.close()
    assert len(windows) == of_a_buffer + 1


def test_batches_changed_by_the_caller_leave_the_others_alone(
    bert: LanguageModel, corpus: Corpus
) -> None:
    stream = make_stream(bert, corpus, 64)
    expected = first_batches(stream, 20, 2)[1]
    batches = stream.batches(20, 0, 0, RAW)
    next(batches).zero_()
    assert torch.equal(next(batches), expected)
