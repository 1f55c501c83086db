"""Alpha by a law: for any width, target and budget, wider the further it leaves its runs."""

import math

from analysis.answer.alpha_answer import AlphaAnswer, known_bounds
from analysis.answer.planned_training import PlannedTraining
from analysis.errors import AnalysisError
from analysis.law import Law
from analysis.mixture import Z_95
from analysis.units import target_count

# Beyond it the exponential leaves a float's range.
_LARGEST_LOG = 700.0


def answer_from_law(
    law: Law, latent_dim: int, target_l0: float, basis: str, planned: PlannedTraining | None = None
) -> AlphaAnswer:
    """The law's alpha for a width and a target.

    Args:
        law: The law.
        latent_dim: Width.
        target_l0: Below 1 a fraction of latent_dim, from 1 on a count.
        basis: What to call the law.
        planned: The training that alpha is wanted for; None for the law's own.

    Raises:
        AnalysisError: The law says nothing of that training, or too little of alpha.
    """
    planned = planned or PlannedTraining()
    budget, about_budget = _law_budget(law, planned)
    mean, sd = law.alpha_for(latent_dim, target_l0, budget=budget)
    if not abs(mean) < _LARGEST_LOG:
        raise AnalysisError(
            f"alpha must lie within what a float holds, but got ln alpha {mean:.4g} with "
            f"sd {sd:.4g} by {basis}."
        )
    low, high, unbounded = known_bounds(mean - Z_95 * sd, mean + Z_95 * sd)
    widths = [shape.latent_dim for shape in law.shapes]
    outside = not min(widths) <= latent_dim <= max(widths)
    where = "extrapolated from" if outside else "between"
    listed = f"widths {min(widths)} to {max(widths)}"
    if law.is_own_width(latent_dim):
        where, listed = "from the runs of", f"width {latent_dim}"
    elif len(widths) == 1:
        listed = f"the single width {widths[0]}, with theory's exponent"
    return AlphaAnswer(
        latent_dim=latent_dim,
        target_count=target_count(target_l0, latent_dim),
        alpha=math.exp(mean),
        low=low,
        high=high,
        units=law.units.value,
        basis=f"{basis}, {where} {listed}",
        status=law.status.value,
        recipe=planned.in_recipe(law.recipe),
        notes=(*unbounded, *about_budget, *(f"a law still needs: {each}" for each in law.missing)),
    )


def _law_budget(law: Law, planned: PlannedTraining) -> tuple[float | None, tuple[str, ...]]:
    """The planned budget, if it is another than the law's, and how alpha gets there."""
    if not planned.differs_from(law.recipe):
        return None, ()
    if law.budget is None:
        raise AnalysisError(
            "total_steps and learning_rate must be the law's own, which has no budget term, "
            f"but got {planned.total_steps!r} and {planned.learning_rate!r}."
        )
    term = law.budget
    budget = planned.budget(law.recipe, term.unit)
    source = f"from runs at {term.n} budgets" if term.n > 1 else "assumed: one budget was run"
    return budget, (
        f"alpha goes as ({term.unit})^{term.exponent:.2f} (sd {term.se:.2f}, {source})",
    )
