"""A digits' network taken apart: the encoder of one image, and one step of the rest."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.errors import UserError
from custom_lstm.extras import extra
from custom_lstm.files import writing
from custom_lstm.layers.steps import one_step
from custom_lstm.layers.time_distributed import TimeDistributed
from custom_lstm.tasks.demo.networks import SIDE, About, Floats
from custom_lstm.tasks.digits.symbols import Symbols


class KerasNetwork:
    """A network of the page, run by Keras; see `networks.Network`.

    Args:
        encoder: uint8 images `(batch, 28, 28, 1)` → features `(batch, features)`.
        step: features and the states, one after the other → total `(batch, 1)`, the
            new states, and what the recurrent layer shows.
        about: widths and names.
    """

    def __init__(self, encoder: keras.Model, step: keras.Model, about: About) -> None:
        self.encoder, self._step, self.about = encoder, step, about

    def encode(self, images: np.ndarray) -> Floats:
        """Return the features of images."""
        return self.encoder.predict_on_batch(images)

    def step(self, features: Floats, states: Sequence[Floats]) -> Sequence[Floats]:
        """Return what one step makes."""
        return self._step.predict_on_batch([features, *states])

    def export(self, folder: Path) -> None:
        """Write "<id>-encoder.onnx" and "<id>-step.onnx" into a folder.

        Raises:
            UserError: what Keras needs for it is not installed.
        """
        for part, model in (("encoder", self.encoder), ("step", self._step)):
            path = folder / f"{self.about['id']}-{part}.onnx"
            quiet = warnings.catch_warnings(action="ignore")
            with writing(path), quiet, extra("export"):
                model.export(path, format="onnx", verbose=False)


def take_apart(model: keras.Model, about: About) -> KerasNetwork:
    """Take a network of `train.py` apart that adds up digits.

    Args:
        model: encoder in a `TimeDistributed`, perhaps `Symbols`, one recurrent layer,
            and a head of one number; a layer that rounds to whole steps may follow.
        about: its "id", "title", "note" and "start".

    Returns:
        The network; its `about` also has "features", the features' width, "states",
        the widths of all states, "initial", their values before the first step,
        "shown", the widths of gates and states by name, and "readout", the weight of
        each output of the recurrent layer in the total.

    Raises:
        UserError: it is another kind of model; says what was found.

    Example:
        >>> from custom_lstm.tasks.digits.model import Head, build_model
        >>> network = build_model(Head("value", -9, 9), recurrent="layer", units=8)
        >>> about = take_apart(network, {"id": "mine", "start": 1}).about
        >>> about["states"], [*about["shown"]]
        ([8, 8], ['input', 'forget', 'candidate', 'output', 'h', 'c'])
    """
    chain = [x for x in model.layers if not isinstance(x, keras.layers.InputLayer)]
    names = ", ".join(layer.name for layer in chain)
    encode, *readers = chain if chain else [None]
    symbols = [readers.pop(0)] if readers and isinstance(readers[0], Symbols) else []
    core, *rest = readers if len(readers) > 1 else [None]
    head = rest[0] if rest else None
    if not (
        isinstance(encode, TimeDistributed)
        and tuple(model.input_shape[2:]) == (SIDE, SIDE, 1)
        and isinstance(core, keras.layers.RNN)
        and isinstance(head, keras.layers.Dense)
        and head.units == 1
        and all(isinstance(layer, keras.layers.RNN) for layer in rest[1:])
    ):
        raise UserError(
            "the page shows networks of digits with one encoder, one recurrent layer "
            "and --head value, as train.py trains it by default; this one has the "
            f"layers {names or 'of no name'}"
        )
    images = keras.Input((SIDE, SIDE, 1), dtype="uint8", name="image")
    read = keras.Sequential([encode.layer, *symbols])(images)
    encoder = keras.Model(images, read, name="encoder")
    one = _Step([core, *rest], name="step")
    initial = one.initial()
    features = keras.Input(encoder.output_shape[1:], name="features")
    states = [
        keras.Input(state.shape[1:], name=f"state_{k}")
        for k, state in enumerate(initial)
    ]
    step = keras.Model([features, *states], one([features, *states]), name="step")
    widths = [int(tensor.shape[-1]) for tensor in step.outputs[1 + len(states) :]]
    measured = {
        "features": encoder.output_shape[-1],
        "states": [state.shape[-1] for state in initial],
        "initial": np.concatenate([np.ravel(state) for state in initial]).tolist(),
        "shown": dict(zip(one.shown, widths, strict=True)),
        "readout": ops.convert_to_numpy(head.kernel)[:, 0].tolist(),
    }
    network = KerasNetwork(encoder, step, about | measured)
    blank = np.zeros((1, SIDE, SIDE, 1), "uint8")
    network.step(network.encode(blank), initial)  # compiled before the first answer
    return network


class _Step(keras.layers.Layer):
    """One step of layers that follow each other, recurrent ones and others.

    Args:
        layers: the first is recurrent, and shows its gates and states.
        **kwargs: `name`.
    """

    def __init__(self, layers: list[keras.layers.Layer], **kwargs: Any):
        super().__init__(**kwargs)
        self.layers = layers
        self.shown: list[str] = []

    def initial(self) -> list[np.ndarray]:
        """Return the states before the first step, `(1, width)` each."""
        nests = [layer.cell.get_initial_state(1) for layer in self._recurrent()]
        return [ops.convert_to_numpy(state) for state in keras.tree.flatten(nests)]

    def _recurrent(self) -> list[keras.layers.RNN]:
        return [x for x in self.layers if isinstance(x, keras.layers.RNN)]

    def build(self, input_shape: Any) -> None:
        """Build nothing: the layers are built."""

    def call(self, inputs: list[Any]) -> list[Any]:
        """Return the last layer's output, the new states, and what the first shows."""
        value, *states = inputs
        nests = keras.tree.pack_sequence_as(
            [layer.cell.get_initial_state(1) for layer in self._recurrent()], states
        )
        new: list[Any] = []
        shown: dict[str, Any] = {}
        for number, layer in enumerate(self.layers):
            if isinstance(layer, keras.layers.RNN):
                value, after, seen = one_step(
                    layer.cell, value, nests[len(new)], training=False, show=not number
                )
                new.append(after)
                shown |= seen
            else:
                value = layer(value)
        self.shown = [*shown]
        return [value, *keras.tree.flatten(new), *shown.values()]
