"""What the search knows of each cell: its activations, its prior, and everything run so far."""

import math
from collections.abc import Sequence

from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler

from analysis.records import State
from analysis.units import canonical_factor
from sae.activations import ActivationsConfig, ActivationStore, open_activations
from sweeper.cells import Cell
from sweeper.errors import SweepError
from sweeper.job import activation_scale
from sweeper.prior_components import prior_components
from sweeper.progress import cell_state
from sweeper.search.observations import Observation, Pending, observe
from sweeper.search.prior import heaviest
from sweeper.search.sampler import LawSampler, Problem
from sweeper.space import SearchSpace
from sweeper.trial_book import BookedTrial, TrialBook

BRACKET_FACTOR = 1.35
"""How far beside the target a bracketing run aims: far enough that noise of 3 % cannot put it on
the wrong side, near enough for the local fit (assumption)."""

DECADES = 3
"""How far from the prior alpha may be searched, either way, unless the user gives bounds."""


class CellSearch:
    """Opens the activations of all cells, and answers what a cell's search starts from.

    Args:
        cells: All cells of the sweep.
        space: Gives the bounds of alpha, where the user did.

    Raises:
        SaeError: Activations cannot be opened.
    """

    def __init__(self, cells: Sequence[Cell], space: SearchSpace) -> None:
        self._cells = cells
        self._space = space
        self._book: TrialBook | None = None
        self._stores: dict[ActivationsConfig, ActivationStore] = {}
        for cell in cells:
            config = cell.settings.activations
            if config not in self._stores:
                self._stores[config] = open_activations(config)

    def store(self, cell: Cell) -> ActivationStore:
        """The cell's activations."""
        return self._stores[cell.settings.activations]

    def data_fingerprints(self) -> list[str]:
        """What identifies the data of the study."""
        return [store.fingerprint for store in self._stores.values()]

    def read_from(self, book: TrialBook) -> None:
        """Says where the trials are kept; needed before anything is proposed."""
        self._book = book

    def sampler(self, cell: Cell) -> LawSampler:
        """The Optuna sampler of a cell."""
        return LawSampler(
            problem=lambda: self.problem(cell),
            others=TPESampler(seed=cell.settings.seed),
        )

    def problem(self, cell: Cell) -> Problem:
        """All that the cell's next proposal rests on, at this moment."""
        if self._book is None:
            raise SweepError(
                f"{cell.name} must have a trial book before it proposes, but has none."
            )
        trials = [trial for trial in self._book.trials() if trial.cell in self._names(cell)]
        state = cell_state(cell, trials)
        target = cell.target_count
        if state.landed is not None:
            target *= bracketing_factor(cell, trials)
        factor = self.canonical_factor(cell)
        return Problem(
            components=prior_components(cell.settings, self.store(cell), target),
            target=target,
            tolerance=cell.settings.sweep.tolerance,
            latent_dim=cell.settings.sae.latent_dim,
            observations=[o for trial in trials if (o := observed(trial)) is not None],
            pending=[
                Pending(
                    ln_alpha=math.log(trial.l1_alpha / factor),
                    latent_dim=cell.settings.sae.latent_dim,
                )
                for trial in trials
                if trial.is_running and trial.l1_alpha > 0
            ],
            canonical_factor=factor,
        )

    def _names(self, cell: Cell) -> set[str]:
        return {other.name for other in self._cells if other.group == cell.group}

    def canonical_factor(self, cell: Cell) -> float:
        """`l1_alpha` in the user's units over alpha in canonical units."""
        return canonical_factor(
            cell.settings.objective,
            activation_scale(self.store(cell)),
            cell.settings.sae.latent_dim,
        )

    def distribution(self, cell: Cell) -> FloatDistribution:
        """Where the cell's `l1_alpha` is searched, in the user's units."""
        if self._space.alpha_bounds is not None:
            low, high = self._space.alpha_bounds
        else:
            centre = math.exp(
                heaviest(prior_components(cell.settings, self.store(cell))).mean
            ) * self.canonical_factor(cell)
            low, high = centre / 10**DECADES, centre * 10**DECADES
        return FloatDistribution(low, high, log=True)


def observed(trial: BookedTrial) -> Observation | None:
    """What a trial says about its width's curve; None where it says nothing.

    A diverged run says nothing of L0, and a run without alpha lies at no finite ln alpha.
    """
    record = trial.record
    if record is None or record["state"] != State.complete or not record["alpha_canonical"] > 0:
        return None
    return observe(
        ln_alpha=math.log(record["alpha_canonical"]),
        latent_dim=record["latent_dim"],
        l0=record["l0"],
        held_out_tokens=record["held_out_tokens"],
    )


def bracketing_factor(cell: Cell, trials: Sequence[BookedTrial]) -> float:
    """Where to aim once a run is in band: beside the target, on the side with fewer runs.

    Args:
        cell: The cell.
        trials: All trials that inform it.

    Returns:
        The factor on the target, `BRACKET_FACTOR` or one over it.
    """
    l0s = [
        trial.record["l0"]
        for trial in trials
        if trial.record is not None and trial.record["state"] == State.complete
    ]
    denser = sum(l0 > cell.target_count for l0 in l0s)
    return BRACKET_FACTOR if denser <= len(l0s) - denser else 1 / BRACKET_FACTOR
