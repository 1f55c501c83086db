import errno
from pathlib import Path

import pytest

from sweeper.errors import SweepError
from sweeper.study_folder import (
    create_folder,
    default_study_name,
    settle_definition,
    trial_directory_name,
    unusable_folder,
)

DEFINITION = {
    "cells": {"a": {"trainer": {"total_steps": 600}}},
    "data": ["x"],
    "seeds": [0],
}


def test_default_study_name_same_definition_same_name() -> None:
    reordered = dict(reversed(DEFINITION.items()))
    assert default_study_name(DEFINITION) == default_study_name(reordered)


def test_default_study_name_other_definition_other_name() -> None:
    assert default_study_name(DEFINITION) != default_study_name(DEFINITION | {"seeds": [1]})


def test_trial_directory_name_sorts_like_numbers() -> None:
    names = [trial_directory_name(number) for number in (2, 10, 99_999)]
    assert names == sorted(names)


def test_settle_definition_same_again_leaves_file_alone(tmp_path: Path) -> None:
    settle_definition(tmp_path, DEFINITION)
    before = (tmp_path / "study.json").stat().st_mtime_ns
    settle_definition(tmp_path, DEFINITION)
    assert (tmp_path / "study.json").stat().st_mtime_ns == before


def test_settle_definition_changed_setting_is_refused_by_name(tmp_path: Path) -> None:
    settle_definition(tmp_path, DEFINITION)
    changed = DEFINITION | {"cells": {"a": {"trainer": {"total_steps": 1200}}}}
    with pytest.raises(SweepError, match=r"trainer\.total_steps must stay 600 .* but got 1200"):
        settle_definition(tmp_path, changed)


def test_settle_definition_new_cell_joins_and_old_one_stays_known(tmp_path: Path) -> None:
    settle_definition(tmp_path, DEFINITION)
    grown = DEFINITION | {"cells": {"b": {"trainer": {"total_steps": 1}}}}
    settle_definition(tmp_path, grown)
    with pytest.raises(SweepError, match="must stay 600"):
        settle_definition(tmp_path, DEFINITION | {"cells": {"a": {"trainer": {"total_steps": 1}}}})


def test_settle_definition_truncated_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"cells": {')
    with pytest.raises(SweepError, match=r"study\.json must be a study's definition"):
        settle_definition(tmp_path, DEFINITION)


def test_create_folder_where_a_file_is_gives_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SweepError, match="must be a folder that can be written"):
        create_folder(tmp_path / "file" / "study")


def test_unusable_folder_full_disk_says_so(tmp_path: Path) -> None:
    line = str(unusable_folder(tmp_path, OSError(errno.ENOSPC, "No space left on device")))
    assert "disk is full" in line
