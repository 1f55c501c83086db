"""What the search knows of each cell: its activations, its prior, and everything run so far."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler

from analysis.records import AlphaMode, State
from analysis.units import canonical_factor
from analysis.units import target_count as target_counted
from sae.activations import ActivationsConfig, ActivationStore, open_activations
from sweeper.cells import Cell
from sweeper.errors import SweepError
from sweeper.job import activation_scale
from sweeper.prior_components import own_rule, prior_components
from sweeper.progress import cell_state
from sweeper.search.curve_model import DEFAULT_SHAPE
from sweeper.search.observations import (
    SEED_NOISE_SD,
    Observation,
    Pending,
    Relation,
    observe,
)
from sweeper.search.prior import heaviest
from sweeper.search.sampler import LawSampler, Problem
from sweeper.search.transfer import Recipe, Transfer, transfer
from sweeper.space import SearchSpace
from sweeper.trial_book import BookedTrial, TrialBook

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
        trials = self._book.trials()
        own = [trial for trial in trials if trial.cell in self._group(cell)]
        factor = self.canonical_factor(cell)
        learnt = self._learnt_elsewhere(cell, trials)
        return Problem(
            components=prior_components(
                cell.settings,
                self.store(cell),
                [] if learnt is None else [learnt.component],
            ),
            target=cell.target_count,
            tolerance=cell.settings.sweep.tolerance,
            latent_dim=cell.settings.sae.latent_dim,
            observations=observations(own, cell.target_count),
            pending=[
                Pending(
                    ln_alpha=math.log(trial.l1_alpha / factor),
                    latent_dim=cell.settings.sae.latent_dim,
                )
                for trial in own
                if trial.is_running and trial.l1_alpha > 0
            ],
            canonical_factor=factor,
            shape=DEFAULT_SHAPE if learnt is None else learnt.shape,
            bracketing=cell_state(cell, own).landed is not None,
        )

    def _learnt_elsewhere(self, cell: Cell, trials: Sequence[BookedTrial]) -> Transfer | None:
        """What cells of other widths and budgets say about this one."""
        kin = {other.name for other in self._cells if _are_kin(cell, other)}
        trainer = cell.settings.trainer
        return transfer(
            observations([trial for trial in trials if trial.cell in kin]),
            target_l0=cell.settings.target_l0,
            latent_dim=cell.settings.sae.latent_dim,
            recipe=Recipe(
                d_in=self.store(cell).d_in,
                learning_rate=trainer.learning_rate,
                total_steps=trainer.total_steps,
                rule=own_rule(cell.settings, self.store(cell)),
            ),
        )

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
            component = heaviest(prior_components(cell.settings, self.store(cell)))
            centre = math.exp(component.mean) * self.canonical_factor(cell)
            low, high = centre / 10**DECADES, centre * 10**DECADES
        return FloatDistribution(low, high, log=True)

    def _group(self, cell: Cell) -> set[str]:
        return {other.name for other in self._cells if other.group == cell.group}


def _are_kin(cell: Cell, other: Cell) -> bool:
    """Whether two cells differ in width, target and budget only, so that one informs the other."""
    one, two = cell.settings, other.settings
    moved = replace(
        two.trainer,
        learning_rate=one.trainer.learning_rate,
        total_steps=one.trainer.total_steps,
    )
    return (
        one.activations == two.activations
        and one.sae == replace(two.sae, latent_dim=one.sae.latent_dim)
        and one.trainer == moved
    )


def observations(
    trials: Sequence[BookedTrial], target_count: float | None = None
) -> list[Observation]:
    """What the trials found, those left out that say nothing; see `observed`."""
    return [found for trial in trials if (found := observed(trial, target_count)) is not None]


def observed(trial: BookedTrial, target_count: float | None = None) -> Observation | None:
    """What a trial says about its width's curve; None where it says nothing.

    A run without alpha lies at no finite ln alpha, and where alpha was steered L0 depends on its
    whole path. A diverged or collapsed run has no L0; for a target it says that alpha is too large
    (assumption: what the penalty broke, more of it does not mend).

    Args:
        trial: A trial that has ended, or not yet.
        target_count: The target that a diverged run is held against; None leaves such runs out.
    """
    record = trial.record
    if record is None or not (record.get("alpha_canonical") or 0) > 0:
        return None
    if record["alpha_mode"] == AlphaMode.controlled:
        return None
    if record["state"] == State.diverged and target_count is not None:
        return Observation(
            ln_alpha=math.log(record["alpha_canonical"]),
            latent_dim=record["latent_dim"],
            ln_l0=math.log(target_count),
            relation=Relation.below,
            seed=record["seed"],
        )
    if record["state"] == State.pruned:
        return _pruned(record, target_count)
    if record["state"] != State.complete:
        return None
    found = observe(
        ln_alpha=math.log(record["alpha_canonical"]),
        latent_dim=record["latent_dim"],
        l0=record["l0"],
        held_out_tokens=record["held_out_tokens"],
    )
    return replace(
        found,
        seed=record["seed"],
        learning_rate=record["learning_rate"],
        total_steps=record["total_steps"],
    )


def _pruned(record: Mapping[str, Any], target_count: float | None) -> Observation | None:
    """A projected L0 with the projection's sd, or a bound at the target that it was pruned for."""
    base = Observation(
        ln_alpha=math.log(record["alpha_canonical"]),
        latent_dim=record["latent_dim"],
        ln_l0=math.log(target_counted(record["target_l0"], record["latent_dim"])),
        seed=record["seed"],
        learning_rate=record["learning_rate"],
        total_steps=record["total_steps"],
        is_complete=False,
    )
    if record.get("projected_l0") and record.get("projected_l0_sd"):
        noise = math.hypot(SEED_NOISE_SD, record["projected_l0_sd"])
        return replace(base, ln_l0=math.log(record["projected_l0"]), noise_sd=noise)
    if target_count is None or record.get("l0_bound") is None:
        return None
    return replace(base, relation=Relation(record["l0_bound"]))
