"""Texts as values in Hydra's grammar, for commands that are printed."""

import re


def quoted(text: str) -> str:
    """A text in Hydra's grammar, where backslashes are doubled before a quote and nowhere else."""
    doubled = re.sub(r"(\\+)(?='|\Z)", r"\1\1", text)
    return "'" + doubled.replace("'", "\\'") + "'"
