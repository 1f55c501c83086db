import math
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.errors import AnalysisError
from analysis.watching import signature, watch


def acting(*acts: Callable[[], object]) -> Callable[[float], None]:
    """A sleep that does one thing each time and interrupts when none is left."""
    left = list(acts)

    def sleep(seconds: float) -> None:
        assert seconds == 7.0
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    return sleep


def test_watch_makes_once_and_again_only_after_a_change(tmp_path: Path) -> None:
    source = tmp_path / "trials.csv"
    source.write_text("a")
    made: list[str] = []

    watch(
        source,
        lambda: made.append(source.read_text()),
        made.append,
        every_s=7.0,
        sleep=acting(lambda: None, lambda: source.write_text("bb"), lambda: None),
    )

    assert made == ["a", "bb"]


def test_watch_error_is_told_and_ends_nothing(tmp_path: Path) -> None:
    source = tmp_path / "study"
    source.mkdir()
    told: list[str] = []

    def make() -> None:
        if not signature(source):
            raise AnalysisError("no trial yet")
        told.append("made")

    def finish_a_trial() -> None:
        (source / "trial_00000").mkdir()
        (source / "trial_00000" / "result.json").write_text("{}")

    watch(source, make, told.append, every_s=7.0, sleep=acting(finish_a_trial))

    assert told == ["no trial yet", "made"]


def test_signature_of_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert signature(tmp_path / "none.csv") == ()


@pytest.mark.parametrize("every_s", [0.0, -1.0, math.nan, math.inf, 1e300])
def test_watch_no_time_to_wait_is_refused(tmp_path: Path, every_s: float) -> None:
    with pytest.raises(AnalysisError, match=r"watch must be above 0 and at most 604800 seconds"):
        watch(tmp_path, lambda: None, lambda _: None, every_s=every_s)
