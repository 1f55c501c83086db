"""Text to run a model over, as documents."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sae.errors import SaeError

TEXT_SUFFIXES = (".txt", ".md", ".rst")
LINE_SUFFIXES = (".jsonl", ".ndjson")
"""Of files with a document a line, as JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """Documents in a fixed order; a document's id is its place.

    Assumption: the text fits into memory (activations take a thousand times its space on disk).
    """

    name: str
    """What the text is, for people."""
    documents: tuple[str, ...]
    """The text, none of it blank."""

    def __post_init__(self) -> None:
        if not self.documents:
            raise SaeError(f"text must hold at least one document, but got none from {self.name}.")

    @property
    def sha256(self) -> str:
        """Over the documents, in order."""
        digest = hashlib.sha256()
        for document in self.documents:
            content = document.encode(errors="surrogatepass")
            digest.update(len(content).to_bytes(8, "big"))
            digest.update(content)
        return digest.hexdigest()


def read_corpus(paths: Sequence[Path], key: str = "text") -> Corpus:
    """Reads text files (a document each), JSONL files (a document a line), or folders of them.

    Args:
        paths: Files or folders; folders are read in the order of their paths. A file whose name
            ends in .json is read as JSONL too, in a folder it is left out.
        key: Where a line of JSONL holds its text.

    Raises:
        SaeError: A file cannot be read, a line has no text, or there is no text at all.
    """
    files = [file for path in paths for file in _files(path)]
    documents = tuple(text for file in files for text in _documents(file, key) if text.strip())
    return Corpus(name=", ".join(path.name for path in paths), documents=documents)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        suffixes = (*TEXT_SUFFIXES, *LINE_SUFFIXES)
        return sorted(file for file in path.rglob("*") if file.suffix.lower() in suffixes)
    return [path]


def _documents(path: Path, key: str) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SaeError(f"text file {path} must be readable UTF-8, but got: {error}.") from error
    if path.suffix.lower() not in (*LINE_SUFFIXES, ".json"):
        yield text
        return
    # Not splitlines: JSON strings may hold U+2028 and others that it takes for line ends.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _text_of(line, key, f"{path}:{number}")


def _text_of(line: str, key: str, place: str) -> str:
    try:
        record: Any = json.loads(line)
    except ValueError as error:
        raise SaeError(f"{place} must be a line of JSON, but got: {error}.") from error
    text: Any = record.get(key) if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise SaeError(f"{place} must hold text under {key!r}, but got {type(text).__name__}.")
    return text
