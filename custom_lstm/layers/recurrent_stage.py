"""One layer of a `RecurrentBlock`, and the arguments that say what it is."""

import inspect
from typing import Any

import keras

from custom_lstm.cells.validation import check_choice, check_positive, check_rate
from custom_lstm.layers.gru import GRU
from custom_lstm.layers.lstm import LSTM
from custom_lstm.layers.rnn import RNN
from custom_lstm.layers.simple import SimpleRNN

OWNER = "RecurrentBlock"
KINDS: dict[str, type[RNN]] = {"simple": SimpleRNN, "gru": GRU, "lstm": LSTM}


class Stage(keras.layers.Layer):
    """Dropout, a recurrent layer, a norm, a projection and an activation, in a row.

    Args:
        hidden_sizes, output_sizes, cell, output_activation, dropout, layer_norm: those
            of `RecurrentBlock`, one layer's value each.
        seed: of dropout.
        return_sequences: whether to return the outputs of all steps.
        unroll: whether to write the loop out.
        **kwargs: `name`, `dtype`.

    Example:

    >>> stage = Stage(4, 2, "gru", "relu", 0.1, True, name="layer_1")
    >>> tuple(stage(keras.ops.ones((3, 40, 8))).shape)
    (3, 2)
    """

    def __init__(
        self,
        hidden_sizes: Any,
        output_sizes: Any,
        cell: Any,
        output_activation: Any,
        dropout: Any,
        layer_norm: Any,
        seed: int | None = None,
        return_sequences: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        own = {"dtype": self.dtype_policy}
        self.recurrent = _recurrent(
            cell,
            hidden_sizes,
            return_sequences=return_sequences,
            unroll=unroll,
            name=f"{self.name}_recurrent",
            **own,
        )
        self.kind = cell if isinstance(cell, str) else None
        self.hidden_size = hidden_sizes if self.kind else None
        rate = check_rate(OWNER, "dropout", dropout)
        self.dropout = keras.layers.SpatialDropout1D(rate, seed=seed, **own)
        check_choice(OWNER, "layer_norm", layer_norm, (True, False))
        self.norm = keras.layers.LayerNormalization(**own) if layer_norm else None
        self.output_size, self.projection = output_sizes, None
        if output_sizes is not None:
            check_positive(OWNER, "output_sizes", output_sizes, whole=True)
            self.projection = keras.layers.Dense(output_sizes, **own)
        self.activation = _activation(output_activation)
        self.supports_masking = True

    @property
    def width(self) -> int:
        """Width of the outputs."""
        return self.output_size or self.recurrent.cell.output_size

    def build(self, input_shape: Any) -> None:
        """Builds the recurrent layer, norm and projection."""
        self.recurrent.build(input_shape)
        hidden = self.recurrent.compute_output_shape(input_shape)
        if self.norm is not None:
            self.norm.build(hidden)
        if self.projection is not None:
            self.projection.build(hidden)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """That of the recurrent layer, with the width of the outputs."""
        return (*self.recurrent.compute_output_shape(input_shape)[:-1], self.width)

    def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        """Runs over the steps.

        Args:
            inputs: `(batch, time, features)`.
            mask: boolean `(batch, time)`.
            training: whether dropout is on.
        """
        x = self.dropout(inputs, training=training)
        x = self.recurrent(x, mask=mask, training=training)
        if self.norm is not None:
            x = self.norm(x)
        if self.projection is not None:
            x = self.projection(x)
        return self.activation(x)

    def regularize(self, decay: float) -> None:
        """Gives every weight without a penalty one of L2; not biases and gains."""
        for weight in self.weights:
            if len(weight.shape) > 1 and "bias" not in weight.name:
                weight.regularizer = weight.regularizer or keras.regularizers.L2(decay)


def per_layer(**arguments: Any) -> list[dict[str, Any]]:
    """One dict of arguments for each layer.

    Args:
        **arguments: one value for all layers, or a list or tuple of one for each.

    Raises:
        ValueError: if two lists are not equally long, or one is empty.

    Example:

    >>> per_layer(a=[1, 2], b=3)
    [{'a': 1, 'b': 3}, {'a': 2, 'b': 3}]
    """
    lists = {k: v for k, v in arguments.items() if isinstance(v, list | tuple)}
    counts = {name: len(values) for name, values in lists.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise ValueError(
            f"{OWNER}: lists must have one value for each layer, all the same number. "
            f"Received lengths: {counts}"
        )
    count = next(iter(counts.values()), 1)
    return [
        {name: lists[name][k] if name in lists else v for name, v in arguments.items()}
        for k in range(count)
    ]


def _recurrent(cell: Any, hidden_size: Any, **options: Any) -> RNN:
    """The recurrent layer of a kind, of a cell's class, or of a cell."""
    if isinstance(cell, str) and cell not in KINDS:
        raise ValueError(
            f"{OWNER}: `cell` must be one of {tuple(KINDS)}, the class of a recurrent "
            f"cell, or an instance. Received: cell={cell!r}"
        )
    if isinstance(cell, str) or _is_layer_class(cell):
        check_positive(OWNER, "hidden_sizes", hidden_size, whole=True)
        if isinstance(cell, str):
            return KINDS[cell](hidden_size, **options)
        return RNN(_made(cell, hidden_size, dtype=options["dtype"]), **options)
    for name in ("state_size", "output_size", "call"):
        if isinstance(cell, type) or not hasattr(cell, name):
            raise ValueError(
                f"{OWNER}: `cell` must be a recurrent cell with `state_size`, "
                f"`output_size` and `call`. Received: cell={cell!r}"
            )
    if hidden_size not in (None, keras.tree.flatten(cell.state_size)[0]):
        raise ValueError(
            f"{OWNER}: the cell {cell.name!r} has the state size {cell.state_size}; "
            "leave its hidden size None. Received: hidden_sizes="
            f"{hidden_size!r}"
        )
    return RNN(cell, **options)


def _made(cell_class: type, *args: Any, **kwargs: Any) -> Any:
    """A cell of this class, if its width is all that it needs."""
    try:
        inspect.signature(cell_class).bind(*args, **kwargs)
    except TypeError as error:
        raise ValueError(
            f"{OWNER}: a {cell_class.__name__} cannot be made from its width alone "
            f"({error}). Give an instance instead of the class."
        ) from error
    return cell_class(*args, **kwargs)


def _is_layer_class(cell: Any) -> bool:
    return isinstance(cell, type) and issubclass(cell, keras.layers.Layer)


def _activation(activation: Any) -> Any:
    try:
        return keras.activations.get(activation)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{OWNER}: `output_activation` must be 'relu', 'tanh', another activation "
            f"of Keras, or None. Received: output_activation={activation!r}"
        ) from error
