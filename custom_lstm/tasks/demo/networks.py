"""What answers on the page: rows of numbers for images and states; without Keras."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from custom_lstm.extras import extra

PAGE = Path(__file__).parent / "page"
SIDE = 28
Floats = NDArray[np.float32]
About = dict[str, Any]
"""Title, note, sign of the first digit, and widths: an entry of `session.json`."""


class Network(Protocol):
    """A network that reads one digit after the other.

    Attributes:
        about: see `About`.
    """

    about: About

    def encode(self, images: NDArray[np.uint8]) -> Floats:
        """Return the features `(n, width)` of images `(n, 28, 28, 1)`."""

    def step(self, features: Floats, states: Sequence[Floats]) -> Sequence[Floats]:
        """Return total, new states and what is shown, `(1, width)` each."""


class OnnxNetwork:
    """A network in two files of ONNX, run by onnxruntime.

    Args:
        about: its entry of `session.json`.
        folder: of the files, "<id>-encoder.onnx" and "<id>-step.onnx".
    """

    def __init__(self, about: About, folder: Path = PAGE / "networks") -> None:
        self.about = about
        self._encoder, self._step = (
            _session(folder / f"{about['id']}-{part}.onnx")
            for part in ("encoder", "step")
        )
        [self._images] = (given.name for given in self._encoder.get_inputs())
        self._given = [given.name for given in self._step.get_inputs()]

    def encode(self, images: NDArray[np.uint8]) -> Floats:
        """Return the features of images."""
        return self._encoder.run(None, {self._images: images})[0]

    def step(self, features: Floats, states: Sequence[Floats]) -> Sequence[Floats]:
        """Return what one step makes."""
        given = dict(zip(self._given, [features, *states], strict=True))
        return self._step.run(None, given)


def _session(path: Path) -> Any:
    with extra("demo"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # threads would wait for each other
    return onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])


def shipped() -> dict[str, Any]:
    """Return the content of the page's `session.json`."""
    return json.loads((PAGE / "session.json").read_text("utf-8"))


def advance(network: Network, states: Floats, images: NDArray[np.uint8]) -> Floats:
    """Let a network read images one after the other.

    Args:
        network: which.
        states: before the first, one after the other, `(sum of their widths,)`.
        images: `(n, 28·28)`.

    Returns:
        `(n, …)`: in each row the total, the states and what is shown.

    Raises:
        ValueError: numbers are missing, too many, or not finite.
    """
    widths = network.about["states"]
    if states.shape != (sum(widths),) or not np.isfinite(states).all():
        raise ValueError(
            f"the states must be {sum(widths)} finite numbers. Received: shape "
            f"{states.shape}"
        )
    if images.ndim != 2 or images.shape[1] != SIDE * SIDE or not len(images):
        raise ValueError(
            f"images must be rows of {SIDE * SIDE} bytes. Received: shape "
            f"{images.shape}"
        )
    held = np.split(states[None], np.cumsum(widths)[:-1], axis=1)
    rows = []
    for features in network.encode(images.reshape(-1, SIDE, SIDE, 1)):
        made = network.step(features[None], held)
        held = list(made[1 : 1 + len(widths)])
        rows.append(np.concatenate([np.ravel(part) for part in made]))
    return np.stack(rows).astype(np.float32)
