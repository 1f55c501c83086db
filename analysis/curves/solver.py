"""Nonlinear least squares for many starts (or many leave-outs) at once, by Levenberg-Marquardt.

Deterministic: fixed starts, fixed rules, no random numbers. Arrays carry a batch axis B (starts or
folds), a run axis N and a parameter axis P.
"""

from collections.abc import Callable

import numpy as np

from analysis.arrays import FloatArray

Model = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""Parameters [B, P] to predictions [B, N] and their Jacobian [B, N, P]."""

# Forms that the runs do not need creep towards a limit for ever; the others are there by then.
_ITERATIONS = 80
# Of many starts, so many go the whole way.
_SURVIVORS = 3
_FIRST_DAMPING = 1e-2
_LARGEST_DAMPING = 1e10
_SMALLEST_DAMPING = 1e-14
# A minimum is reached when so many steps in a row lower the cost by no larger share than this.
_LEAST_GAIN = 1e-10
_SETTLED_STEPS = 4


def least_squares(
    model: Model,
    observed: FloatArray,
    starts: FloatArray,
    weights: FloatArray | None = None,
    iterations: int = _ITERATIONS,
    least_gain: float = _LEAST_GAIN,
) -> tuple[FloatArray, FloatArray]:
    """Minimises sum of weights * (observed - model)^2 from every start.

    Args:
        model: Predictions and Jacobian.
        observed: Values, [N].
        starts: First parameters, [B, P].
        weights: At least 0, [B, N] or [N] for all starts; None for 1.
        iterations: At most so many steps.
        least_gain: A step that lowers the cost by a smaller share does not count.

    Returns:
        Parameters [B, P] and the sums of squares [B]; infinite where a start never had finite
        predictions.
    """
    each = np.ones(len(observed)) if weights is None else weights
    root = np.broadcast_to(np.sqrt(each), (len(starts), len(observed)))
    parameters = np.array(starts, dtype=np.float64)
    residual, jacobian, cost = _evaluate(model, observed, root, parameters)
    damping = np.full(len(parameters), _FIRST_DAMPING)
    settled = np.zeros(len(parameters), dtype=np.int64)
    for _ in range(iterations):
        step = _damped_step(jacobian, residual, damping)
        trial = parameters + step
        trial_residual, trial_jacobian, trial_cost = _evaluate(model, observed, root, trial)
        better = trial_cost <= cost
        gained = trial_cost < (1 - least_gain) * cost
        parameters = np.where(better[:, None], trial, parameters)
        residual = np.where(better[:, None], trial_residual, residual)
        jacobian = np.where(better[:, None, None], trial_jacobian, jacobian)
        cost = np.where(better, trial_cost, cost)
        damping = np.where(better, np.maximum(damping / 5, _SMALLEST_DAMPING), damping * 4)
        settled = np.where(gained, 0, settled + 1)
        if np.all((settled >= _SETTLED_STEPS) | (damping > _LARGEST_DAMPING)):
            break
    return parameters, cost


def best_of(
    model: Model,
    observed: FloatArray,
    starts: FloatArray,
    weights: FloatArray | None = None,
    iterations: int = _ITERATIONS,
) -> tuple[FloatArray, float]:
    """The best minimum from many starts: a few steps for all, the whole way for the best.

    Args:
        model: Predictions and Jacobian.
        observed: Values, [N].
        starts: First parameters, [B, P].
        weights: At least 0, [N]; None for 1.
        iterations: At most so many steps for the best.

    Returns:
        Parameters [P] and the sum of squares.
    """
    parameters, cost = least_squares(model, observed, starts, weights, iterations=25)
    order = np.argsort(cost, kind="stable")[:_SURVIVORS]
    parameters, cost = least_squares(model, observed, parameters[order], weights, iterations)
    best = int(np.argmin(cost))
    return parameters[best], float(cost[best])


def _evaluate(
    model: Model, observed: FloatArray, root: FloatArray, parameters: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weighted residuals, Jacobian and cost; a step out of the numbers' range costs infinity."""
    with np.errstate(all="ignore"):
        predicted, jacobian = model(parameters)
        residual = root * (observed - predicted)
        cost = np.sum(residual**2, axis=1)
        jacobian = root[:, :, None] * jacobian
    usable = np.isfinite(cost) & np.isfinite(jacobian).all(axis=(1, 2))
    return residual, jacobian, np.where(usable, cost, np.inf)


def _damped_step(jacobian: FloatArray, residual: FloatArray, damping: FloatArray) -> FloatArray:
    """The step of the linearised problem, damped relative to each parameter's own effect.

    By QR of the damped Jacobian: the normal equations would lose half of the digits.
    """
    usable = np.asarray(np.isfinite(jacobian).all(axis=(1, 2)) & np.isfinite(residual).all(axis=1))
    jacobian = np.where(usable[:, None, None], jacobian, 0.0)
    residual = np.where(usable[:, None], residual, 0.0)
    batch, _, size = jacobian.shape
    norms = np.maximum(np.linalg.norm(jacobian, axis=1), 1e-30)
    scaled = jacobian / norms[:, None, :]
    damper = np.sqrt(damping)[:, None, None] * np.eye(size)
    q, r = np.linalg.qr(np.concatenate([scaled, damper], axis=1))
    padded = np.concatenate([residual, np.zeros((batch, size))], axis=1)
    pull = np.einsum("bnp,bn->bp", q, padded)
    # A column without any effect has only its damper; the smallest keeps R regular.
    return np.linalg.solve(r, pull[:, :, None])[:, :, 0] / norms
