from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution
from rich.console import Console

from analysis import Refit, refit
from sweeper import answer_table
from sweeper.agenda import Outcome
from sweeper.answer_table import print_answer
from sweeper.booked_trial import BookedTrial
from sweeper.cells import make_cells
from sweeper.settings import Settings
from sweeper.space import Axis, SearchSpace

Compose = Callable[..., Settings]

WIDTHS = ("48", "64", "96")


def trial(number: int, width: str, alpha: float, l0: float) -> BookedTrial:
    record: dict[str, Any] = {
        "trial": number,
        "state": "complete",
        "converged": True,
        "architecture": "standard",
        "activations": "synthetic",
        "d_in": 16,
        "latent_dim": int(width),
        "l1_alpha": alpha,
        "alpha_canonical": alpha,
        "l0": l0,
        "fvu": 0.2,
        "seed": 0,
        "total_steps": 150,
    }
    return BookedTrial(
        number=number,
        cell=f"latent_dim={width}",
        l1_alpha=alpha,
        seed=0,
        is_running=False,
        record=record,
        optuna_number=number,
    )


def test_print_answer_cells_of_one_law_are_refitted_once(
    settings_of: Compose, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    space = SearchSpace(axes=(Axis(key="sae.latent_dim", values=WIDTHS),))
    cells = make_cells(space, lambda overrides: settings_of("target_l0=6", *overrides))
    trials = [
        trial(3 * place + step, width, alpha, 6 * (2.0 + place) / alpha)
        for place, width in enumerate(WIDTHS)
        for step, alpha in enumerate((1.6 + place, 2.0 + place, 2.6 + place))
    ]
    fitted: list[float] = []

    def counted(table: pd.DataFrame, *, target_l0: float) -> Refit:
        fitted.append(target_l0)
        return refit(table, target_l0=target_l0)

    monkeypatch.setattr(answer_table, "refit", counted)
    outcomes = {cell.name: Outcome(reached=True) for cell in cells}
    print_answer(Console(), cells, trials, outcomes, lambda _: 1.0)
    assert fitted == [6.0]
    alphas = [line.split()[2] for line in capsys.readouterr().out.splitlines()[1:]]
    assert [float(alpha) for alpha in alphas] == pytest.approx([2.0, 3.0, 4.0], rel=0.02)


@pytest.mark.parametrize("architecture", ["topk", "standard"])
def test_print_answer_candidates_whose_k_sets_l0_name_no_alpha(
    settings_of: Compose, capsys: pytest.CaptureFixture[str], architecture: str
) -> None:
    def compose(overrides: Sequence[str]) -> Settings:
        return settings_of("target_l0=6", f"sae={architecture}", "sweep=fvu", *overrides)

    key = "trainer.batch_size"
    cells = make_cells(SearchSpace(searched={key: CategoricalDistribution((64,))}), compose)
    run = replace(trial(0, "48", 0.0, 6.0), cell=cells[0].name, params={key: 64})
    print_answer(
        Console(width=120), cells, [run], {cells[0].name: Outcome(reached=True)}, lambda _: 1
    )
    answer, line, *candidates = capsys.readouterr().out.partition("\n")[2].splitlines()
    has_alpha = architecture == "standard"
    assert ("k sets L0" in answer) is not has_alpha
    assert ("l1_alpha=0" in line) is has_alpha
    assert ("alpha" in candidates[0]) is has_alpha
    assert len(candidates[1].split()) == len(candidates[0].split()) - 2  # "fvu at target"
