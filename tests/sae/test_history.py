from pathlib import Path

from sae.history import HistoryFile, HistoryRow, read_history


def row(step: int) -> HistoryRow:
    return HistoryRow(
        step=step,
        learning_rate=1e-3,
        alpha=2.0,
        loss=5.0,
        mse=3.0,
        l1=1.0,
        l0=64.5,
        fvu=0.25,
        dead_fraction_window=0.0,
        seconds=1.5,
    )


def steps_in(path: Path) -> list[str]:
    return [line.split(",")[0] for line in path.read_text().splitlines()[1:]]


def test_history_file_has_the_documented_columns(tmp_path: Path) -> None:
    HistoryFile(tmp_path / "history.csv", 0)
    assert (tmp_path / "history.csv").read_text() == (
        "step,learning_rate,alpha,loss,mse,l1,l0,fvu,dead_fraction_window,seconds,resampled\n"
    )


def test_history_file_rows_are_readable_while_it_is_open(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / "history.csv", 0)
    history.append(row(10))
    assert steps_in(tmp_path / "history.csv") == ["10"]


def test_history_file_resumed_drops_rows_after_the_checkpoint(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / "history.csv", 0)
    for step in (10, 20, 30):
        history.append(row(step))
    history = HistoryFile(tmp_path / "history.csv", 25)
    history.append(row(30))
    assert steps_in(tmp_path / "history.csv") == ["10", "20", "30"]


def test_history_file_resumed_drops_a_half_line(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    history = HistoryFile(path, 0)
    history.append(row(10))
    history.append(row(20))
    path.write_text(path.read_text()[:-20])
    HistoryFile(path, 20)
    assert steps_in(path) == ["10"]


def test_history_file_started_anew_drops_the_old_rows(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / "history.csv", 0)
    history.append(row(10))
    HistoryFile(tmp_path / "history.csv", 0)
    assert steps_in(tmp_path / "history.csv") == []


def test_read_history_of_an_earlier_version_has_replaced_none(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    HistoryFile(path, 0).append(row(10))
    path.write_text(path.read_text().replace(",resampled", "").replace(",0\n", "\n"))
    assert read_history(path) == [row(10)]


def test_history_file_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    HistoryFile(path, 0).append(row(10))
    path.write_text(path.read_text().replace(",resampled", "").replace(",0\n", "\n"))
    HistoryFile(path, 10).append(row(20))
    assert [each.resampled for each in read_history(path)] == [0, 0]
