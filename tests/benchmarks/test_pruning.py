import math
from dataclasses import replace

from benchmarks.pruning import SCORED, Run, parts_of, replay
from sae.history import HistoryRow


def run(end: float) -> Run:
    rows = [
        HistoryRow(
            step=step,
            learning_rate=1e-3,
            alpha=2.0,
            loss=60 * 0.999**step,
            mse=1.0,
            l1=1.0,
            l0=end * math.exp(0.2 * ((step / 600) ** -1.5 - 1)),
            fvu=0.2,
            dead_fraction_window=0.0,
            seconds=1.0,
        )
        for step in range(10, 601, 10)
    ]
    return Run(
        d_in=64,
        study="s",
        layer=3,
        trial=0,
        target=32,
        l0=end,
        in_band=False,
        git_sha="0",
        rows=rows,
    )


def test_replay_of_a_run_that_misses_saves_steps() -> None:
    found = replay(run(60.0), 32)
    assert found.pruned
    assert 300 <= found.steps < 600
    assert found.error is not None
    assert abs(found.error) < 0.1


def test_replay_of_a_run_that_lands_costs_all_of_it() -> None:
    found = replay(run(32.0), 32)
    assert (found.steps, found.pruned) == (600, False)


def test_parts_of_scores_the_layers_that_nothing_was_chosen_on() -> None:
    searched, chosen = replace(run(32.0), layer=1), run(32.0)
    random = replace(run(60.0), layer=5, study="random-standard-standard-layer5-32-0")
    parts = parts_of([searched, chosen, random])
    assert parts["other layers, searches"] == [searched]
    assert parts["other layers, random search"] == [random]
    assert parts[SCORED] == [searched, random]
    assert "layer 3 (chosen on), random search" not in parts
