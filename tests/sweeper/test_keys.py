import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from analysis.hydra_text import quoted


@pytest.mark.parametrize("text", ["a b", "it's", r"back\slash", r"end\\", r"both\'", "${x}"])
def test_quoted_text_is_read_back_unchanged(text: str) -> None:
    [override] = OverridesParser.create().parse_overrides([f"key={quoted(text)}"])
    assert override.value() == text
