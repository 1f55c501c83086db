from math import log

from sweeper.search.observations import Observation, Relation
from sweeper.search.posterior import MOST_BOUNDS, MOST_OBSERVATIONS, nearest


def at(ln_alpha: float, l0: float, relation: Relation = Relation.equal) -> Observation:
    return Observation(ln_alpha=ln_alpha, latent_dim=1024, ln_l0=log(l0), relation=relation)


def test_nearest_keeps_measured_runs_beside_any_number_of_bounds() -> None:
    measured = [at(0.0, 60.0), at(0.5, 20.0)]
    bounds = [at(1.0 + 0.1 * n, 32.0, Relation.below) for n in range(MOST_OBSERVATIONS)]
    assert nearest([*bounds, *measured], log(32.0)) == [*bounds[:MOST_BOUNDS], *measured]


def test_nearest_keeps_the_tightest_bounds_of_both_sides() -> None:
    below = [at(float(n), 32.0, Relation.below) for n in range(9)]
    above = [at(-1.0 - n, 32.0, Relation.above) for n in range(9)]
    assert nearest([*below, *above], log(32.0)) == [*below[:MOST_BOUNDS], *above[:MOST_BOUNDS]]


def test_nearest_of_many_measured_runs_are_those_about_the_target() -> None:
    runs = [at(0.1 * n, 10.0 + 4 * n) for n in range(20)]
    found = nearest(runs, log(32.0))
    assert len(found) == MOST_OBSERVATIONS
    assert found == sorted(found, key=lambda run: run.ln_alpha)
    assert found[0].ln_l0 > log(10.0)
