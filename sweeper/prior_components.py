"""The prior of one cell: which components speak, and with what weight."""

from dataclasses import replace

from sae.activations import ActivationStore
from sweeper.search.prior import (
    PriorComponent,
    PriorKind,
    guide_component,
    mixture,
    theory_component,
)
from sweeper.settings import Settings


def prior_components(settings: Settings, store: ActivationStore) -> list[PriorComponent]:
    """What is expected of ln alpha (canonical) before a cell has run anything.

    Args:
        settings: The cell's configuration.
        store: Its activations, which give d_in.

    Raises:
        SweepError: No component can speak.
        AnalysisError: The law file cannot be used for this cell.
    """
    kind = settings.prior.kind
    theory = theory_component(
        store.d_in,
        settings.target_l0_count,
        settings.trainer.learning_rate,
        settings.trainer.total_steps,
    )
    guide = guide_component(settings.sae.latent_dim)
    if kind is PriorKind.theory:
        return mixture([theory], settings.prior.widening)
    if kind is PriorKind.guide:
        return mixture([replace(guide, weight=1.0)], settings.prior.widening)
    return mixture([theory, guide], settings.prior.widening)
