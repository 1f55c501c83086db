"""`sweeper.find_alpha`: the whole search as one function call, for notebooks and scripts."""

import io
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any, cast

import pandas as pd
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, OverrideParseException
from hydra.version import VersionBase
from omegaconf.errors import OmegaConfBaseException

from analysis import load_trials, refit
from analysis.errors import AnalysisError
from analysis.groups import NO_PENALTY
from analysis.hydra_text import quoted
from analysis.units import target_count
from sweeper.app import CONFIG_FOLDER
from sweeper.booked_trial import BookedTrial
from sweeper.budgets import MARK
from sweeper.command_line import refuse_what_is_taken_for_something_else
from sweeper.concealment import without_storage
from sweeper.config_errors import describe
from sweeper.distributions import Value
from sweeper.errors import SweepError
from sweeper.execution.devices import refuse_absent_device
from sweeper.execution.executor import JobEnd, Pack
from sweeper.execution.in_process import InProcess
from sweeper.group_choices import refuse_choices_without_a_name
from sweeper.keys import bare_key
from sweeper.output import PlainConsole
from sweeper.pack_job import run_pack
from sweeper.progress import CellState
from sweeper.record import signed_log_error
from sweeper.settings import Settings, register_schema, to_settings
from sweeper.space import NOT_PART_OF_A_JOB, SearchSpace, parse_space
from sweeper.study import run_study
from sweeper.sweep_config import SweepConfig

BUILT_IN = ("demo", "synthetic")
ARGUMENTS = {
    "sae.latent_dim": "latent_dim",
    "target_l0": "target_l0",
    "activations": "activations",
    "activations.source": "activations",
    "activations.path": "activations",
}
"""Keys that arguments of `find_alpha` give, and the arguments."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundAlpha:
    """What a search came to."""

    landed: bool
    """Whether the run is in band."""
    l1_alpha: float | None
    """Alpha of the run that is the answer, in the objective's units; None where k sets L0."""
    alpha_canonical: float | None
    """The same in canonical units."""
    l0: float
    """Its L0 on held-out tokens."""
    fvu: float
    """Its fraction of variance unexplained."""
    low: float | None
    """95 % interval of canonical alpha for the target, where the runs support one."""
    high: float | None
    """Its upper end."""
    searched: Mapping[str, Value]
    """The run's values of the keys that were searched beside alpha; empty where there are none."""
    trials: pd.DataFrame
    """Every trial, as `analysis.load_trials` gives it."""
    folder: Path
    """The study: report, law and weights."""


def find_alpha(
    activations: str | Path,
    latent_dim: int,
    target_l0: float,
    *,
    overrides: Sequence[str] = (),
    folder: Path | str = "multirun",
    quiet: bool = False,
) -> FoundAlpha:
    """Searches the L1 alpha that gives `target_l0`, or goes on with the same search.

    Where `overrides` make several cells, the answer is that of the cell whose run is nearest to
    the target.

    Args:
        activations: A folder that `sae-activations extract` wrote, or "demo" or "synthetic".
        latent_dim: Width of the SAE.
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count.
        overrides: Further configuration, as on the command line: `["trainer.total_steps=2000"]`.
        folder: Where the study's folder goes.
        quiet: Print nothing.

    Returns:
        The run that the search answers with: the nearest to the target, or where other keys are
        searched too the best candidate's; with the interval that the runs of its recipe support.

    Raises:
        SweepError, SaeError, AnalysisError: Something asked for cannot be; one line says what.
        KeyboardInterrupt: The search was stopped; the same call goes on with it.
    """
    _refuse_wrong_types(activations, latent_dim, target_l0, overrides, folder)
    _refuse_arguments(overrides)
    target_l0 = float(target_l0)
    source = (
        (f"activations={activations}",)
        if activations in BUILT_IN
        else ("activations=folder", f"activations.path={quoted(str(activations))}")
    )
    asked = (*source, f"sae.latent_dim={latent_dim}", f"target_l0={target_l0!r}", *overrides)
    sweep, space = _read(asked)
    outcome = run_study(
        sweep,
        space,
        _compose,
        Path(folder),
        lambda _: InProcess(_run_here),
        PlainConsole(io.StringIO()) if quiet else PlainConsole(),
    )
    answer = _nearest_answer(outcome.answers, target_count(target_l0, latent_dim))
    if answer is None or answer.nearest is None:
        why = "; ".join(outcome.advice) or "all that was asked for has run"
        raise SweepError(
            f"{outcome.folder} must have a run with an L0 above 0, but has none: {why}."
        )
    trials = load_trials(outcome.folder / "trials.csv")
    has_landed = answer.landed is not None
    return _found(trials, answer.nearest, target_l0, outcome.folder, has_landed=has_landed)


