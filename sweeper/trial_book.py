"""The sweep's trials in Optuna: one study per cell, all in one storage; ask and tell."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from analysis.records import State
from sweeper.adjusted_fvu import adjusted_fvu, fvu_point, local_slope
from sweeper.booked_trial import (
    ALPHA,
    NUMBER_ATTR,
    PREDICTED_ATTR,
    RECORD_ATTR,
    RETRY_ATTR,
    RUN_BY_ATTR,
    SEED_ATTR,
    BookedTrial,
    booked_trial,
    without_alpha,
)
from sweeper.cells import Cell, of_group
from sweeper.distributions import Value
from sweeper.patience import patiently
from sweeper.record import is_in_band, signed_log_error
from sweeper.search.sampler import LawSampler
from sweeper.sweep_config import Goal

LINK_ATTR = "linked_from"

TOLD_AS = {
    State.complete: TrialState.COMPLETE,
    State.pruned: TrialState.PRUNED,
    State.diverged: TrialState.FAIL,
    State.failed: TrialState.FAIL,
}
"""Optuna's state for each of ours; the record keeps ours."""
FVU_OF_NOTHING = 1.0
"""Of an SAE that always answers with the mean; told to Optuna for a run that diverged."""


class TrialBook:
    """Opens or creates the cells' Optuna studies, and keeps their trials.

    Args:
        storage: Where the studies live.
        study_name: Prefix of every cell's study.
        cells: All cells of the sweep.
        sampler: Gives the sampler of a cell.
        searched: What is searched beside alpha.
        run_by: This command's name in the crew; its trials are marked with it.
    """

    def __init__(
        self,
        storage: BaseStorage,
        study_name: str,
        cells: Sequence[Cell],
        sampler: Callable[[Cell], BaseSampler],
        searched: Mapping[str, BaseDistribution] | None = None,
        run_by: str | None = None,
    ) -> None:
        self._storage = storage
        self._prefix = f"{study_name}/"
        self._run_by = run_by
        self._others: dict[str, optuna.Study] = {}
        self._searched = dict(searched or {})
        self._ended: dict[tuple[str, int], BookedTrial] = {}
        self._cells = {cell.name: cell for cell in cells}
        self._studies = {
            cell.name: optuna.create_study(
                storage=storage,
                study_name=self._prefix + cell.name,
                sampler=sampler(cell),
                load_if_exists=True,
            )
            for cell in cells
        }

    @patiently
    def ask(
        self,
        cell: Cell,
        alpha: FloatDistribution,
        seed: int,
        params: Mapping[str, Value] | None = None,
    ) -> BookedTrial:
        """Starts a trial whose alpha the cell's sampler proposes within the distribution.

        Args:
            cell: The cell.
            alpha: Where alpha is searched.
            seed: The trial's.
            params: The other searched keys; None: Optuna proposes them.
        """
        trial = self._start(cell, params)
        trial.suggest_float(ALPHA, alpha.low, alpha.high, log=alpha.log)
        return self._book(cell, trial, seed)

    @patiently
    def ask_at(
        self,
        cell: Cell,
        l1_alpha: float,
        seed: int,
        params: Mapping[str, Value] | None = None,
        *,
        retry_of: int | None = None,
    ) -> BookedTrial:
        """Starts a trial at a given alpha, perhaps to repeat a failed one; else as in `ask`."""
        trial = self._start(cell, params)
        trial.suggest_float(ALPHA, l1_alpha, l1_alpha, log=self._in_logarithm(cell, l1_alpha))
        return self._book(cell, trial, seed, retry_of)

    def _in_logarithm(self, cell: Cell, l1_alpha: float) -> bool:
        """Optuna keeps one kind of distribution for a key; a search's is logarithmic."""
        trials = self._studies[cell.name].get_trials(deepcopy=False)
        known = [t.distributions[ALPHA] for t in trials if ALPHA in t.distributions]
        return l1_alpha > 0 and all(isinstance(d, FloatDistribution) and d.log for d in known)

    def _start(self, cell: Cell, params: Mapping[str, Value] | None) -> optuna.Trial:
        """Asks for a trial, and for its searched keys first: alpha depends on them.

        A candidate that a killed process, or a lost answer, left in Optuna's queue is dropped: a
        trial of its own was asked for again, or will be.
        """
        study = self._studies[cell.name]
        for left in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._storage.set_trial_state_values(_id_of(left), TrialState.FAIL)
        if params:
            study.enqueue_trial(dict(params))
        trial = study.ask()
        for key, distribution in self._searched.items():
            # Optuna's public methods are one for each kind of distribution.
            trial._suggest(key, distribution)  # pyright: ignore[reportPrivateUsage]
        return trial

    def _book(
        self, cell: Cell, trial: optuna.Trial, seed: int, retry_of: int | None = None
    ) -> BookedTrial:
        """Notes all that is known of the trial; its number comes last and makes it count."""
        number = 1 + max((booked.number for booked in self.all_trials()), default=-1)
        predicted = _predicted(self._studies[cell.name].sampler)
        trial.set_user_attr(SEED_ATTR, seed)
        trial.set_user_attr(RETRY_ATTR, retry_of)
        trial.set_user_attr(PREDICTED_ATTR, dict(predicted))
        trial.set_user_attr(RUN_BY_ATTR, self._run_by)
        trial.set_user_attr(NUMBER_ATTR, number)
        return BookedTrial(
            number=number,
            cell=cell.name,
            l1_alpha=trial.params[ALPHA],
            seed=seed,
            is_running=True,
            record=None,
            optuna_number=trial.number,
            predicted=predicted,
            retry_of=retry_of,
            params=without_alpha(trial.params),
            run_by=self._run_by,
        )

    @patiently
    def tell(self, trial: BookedTrial, record: Mapping[str, Any]) -> None:
        """Ends a trial, and links it into the studies of the cells that share it."""
        study = self._studies[trial.cell]
        frozen = self._frozen(trial)
        if not frozen.state.is_finished():
            _handle(study, frozen).set_user_attr(RECORD_ATTR, dict(record))
            state, value = self._told(self._cells[trial.cell], record, trial)
            study.tell(trial.optuna_number, value, state)
        self._link_to_siblings(trial)

    def _siblings(self, name: str) -> Iterator[Cell]:
        cells = self._cells.values()
        return (c for c in cells if c.name != name and name in of_group(c, cells))

    def _link(self, sibling: Cell, told: FrozenTrial, trial: BookedTrial) -> None:
        """Adds the trial to a sibling's study, without alpha.

        Optuna wants one kind of distribution for a key, and no sampler of it proposes alpha: its
        record says it, whether the sibling searches alpha in its logarithm or is given 0.
        """
        record = judged_for(told.user_attrs[RECORD_ATTR], sibling)
        state, value = self._told(sibling, record, trial)
        self._studies[sibling.name].add_trial(
            create_trial(
                state=state,
                value=value,
                params=without_alpha(told.params),
                distributions={k: d for k, d in told.distributions.items() if k != ALPHA},
                user_attrs={LINK_ATTR: trial.number, RECORD_ATTR: record},
            )
        )

    @patiently
    def claim(self, trial: BookedTrial) -> BookedTrial:
        """Marks a running trial as this command's."""
        _handle(self._studies[trial.cell], self._frozen(trial)).set_user_attr(
            RUN_BY_ATTR, self._run_by
        )
        return replace(trial, run_by=self._run_by)

    @patiently
    def is_mine(self, trial: BookedTrial) -> bool:
        """Whether no other command has claimed the trial meanwhile."""
        return self._frozen(trial).user_attrs.get(RUN_BY_ATTR) == self._run_by

    def study_name(self, trial: BookedTrial) -> str:
        """The Optuna study that holds the trial."""
        return self._studies[trial.cell].study_name

    def _told(
        self, cell: Cell, record: Mapping[str, Any], trial: BookedTrial
    ) -> tuple[TrialState, float | None]:
        """Optuna's state, and what it minimises."""
        state = State(record["state"])
        if cell.settings.sweep.goal is not Goal.fvu:
            told = TOLD_AS[state]
            return told, _distance(record) if told is TrialState.COMPLETE else None
        if state is State.diverged:
            # A trial that failed teaches Optuna nothing, and it would come back to the place.
            return TrialState.COMPLETE, FVU_OF_NOTHING
        if state is State.complete:
            return TrialState.COMPLETE, self._fvu_at_target(cell, record, trial)
        return TOLD_AS[state], None

    def _fvu_at_target(self, cell: Cell, record: Mapping[str, Any], trial: BookedTrial) -> float:
        own = fvu_point(record, trial.recipe)
        if own is None:
            return FVU_OF_NOTHING
        group = of_group(cell, self._cells.values())
        points = [
            fvu_point(judged_for(other.record, cell), other.recipe)
            for other in self.known_trials()
            if other.cell in group and other.record is not None and other.number != trial.number
        ]
        slope = local_slope([own, *(point for point in points if point is not None)])
        return adjusted_fvu(record["fvu"], own.log_error, slope)

    @patiently
    def running(self) -> list[BookedTrial]:
        """Those of the cells' trials that no command has told the end of, by number."""
        found = [
            booked_trial(name, frozen)
            for name, study in self._studies.items()
            for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if NUMBER_ATTR in frozen.user_attrs
        ]
        return sorted(found, key=lambda booked: booked.number)

    def known_trials(self) -> list[BookedTrial]:
        """What this command goes by: its cells' trials, and what ended in the study's others."""
        own = self._studies
        return [trial for trial in self.all_trials() if trial.cell in own or not trial.is_running]

    @patiently
    def all_trials(self) -> list[BookedTrial]:
        """Every trial of the study once, by number, whichever command asked for its cell."""
        for name in optuna.get_all_study_names(self._storage):
            cell = name.removeprefix(self._prefix)
            if cell not in (name, *self._studies, *self._others):
                self._others[cell] = optuna.load_study(study_name=name, storage=self._storage)
        return self._of(self._studies | self._others)

    def _of(self, studies: Mapping[str, optuna.Study]) -> list[BookedTrial]:
        found = [
            self._booked(name, frozen)
            for name, study in studies.items()
            for frozen in study.get_trials(deepcopy=False)
            if NUMBER_ATTR in frozen.user_attrs
        ]
        return sorted(found, key=lambda booked: booked.number)

    def _booked(self, cell: str, frozen: FrozenTrial) -> BookedTrial:
        """The trial as the study knows it; one that has ended never changes, and is kept."""
        if not frozen.state.is_finished():
            return booked_trial(cell, frozen)
        key = (cell, frozen.number)
        if key not in self._ended:
            self._ended[key] = booked_trial(cell, frozen)
        return self._ended[key]

    @patiently
    def heal(self) -> None:
        """Ends what a killed controller had begun to write down.

        What it asked for and had not numbered fails; what it told and had not linked is linked.
        """
        for study in self._studies.values():
            for frozen in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if NUMBER_ATTR not in frozen.user_attrs:
                    study.tell(frozen.number, state=TrialState.FAIL)
        for trial in self.known_trials():
            if not trial.is_running and trial.record is not None:
                self._link_to_siblings(trial)

    def _link_to_siblings(self, trial: BookedTrial) -> None:
        for sibling in self._siblings(trial.cell):
            if trial.number not in self._linked(sibling):
                self._link(sibling, self._frozen(trial), trial)

    def _frozen(self, trial: BookedTrial) -> FrozenTrial:
        study = (self._studies | self._others)[trial.cell]
        return study.get_trials(deepcopy=False)[trial.optuna_number]

    def _linked(self, cell: Cell) -> set[int]:
        trials = self._studies[cell.name].get_trials(deepcopy=False)
        return {found for t in trials if (found := t.user_attrs.get(LINK_ATTR)) is not None}


def _handle(study: optuna.Study, frozen: FrozenTrial) -> optuna.Trial:
    return optuna.Trial(study, _id_of(frozen))


def _id_of(frozen: FrozenTrial) -> int:
    """Optuna offers no public way to a trial of another process."""
    return frozen._trial_id  # pyright: ignore[reportPrivateUsage]


def _predicted(sampler: BaseSampler) -> Mapping[str, Any]:
    return sampler.predicted() if isinstance(sampler, LawSampler) else {}


def judged_for(record: Mapping[str, Any], cell: Cell) -> dict[str, Any]:
    """The record with its error and band held against another cell's target."""
    l0 = record.get("l0")
    error = None if l0 is None else signed_log_error(l0, cell.target_count)
    tolerance = cell.settings.sweep.tolerance
    return dict(record) | {"l0_log_error": error, "in_band": is_in_band(error, tolerance)}


def _distance(record: Mapping[str, Any]) -> float:
    """The distance from the target; its sign is in the record."""
    error = record.get("l0_log_error")
    return float("inf") if error is None else abs(float(error))
