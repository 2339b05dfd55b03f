"""How steps are spread: over executions, and the learning rate over them."""

import keras


def one_cycle(
    peak: float, steps: int, warmup: float
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return a learning rate that rises linearly, then falls along a cosine to 0.

    Args:
        peak: the highest rate.
        steps: of the whole training.
        warmup: share of them in which it rises.

    Example:
        >>> rate = one_cycle(0.1, steps=100, warmup=0.5)
        >>> [round(float(rate(step)), 3) for step in (0, 25, 50, 75, 100)]
        [0.0, 0.05, 0.1, 0.05, 0.0]
    """
    rising = int(warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if rising else peak,
        steps - rising,
        warmup_target=peak if rising else None,
        warmup_steps=rising,
    )


def largest_divisor(number: int, at_most: int) -> int:
    """Return the largest divisor of `number` up to a limit: steps in one execution.

    Example:
        >>> largest_divisor(100, at_most=30)
        25
    """
    return max(k for k in range(1, at_most + 1) if number % k == 0)
