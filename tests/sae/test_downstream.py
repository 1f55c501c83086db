import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from sae.activations.chunks import Chunk, plan_tokens
from sae.activations.corpus import Corpus
from sae.activations.demo import load_demo_model
from sae.activations.extraction import extraction_recipe
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.manifest import Split
from sae.activations.model import Head, LanguageModel, load_model, model_head
from sae.downstream import measure
from sae.downstream_run import measure_folder, measured_chunks
from sae.errors import SaeError
from sae.sae_file import load as load_sae

CPU = torch.device("cpu")
WORDS = Corpus(
    name="words",
    documents=tuple(" ".join(f"w{(7 * n + 3 * k) % 60}" for k in range(9)) for n in range(20)),
)


@pytest.fixture(scope="module")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Head, Path]:
    """Tiny models with random weights and a head, with a tokenizer of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        GPT2Config,
        GPT2LMHeadModel,
        PreTrainedTokenizerFast,
    )

    parent = tmp_path_factory.mktemp("heads")
    torch.manual_seed(0)
    causal = GPT2Config(
        vocab_size=64, n_embd=16, n_layer=2, n_head=2, n_positions=32, initializer_range=0.5,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    masked = BertConfig(
        vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32, initializer_range=0.5,
    )  # fmt: skip
    GPT2LMHeadModel(causal).save_pretrained(parent / "causal")
    BertForMaskedLM(masked).save_pretrained(parent / "masked")
    vocabulary = {word: n for n, word in enumerate(["[UNK]", "[MASK]", "[PAD]"])}
    vocabulary |= {f"w{n}": n + 3 for n in range(60)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    for head in ("causal", "masked"):
        PreTrainedTokenizerFast(
            tokenizer_object=words,
            model_max_length=32,
            unk_token="[UNK]",
            mask_token="[MASK]",
            pad_token="[PAD]",
        ).save_pretrained(parent / head)
    return {Head.causal: parent / "causal", Head.masked: parent / "masked"}


MODULES = {Head.causal: "transformer.h.0", Head.masked: "bert.encoder.layer.0"}
HEADS = pytest.mark.parametrize("head", [Head.causal, Head.masked])


@pytest.fixture
def load(model_folders: dict[Head, Path]) -> Callable[[Head], LanguageModel]:
    folders = model_folders | {Head.none: model_folders[Head.masked]}
    return lambda head: load_model(str(folders[head]), device=CPU, head=head)


def chunks_of(model: LanguageModel, tokens: int = 100) -> list[Chunk]:
    config = ExtractionConfig(held_out_tokens=tokens)
    return plan_tokens(WORDS, model.tokenizer, 32, config).chunks[Split.held_out]


def halved(x: Tensor) -> Tensor:
    return x / 2


@HEADS
def test_measure_of_the_identity_is_clean_and_of_zeros_is_zero(
    head: Head, load: Callable[[Head], LanguageModel]
) -> None:
    model = load(head)
    whole = measure(lambda x: x, model, MODULES[head], chunks_of(model), head)
    nothing = measure(torch.zeros_like, model, MODULES[head], chunks_of(model), head)
    assert whole.spliced == pytest.approx(whole.clean)
    assert nothing.spliced == pytest.approx(nothing.zero)
    assert whole.measure == "cross_entropy"


@HEADS
def test_measure_where_zeros_are_no_worse_recovers_no_share(
    head: Head, load: Callable[[Head], LanguageModel], caplog: pytest.LogCaptureFixture
) -> None:
    model = load(head)  # untrained: what its blocks put out helps no prediction
    effect = measure(halved, model, MODULES[head], chunks_of(model), head)
    assert effect.recovered is None
    assert caplog.messages[-1].startswith("recovered is null: with zeros for module")


def test_measure_of_a_causal_model_equals_its_own_loss(
    load: Callable[[Head], LanguageModel],
) -> None:
    model = load(Head.causal)
    chunks = chunks_of(model)
    effect = measure(halved, model, "transformer.h.0", chunks, Head.causal)

    class Halved(torch.nn.Module):
        def __init__(self, block: torch.nn.Module) -> None:
            super().__init__()
            self.block = block

        def forward(self, *arguments: object, **named: object) -> object:
            output = self.block(*arguments, **named)
            return output / 2 if isinstance(output, Tensor) else (output[0] / 2, *output[1:])

    def own_loss() -> float:
        losses = [
            float(model.network(input_ids=ids[None], labels=ids[None]).loss) * (len(ids) - 1)
            for ids in (chunk.token_ids for chunk in chunks)
        ]
        return sum(losses) / sum(len(chunk.token_ids) - 1 for chunk in chunks)

    with torch.no_grad():
        assert effect.clean == pytest.approx(own_loss(), rel=1e-5)
        blocks = model.network.transformer.h
        blocks[0] = Halved(blocks[0])
        assert effect.spliced == pytest.approx(own_loss(), rel=1e-5)
    assert effect.tokens == sum(len(chunk.token_ids) - 1 for chunk in chunks)


def test_measure_of_a_causal_model_predicts_no_token_after_those_kept(
    load: Callable[[Head], LanguageModel],
) -> None:
    model = load(Head.causal)
    chunks = chunks_of(model)
    cut = [replace(chunk, kept=chunk.kept[:4]) for chunk in chunks]
    short = [replace(chunk, token_ids=chunk.token_ids[:4]) for chunk in cut]
    effect = measure(halved, model, MODULES[Head.causal], cut, Head.causal)
    expected = measure(halved, model, MODULES[Head.causal], short, Head.causal)
    assert effect.tokens == expected.tokens
    assert effect.zero == pytest.approx(expected.zero, rel=1e-5)
    assert effect.spliced == pytest.approx(expected.spliced, rel=1e-5)


def test_measure_of_pooled_outputs_counts_the_tokens_pooled(
    load: Callable[[Head], LanguageModel],
) -> None:
    model = load(Head.none)
    chunks = chunks_of(model)
    effect = measure(halved, model, "encoder.layer.0", chunks, Head.none)
    assert effect.tokens == sum(len(chunk.kept) for chunk in chunks)


def test_measure_of_a_masked_model_predicts_about_15_per_cent_of_the_tokens(
    load: Callable[[Head], LanguageModel],
) -> None:
    model = load(Head.masked)
    chunks = chunks_of(model)
    effect = measure(halved, model, MODULES[Head.masked], chunks, Head.masked)
    assert effect.tokens == sum(max(1, round(0.15 * len(chunk.kept))) for chunk in chunks)
    assert effect == measure(halved, model, MODULES[Head.masked], chunks, Head.masked)
    other = measure(halved, model, MODULES[Head.masked], chunks, Head.masked, seed=1)
    assert other.clean != effect.clean


def test_measure_leaves_special_tokens_and_hooks_alone(
    load: Callable[[Head], LanguageModel],
) -> None:
    model = load(Head.causal)
    untouched = [replace(chunk, kept=chunk.kept[:0]) for chunk in chunks_of(model)]
    seen: list[int] = []

    def count(x: Tensor) -> Tensor:
        seen.append(len(x))
        return x

    with pytest.raises(SaeError, match="must matter to what causal puts out, but zeros change"):
        measure(count, model, MODULES[Head.causal], untouched, Head.causal)
    assert set(seen) == {0}
    measure(count, model, MODULES[Head.causal], chunks_of(model), Head.causal)
    assert max(seen) > 0
    before = len(seen)
    model.network(input_ids=torch.tensor([[5, 6]]))
    assert len(seen) == before


@pytest.mark.slow
def test_measure_of_the_demo_model_is_a_cosine() -> None:
    model = load_demo_model("cpu")
    corpus = Corpus(name="cats", documents=("A cat sits on a mat.", "Stocks fell on Tuesday."))
    config = ExtractionConfig(held_out_tokens=4)
    chunks = plan_tokens(corpus, model.tokenizer, 64, config).chunks[Split.held_out]
    module = model.hook_name(3)
    whole = measure(lambda x: x, model, module, chunks, Head.none)
    half = measure(halved, model, module, chunks, Head.none)
    nothing = measure(torch.zeros_like, model, module, chunks, Head.none)
    assert (whole.measure, whole.clean) == ("cosine", pytest.approx(1.0))
    assert whole.recovered == pytest.approx(1.0)
    assert nothing.recovered == pytest.approx(0.0)
    assert nothing.zero < half.spliced < 1


@HEADS
def test_model_head_is_told_by_the_configuration(
    head: Head, model_folders: dict[Head, Path]
) -> None:
    assert model_head(str(model_folders[head])) is head


def write_identity(
    folder: Path, d_in: int, hook_name: str | None, recipe: dict[str, Any] | None = None
) -> Path:
    """An SAE whose latents are the positive and the negative part of its input."""
    folder.mkdir()
    eye = torch.eye(d_in)
    tensors = {
        "W_enc": torch.cat([eye, -eye], dim=1),
        "W_dec": torch.cat([eye, -eye]),
        "b_enc": torch.zeros(2 * d_in),
        "b_dec": torch.zeros(d_in),
    }
    save_file({name: value.contiguous() for name, value in tensors.items()},
              folder / "sae_weights.safetensors")  # fmt: skip
    config = {"architecture": "standard", "d_in": d_in, "d_sae": 2 * d_in, "dtype": "float32"}
    metadata: dict[str, Any] = {} if hook_name is None else {"hook_name": hook_name}
    metadata |= {} if recipe is None else {"recipe": recipe}
    (folder / "cfg.json").write_text(json.dumps({**config, "metadata": metadata}))
    return folder


@pytest.mark.parametrize(
    ("head", "hook_name"), [(Head.causal, "h.0"), (Head.masked, "encoder.layer.0")]
)
def test_measure_folder_finds_the_module_below_the_head(
    head: Head, hook_name: str, model_folders: dict[Head, Path], tmp_path: Path
) -> None:
    sae = write_identity(tmp_path / "sae", 16, hook_name)
    effect = measure_folder(sae, str(model_folders[head]), WORDS, 100, "cpu")
    assert effect.spliced == pytest.approx(effect.clean, abs=1e-4)


@pytest.mark.parametrize(
    "config",
    [
        ExtractionConfig(held_out_tokens=60, seed=1),
        ExtractionConfig(held_out_tokens=40, document_tokens=4, context_tokens=5),
        ExtractionConfig(held_out_tokens=30, max_tokens=100),
    ],
)
@pytest.mark.parametrize("max_tokens", [25, 1000])
def test_measured_chunks_are_what_the_extraction_held_out(
    config: ExtractionConfig,
    max_tokens: int,
    load: Callable[[Head], LanguageModel],
    tmp_path: Path,
) -> None:
    model = load(Head.causal)
    recipe = extraction_recipe(model, WORDS, config)
    sae = load_sae(write_identity(tmp_path / "sae", 16, "h.0", recipe))
    found = measured_chunks(sae, WORDS, model, max_tokens)
    context_tokens = min(config.context_tokens, model.context_tokens)
    plan = plan_tokens(WORDS, model.tokenizer, context_tokens, config)
    held_out = plan.chunks[Split.held_out]
    assert sum(len(chunk.kept) for chunk in found) == min(max_tokens, plan.tokens(Split.held_out))
    for chunk, expected in zip(found, held_out, strict=False):
        assert chunk.document == expected.document
        assert torch.equal(chunk.token_ids, expected.token_ids)


def test_measured_chunks_of_another_text_are_said_to_be_perhaps_trained_on(
    load: Callable[[Head], LanguageModel], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = load(Head.causal)
    sae = load_sae(write_identity(tmp_path / "sae", 16, "h.0"))
    short = Corpus(name="short", documents=("w1 w2 w3",))
    [chunk] = measured_chunks(sae, short, model, 100)
    assert len(chunk.kept) == 3
    assert "short is not the text that the SAE's cfg.json names" in caplog.text


@pytest.mark.parametrize(
    ("d_in", "hook_name", "message"),
    [
        (
            15,
            "h.0",
            r"must have the d_in of module transformer\.h\.0 of causal \(16\), but got 15",
        ),
        (16, "transformer.h.0.atn", r"did you mean 'transformer\.h\.0\.attn'\?"),
        (16, None, r"must name its hook_name in cfg\.json, but does not\."),
    ],
)
def test_measure_folder_of_an_sae_that_does_not_fit_is_refused(
    d_in: int,
    hook_name: str | None,
    message: str,
    model_folders: dict[Head, Path],
    tmp_path: Path,
) -> None:
    sae = write_identity(tmp_path / "sae", d_in, hook_name)
    with pytest.raises(SaeError, match=message):
        measure_folder(sae, str(model_folders[Head.causal]), WORDS, 100, "cpu")
