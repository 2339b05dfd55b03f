"""The states that stateful layers carry from batch to batch, and those of models."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.cells.validation import check_states, shapes_text
from custom_lstm.typing import ArrayLike, Nest
from custom_lstm.walk import layers_in


class CarriedStates:
    """The states of a stateful layer, as variables that are no weights.

    Args:
        batch_size: number of sequences, where the inputs' shape does not say.
    """

    def __init__(self, batch_size: int | None = None):
        self.batch_size = batch_size
        self.variables: Nest = None

    def make(self, layer: Any, batch_size: int | None) -> None:
        """Make the variables, or begin again if there are some.

        Args:
            layer: whose states they are.
            batch_size: number of sequences, or None where the inputs do not say.

        Raises:
            ValueError: if nothing says how many sequences there are.
        """
        if self.variables is not None:
            self.reset(layer)
            return
        self.batch_size = self.batch_size if batch_size is None else batch_size
        if self.batch_size is None:
            raise ValueError(
                f"{type(layer).__name__} {layer.name!r}: `stateful=True` needs a batch "
                "of known size, say keras.Input(batch_shape=(32, None, 8)). Received "
                "an unknown one."
            )
        self.variables = keras.tree.map_structure(
            lambda state: _variable(layer, state),
            layer.get_initial_state(self.batch_size),
        )

    def read(self, owner: str, batch_size: int | None) -> Nest:
        """Return a copy of the states, which `assign` will not change.

        Args:
            owner: who asks, for the error.
            batch_size: of the call, or None if it is not known before run time.

        Raises:
            ValueError: if it is not that of the states.
        """
        if batch_size not in (None, self.batch_size):
            raise ValueError(
                f"{owner}: a stateful layer needs the batch size with which it was "
                f"built, {self.batch_size}. Received a batch of {batch_size}"
            )
        return keras.tree.map_structure(ops.copy, self.variables)

    def assign(self, states: Nest) -> None:
        """Make `states` those of the next batch."""
        flat = keras.tree.flatten(self.variables)
        for variable, state in zip(flat, keras.tree.flatten(states), strict=True):
            variable.assign(state)

    def reset(
        self, layer: Any, states: Nest = None, sequences: Sequence[int] | None = None
    ) -> None:
        """Begin again; see `RNN.reset_state`."""
        owner = f"{type(layer).__name__} {layer.name!r}"
        if self.variables is None:
            if states is None and not layer.stateful:
                return
            raise ValueError(
                f"{owner} has no states to reset: "
                + ("it is not built." if layer.stateful else "it is not stateful.")
            )
        if states is None:
            states = layer.get_initial_state(self.batch_size)
        else:
            given, sizes = _arrays(states), layer.state_size
            check_states(owner, "`states`", given, sizes, self.batch_size)
        chosen = _chosen(owner, sequences, self.batch_size)
        _assign(self.variables, states, chosen)


def _assign(variables: Nest, states: Nest, chosen: np.ndarray | None) -> None:
    """Set variables to states, or those of their rows that are chosen."""
    flat = keras.tree.flatten(variables)
    for variable, state in zip(flat, keras.tree.flatten(states), strict=True):
        new = ops.cast(ops.convert_to_tensor(state), variable.dtype)
        if chosen is not None:
            rows = np.reshape(chosen, (-1, *[1] * (len(variable.shape) - 1)))
            new = ops.where(rows, new, variable.value)
        variable.assign(new)


def _variable(layer: Any, state: Any) -> keras.Variable:
    state = ops.convert_to_tensor(state)
    own = keras.backend.standardize_dtype(state.dtype)
    dtype = layer.variable_dtype if "float" in own else own
    return keras.Variable(state, trainable=False, dtype=dtype, name="rnn_state")


def _arrays(states: Nest) -> Nest:
    return keras.tree.map_structure(
        lambda x: x if hasattr(x, "shape") else np.asarray(x), states
    )


def _chosen(owner: str, sequences: Any, count: int | None) -> np.ndarray | None:
    """Return which sequences indices choose, as booleans, or None for all."""
    if sequences is None:
        return None
    indices = np.asarray(
        list(sequences) if isinstance(sequences, Iterable) else sequences
    )
    chosen = np.zeros(count or 0, bool)
    whole = np.issubdtype(indices.dtype, np.integer) or indices.size == 0
    inside = whole and indices.ndim == 1 and np.all((indices >= 0) & (indices < count))
    if not inside:
        raise ValueError(
            f"{owner}: `sequences` must be indices of the {count} sequences of a "
            f"batch, from 0. Received: {sequences!r}"
        )
    chosen[indices.astype(int)] = True
    return chosen


def get_states(model: keras.layers.Layer) -> dict[str, list[np.ndarray]]:
    """Return the states that the stateful layers of a model carry.

    Args:
        model: a layer or model, with recurrent layers of this package or Keras's at
            any depth.

    Returns:
        By the layer's name, arrays `(batch, ...)` in the order of its `state_size`.

    Raises:
        ValueError: if there is no stateful layer, or two of one name.

    Example:
        >>> from custom_lstm import GRU
        >>> layer = GRU(2, stateful=True, name="memory")
        >>> _ = layer(ops.ones((3, 5, 4)))
        >>> [state.shape for state in get_states(layer)["memory"]]
        [(3, 2)]
    """
    return {
        name: [
            np.array(ops.convert_to_numpy(state))
            for state in keras.tree.flatten(layer.states)
        ]
        for name, layer in _stateful(model).items()
    }


def set_states(
    model: keras.layers.Layer,
    states: dict[str, Sequence[ArrayLike]],
    sequences: Sequence[int] | None = None,
) -> None:
    """Set states of the stateful layers of a model.

    Args:
        model: see `get_states`.
        states: as `get_states` returns them; layers that are left out stay as they are.
        sequences: indices in the batch of those that are set; by default all.

    Raises:
        ValueError: if there is no such layer, or states or indices do not fit; then
            nothing has been set.

    Example:
        >>> from custom_lstm import GRU
        >>> layer = GRU(2, stateful=True, name="memory")
        >>> layer.build((3, 5, 4))
        >>> set_states(layer, {"memory": [np.ones((3, 2))]})
        >>> float(get_states(layer)["memory"][0].sum())
        6.0
    """
    layers = _stateful(model)
    if unknown := sorted(set(states) - set(layers)):
        raise ValueError(
            f"There is no stateful layer {', '.join(map(repr, unknown))} in "
            f"{model.name!r}. There are: {', '.join(map(repr, layers))}"
        )
    todo = []
    for name, values in states.items():
        flat = keras.tree.flatten(layers[name].states)
        given = [np.asarray(value) for value in keras.tree.flatten(values)]
        shapes = [tuple(variable.shape) for variable in flat]
        if [value.shape for value in given] != shapes:
            raise ValueError(
                f"The states of {name!r} have the shapes "
                f"{', '.join(map(str, shapes))}. Received: {shapes_text(given)}"
            )
        chosen = _chosen(repr(name), sequences, shapes[0][0])
        todo.append((flat, given, chosen))
    for each in todo:
        _assign(*each)


def reset_states(
    model: keras.layers.Layer, sequences: Sequence[int] | None = None
) -> None:
    """Let the stateful layers of a model begin again.

    Args:
        model: see `get_states`.
        sequences: indices in the batch of those that begin again; by default all.

    Raises:
        ValueError: if there is no stateful layer, or no such sequence; then nothing has
            been reset.

    Example:
        >>> from custom_lstm import GRU
        >>> layer = GRU(2, stateful=True, name="memory")
        >>> _ = layer(ops.ones((3, 5, 4)))
        >>> reset_states(layer, sequences=[1])
        >>> get_states(layer)["memory"][0].any(axis=1)
        array([ True, False,  True])
    """
    todo = []
    for name, layer in _stateful(model).items():
        count = keras.tree.flatten(layer.states)[0].shape[0]
        todo.append((layer, count, _chosen(repr(name), sequences, count)))
    for layer, count, chosen in todo:
        _assign(layer.states, layer.get_initial_state(count), chosen)


def _stateful(model: keras.layers.Layer) -> dict[str, keras.layers.RNN]:
    found = [
        layer
        for layer in layers_in(model)
        if isinstance(layer, keras.layers.RNN) and layer.states is not None
    ]
    names = [layer.name for layer in found]
    if not found:
        raise ValueError(
            f"There is no stateful layer in {model.name!r} that has been built."
        )
    if len(set(names)) < len(names):
        raise ValueError(
            f"Two stateful layers in {model.name!r} have one name; give each its own. "
            f"Received: {', '.join(names)}"
        )
    return dict(zip(names, found, strict=True))
