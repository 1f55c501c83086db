from pathlib import Path

import pytest
import torch

from sae.activations import ActivationsConfig, ActivationSource, open_activations
from sae.activations.config import StreamConfig
from sae.activations.corpus import Corpus
from sae.activations.extraction import extract
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.folder import open_folder
from sae.activations.model import LanguageModel
from sae.activations.store import ActivationStore
from sae.activations.streaming import streamed_store
from sae.architectures.config import SaeConfig
from sae.errors import SaeError
from sae.trainer_config import TrainerConfig
from sae.training import TrainingRequest, train

CONFIG = ExtractionConfig(layers=(2,), held_out_tokens=60)


@pytest.fixture
def store(bert: LanguageModel, corpus: Corpus) -> ActivationStore:
    return streamed_store(bert, corpus, CONFIG, buffer_tokens=64, statistics_tokens=10_000)


def test_streamed_store_holds_the_same_as_an_extracted_one(
    store: ActivationStore, bert: LanguageModel, corpus: Corpus, tmp_path: Path
) -> None:
    extracted = open_folder(extract(bert, corpus, CONFIG, tmp_path)[0])
    assert (store.n_train, store.n_held_out) == (extracted.n_train, extracted.n_held_out)
    assert store.scale == pytest.approx(extracted.scale, rel=1e-5)
    torch.testing.assert_close(store.mean, extracted.mean, atol=1e-4, rtol=1e-4)
    (ours, ours_documents), (theirs, documents) = (
        next(one.held_out_batches(1000)) for one in (store, extracted)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert torch.equal(ours_documents, documents)


def test_streamed_store_statistics_are_of_the_first_tokens(
    bert: LanguageModel, corpus: Corpus
) -> None:
    store = streamed_store(bert, corpus, CONFIG, buffer_tokens=64, statistics_tokens=100)
    assert store.statistics.tokens == 100


def test_streamed_store_of_another_buffer_has_another_fingerprint(
    store: ActivationStore, bert: LanguageModel, corpus: Corpus
) -> None:
    other = streamed_store(bert, corpus, CONFIG, buffer_tokens=65, statistics_tokens=10_000)
    assert other.fingerprint != store.fingerprint


def test_training_on_a_streamed_store_resumes_with_the_same_bytes(
    store: ActivationStore, tmp_path: Path
) -> None:
    request = TrainingRequest(
        sae=SaeConfig(latent_dim=32),
        trainer=TrainerConfig(total_steps=20, batch_size=32, dead_window=1000, stop_early=False),
        alpha_canonical=0.5,
        device="cpu",
    )
    train(request, store, tmp_path / "whole")

    def interrupt(row: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(request, store, tmp_path / "resumed", on_log=interrupt)
    train(request, store, tmp_path / "resumed")
    whole, resumed = (
        (tmp_path / name / "sae" / "sae_weights.safetensors").read_bytes()
        for name in ("whole", "resumed")
    )
    assert whole == resumed


@pytest.mark.slow
def test_open_activations_of_the_demos_stream_gives_the_same_bytes_again(
    tmp_path: Path,
) -> None:
    for number in range(60):
        (tmp_path / f"{number}.txt").write_text(f"Document {number} tells of a cat. " * 6)
    config = ActivationsConfig(
        source=ActivationSource.stream,
        held_out_tokens=300,
        stream=StreamConfig(
            text=str(tmp_path), max_tokens=2300, buffer_tokens=1000, statistics_tokens=1000
        ),
    )
    first, again = (open_activations(config) for _ in range(2))
    assert first.name == "all-MiniLM-L6-v2 layer 3, streamed"
    assert first.fingerprint == again.fingerprint
    assert torch.equal(first.mean, again.mean)
    one, other = (store.train_batches(512, seed=0) for store in (first, again))
    assert all(torch.equal(next(one), next(other)) for _ in range(3))


def test_streamed_store_of_too_little_text_is_refused(bert: LanguageModel) -> None:
    short = Corpus(name="short", documents=("w1 w2",))
    with pytest.raises(SaeError, match="held_out_tokens must leave documents to train on"):
        streamed_store(bert, short, CONFIG, buffer_tokens=64, statistics_tokens=64)


def test_stream_config_out_of_range_is_refused() -> None:
    with pytest.raises(
        SaeError, match=r"activations\.stream\.buffer_tokens must be positive, but got 0\."
    ):
        StreamConfig(buffer_tokens=0)
