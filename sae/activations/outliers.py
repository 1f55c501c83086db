"""Rows whose norm is far above the others', such as a decoder's first tokens.

Decoder language models give the first token of a context, and some delimiters, activations
hundreds of times as large as the others, which attention rests on where it has nothing to attend
to (attention sinks: arXiv 2309.17453; massive activations: arXiv 2402.17762). One such row in a
hundred sets the scale of all, and an SAE that knows only those rows has a small fvu.

Shapes: N rows, D = d_in.
"""

import torch
from torch import Tensor

from sae.activations.rows import Rows
from sae.activations.store import ActivationStore
from sae.seeding import generator

FAR = 10.0
"""How many times the median norm is far. Assumption: ordinary tokens stay below it (measured: the
largest norm of the demo's tokens is 1.1 times the median), and sinks above."""
LARGE_SHARE = 0.05
"""Share of the squared norm from which such rows are spoken of. Assumption: below it the scale,
and so alpha, is off by less than 3 %."""
SAMPLED_ROWS = 8192
"""Rows looked at. One sink in a thousand tokens is missed with a chance of e^-8."""


def outlier_share(store: ActivationStore) -> float:
    """Share of the squared norm that lies in rows above `FAR` times the median norm, from 0 to 1.

    By a sample that is the same each time: of the training rows, or of a stream's held-out ones,
    since it keeps no others. Measured once for the same activations, since every trial opens them.
    """
    if store.fingerprint not in _MEASURED:
        _MEASURED[store.fingerprint] = _measured_share(store)
    return _MEASURED[store.fingerprint]


_MEASURED: dict[str, float] = {}
"""Shares by the fingerprints of their activations."""


def _measured_share(store: ActivationStore) -> float:
    rows = store.train if isinstance(store.train, Rows) else store.held_out
    norms_N = _sample(rows).norm(dim=1).double()
    # Rows of zeros are no typical ones, and what is not finite is refused elsewhere.
    norms_N = norms_N[norms_N.isfinite() & (norms_N > 0)]
    if len(norms_N) == 0:
        return 0.0
    squares_N = norms_N.square()
    outlier_N = is_outlier(norms_N, norm_limit(norms_N, FAR))
    return float(squares_N[outlier_N].sum() / squares_N.sum())


def norm_limit(norms_N: Tensor, outlier_norm: float) -> float:
    """The norm above which a row is left out, by a sample of the rows' norms.

    Args:
        norms_N: Norms of the sample, [n].
        outlier_norm: How many times their median.
    """
    return outlier_norm * float(norms_N.median())


def is_outlier(norms_N: Tensor, limit: float) -> Tensor:
    """Which rows are left out, bool [n].

    A NaN compares as false to everything: it must stay, for whoever reads on to name it.
    """
    return norms_N > limit


def outlier_warning(store: ActivationStore) -> str | None:
    """One line where few rows hold much of the squared norm; None where they do not."""
    share = outlier_share(store)
    if share <= LARGE_SHARE:
        return None
    return (
        f"warning: {store.name}: rows above {FAR:g} times the median norm hold "
        f"{100 * share:.0f} % of the squared norm: alpha, L0 and fvu are about those; "
        f"outlier_norm={FAR:g} leaves them out"
    )


def _sample(rows: Rows) -> Tensor:
    if len(rows) <= SAMPLED_ROWS:
        return rows.gather(torch.arange(len(rows)))
    # At random: evenly spaced rows may all be the same position of their documents.
    draw = generator(0, "activations/outliers")
    return rows.gather(torch.randint(len(rows), (SAMPLED_ROWS,), generator=draw))
