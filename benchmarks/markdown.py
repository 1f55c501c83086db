"""Markdown tables, and the line that says what a result was measured on."""

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch

from sae.files import write_atomically

RESULTS = Path(__file__).parent / "results"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns also line up as plain text."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    padded = [
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded)


def command() -> str:
    """The command that is running, as one would type it in the repository.

    Without passwords, and without the names of this machine's folders.
    """
    module = Path(sys.argv[0]).stem
    words = [_shown(word) if "://" in word else word for word in sys.argv[1:]]
    words = [_without_folder(word) for word in words]
    return shlex.join(["python", "-m", f"benchmarks.{module}", *words])


def _without_folder(word: str) -> str:
    key, equals, value = word.rpartition("=")
    return f"{key}{equals}FOLDER" if Path(value).is_absolute() else word


def _shown(url: str) -> str:
    # Imported here so that no measured process carries a database's client.
    from sweeper.database import redacted

    return redacted(url)


def machine() -> str:
    """Processor, cores, load, versions and day: what a time means nothing without."""
    load = os.getloadavg()[0]
    return (
        f"{_processor()}, {os.cpu_count()} cores, load {load:.1f} at the end, "
        f"Python {platform.python_version()}, torch {torch.__version__}, {date.today()}"
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write_result(name: str, title: str, body: str) -> Path:
    """Writes `results/<name>.md`: title, command, machine and body; returns its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.md"
    text = f"# {title}\n\n    {command()}\n\n{machine()}\n\n{body}\n"
    write_atomically(path, text.encode())
    return path


def merge_section(name: str, title: str, section: str, body: str) -> Path:
    """Writes one section of `results/<name>.md` and leaves the others; returns its path.

    Each section holds its own command and machine, since they are measured one at a time.

    Args:
        name: Of the file.
        title: The file's heading.
        section: The section's heading, which tells what to replace.
        body: What stands in it.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.md"
    text = path.read_text() if path.is_file() else ""
    sections: dict[str, str] = {}
    for part in text.split("\n## ")[1:]:
        heading, _, rest = part.partition("\n")
        sections[heading] = rest.strip("\n")
    sections[section] = f"    {command()}\n\n{machine()}\n\n{body}"
    parts = [f"# {title}", *(f"## {heading}\n\n{rest}" for heading, rest in sections.items())]
    write_atomically(path, ("\n\n".join(parts) + "\n").encode())
    return path
