"""Which further columns of anybody's table are settings, and which were measured."""

from collections.abc import Collection

import pandas as pd

from analysis.records import SETTING_COLUMNS, settings_text
from analysis.selection import is_configuration_key

_FEWEST_VALUES = 3
"""Two runs may well have two settings."""
_OF_OWN_RECORDS = "recipe"


def with_setting_columns(
    table: pd.DataFrame, place: str, searched: Collection[str], notes: list[str]
) -> pd.DataFrame:
    """The table with its own word on which columns are settings, where it has none.

    By its name `trainer.final_loss` may be a key of a trainer or what one measured. A number that
    is another in every row is no setting that runs could share, and would leave no two together.

    Args:
        table: As it was read.
        place: What to call it, for the notes.
        searched: Columns that are settings whatever is in them.
        notes: What is taken for measured is added to it.
    """
    if SETTING_COLUMNS in table or _OF_OWN_RECORDS in table:
        return table
    keys = [name for name in map(str, table.columns) if is_configuration_key(name)]
    measured = [name for name in keys if name not in searched and _looks_measured(table[name])]
    if not measured:
        return table
    listed = ", ".join(measured)
    notes.append(
        f"{place}: taken for measured, not for settings, since every row has another value: "
        f"{listed}; a column {SETTING_COLUMNS} that names the settings decides, and so does --by."
    )
    settings = settings_text(name for name in keys if name not in measured)
    return table.assign(**{SETTING_COLUMNS: settings})


def _looks_measured(column: pd.Series) -> bool:
    known = pd.to_numeric(column, errors="coerce").dropna()
    is_fractional = bool((known % 1 != 0).any())
    return is_fractional and len(known) >= _FEWEST_VALUES and known.is_unique
