"""Runs whose encoder is as it was made: what tells them from runs that are dense and good.

A ReLU encoder at its initialisation has half of its latents on, and few dead. The guide's job 2
(49.3 % of latents, 0.3 % dead, loss 84) is such a run. A good run at a small alpha may have as
many on, so that it takes more to leave a run out.
"""

from collections.abc import Sequence

import pandas as pd

_L0_FRACTION = (0.47, 0.53)
_DEAD_FRACTION = 0.05
_FVU = 0.9
# Trained, a run at a smaller alpha has no larger loss and no smaller L0, but for its noise.
_LOSS_FACTOR = 10.0
_L0_FACTOR = 2.0


def untrained(trials: pd.DataFrame, same: Sequence[str]) -> pd.Series:
    """Which rows look like their initialisation and have a number that says so.

    That is fvu; where it is not recorded, a loss far above that of a run at a larger alpha, or an
    L0 far above that of a run of the width at a smaller one.

    Args:
        trials: A trial table.
        same: Columns that divide runs: only those that agree in what they say are held against.
    """
    suspects = _like_initialisation(trials)
    found = suspects & (trials["fvu"] >= _FVU)
    for row in trials.index[(suspects & trials["fvu"].isna()).to_numpy(dtype=bool)]:
        found[row] = _is_contradicted(trials.loc[row], trials, same)
    return found


def notes_on_dense_runs(usable: pd.DataFrame) -> list[str]:
    """Which of the rows that count may be untrained, for all that is recorded."""
    unknown = _like_initialisation(usable) & usable["fvu"].isna()
    rows = [str(row) for row in sorted(usable.index[unknown.to_numpy(dtype=bool)])]
    if not rows:
        return []
    one = len(rows) == 1
    return [
        f"row{'' if one else 's'} {', '.join(rows)}: half of the latents on and few dead, as at "
        f"initialisation; without fvu nothing tells, so {'it counts' if one else 'they count'}"
    ]


def _like_initialisation(trials: pd.DataFrame) -> pd.Series:
    fraction = trials["l0"] / trials["latent_dim"].astype("float64")
    few_dead = trials["dead_fraction"] < _DEAD_FRACTION
    return (fraction.between(*_L0_FRACTION) & few_dead).fillna(value=False).astype(bool)


def _is_contradicted(run: pd.Series, trials: pd.DataFrame, same: Sequence[str]) -> bool:
    for name in same:
        if not pd.isna(run[name]):
            trials = trials[trials[name].isna() | (trials[name] == run[name]).fillna(value=False)]
    alpha = trials["alpha_canonical"]
    larger_loss = (alpha >= run["alpha_canonical"]) & (trials["loss"] * _LOSS_FACTOR < run["loss"])
    smaller_l0 = (alpha <= run["alpha_canonical"]) & (trials["l0"] * _L0_FACTOR < run["l0"])
    smaller_l0 &= trials["latent_dim"] == run["latent_dim"]
    positive = (trials["l0"] > 0) & (alpha >= 0)
    return bool(((larger_loss | smaller_l0) & positive).fillna(value=False).any())
