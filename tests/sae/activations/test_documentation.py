import json.decoder

import pytest

from sae.activations.corpus import Corpus
from sae.activations.documentation import python_documentation


@pytest.fixture(scope="module")
def documentation() -> Corpus:
    return python_documentation()


@pytest.mark.slow
def test_python_documentation_holds_topics_and_docstrings(documentation: Corpus) -> None:
    docstring = json.decoder.JSONDecoder.raw_decode.__doc__
    assert docstring is not None
    first_line = docstring.splitlines()[0]
    holding = [text for text in documentation.documents if first_line in text]
    assert len(holding) == 1
    assert "Simple JSON <https://json.org> decoder" in holding[0]
    assert any("statement\n*****" in text for text in documentation.documents)


@pytest.mark.slow
def test_python_documentation_has_text_for_the_demo(documentation: Corpus) -> None:
    # The demo needs 300,000 tokens; CPython's prose has about four characters a token.
    assert sum(map(len, documentation.documents)) > 1_500_000
    assert len(documentation.documents) > 400
