"""From options to a compiled model."""

import keras

from custom_lstm.data import total_range
from custom_lstm.heads import Head
from custom_lstm.models import build_model
from custom_lstm.training.config import Config
from custom_lstm.training.schedules import one_cycle


def head_of(config: Config) -> Head:
    """Return the head that the options describe."""
    lowest, highest = total_range(config.data.length, config.data.start)
    return Head(config.model.head, lowest, highest)


def build(
    config: Config, *, any_length: bool = False, recurrent: str | None = None
) -> keras.Model:
    """Build the model that the options describe, with fresh weights.

    Args:
        config: all options.
        any_length: build the finished model instead of the one to train: one that
            loops over any number of digits, and averages over views if asked to.
        recurrent: the recurrent layer, instead of the one in the options.
    """
    options = config.model
    return build_model(
        head_of(config),
        length=None if any_length else config.data.length,
        recurrent=recurrent or options.recurrent,
        units=options.units,
        members=options.members,
        views=options.views if any_length else 1,
        filters=options.filters,
        features=options.features,
        pooling=options.pooling,
        dropout=options.dropout,
        precision=options.precision,
        synchronized=config.parallel.strategy == "mirrored",
    )


def build_optimizer(config: Config, steps_per_epoch: int) -> keras.Optimizer:
    """Build Adam whose rate rises linearly, then falls along a cosine to 0.

    The loss is a mean over all members' sequences, so of m members each has an m-th of
    the gradients that it would have alone. Adam's steps are the same for gradients of
    any scale but for ε, so that is an m-th, too.
    """
    options = config.optimisation
    assert options.epochs is not None
    steps = options.epochs * steps_per_epoch
    rate = one_cycle(options.learning_rate, steps, options.warmup)
    return keras.optimizers.Adam(
        rate,
        beta_2=0.99,
        epsilon=1e-7 / config.model.members,
        weight_decay=options.weight_decay or None,
        global_clipnorm=options.clip_norm or None,
    )


def build_compiled(config: Config, steps_per_epoch: int) -> keras.Model:
    """Build the model to train, with optimizer, loss and metrics.

    Weights are drawn from `seed`, whichever recurrent layer is used.
    """
    keras.utils.set_random_seed(config.run.seed)
    model = build(config)
    head = head_of(config)
    model.compile(
        optimizer=build_optimizer(config, steps_per_epoch),
        loss=head.loss(),
        weighted_metrics=head.metrics(),
    )
    return model
