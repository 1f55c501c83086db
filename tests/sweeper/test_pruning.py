import csv
import json
import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import optuna
import pandas as pd
import pytest

from analysis.records import validate_record
from sae.history import HistoryRow
from sweeper.job import run_trial
from sweeper.pruning import PrunedError, Pruner, pruner_for
from sweeper.record import Ticket
from sweeper.settings import Settings
from sweeper.storage import open_storage
from sweeper.sweep_config import PrunerName

App = Callable[..., int]
Compose = Callable[..., Settings]
STUDY = ("--multirun", "sweep.study_name=s")


def row(step: int, l0: float, *, loss: float = 50.0, dead: float = 0.0) -> HistoryRow:
    unknown = {field.name: math.nan for field in fields(HistoryRow)}
    known = {"l0": l0, "loss": loss, "dead_fraction_window": dead}
    return HistoryRow(**(unknown | known | {"step": step}))  # pyright: ignore[reportArgumentType]


def pruner(rule: str, target: float = 30.0) -> Pruner:
    return Pruner(
        rule=PrunerName(rule),
        target=target,
        tolerance=0.05,
        total_steps=1000,
        settled_from=300,
        d_in=100,
    )


def run_through(judge: Pruner, rows: list[HistoryRow]) -> PrunedError | None:
    try:
        for each in rows:
            judge(each)
    except PrunedError as pruned:
        return pruned
    return None


STEPS = range(10, 1001, 10)


def falling(end: float) -> list[HistoryRow]:
    """A usual run: L0 falls to its end, and the loss with it."""
    return [
        row(step, end * math.exp(0.2 * ((step / 1000) ** -1.5 - 1)), loss=60 * 0.999**step)
        for step in STEPS
    ]


def test_pruner_gross_failure_is_ended_after_the_warm_ups() -> None:
    pruned = run_through(pruner("gross"), [row(step, 130.0) for step in STEPS])
    assert pruned is not None
    assert pruned.facts["l0_bound"] == "above"
    assert pruned.facts["state"] == "pruned"
    assert "step 350" in str(pruned)


@pytest.mark.parametrize(
    "spared",
    [
        [row(step, 110.0) for step in STEPS],
        [row(step, 130.0, dead=0.1) for step in STEPS],
        [row(step, 130.0, dead=math.nan) for step in STEPS],
        [row(step, 130.0, loss=1e4 * 0.99**step) for step in STEPS],
        [row(step, 5.0) for step in STEPS],
    ],
    ids=["under four times", "dead", "dead unknown", "still falling", "too sparse"],
)
def test_pruner_gross_needs_all_three_signs(spared: list[HistoryRow]) -> None:
    assert run_through(pruner("gross"), spared) is None


@pytest.mark.parametrize(("end", "side"), [(80.0, "above"), (10.0, "below")])
def test_pruner_projected_ends_a_run_that_will_miss(end: float, side: str) -> None:
    pruned = run_through(pruner("projected"), falling(end))
    assert pruned is not None
    assert pruned.facts["l0_bound"] == side
    assert pruned.facts["projected_l0"] == pytest.approx(end, rel=0.25)
    assert 0 < pruned.facts["projected_l0_sd"] < 0.3


def test_pruner_projected_spares_what_will_land() -> None:
    assert run_through(pruner("projected"), falling(30.0)) is None


def test_pruner_projected_waits_for_the_end_of_a_run_that_is_nearly_done() -> None:
    rows = falling(30.0)
    late = [row(each.step, each.l0 if each.step <= 800 else 10.0) for each in rows]
    assert run_through(pruner("projected"), late) is None


def test_pruner_none_spares_everything() -> None:
    assert run_through(pruner("none"), [row(step, 900.0) for step in STEPS]) is None


