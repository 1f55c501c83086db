import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper.dry_run import duration, interval_of, size
from sweeper.search.prior import PriorComponent

App = Callable[..., int]


def test_dry_run_prints_the_plan_and_leaves_nothing(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app("--multirun", "sweep.dry_run=true", "sae.latent_dim=48,64", "seed=0,1") == 0
    output = capsys.readouterr().out
    assert "latent_dim=48" in output
    assert "latent_dim=64" in output
    assert "6 trials expected, 26 at most" in output
    assert "nothing was started" in output
    assert not list(tmp_path.rglob("*.journal"))
    assert not list(tmp_path.rglob("trial_*"))


@pytest.mark.parametrize("dry_run", ["true", "false"])
def test_dry_run_option_that_the_sampler_lacks_is_refused_and_makes_no_study(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str], dry_run: str
) -> None:
    assert app("--multirun", f"sweep.dry_run={dry_run}", "+sweep.sampler_options.foo=1") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "sweep.sampler tpe must have options among " in line
    assert "but got foo" in line
    assert not (tmp_path / "multirun").exists()


def test_dry_run_of_a_grid_counts_its_points(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    app("--multirun", "sweep.dry_run=true", "l1_alpha=1,2,3", "target_l0=6,7")
    assert "3 trials expected, 3 at most" in capsys.readouterr().out


def test_dry_run_of_a_given_alpha_counts_its_further_seeds(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    app("--multirun", "sweep.dry_run=true", "l1_alpha=2", "seed=0,1", "sweep.confirm=2")
    assert "4 trials expected, 4 at most" in capsys.readouterr().out


def test_dry_run_of_runs_that_steer_alpha_counts_one_for_each_seed(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    app("--multirun", "sweep.dry_run=true", "trainer.controller=l0", "sweep.confirm=2")
    assert "3 trials expected, 3 at most" in capsys.readouterr().out


def test_dry_run_with_searched_keys_counts_their_candidates(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    searched = "sae=topk", "trainer.learning_rate=interval(1e-3,1e-2)"
    app("--multirun", "sweep.dry_run=true", "sweep=fvu", "sweep.n_trials=20", *searched)
    assert "20 trials expected, 20 at most" in capsys.readouterr().out


def test_dry_run_of_a_pack_counts_the_memory_of_its_trials(
    app: App, capsys: pytest.CaptureFixture[str]
) -> None:
    app("--multirun", "sweep.dry_run=true", "l1_alpha=1,2,3", "sweep.pack=3")
    output = capsys.readouterr().out
    of_one = re.search(r"([\d.]+) MiB +[\d.]+ \w+$", output, re.MULTILINE)
    of_all = re.search(r"([\d.]+) MiB of memory", output)
    assert of_one is not None
    assert of_all is not None
    assert float(of_all[1]) == pytest.approx(3 * float(of_one[1]), rel=0.02)


def test_dry_run_of_one_sae_is_one_run_and_starts_nothing(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app("sweep.dry_run=true", "sweep=fvu", "sweep.confirm=3", "sweep.slots=2") == 0
    output = capsys.readouterr().out
    assert re.search(r"^one run; [\d.]+ \w+, [\d.]+ \w+ of memory$", output, re.MULTILINE)
    assert not list(tmp_path.rglob("result.json"))


def test_dry_run_with_a_trainer_of_ones_own_says_that_it_is_not_measured(
    app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some_trainer.py").write_text("def train(config): raise SystemExit")
    assert app("--multirun", "sweep.dry_run=true", "sweep.train=some_trainer:train") == 0
    assert "is not measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "alpha"),
    [("l1_alpha=interval(5,8)", 5.0), ("sweep.enqueue=[2.5,1.8]", 2.5)],
)
def test_dry_run_names_the_alpha_that_the_search_starts_at(
    app: App, capsys: pytest.CaptureFixture[str], asked: str, alpha: float
) -> None:
    assert app("--multirun", "sweep.dry_run=true", asked) == 0
    row = re.search(r"^latent_dim=64 +6 +([\d.]+)", capsys.readouterr().out, re.MULTILINE)
    assert row is not None
    assert float(row[1]) == alpha


def test_interval_of_one_component_is_its_own() -> None:
    low, high = interval_of([PriorComponent(name="a", mean=1.0, sd=0.5)])
    assert low == pytest.approx(1 - 1.96 * 0.5, abs=1e-3)
    assert high == pytest.approx(1 + 1.96 * 0.5, abs=1e-3)


def test_interval_of_two_distant_components_holds_both() -> None:
    apart = [
        PriorComponent(name="a", mean=math.log(1e-3), sd=0.1, weight=0.5),
        PriorComponent(name="b", mean=math.log(10), sd=0.1, weight=0.5),
    ]
    low, high = interval_of(apart)
    assert low < math.log(1e-3)
    assert high > math.log(10)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.31, "0.31 s"), (12.0, "12 s"), (210.0, "3.5 min"), (7560.0, "2.1 h"), (2e5, "2.31 d")],
)
def test_duration_says_it_as_a_person_does(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(2048, "2 KiB"), (3 * 2**20, "3 MiB"), (5 * 2**30, "5 GiB")]
)
def test_size_uses_powers_of_1024(count: int, words: str) -> None:
    assert size(count) == words
