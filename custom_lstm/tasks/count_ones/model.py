"""From options to a compiled model that counts."""

from functools import partial
from math import sqrt
from typing import Any

import keras

from custom_lstm import cells
from custom_lstm.cells.validation import names_of_states
from custom_lstm.errors import UsageError
from custom_lstm.layers import GRU, LSTM, RNN, SimpleRNN
from custom_lstm.tasks.cell_names import cell_class
from custom_lstm.tasks.count_ones.options import Model, Options
from custom_lstm.tasks.digits.model import Head
from custom_lstm.training.schedules import largest_divisor, one_cycle

_LAYERS: dict[type, type[RNN]] = {
    cells.LSTMCell: LSTM,
    cells.GRUCell: GRU,
    cells.SimpleRNNCell: SimpleRNN,
}


def head_of(options: Options) -> Head:
    """Return the head that the options describe."""
    return Head(options.model.head, 0, options.data.length)


def build(options: Options, *, any_length: bool = False) -> keras.Model:
    """Build the model that the options describe, with fresh weights.

    A value head has no bias: the answer is a linear function of the memory alone.

    Args:
        options: with a cell's defaults; see `Options.resolve_defaults`.
        any_length: loop over any number of bits instead of unrolling.

    Returns:
        A model `(batch, length, 1)` → `(batch, 1)`, or `(batch, length + 1)`.

    Raises:
        UsageError: there is no such cell, or it does not take these options.

    Example:
        >>> build(Options().resolve_defaults("gru")).output_shape
        (None, 1)
    """
    length = None if any_length else options.data.length
    bits = keras.Input((length, 1), name="bits")
    layer = recurrent_layer(options.model, unroll=not any_length)
    seen, *states = layer(bits)
    names = names_of_states(layer.cell)
    adds = isinstance(layer.cell, cells.CarouselLSTMCell)  # whose output is its c
    if options.model.read == "memory" and "c" in names and not adds:
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


def for_any_length(options: Options, model: keras.Model) -> keras.Model:
    """Return a model with the same weights that takes any number of bits."""
    twin = build(options, any_length=True)
    twin.set_weights(model.get_weights())
    return twin


def check_forget_bias(cell: str, bias: float | None) -> None:
    """Raise a UsageError if `--forget-bias` has no effect on a cell.

    Example:
        >>> check_forget_bias("gru", 5.0)
        Traceback (most recent call last):
        ...
        custom_lstm.errors.UsageError: --forget-bias 5 needs a kind of LSTM, not gru
    """
    if not issubclass(cell_class("--cell", cell), cells.LSTMCell) and bias not in (
        None,
        1,
    ):
        raise UsageError(f"--forget-bias {bias:g} needs a kind of LSTM, not {cell}")


def recurrent_layer(options: Model, *, unroll: bool = True) -> RNN:
    """Return the recurrent layer, which returns its states too.

    Raises a UsageError if there is no such cell, or it does not take these options.
    """
    cell: Any = cell_class("--cell", options.cell)
    arguments: dict[str, Any] = {}
    if options.sparsity:
        arguments["recurrent_regularizer"] = keras.regularizers.L1(options.sparsity)
    if options.forget_bias not in (None, 1) and issubclass(cell, cells.LSTMCell):
        arguments["bias_initializer"] = cells.ForgetBias(options.forget_bias)
    if options.initial == "guide":  # one matrix for x and h, uniform as Glorot's
        widths = (1 + len(getattr(cell, "gates", ("h",)))) * options.units
        limit = sqrt(6 / (1 + widths))
        uniform = partial(keras.initializers.RandomUniform, -limit, limit)
        arguments["kernel_initializer"] = uniform()
        arguments["recurrent_initializer"] = uniform()
    if issubclass(cell, cells.ProjectedLSTMCell):
        arguments["projection_units"] = (options.units + 1) // 2
    looping: dict[str, Any] = {"return_state": True, "unroll": unroll}
    looping["name"] = "recurrent"
    try:
        if cell in _LAYERS:
            return _LAYERS[cell](options.units, **arguments, **looping)
        return RNN(cell(options.units, **arguments), **looping)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"--cell {options.cell} cannot be built with these options: {error}"
        ) from error