def _refuse_wrong_types(
    activations: Any, latent_dim: Any, target_l0: Any, overrides: Any, folder: Any
) -> None:
    """Raises a SweepError for an argument of another type, which a notebook's caller may pass."""
    if not isinstance(activations, str | PathLike):
        raise SweepError(
            "activations must be a folder's path, demo or synthetic, "
            f"but got {_shown(activations)}."
        )
    if isinstance(latent_dim, bool) or not isinstance(latent_dim, Integral):
        raise SweepError(f"latent_dim must be a whole number, but got {_shown(latent_dim)}.")
    if isinstance(target_l0, bool) or not isinstance(target_l0, Real):
        raise SweepError(f"target_l0 must be a number, but got {_shown(target_l0)}.")
    if isinstance(overrides, str) or not isinstance(overrides, Sequence):
        # One text may hold a storage's password.
        got = "a str" if isinstance(overrides, str) else _shown(overrides)
        raise SweepError(f"overrides must be a list of texts, but got {got}.")
    for line in cast("Sequence[Any]", overrides):
        if not isinstance(line, str):
            raise SweepError(
                f"overrides must be a list of texts, but got one with {_shown(line)}."
            )
    if not isinstance(folder, str | PathLike):
        raise SweepError(f"folder must be a path, but got {_shown(folder)}.")


def _shown(value: Any) -> str:
    """A value in a line; of what may have many lines, its type."""
    is_short = value is None or isinstance(value, str | Real)
    return repr(value) if is_short else f"a {type(value).__name__}"


def _refuse_arguments(overrides: Sequence[str]) -> None:
    """Raises a SweepError for an override that contradicts an argument."""
    for line in overrides:
        key = bare_key(line.partition("=")[0])
        if key in ARGUMENTS:
            raise SweepError(
                f"{key} must be given to find_alpha as {ARGUMENTS[key]}, but got {line!r} in "
                "overrides."
            )


def _read(asked: Sequence[str]) -> tuple[SweepConfig, SearchSpace]:
    """What the sweep is told, and what is searched; trials run here, one after another."""
    try:
        refuse_choices_without_a_name(asked, CONFIG_FOLDER)
        refuse_what_is_taken_for_something_else(asked)
        space = parse_space(without_storage(asked))
        sweep = _compose(parse_space(asked).fixed).sweep
    except OverrideParseException as error:
        raise SweepError(describe(error)) from None
    for line in asked:
        key = bare_key(line.partition("=")[0])
        if key.startswith(NOT_PART_OF_A_JOB):
            raise SweepError(
                f"{key} must not be given to find_alpha, which trains in this process."
            )
    if sweep.dry_run:
        raise SweepError("sweep.dry_run must be false for find_alpha, but got true.")
    if sweep.slots != 1:
        raise SweepError(
            "sweep.slots must be 1 for find_alpha, which trains in this process, "
            f"but got {sweep.slots}."
        )
    return sweep, space


def _compose(overrides: Sequence[str]) -> Settings:
    register_schema()
    with _callers_hydra_put_back(), initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        try:
            settings = to_settings(compose("config", list(overrides)))
        except (HydraException, OmegaConfBaseException) as error:
            raise SweepError(describe(error)) from None
    refuse_absent_device(settings)
    return settings


@contextmanager
def _callers_hydra_put_back() -> Generator[None]:
    """For the block no application has Hydra's global state, which it knows one of at a time."""
    hydra, version = GlobalHydra.instance().hydra, VersionBase.instance().version_base
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = hydra
        VersionBase.instance().version_base = version


def _run_here(pack: Pack) -> list[JobEnd]:
    return run_pack([(job.settings, job.directory) for job in pack])


def _nearest_answer(cells: Sequence[CellState], wanted: float) -> CellState | None:
    """Of several cells the one whose answer is nearest; None where no run came to its end.

    Args:
        cells: What each came to.
        wanted: The target as a number of latents.
    """

    def distance(cell: CellState) -> tuple[bool, float]:
        record = {} if cell.nearest is None else cell.nearest.record or {}
        error = signed_log_error(record["l0"], wanted)
        return cell.landed is None, math.inf if error is None else abs(error)

    return min((cell for cell in cells if cell.nearest), key=distance, default=None)


def _found(
    trials: pd.DataFrame, answer: BookedTrial, target_l0: float, folder: Path, *, has_landed: bool
) -> FoundAlpha:
    its_row = trials[trials["trial"] == answer.number]
    nearest = its_row.iloc[0]
    of_width = trials[trials["latent_dim"] == nearest["latent_dim"]]
    low, high = _interval(of_width, target_l0, int(its_row.index[0]))
    has_alpha = str(nearest["penalty"]) != NO_PENALTY
    return FoundAlpha(
        landed=has_landed,
        l1_alpha=float(nearest["l1_alpha"]) if has_alpha else None,
        alpha_canonical=float(nearest["alpha_canonical"]) if has_alpha else None,
        l0=float(nearest["l0"]),
        fvu=float(nearest["fvu"]),
        low=low,
        high=high,
        searched=dict(answer.params),
        trials=trials,
        folder=folder,
    )


def _interval(
    trials: pd.DataFrame, target_l0: float, row: int
) -> tuple[float | None, float | None]:
    """The interval that the full runs of one row's recipe and width support."""
    full = ~trials["cell"].str.contains(MARK, regex=False)  # short runs only inform
    try:
        fit = refit(trials[full], target_l0=target_l0)
    except AnalysisError:  # no usable run: the trials say why
        return None, None
    widths = (width for group in (fit, *fit.others) for width in group.widths)
    star = next((width.alpha_star for width in widths if row in width.rows), None)
    return (None, None) if star is None else (star.low, star.high)
