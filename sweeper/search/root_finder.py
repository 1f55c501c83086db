"""The next alpha: by the posterior, kept honest by the bracket."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, log1p

import numpy as np

from sweeper.search.curve_model import ShapePrior
from sweeper.search.observations import SEED_NOISE_SD, Observation, Pending
from sweeper.search.posterior import Posterior, infer
from sweeper.search.prior import PriorComponent, heaviest

LOOK = 0
NC = 24
NJ = 16
W1 = 1.0
def lookahead(post, band, kind, bounds):
    from scipy.special import ndtr
    S = len(post.root)
    cand = np.clip(post.quantile(np.linspace(0.03, 0.97, int(NC))), *bounds)
    slope = post.curves.slope_at_target()
    y = post.ln_ratio(cand)  # [A,S]
    values = []
    grid = post.quantile(np.linspace(0.01, .99, 64))
    C = post.chance_in_band(grid, band, 0.03).T
    n = 0.03
    for a in range(len(cand)):
        ys = np.sort(y[a])[((np.arange(int(NJ)) + .5) / int(NJ) * S).astype(int)]
        tau = np.hypot(n, 0.1 * ys)
        L = np.exp(-0.5 * ((y[a][None, :] - ys[:, None]) / tau[:, None])**2)
        L /= L.sum(1, keepdims=True)
        land = (ndtr((band - ys) / n) - ndtr((-band - ys) / n))
        p1 = land.mean()
        if kind == 1:
            m = L @ post.root; v = L @ post.root**2 - m**2
            e = L @ slope
            sd = np.sqrt(n**2 + np.maximum(v, 0) * e**2)
            p2 = 2 * ndtr(band / sd) - 1
        else:
            p2 = (L @ C).max(1)
        values.append(W1 * p1 + ((1 - land) * p2).mean())
    return float(cand[int(np.argmax(values))])

@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    ln_alpha: float
    predicted_ln_l0: float
    predicted_ln_l0_sd: float
    weights: dict[str, float]
    reason: str


def propose(observations, pending, components, *, target, tolerance, bounds, latent_dim,
            shape_prior=ShapePrior(), mode="argmax"):
    band = log1p(tolerance)
    post = infer(observations, components, shape_prior, target=target, latent_dim=latent_dim)
    if not observations and not pending:
        u = heaviest(components).mean
    else:
        qs = post.quantile(np.linspace(0.02, 0.98, 97))
        qs = np.clip(qs, *bounds)
        w = post.weight
        for p in pending:
            w = w * (1 - post.chance_in_band(np.array([p.ln_alpha]), band, SEED_NOISE_SD)[0])
        if LOOK:
            u = lookahead(post, band, int(LOOK), bounds)
        elif mode == "median":
            u = float(post.quantile(0.5))
        else:
            c = post.chance_in_band(qs, band, SEED_NOISE_SD) @ w
            u = float(qs[np.argmax(c)])
    u = float(np.clip(u, *bounds))
    m, s = post.predict(u, SEED_NOISE_SD)
    return Proposal(ln_alpha=u, predicted_ln_l0=m + log(target), predicted_ln_l0_sd=s, weights=post.component_weights, reason="model")
