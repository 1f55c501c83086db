"""`sweep.dry_run=true`: what a study would search, and what it would cost; nothing is started."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from scipy.special import ndtr

from sae.cost import RunCost, measure_cost
from sae.training import TrainingRequest
from sweeper.cell_search import CellSearch
from sweeper.cells import Cell, given_alpha
from sweeper.search.prior import PriorComponent, heaviest
from sweeper.space import SearchSpace
from sweeper.tables import plain_table, print_table
from sweeper.trial_counts import TrialCount, count_trials

HEADINGS = ("cell", "target", "alpha", "prior's 95 %", "trials", "time", "memory", "disk")
"""The last three of one trial."""
CENTRAL_95 = (0.025, 0.975)
PRECISION = 1e-6
"""Of the interval's ends, in ln alpha."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CellPlan:
    """What one cell is expected to do."""

    cell: Cell
    alpha: float | None
    """Where the search starts, or the given alpha; in the user's units. None: k sets L0."""
    interval: tuple[float, float] | None
    """Central 95 % of the prior; None where alpha is given."""
    trials: TrialCount
    cost: RunCost | None
    """None where a trainer of one's own trains."""


def show_plan(
    cells: Sequence[Cell], space: SearchSpace, search: CellSearch, console: Console
) -> list[CellPlan]:
    """Measures a few steps of every cell and prints what the sweep would do.

    Args:
        cells: All cells.
        space: Grid and seeds.
        search: Gives activations and priors.
        console: Where to.

    Raises:
        SaeError: A cell does not fit into memory, or its device is absent.
    """
    plans = [_plan(cell, cells, space, search) for cell in cells]
    table = plain_table(HEADINGS)
    for plan in plans:
        table.add_row(*_row(plan))
    print_table(console, table)
    for line in (*_totals(plans), *search.data_warnings()):
        console.print(line, highlight=False, soft_wrap=True)
    return plans


def _plan(cell: Cell, cells: Sequence[Cell], space: SearchSpace, search: CellSearch) -> CellPlan:
    given = space.alpha_grid or given_alpha(cell)
    alpha, interval = None, None
    if given:
        alpha = given[0] if given[0] > 0 else None
    else:
        factor = search.canonical_factor(cell)
        components = search.first_components(cell)
        alpha = _first_alpha(cell, space, search, math.exp(heaviest(components).mean) * factor)
        low, high = (math.exp(ln) * factor for ln in interval_of(components))
        interval = (low, high)
    return CellPlan(
        cell=cell,
        alpha=alpha,
        interval=interval,
        trials=count_trials(cell, cells, space),
        cost=_cost(cell, search, alpha or 0.0),
    )


def _first_alpha(cell: Cell, space: SearchSpace, search: CellSearch, expected: float) -> float:
    """Where the search starts: at a known alpha, or at the expected one within its bounds."""
    # Where other keys are searched, or on short runs, no known alpha is run.
    known = cell.settings.sweep.known_alphas(cell.name)
    if known and not space.searched and cell.budget == 1:
        return known[0]
    bounds = search.distribution(cell)
    return min(max(expected, bounds.low), bounds.high)


def interval_of(components: Sequence[PriorComponent]) -> tuple[float, float]:
    """Central 95 % of ln alpha under the mixture of all components."""

    def below(ln_alpha: float) -> float:
        return sum(c.weight * float(ndtr((ln_alpha - c.mean) / c.sd)) for c in components)

    total = sum(component.weight for component in components)
    low = min(c.mean - 8 * c.sd for c in components)
    high = max(c.mean + 8 * c.sd for c in components)

    def quantile(share: float) -> float:
        bottom, top = low, high
        while top - bottom > PRECISION:
            middle = 0.5 * (bottom + top)
            bottom, top = (middle, top) if below(middle) < share * total else (bottom, middle)
        return bottom

    return quantile(CENTRAL_95[0]), quantile(CENTRAL_95[1])


def _cost(cell: Cell, search: CellSearch, alpha: float) -> RunCost | None:
    settings = cell.settings
    if settings.sweep.train is not None:
        return None
    request = TrainingRequest(
        sae=settings.sae,
        trainer=settings.trainer,
        alpha_canonical=alpha / search.canonical_factor(cell),
        target_l0_count=settings.target_l0_count,
        seed=settings.seed,
        device=settings.device,
    )
    return measure_cost(request, search.store(cell))


def _row(plan: CellPlan) -> tuple[str, ...]:
    alpha = "" if plan.alpha is None else f"{plan.alpha:.4g}"
    interval = "" if plan.interval is None else f"{plan.interval[0]:.3g} - {plan.interval[1]:.3g}"
    trials = _from_to(str(plan.trials.expected), str(plan.trials.most))
    start = (plan.cell.name, f"{plan.cell.target_count:.4g}", alpha, interval, trials)
    if plan.cost is None:
        return (*start, "", "", "")
    memory, disk = plan.cost.memory.peak, plan.cost.disk_while_running
    return (*start, duration(plan.cost.seconds), size(memory), size(disk))


def _totals(plans: Sequence[CellPlan]) -> list[str]:
    sweep = plans[0].cell.settings.sweep
    trials, most_trials = (
        sum(plan.trials.expected for plan in plans),
        sum(plan.trials.most for plan in plans),
    )
    lines = ["one run" if most_trials == 1 else f"{trials} trials expected, {most_trials} at most"]
    known = [(plan, plan.cost) for plan in plans if plan.cost is not None]
    if len(known) == len(plans):
        expected = sum(plan.trials.expected * cost.seconds for plan, cost in known) / sweep.slots
        most = sum(plan.trials.most * cost.seconds for plan, cost in known) / sweep.slots
        slots = f" on {sweep.slots} slots" if sweep.slots > 1 else ""
        memory = sweep.slots * sweep.pack * max(cost.memory.peak for _, cost in known)
        time = _from_to(duration(expected), duration(most))
        lines[0] += f"; {time}{slots}, {size(memory)} of memory"
        lines.append(
            "time, memory and disk are of one trial, from a few steps on this machine just now; "
            "memory beside the program's own"
        )
    else:
        lines.append(f"sweep.train={sweep.train} is not measured: only it knows what it costs")
    lines.append("sweep.dry_run=true: nothing was started")
    return lines


def _from_to(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 12 s, 3.5 min, 2.1 h."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.2g} s"


def size(bytes_: float) -> str:
    """Bytes as a person says them, in powers of 1024."""
    units: Mapping[str, int] = {"GiB": 2**30, "MiB": 2**20}
    for unit, length in units.items():
        if bytes_ >= length:
            return f"{bytes_ / length:.3g} {unit}"
    return f"{bytes_ / 2**10:.3g} KiB"
