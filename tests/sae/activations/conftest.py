"""Real, tiny Hugging Face models with random weights, saved once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sae.activations.corpus import Corpus
from sae.activations.model import LanguageModel, load_model

WORDS = [f"w{number}" for number in range(60)]


def _tokenizer(special: dict[str, str], template: str | None) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = [*dict.fromkeys(special.values()), *WORDS]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token=special["unk_token"]))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if template:
        ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
        words.post_processor = processors.TemplateProcessing(single=template, special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=512, **special)


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three encoder blocks of width 16, 32 positions; the tokenizer adds [CLS] and [SEP]."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    special = {
        "unk_token": "[UNK]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
    }
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(folder)
    _tokenizer(special, "[CLS] $A [SEP]").save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three decoder blocks of width 16, 32 positions; the tokenizer adds nothing."""
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("models") / "tiny-gpt2"
    special = {"unk_token": "<end>", "bos_token": "<end>", "eos_token": "<end>"}
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=64,
        n_embd=16,
        n_layer=3,
        n_head=2,
        n_positions=32,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=0,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    _tokenizer(special, None).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bert(bert_folder: Path) -> LanguageModel:
    return load_model(str(bert_folder), device=torch.device("cpu"))


@pytest.fixture(scope="session")
def gpt2(gpt2_folder: Path) -> LanguageModel:
    return load_model(str(gpt2_folder), device=torch.device("cpu"))


def _documents() -> Iterator[str]:
    draw = torch.Generator().manual_seed(2)
    for length in [5, 70, 1, 12, 31, 30, 29, 90, 8, 44, 3, 17]:
        words = torch.randint(60, (length,), generator=draw).tolist()
        yield " ".join(WORDS[word] for word in words)


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """Twelve documents of 1 to 90 words, 340 in all."""
    return Corpus(name="words", documents=tuple(_documents()))
