import pytest

from sae.activations.chunks import plan_tokens
from sae.activations.corpus import Corpus
from sae.activations.extraction_config import ExtractionConfig
from sae.activations.model import LanguageModel
from sae.errors import SaeError


@pytest.mark.parametrize("context_tokens", [1, 2])
def test_plan_tokens_context_of_special_tokens_alone_is_refused(
    bert: LanguageModel, context_tokens: int
) -> None:
    corpus = Corpus(name="words", documents=("a cat sits on a mat", "stocks fell"))
    config = ExtractionConfig(layers=(1,), held_out_tokens=2)
    message = (
        "^context_tokens must be above the 2 special tokens that the tokenizer adds, "
        rf"but got {context_tokens}\.$"
    )
    with pytest.raises(SaeError, match=message):
        plan_tokens(corpus, bert.tokenizer, context_tokens, config)
