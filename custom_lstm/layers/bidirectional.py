"""Two layers over the same sequences, one from each end."""

from collections.abc import Sequence
from typing import Any, Self

import keras
from keras import ops

from custom_lstm.cells.base import takes_constants
from custom_lstm.cells.validation import listed, shapes_text, size_of_output
from custom_lstm.layers.nests import in_turn
from custom_lstm.layers.old_forms import called_in_any_form
from custom_lstm.layers.saved_cells import (
    keep_while_loading,
    remember_classes,
    remembered_classes,
)
from custom_lstm.typing import Config, Nest, Tensor


@keras.saving.register_keras_serializable(package="custom_lstm")
class Bidirectional(keras.layers.Bidirectional):
    """Two recurrent layers, one forwards and one backwards, whose outputs are merged.

    It takes the place of `keras.layers.Bidirectional`, with the same arguments and
    weights. Beyond that:

    - The two directions may have different cells.
    - The cells' classes need not be registered, to be copied in this process.
    - Inputs, outputs and states may be nests; `constants` reach both layers.
    - With `return_all_states` of the layers, it returns those of both.

    Args:
        layer: the layer that runs forwards; the other one is a copy that goes
            backwards, unless `backward_layer` is given.
        merge_mode: "concat" (of the last axis), "sum", "mul", "ave", or None for both
            outputs.
        weights: initial weights of both layers.
        backward_layer: the layer that runs backwards, with `go_backwards=True`.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        sequences, mask, training, constants: see `custom_lstm.RNN`.
        initial_state: states of the forward layer, followed by those of the backward
            layer.

    Returns:
        The merged outputs, in the order of the inputs. With `return_state` they are
        the first of a tuple, followed by the states of the forward and of the backward
        layer; with `return_all_states`, the last is a dict with "forward" and
        "backward", in the order of the inputs too.

    Raises:
        ValueError: if the layers or their outputs do not fit each other.

    Example:
        >>> from custom_lstm import GRU, LSTM
        >>> layer = Bidirectional(LSTM(4), backward_layer=GRU(3, go_backwards=True))
        >>> tuple(layer(ops.ones((2, 5, 3))).shape)
        (2, 7)
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: keras.layers.Layer | None = None,
        **kwargs: Any,
    ):
        for one in (layer, backward_layer):
            if isinstance(one, keras.layers.RNN):
                remember_classes(one.cell)
        with keras.saving.custom_object_scope(remembered_classes()):
            super().__init__(layer, merge_mode, weights, backward_layer, **kwargs)
        keep_while_loading(layer, self)

    @classmethod
    def from_config(
        cls, config: Config, custom_objects: dict[str, Any] | None = None
    ) -> Self:
        """Return the layer whose `get_config` this is."""
        known = {**remembered_classes(), **(custom_objects or {})}
        with keras.saving.custom_object_scope(known):
            return super().from_config(config)

    def build(
        self,
        sequences_shape: Nest,
        initial_state_shape: Nest = None,
        constants_shape: Nest = None,
    ) -> None:
        """Build both layers."""
        more = {} if constants_shape is None else {"constants_shape": constants_shape}
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(sequences_shape, **more)
        self.built = True

    @property
    def states(self) -> tuple[Nest, ...] | None:
        """The states that stateful layers carry: forward, then backward."""
        halves = self.forward_layer.states, self.backward_layer.states
        if any(states is None for states in halves):
            return None
        return tuple(state for states in halves for state in in_turn(states))

    def reset_state(
        self, states: Nest = None, sequences: Sequence[int] | None = None
    ) -> None:
        """Let stateful layers begin again; see `RNN.reset_state`."""
        halves = zip(
            (self.forward_layer, self.backward_layer), self._halves(states), strict=True
        )
        for layer, own in halves:
            layer.reset_state(own, sequences)

    def reset_states(
        self, states: Nest = None, sequences: Sequence[int] | None = None
    ) -> None:
        """Do what `reset_state` does, by its name in TensorFlow 2.10."""
        self.reset_state(states, sequences)

    def compute_mask(self, sequences: Nest, mask: Nest = None) -> Nest:
        """Return the masks of the outputs, if there is one output for each step."""
        masks = keras.tree.flatten(self.forward_layer.compute_mask(sequences, mask))
        outputs = keras.tree.flatten(size_of_output(self.forward_layer.cell))
        count = len(outputs) * (1 if self.merge_mode else 2)
        return masks[0] if count == 1 else [masks[0]] * count

    def compute_output_spec(
        self,
        sequences: Nest,
        initial_state: Nest = None,
        mask: Nest = None,
        training: bool | None = None,
        constants: Nest = None,
    ) -> Nest:
        """Return shapes and dtypes of what a call returns."""
        more = {} if constants is None else {"constants": constants}
        return self._merged(
            self.forward_layer.compute_output_spec(sequences, **more),
            self.backward_layer.compute_output_spec(sequences, **more),
        )

    def compute_output_shape(
        self,
        sequences_shape: Nest,
        initial_state_shape: Nest = None,
        constants_shape: Nest = None,
    ) -> Nest:
        """Return the shapes of what a call returns."""
        more = {} if constants_shape is None else {"constants_shape": constants_shape}
        shapes = [
            layer.compute_output_shape(sequences_shape, **more)
            for layer in (self.forward_layer, self.backward_layer)
        ]
        symbols = keras.tree.map_shape_structure(keras.KerasTensor, shapes)
        merged = self._merged(*symbols)
        return keras.tree.map_structure(lambda tensor: tuple(tensor.shape), merged)

    def __call__(self, sequences: Nest, *args: Any, **kwargs: Any) -> Nest:
        """Run both layers; see the class for the arguments."""
        layers = (self.forward_layer, self.backward_layer)
        sizes = [getattr(layer, "state_size", []) for layer in layers]
        takes = all(takes_constants(getattr(layer, "cell", layer)) for layer in layers)
        count = len(keras.tree.flatten(sizes))
        return called_in_any_form(
            self, super().__call__, count, takes, sequences, args, kwargs
        )

    @property
    def return_all_states(self) -> bool:
        """Whether the layers return the states of all steps."""
        return getattr(self.forward_layer, "return_all_states", False)

    @property
    def go_backwards(self) -> bool:
        """Whether outputs come in the other order than inputs: they never do."""
        return False

    @property
    def time_major(self) -> bool:
        """Whether the first two axes are (time, batch)."""
        return getattr(self.forward_layer, "time_major", False)

    def call(
        self,
        sequences: Nest,
        initial_state: Nest = None,
        mask: Nest = None,
        training: bool | None = None,
        constants: Nest = None,
    ) -> Nest:
        """Run both layers, and merge what they return."""
        more: dict[str, Any] = {"mask": mask, "training": training}
        if constants is not None:
            more["constants"] = constants
        made = [
            layer(sequences, initial_state=states, **more)
            for layer, states in zip(
                (self.forward_layer, self.backward_layer),
                self._halves(initial_state),
                strict=True,
            )
        ]
        return self._merged(*made)

    def _halves(self, initial_state: Nest) -> tuple[Nest, Nest]:
        """The states of the forward and of the backward layer."""
        if initial_state is None:
            return None, None
        first = keras.tree.flatten(listed(self.forward_layer.state_size))
        flat = keras.tree.flatten(initial_state)
        return flat[: len(first)], flat[len(first) :]

    def _merged(self, forward: Nest, backward: Nest) -> Nest:
        """Merge what the two layers returned."""
        several = self.return_state or self.return_all_states
        y, *more = forward if several else (forward,)
        y_back, *more_back = backward if several else (backward,)
        if self.return_sequences:
            y_back = self._turned(y_back)
        output = keras.tree.map_structure(self._merge, y, y_back)
        if self.merge_mode is None:
            output = (y, y_back)
        shown = []
        if self.return_all_states:
            names = {"forward": more.pop(), "backward": self._turned(more_back.pop())}
            shown = [names]
        states = [*more, *more_back]
        if self.merge_mode is None and (states or shown):
            return (*output, *states, *shown)
        return (output, *states, *shown) if states or shown else output

    def _turned(self, nest: Nest) -> Nest:
        axis = 0 if self.time_major else 1
        return keras.tree.map_structure(lambda x: ops.flip(x, axis), nest)

    def _merge(self, y: Tensor, y_back: Tensor) -> Tensor:
        if self.merge_mode == "concat":
            return ops.concatenate([y, y_back], axis=-1)
        if self.merge_mode is None:
            return y
        if tuple(y.shape) != tuple(y_back.shape):
            raise ValueError(
                f"Bidirectional {self.name!r}: merge_mode={self.merge_mode!r} needs "
                "outputs of one shape from both layers; 'concat' and None do not. "
                f"Received: {shapes_text([y, y_back])}"
            )
        if self.merge_mode == "mul":
            return y * y_back
        return y + y_back if self.merge_mode == "sum" else (y + y_back) / 2
