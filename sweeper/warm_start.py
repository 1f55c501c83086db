"""`sweep.warm_start`: what an earlier study's trials say about alpha in a new one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from analysis.errors import AnalysisError
from analysis.records import Units
from analysis.trials import load_trials
from sae.activations import ActivationStore
from sweeper.errors import SweepError
from sweeper.evidence import observed
from sweeper.prior_components import widened_words
from sweeper.record import trains_otherwise
from sweeper.search.transfer import Recipe, Transfer, transfer
from sweeper.settings import Settings

KIND = ("architecture", "penalty", "d_in")
"""What a trial must share with a cell: alpha of another kind has other units."""
TRAINING = ("sae.", "trainer.")
"""How the columns begin that say of a trial how it trained, beside its recipe."""
COMPONENT = "warm_start"
FOREIGN_WEIGHT = 2.0
"""Weight beside the rule's one where something differs; else as much as the study's own trials."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmStart:
    """The trials of an earlier study."""

    path: str
    records: Sequence[Mapping[str, Any]]

    def transfer_to(
        self, settings: Settings, store: ActivationStore, recipe: Recipe
    ) -> Transfer | None:
        """The earlier trials' opinion on a cell; None where none of them has an L0.

        The sd gets, in quadrature, the rule's own sd once for each of: other activations,
        another batch size, another recipe or trainer (assumption, as for a law file).

        Args:
            settings: The cell's, or a candidate's.
            store: Its activations.
            recipe: Its recipe.
        """
        akin = self._akin(settings, store)
        found = [observation for record in akin if (observation := observed(record)) is not None]
        told = transfer(
            found,
            target_l0=settings.target_l0,
            latent_dim=settings.sae.latent_dim,
            recipe=recipe,
        )
        if told is None:
            return None
        different = _different(akin, settings, store)
        component = replace(
            told.component,
            name=COMPONENT,
            sd=math.hypot(told.component.sd, recipe.rule.sd * math.sqrt(len(different))),
            weight=FOREIGN_WEIGHT if different else told.component.weight,
        )
        return replace(told, component=component)

    def describe(self, settings: Settings, store: ActivationStore) -> str:
        """One line: how many trials inform a cell, and what of them differs."""
        akin = self._akin(settings, store)
        different = _different(akin, settings, store)
        return f"warm start from {self.path}: {len(akin)} trials{widened_words(different)}"

    def check(self, settings: Settings, store: ActivationStore) -> None:
        """Sees whether any trial is of a cell's kind.

        Raises:
            SweepError: None is.
        """
        if not self._akin(settings, store):
            wanted = ", ".join(f"{key}={value}" for key, value in _kind(settings, store).items())
            raise SweepError(
                f"sweep.warm_start must hold complete trials of {wanted}, "
                f"but {self.path!r} has none."
            )

    def _akin(self, settings: Settings, store: ActivationStore) -> list[Mapping[str, Any]]:
        kind = _kind(settings, store)
        known = [record for record in self.records if observed(record) is not None]
        same = [record for record in known if _has(record, kind)]
        if same or settings.sweep.train is None:
            return same
        # A trainer of one's own may have its own words for architecture and penalty.
        trainer, d_in = settings.sweep.train, {"d_in": store.d_in}
        return [record for record in known if _has(record, d_in) and _is_by(record, trainer)]


def load_warm_start(path: str | None) -> WarmStart | None:
    """Reads an earlier study's folder, or a table of its trials.

    Raises:
        SweepError: There is none, it cannot be read, or its alphas are in units of their own.
    """
    if path is None:
        return None
    try:
        table = load_trials(Path(path))
    except AnalysisError as error:
        raise SweepError(
            f"sweep.warm_start must be a study or a table of trials, but got {path!r}: {error}"
        ) from None
    if table.attrs["units"] != Units.canonical:
        raise SweepError(
            f"sweep.warm_start must have a column alpha_canonical, but {path!r} has none."
        )
    known = table.astype(object).where(table.notna(), None)
    rows = cast("list[dict[str, Any]]", known.to_dict("records"))
    return WarmStart(path=path, records=rows)


def _kind(settings: Settings, store: ActivationStore) -> dict[str, Any]:
    values = (settings.sae.architecture.value, settings.sae.penalty, store.d_in)
    return dict(zip(KIND, values, strict=True))


def _has(record: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(record.get(key) == value for key, value in values.items())


def _is_by(record: Mapping[str, Any], trainer: str) -> bool:
    return f"sweep.train={trainer}" in str(record.get("recipe")).split()


def _different(
    records: Sequence[Mapping[str, Any]], settings: Settings, store: ActivationStore
) -> list[str]:
    """What the budget term does not know and some trial has otherwise."""
    own = {"activations": store.name, "batch_size": settings.trainer.batch_size}
    different = [
        key for key, value in own.items() if any(record.get(key) != value for record in records)
    ]
    if any(trains_otherwise(settings, told, dict(keys)) for told, keys in _recipes(records)):
        different.append("recipe")
    return different


def _recipes(records: Sequence[Mapping[str, Any]]) -> set[tuple[Any, tuple[tuple[str, Any], ...]]]:
    """Each way to train among the records once, since telling two apart takes time."""
    return {
        (
            record.get("recipe"),
            tuple((key, value) for key, value in record.items() if key.startswith(TRAINING)),
        )
        for record in records
    }
