"""From options to a compiled model that counts."""

from functools import partial
from math import sqrt
from typing import Any

import keras

from custom_lstm.cells import (
    CoupledLSTMCell,
    ForgetBias,
    LayerNormLSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    ZoneoutLSTMCell,
)
from custom_lstm.cells.validation import names_of_states
from custom_lstm.heads import Head
from custom_lstm.layers import GRU, LSTM, RNN, SimpleRNN
from custom_lstm.tasks.counting.options import Model, Options
from custom_lstm.training.schedules import largest_divisor, one_cycle

_LAYERS = {"lstm": LSTM, "gru": GRU, "simple": SimpleRNN}
_CELLS: dict[str, Any] = {
    "peephole": PeepholeLSTMCell,
    "layer_norm": LayerNormLSTMCell,
    "coupled": CoupledLSTMCell,
    "zoneout": ZoneoutLSTMCell,
}


def head_of(options: Options) -> Head:
    """Return the head that the options describe."""
    return Head(options.model.head, 0, options.data.length)


def build(options: Options, *, any_length: bool = False) -> keras.Model:
    """Build the model that the options describe, with fresh weights.

    A value head has no bias: the answer is a linear function of the memory alone.

    Args:
        options: settled for a cell.
        any_length: loop over any number of bits instead of unrolling.

    Returns:
        A model `(batch, length, 1)` → `(batch, 1)`, or `(batch, length + 1)`.

    Example:

    >>> build(Options().of_cell("gru")).output_shape
    (None, 1)
    """
    length = None if any_length else options.data.length
    bits = keras.Input((length, 1), name="bits")
    layer = _recurrent(options.model, unroll=not any_length)
    seen, *states = layer(bits)
    names = names_of_states(layer.cell)
    if options.model.read == "memory" and "c" in names:
        seen = states[names.index("c")]
    guided, initial = options.model.initial == "guide", keras.initializers
    dense = head_of(options).layer(
        use_bias=options.model.head == "totals",
        kernel_initializer=initial.TruncatedNormal(stddev=1.0)
        if guided
        else "glorot_uniform",
        bias_initializer=initial.Constant(0.1) if guided else "zeros",
    )
    return keras.Model(bits, dense(seen), name="count_ones")


def build_compiled(options: Options, steps_per_epoch: int) -> keras.Model:
    """Build the model to train, with optimizer, loss and metrics.

    The guide adds the losses of a batch up; here it is their mean, which Adam does not
    tell apart.

    Args:
        options: settled for a cell.
        steps_per_epoch: steps in an epoch.
    """
    keras.utils.set_random_seed(options.run.seed)
    model, head, how = build(options), head_of(options), options.optimisation
    if how.schedule == "constant":
        optimizer = keras.optimizers.Adam(how.learning_rate, epsilon=1e-8)
    else:
        rate = one_cycle(how.learning_rate, how.epochs * steps_per_epoch, warmup=0.1)
        optimizer = keras.optimizers.Adam(rate, beta_2=0.99, global_clipnorm=1.0)
    model.compile(
        optimizer,
        loss=head.loss(),
        weighted_metrics=head.metrics(),
        steps_per_execution=largest_divisor(steps_per_epoch, at_most=25),
    )
    return model


def _recurrent(options: Model, *, unroll: bool) -> RNN:
    """Return the recurrent layer; it returns its states too."""
    arguments: dict[str, Any] = {}
    if options.sparsity:
        arguments["recurrent_regularizer"] = keras.regularizers.L1(options.sparsity)
    if options.forget_bias not in (None, 1) and options.cell not in ("gru", "simple"):
        arguments["bias_initializer"] = ForgetBias(options.forget_bias)
    if options.initial == "guide":  # one matrix for x and h, uniform as Glorot's
        gates = {"gru": 3, "simple": 1}.get(options.cell, 4)
        limit = sqrt(6 / (1 + options.units + gates * options.units))
        uniform = partial(keras.initializers.RandomUniform, -limit, limit)
        arguments |= {
            "kernel_initializer": uniform(),
            "recurrent_initializer": uniform(),
        }
    looping: dict[str, Any] = {"return_state": True, "unroll": unroll}
    if options.cell in _LAYERS:
        return _LAYERS[options.cell](options.units, **arguments, **looping)
    if options.cell == "projected":
        narrow = (options.units + 1) // 2
        return RNN(ProjectedLSTMCell(options.units, narrow, **arguments), **looping)
    return RNN(_CELLS[options.cell](options.units, **arguments), **looping)
