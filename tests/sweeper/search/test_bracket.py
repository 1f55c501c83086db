from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeper.search.bracket import Bracket, find_bracket, side, stalled
from sweeper.search.observations import Observation, Relation

TARGET = log(50.0)


def trial(u: float, y: float, relation: Relation = Relation.equal) -> Observation:
    return Observation(ln_alpha=u, latent_dim=1024, ln_l0=TARGET + y, relation=relation)


@pytest.mark.parametrize(
    ("y", "relation", "expected"),
    [
        (0.2, Relation.equal, 1),
        (-0.2, Relation.equal, -1),
        (0.03, Relation.equal, 0),
        (-1.0, Relation.below, -1),
        (1.0, Relation.below, 0),
        (1.0, Relation.above, 1),
        (-1.0, Relation.above, 0),
    ],
)
def test_side_is_said_only_where_it_is_sure(y: float, relation: Relation, expected: int):
    assert side(trial(0.0, y, relation), TARGET) == expected


def test_bracket_of_trials_on_both_sides_is_the_tightest():
    trials = [trial(-2, 2), trial(2, -2), trial(-1, 1), trial(1, -1)]
    assert find_bracket(trials, TARGET) == Bracket(low=-1, high=1)


def test_bracket_of_one_side_is_open():
    bracket = find_bracket([trial(-2, 2), trial(-1, 1)], TARGET)
    assert (bracket.low, bracket.high, bracket.width) == (-1, None, None)


def test_bracket_of_contradicting_trials_believes_the_latest():
    trials = [trial(0.5, 0.2), trial(0.3, -0.2)]
    assert find_bracket(trials, TARGET) == Bracket(low=None, high=0.3)


def test_middle_of_an_open_bracket_is_refused():
    with pytest.raises(ValueError, match="both ends"):
        _ = Bracket(low=1.0, high=None).middle


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-3, 3)), max_size=12))
def test_bracket_of_any_trials_is_never_the_wrong_way_round(points: list[tuple[float, float]]):
    width = find_bracket([trial(u, y) for u, y in points], TARGET).width
    assert width is None or width > 0


def test_stalled_when_three_trials_halve_neither_bracket_nor_miss():
    trials = [trial(-4, 2), trial(4, -3), trial(3.9, -2.9), trial(3.8, -2.8), trial(3.7, -2.7)]
    assert stalled(trials, TARGET)


def test_stalled_takes_no_bound_for_a_near_miss():
    diverged = [trial(u, 0.0, Relation.below) for u in (4.0, 3.9, 3.8, 3.7)]
    assert stalled([trial(-4, 2), *diverged], TARGET)


def test_stalled_is_not_said_while_the_miss_shrinks():
    trials = [trial(-4, 2), trial(4, -3), trial(-3, 1.5), trial(-2, 0.9), trial(-1.5, 0.4)]
    assert not stalled(trials, TARGET)


def test_stalled_is_not_said_of_an_open_bracket():
    assert not stalled([trial(-4 + 0.01 * k, 2) for k in range(6)], TARGET)


def test_stalled_is_not_said_within_the_noise():
    trials = [trial(-4, 2), trial(4, -3)] + [trial(0.0, 0.06)] * 4
    assert not stalled(trials, TARGET)
