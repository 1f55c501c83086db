"""`sae-sweep` without `--multirun`: one SAE at the given alpha, or at the law's."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis.units import from_canonical
from sae.activations import open_activations
from sae.activations.outliers import outlier_warning
from sae.history import HistoryRow
from sae.recipe import warmup_warnings
from sweeper.cell_search import CellSearch
from sweeper.cells import make_cells
from sweeper.contradictions import refuse_steering
from sweeper.dry_run import show_plan
from sweeper.errors import SweepError
from sweeper.job import activation_scale, run_trial
from sweeper.messages import say
from sweeper.output import Output
from sweeper.prior_components import describe_law, prior_components
from sweeper.record import config_hash, read_record
from sweeper.search.prior import heaviest
from sweeper.settings import Settings
from sweeper.space import SearchSpace
from sweeper.stopped import has_checkpoint
from sweeper.sweep_config import SweepConfig

LINES_PER_RUN = 10
"""Progress lines in a pipe."""


def run_single(settings: Settings, directory: Path) -> dict[str, Any]:
    """Trains one SAE and says what came.

    Args:
        settings: The composed configuration.
        directory: Where result, history and weights go.

    Raises:
        KeyboardInterrupt: The run was stopped.
        SweepError: The directory holds a finished run of other settings, or a trainer of one's own
            is to be steered.
    """
    refuse_steering(settings)
    console = Output(f"{_same_command(directory)} goes on.")
    if settings.sweep.dry_run:
        # What else a sweep is told, a run at one alpha does not read.
        once = SweepConfig(n_trials=1, train=settings.sweep.train)
        settings, space = replace(settings, sweep=once), SearchSpace()
        cells = make_cells(space, lambda _: settings)
        show_plan(cells, space, CellSearch(cells, space), console)
        return {}
    store = open_activations(settings.activations)
    console.print(f"activations: {store.summary}", highlight=False, soft_wrap=True)
    if settings.hidden_dim not in (None, store.d_in):
        say(
            f"hidden_dim {settings.hidden_dim} is not the d_in of the activations; "
            f"theirs, {store.d_in}, is used."
        )
    if (warning := outlier_warning(store)) is not None:
        console.print(warning, highlight=False, soft_wrap=True)
    if settings.sweep.train is None:
        for line in warmup_warnings(settings.trainer):
            console.print(line, highlight=False, soft_wrap=True)
    if settings.leaves_alpha_open:
        if (law := describe_law(settings, store)) is not None:
            console.print(law, highlight=False, soft_wrap=True)
        component = heaviest(prior_components(settings, store))
        alpha = from_canonical(
            math.exp(component.mean),
            settings.objective,
            activation_scale(store),
            settings.sae.latent_dim,
            penalty=settings.sae.penalty,
        )
        settings = replace(settings, l1_alpha=alpha)
        console.print(
            f"l1_alpha {alpha:.4g} from the prior's component {component.name}", highlight=False
        )
    record = _finished_before(settings, directory)
    if record is not None:
        console.print("trained before, by the same command:")
    else:
        if has_checkpoint(directory):
            console.print(f"goes on from the checkpoint in {directory}", soft_wrap=True)
        record = run_trial(settings, directory, _Progress(console, settings), store)
    _say(console, record, directory)
    return record


def _finished_before(settings: Settings, directory: Path) -> dict[str, Any] | None:
    """The record of the same run where the folder holds one.

    Raises:
        SweepError: It holds a finished run of other settings.
    """
    record = read_record(directory)
    if record is not None and record.get("config_hash") != config_hash(settings):
        raise SweepError(
            "hydra.run.dir must be a new folder or that of the same run, but a run of other "
            f"settings is finished in {directory}; only its .hydra was written over."
        )
    return record


def _same_command(directory: Path) -> str:
    return f"the same command with hydra.run.dir={shlex.quote(str(directory))}"


class _Progress:
    """Prints a line every tenth of the run."""

    def __init__(self, console: Console, settings: Settings) -> None:
        self._console = console
        self._total = settings.trainer.total_steps
        self._next = 0.0

    def __call__(self, row: HistoryRow) -> None:
        if row.step < self._next and row.step < self._total:
            return
        self._next += self._total / LINES_PER_RUN
        known = [f"loss {row.loss:.4g}"] if math.isfinite(row.loss) else []
        known.append(f"L0 {row.l0:.4g}")
        if math.isfinite(row.fvu):
            known.append(f"fvu {row.fvu:.3f}")
        line = f"step {row.step}/{self._total}: {', '.join(known)}, {row.seconds:.0f} s"
        self._console.print(line, highlight=False)


def _result_words(record: Mapping[str, Any]) -> str:
    """What was measured; a trainer of one's own may leave out more than L0 and fvu."""
    tokens, dead = record.get("held_out_tokens"), record.get("dead_fraction")
    measured_on = "" if tokens is None else f" on {tokens} held-out tokens"
    dead_words = "" if dead is None else f", {dead:.1%} dead"
    return (
        f"L0 {record['l0']:.4g}{measured_on} (target {record['target_l0']:g}), "
        f"fvu {record['fvu']:.3f}{dead_words}: {record['verdict']}"
    )


def _say(console: Console, record: dict[str, Any], directory: Path) -> None:
    if record["state"] == "interrupted":
        if has_checkpoint(directory):
            raise KeyboardInterrupt(f"It has a checkpoint; {_same_command(directory)} goes on.")
        raise KeyboardInterrupt(
            f"It has no checkpoint; {_same_command(directory)} starts it again."
        )
    if record["state"] == "complete":
        console.print(_result_words(record), highlight=False, soft_wrap=True)
    for reason in record["verdict_reasons"]:
        console.print(f"  {reason}", highlight=False, soft_wrap=True)
    console.print(f"written to {directory}", highlight=False, soft_wrap=True)