@pytest.mark.parametrize(
    ("bad", "sign"),
    [
        (row(990, 301.0, dead=0.2), "L0 301 is above 10 times"),
        (row(990, 30.0, dead=0.2, loss=101.0), "loss / d_in 1.01 is above 1"),
        (row(990, 30.0, dead=0.09), "9.0 % dead is below 10 %"),
    ],
)
def test_pruner_guide_ends_a_run_at_each_of_its_signs(bad: HistoryRow, sign: str) -> None:
    healthy = [row(step, 30.0, dead=0.2) for step in range(10, 990, 10)]
    assert run_through(pruner("guide"), healthy) is None
    pruned = run_through(pruner("guide"), [*healthy, bad])
    assert pruned is not None
    assert sign in str(pruned)


def test_pruner_guide_waits_for_a_tenth_of_the_run() -> None:
    judge = pruner("guide")
    assert run_through(judge, [row(90, 900.0)]) is None
    assert run_through(judge, [row(100, 900.0)]) is not None


def test_run_trial_under_the_guides_signs_ends_any_run_where_few_are_dead(
    quick_settings: Compose, tmp_path: Path
) -> None:
    record = run_trial(quick_settings("sweep.pruner=guide", "l1_alpha=1.5"), tmp_path)
    assert record["state"] == "pruned"
    assert "the guide stops at step" in record["verdict_reasons"][0]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("sweep.pruner=projected",), 40.0),
        (("sweep.pruner=projected",), None),
        (("sweep.pruner=none",), 6.0),
        (("trainer.controller=l0",), 6.0),
        (("sae=topk", "l1_alpha=null"), 6.0),
    ],
    ids=["not meant for the target", "alpha given", "none", "steered", "topk"],
)
def test_pruner_for_leaves_alone_what_is_not_to_be_pruned(
    quick_settings: Compose, tmp_path: Path, overrides: tuple[str, ...], expected: float | None
) -> None:
    ticket = Ticket(predicted_l0=expected)
    assert pruner_for(quick_settings(*overrides), ticket, tmp_path, 16) is None


def test_run_trial_pruned_run_has_a_record_and_no_checkpoint(
    quick_settings: Compose, tmp_path: Path
) -> None:
    settings = quick_settings(
        "sweep.pruner=projected", "trainer.total_steps=300", "l1_alpha=1.5", "trainer.log_every=2"
    )
    Ticket(predicted_l0=6.0).write(tmp_path)
    record = run_trial(settings, tmp_path)
    validate_record(record)
    assert record["state"] == "pruned"
    assert record["l0_bound"] == ("above" if record["projected_l0"] > 6 else "below")
    assert 150 <= record["steps_done"] < 300
    assert record["l0"] is None
    assert "projected to end at" in record["verdict_reasons"][0]
    assert json.loads((tmp_path / "result.json").read_text())["state"] == "pruned"
    assert not (tmp_path / "checkpoint").exists()


def test_sweep_projected_lands_with_fewer_steps(app: App, tmp_path: Path) -> None:
    arguments = (*STUDY, "sweep.pruner=projected", "trainer.total_steps=300", "target_l0=3")
    assert app(*arguments, "trainer.log_every=2") == 0
    trials = pd.read_csv(tmp_path / "multirun" / "s" / "trials.csv")
    assert set(trials["state"]) == {"complete", "pruned"}
    pruned = trials[trials["state"] == "pruned"]
    assert (pruned["steps_done"] < 300).all()
    assert trials[trials["state"] == "complete"]["in_band"].any()


def test_sweep_reports_reach_the_optuna_trial(app: App, tmp_path: Path) -> None:
    app(*STUDY, "sweep.n_trials=1")
    folder = tmp_path / "multirun" / "s"
    study = optuna.load_study(study_name="s/latent_dim=64", storage=open_storage(None, folder))
    values = study.trials[0].intermediate_values
    assert 5 <= len(values) <= 10
    with (folder / "trial_00000" / "history.csv").open() as stream:
        logged = {int(each["step"]): float(each["l0"]) for each in csv.DictReader(stream)}
    assert values == {step: pytest.approx(logged[step]) for step in values}


def test_sweep_unknown_pruner_is_one_line(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert app(*STUDY, "sweep.pruner=median") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "sweep.pruner" in line
    assert "median" in line
