"""Learning rate and alpha as pure functions of the step (0 is the first step)."""


def resolve_steps(value: float, total_steps: int, cap: float = 1.0) -> int:
    """Turns a length given as a fraction or as steps into steps.

    Args:
        value: Below 1 a fraction of `total_steps`, from 1 on a number of steps.
        total_steps: Length of the run.
        cap: Largest part of the run that a number of steps may take, so that a run shorter than
            it was meant for still trains at full strength. A fraction says what is wanted.

    Returns:
        A whole number of steps between 0 and `total_steps`.
    """
    if value < 1:
        return int(value * total_steps)
    return int(min(value, cap * total_steps))


def linear_warmup(step: int, warmup_steps: int) -> float:
    """Rises linearly to 1, which it reaches at step `warmup_steps - 1`; never 0."""
    if step >= warmup_steps:
        return 1.0
    return (step + 1) / warmup_steps


def linear_decay(step: int, total_steps: int, decay_steps: int) -> float:
    """1 until the last `decay_steps` steps, then linearly towards 0, which step `total` has."""
    remaining = total_steps - step
    if remaining >= decay_steps:
        return 1.0
    return max(remaining, 0) / decay_steps
