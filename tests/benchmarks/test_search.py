from collections.abc import Iterator
from math import log
from pathlib import Path

import numpy as np
import pytest

from benchmarks import search
from benchmarks.piecewise import UNFINISHED
from benchmarks.search_truths import Truth, hill


@pytest.fixture
def one_truth(monkeypatch: pytest.MonkeyPatch) -> Iterator[Truth]:
    """The only truth of the benchmark: a Hill curve of slope 1 with its root at ln alpha = 0."""
    truth = Truth(name="Hill", latent_dim=1000, target=50.0, ln_l0=hill(100.0, 1.0, 0.0), root=0.0)

    def only(seed: int) -> list[Truth]:
        return [truth]

    monkeypatch.setattr(search, "all_truths", only)
    search.cached_truths.cache_clear()
    yield truth
    search.cached_truths.cache_clear()


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["search.py", "--processes", "1", *words])
    return search.main()


def test_shape_known_without_noise_lands_at_the_second_trial(
    one_truth: Truth, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(search, "NOISE", 1e-3)
    for offset in (-log(10), -0.3, 0.2, log(10)):
        assert search.trials_to_land("shape known", one_truth, offset, seed=0) == 2


def test_curves_known_of_one_curve_is_shape_known(
    one_truth: Truth, monkeypatch: pytest.MonkeyPatch
):
    for seed, offset in enumerate((-log(10), -0.3, 0.2, log(10))):
        expected = search.trials_to_land("shape known", one_truth, offset, seed)
        assert search.trials_to_land("curves known", one_truth, offset, seed) == expected


def test_summary_of_noise_that_truths_share_has_the_error_between_seeds():
    of_seed = np.array([2.0, 3.0, 4.0, 7.0])
    trials = np.broadcast_to(of_seed[:, None, None], (4, 62, 2))
    _, seeds, mean, error, *_ = search.summary("ours", trials)
    assert (seeds, mean) == ("4", "4.00")
    assert error == f"{of_seed.std(ddof=1) / 2:.2f}"


def test_main_out_of_time_goes_on_with_the_next_seed(
    one_truth: Truth,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(search, "CACHE", tmp_path)
    words = ("--methods", "bisection", "--seeds", "1")
    assert run(monkeypatch, *words, "--minutes", "0") == UNFINISHED
    assert "1 of 3 jobs done" in capsys.readouterr().out
    assert run(monkeypatch, *words) == 0
    printed = capsys.readouterr().out
    assert printed.count("| bisection | 1 ") == len(search.SCENARIOS)


def test_main_unknown_method_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "--methods", "ours,luck")
    assert "--methods must be of ours, " in capsys.readouterr().err


def test_kept_rows_of_another_code_are_left_out(
    one_truth: Truth, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(search, "CACHE", tmp_path)
    assert run(monkeypatch, "--methods", "bisection", "--seeds", "1") == 0

    def later(method: str) -> str:
        return "later"

    monkeypatch.setattr(search, "version_of", later)
    work = search.Piecewise("search_0", 1.0, kept_in=search.CACHE)
    assert len(work.rows) == len(search.SCENARIOS)
    assert search.kept_results(work, 0) == {}
