"""Learning rates that change with the steps."""

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
