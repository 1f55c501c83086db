from pathlib import Path

import pytest

from sae.activations.corpus import Corpus, read_corpus
from sae.errors import SaeError


def test_read_corpus_takes_a_text_file_as_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    assert read_corpus([tmp_path / "a.txt"]).documents == ("one\ntwo\n",)


def test_read_corpus_takes_each_jsonl_line_as_a_document(tmp_path: Path) -> None:
    # U+2028 is a line separator to str.splitlines, but not to JSON.
    (tmp_path / "a.jsonl").write_text('{"body": "o\u2028ne"}\n\n{"body": "two", "n": 1}\n')
    assert read_corpus([tmp_path / "a.jsonl"], key="body").documents == ("o\u2028ne", "two")


@pytest.mark.parametrize("name", ["a.ndjson", "a.JSONL", "a.json"])
def test_read_corpus_takes_lines_of_json_by_any_of_their_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('{"text": "one"}\n{"text": "two"}\n')
    assert read_corpus([path]).documents == ("one", "two")


def test_read_corpus_reads_a_folder_in_the_order_of_its_paths(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.md").write_text("second")
    (tmp_path / "a.jsonl").write_text('{"text": "first"}')
    (tmp_path / "blank.txt").write_text(" \n")
    (tmp_path / "image.png").write_bytes(b"\xff")
    assert read_corpus([tmp_path]).documents == ("first", "second")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"a\.jsonl:2 must be a line of JSON, but got: "),
        ('{"other": "x"}', r"a\.jsonl:2 must hold text under 'text', but got NoneType"),
        ('{"text": 3}', r"a\.jsonl:2 must hold text under 'text', but got int"),
        ("[1]", r"a\.jsonl:2 must hold text under 'text', but got NoneType"),
    ],
)
def test_read_corpus_with_a_bad_line_names_it(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n' + line)
    with pytest.raises(SaeError, match=message):
        read_corpus([tmp_path / "a.jsonl"])


def test_read_corpus_of_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaeError, match=r"text file .*a\.txt must be readable UTF-8, but got"):
        read_corpus([tmp_path / "a.txt"])


def test_read_corpus_of_other_encodings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9 au lait")
    with pytest.raises(SaeError, match=r"text file .*a\.txt must be readable UTF-8, but got"):
        read_corpus([tmp_path / "a.txt"])


@pytest.mark.parametrize("content", [None, "  \n"])
def test_read_corpus_without_text_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "a.txt").write_text(content)
    with pytest.raises(SaeError, match="text must hold at least one document, but got none"):
        read_corpus([tmp_path])


def test_corpus_sha256_tells_where_documents_end() -> None:
    assert (
        Corpus(name="", documents=("ab", "c")).sha256
        != Corpus(name="", documents=("a", "bc")).sha256
    )
