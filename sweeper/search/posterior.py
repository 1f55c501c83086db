"""What the trials so far say about alpha*: a weighted sample of curves, by adaptive sampling.

A curve is five numbers: ln alpha*, and four that are standard normal a priori and describe its
shape (`curve_model.decode`). Their posterior is sampled by importance sampling whose proposal
moves from the prior to the posterior in a few tempered rounds (a population Monte Carlo sampler
on quasi-random points), so that nothing is random, no start is chosen and one-sided bounds,
several prior components and saturated curves need no special case.

Shapes: S sampled curves, N observations, C prior components, A alphas.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from scipy.special import log_ndtr, logsumexp, ndtr, ndtri

from sweeper.search.curve_model import SHAPE_DIMENSIONS, Array, Curves, ShapePrior, decode, quasi_random
from sweeper.search.observations import Observation, Relation
from sweeper.search.prior import PriorComponent

SAMPLES = 1024
DISCREPANCY = 0.10
"""Error of the curve family, as a fraction of the log distance from the target: assumption."""
MIN_SHARE = 0.15
"""Effective share of the sample that a tempered round must keep."""
MAX_ROUNDS = 15


@dataclass(frozen=True, kw_only=True, slots=True)
class Posterior:
    """Weighted curves, each with its alpha*."""

    curves: Curves
    root: Array
    weight: Array
    component_weights: dict[str, float]
    effective: float = 0.0

    def ln_ratio(self, ln_alpha) -> Array:
        offset: Array = np.asarray(ln_alpha, dtype=np.float64)[..., None] - self.root
        return self.curves.ln_ratio(offset)

    def predict(self, ln_alpha: float, noise_sd: float) -> tuple[float, float]:
        y = self.ln_ratio(ln_alpha)
        mean = float(self.weight @ y)
        variance = float(self.weight @ (y - mean) ** 2)
        return mean, float(np.sqrt(variance + noise_sd**2 + (DISCREPANCY * mean) ** 2))

    def quantile(self, share) -> Array:
        order = np.argsort(self.root, kind="stable")
        cumulative = np.cumsum(self.weight[order]) - 0.5 * self.weight[order]
        return np.interp(share, cumulative, self.root[order])

    def chance_in_band(self, ln_alpha: Array, band: float, noise_sd: float) -> Array:
        slope = self.curves.slope_at_target()
        y = slope * (self.root - ln_alpha[:, None])
        return ndtr((band - y) / noise_sd) - ndtr((-band - y) / noise_sd)


class _Problem:
    def __init__(self, observations, components, shape_prior, target, latent_dim):
        self.o = observations
        self.c = components
        self.sp = shape_prior
        self.lw = log(latent_dim / target)
        self.u = np.array([o.ln_alpha for o in observations])
        self.y = np.array([o.ln_l0 for o in observations]) - log(target)
        self.noise = np.array([o.noise_sd for o in observations])
        self.sign = np.array([{Relation.equal: 0, Relation.below: 1, Relation.above: -1}[o.relation] for o in observations])
        self.m = np.array([c.mean for c in components]); self.s = np.array([c.sd for c in components])
        self.lwt = np.log([c.weight for c in components])

    def component_log(self, root):
        return self.lwt - np.log(self.s) - 0.5 * ((root[:, None] - self.m) / self.s) ** 2

    def log_prior(self, t):
        return logsumexp(self.component_log(t[:, 0]), axis=1) - 0.5 * (t[:, 1:] ** 2).sum(1)

    def log_lik(self, t):
        if not len(self.o): return np.zeros(len(t))
        curves = decode(t[:, 1:], self.sp, self.lw)
        f = curves.ln_ratio(self.u[:, None] - t[:, 0])
        e = self.sign == 0
        spread = np.hypot(self.noise, DISCREPANCY * self.y)[:, None]
        r = (self.y[:, None] - f) / spread
        out = -0.5 * (r[e] ** 2).sum(0)
        out += log_ndtr(self.sign[~e, None] * r[~e]).sum(0)
        return out



MOVES = 3


def infer(observations, components, shape_prior, *, target, latent_dim) -> Posterior:
    pr = _Problem(observations, components, shape_prior, target, latent_dim)
    rng = np.random.default_rng(0)
    z = ndtri(quasi_random(SAMPLES, 2 + SHAPE_DIMENSIONS))
    cum = np.cumsum(np.exp(pr.lwt))
    c = np.minimum(np.searchsorted(cum, quasi_random(SAMPLES, 2 + SHAPE_DIMENSIONS)[:, 5]), len(components) - 1)
    t = z[:, :5].copy(); t[:, 0] = pr.m[c] + pr.s[c] * z[:, 0]
    beta = 0.0
    lp, ll = pr.log_prior(t), pr.log_lik(t)
    log_ = []
    scale = 0.6
    while beta < 1 and len(observations):
        step = _step(ll, 1 - beta)
        beta = min(1.0, beta + step)
        w = _normal(step * ll)
        index = np.searchsorted(np.cumsum(w), (np.arange(SAMPLES) + 0.5) / SAMPLES).clip(0, SAMPLES - 1)
        t, lp, ll = t[index], lp[index], ll[index]
        L = np.linalg.cholesky(np.cov(t.T) + 1e-10 * np.eye(5))
        for _ in range(MOVES if beta < 1 else 2 * MOVES):
            new = t + scale * rng.standard_normal(t.shape) @ L.T
            nlp, nll = pr.log_prior(new), pr.log_lik(new)
            ok = np.log(rng.random(len(t))) < nlp - lp + beta * (nll - ll)
            t[ok], lp[ok], ll[ok] = new[ok], nlp[ok], nll[ok]
            rate = ok.mean()
            scale *= float(np.clip(np.exp(rate - 0.3), 0.5, 1.5))
        log_.append((round(beta, 4), round(rate, 2), round(scale, 2)))
    w = np.full(SAMPLES, 1 / SAMPLES)
    r = pr.component_log(t[:, 0]); r = np.exp(r - logsumexp(r, axis=1, keepdims=True))
    cw = w @ r
    return Posterior(curves=decode(t[:, 1:], shape_prior, pr.lw), root=t[:, 0], weight=w,
                     component_weights={k.name: float(v) for k, v in zip(components, cw)}, effective=log_)


def _normal(lw):
    w = np.exp(lw - lw.max()); return w / w.sum()


def ess(w): return float(1 / (w**2).sum())


def _step(ll, most):
    if ess(_normal(most * ll)) >= 0.5 * SAMPLES: return most
    lo, hi = -30.0, np.log(most)
    for _ in range(20):
        mid = 0.5 * (lo + hi)
        if ess(_normal(np.exp(mid) * ll)) >= 0.5 * SAMPLES: lo = mid
        else: hi = mid
    return float(np.exp(lo))
