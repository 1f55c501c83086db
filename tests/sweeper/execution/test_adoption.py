from collections.abc import Callable
from pathlib import Path

from sweeper.booked_trial import BookedTrial
from sweeper.cells import Cell
from sweeper.execution.adoption import adopt
from sweeper.execution.executor import Ending, Job
from sweeper.settings import Settings


def test_adopt_trial_whose_record_cannot_be_read_is_refused_by_its_file(
    quick_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    (tmp_path / "result.json").write_text("{half")
    trial = BookedTrial(
        number=0, cell="a", l1_alpha=2.0, seed=0, is_running=True, record=None, optuna_number=0
    )
    cell = Cell(name="a", group="a", overrides=(), settings=quick_settings())
    job = Job(trial=trial, cell=cell, directory=tmp_path)
    [end] = adopt((job,)).result(timeout=10)
    assert end.ending is Ending.refused
    assert f"{tmp_path}/result.json must be a trial's record" in end.reason
