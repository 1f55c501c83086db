import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sweeper.errors import SweepError
from sweeper.study_folder import (
    create_folder,
    default_study_name,
    refuse_unknown_trials,
    settle_definition,
    trial_directory_name,
    unusable_folder,
)

DEFINITION = {
    "cells": {"a": {"trainer": {"total_steps": 600}, "sae": {"latent_dim": 64}}},
    "axes": [],
    "seeds": [0],
}


def with_cell(total_steps: int, latent_dim: int, axes: Sequence[str] = ()) -> dict[str, Any]:
    settings = {"trainer": {"total_steps": total_steps}, "sae": {"latent_dim": latent_dim}}
    return DEFINITION | {"cells": {"b": settings}, "axes": list(axes)}


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
    changed = DEFINITION | {"cells": {"a": with_cell(1200, 64)["cells"]["b"]}}
    with pytest.raises(SweepError, match=r"trainer\.total_steps must stay 600 .* but got 1200"):
        settle_definition(tmp_path, changed)


def test_settle_definition_another_target_alone_is_told_how_to_join(tmp_path: Path) -> None:
    settle_definition(tmp_path, DEFINITION | {"cells": {"a": {"target_l0": 12.0}}})
    with pytest.raises(SweepError, match=r"or target_l0=12,20, whose cells share their runs"):
        settle_definition(tmp_path, DEFINITION | {"cells": {"a": {"target_l0": 20.0}}})


def test_settle_definition_new_cell_joins_and_old_one_stays_known(tmp_path: Path) -> None:
    settle_definition(tmp_path, DEFINITION)
    settle_definition(tmp_path, with_cell(600, 128))
    with pytest.raises(SweepError, match="must stay 600"):
        settle_definition(tmp_path, DEFINITION | {"cells": {"a": with_cell(1, 64)["cells"]["b"]}})


def test_settle_definition_new_cell_of_other_settings_is_refused_unless_told(
    tmp_path: Path,
) -> None:
    settle_definition(tmp_path, DEFINITION)
    with pytest.raises(SweepError, match=r"total_steps must stay 600 .* \(sweep\.mixed=true lets"):
        settle_definition(tmp_path, with_cell(1200, 128))
    settle_definition(tmp_path, with_cell(1200, 128), mixed=True)
    settle_definition(tmp_path, DEFINITION)


def test_settle_definition_seeds_of_new_cells_leave_those_of_others_alone(tmp_path: Path) -> None:
    def asked(cell: str, seeds: list[int]) -> dict[str, Any]:
        return {"cells": {cell: {"sae": {"latent_dim": 64}, "seeds": seeds}}, "axes": []}

    settle_definition(tmp_path, asked("a", [0]))
    settle_definition(tmp_path, asked("b", [0, 1]))
    settle_definition(tmp_path, asked("a", [0]))
    with pytest.raises(SweepError, match=r"seeds must stay \[0\]"):
        settle_definition(tmp_path, asked("a", [0, 1]))


def test_settle_definition_new_cell_may_differ_in_what_a_list_gives(tmp_path: Path) -> None:
    settle_definition(tmp_path, DEFINITION)
    settle_definition(tmp_path, with_cell(1200, 64, ["trainer.total_steps"]))


def test_settle_definition_other_rule_of_the_study_is_refused_for_new_cells_too(
    tmp_path: Path,
) -> None:
    settle_definition(tmp_path, DEFINITION | {"tolerance": 0.05})
    with pytest.raises(SweepError, match=r"tolerance must stay 0\.05"):
        settle_definition(tmp_path, with_cell(600, 128) | {"tolerance": 0.1})


def test_refuse_unknown_trials_names_a_result_that_the_storage_does_not_know(
    tmp_path: Path,
) -> None:
    for number in (0, 1):
        (tmp_path / trial_directory_name(number)).mkdir()
        (tmp_path / trial_directory_name(number) / "result.json").touch()
    refuse_unknown_trials(tmp_path, [0, 1, 2])
    with pytest.raises(SweepError, match=r"sweep\.storage must be that of study .*trial_00001"):
        refuse_unknown_trials(tmp_path, [0])


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
