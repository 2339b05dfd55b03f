"""Computations of TensorFlow in other formats: ONNX, SavedModel and LiteRT."""

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from custom_lstm.exporting.computation import Computation
from custom_lstm.exporting.cuts import Cut, Port, Traced

OPSET = 18
"""ONNX's version: the newest that tf2onnx writes."""


def cuts_of(computation: Computation) -> list[Cut | None]:
    """Return where a computation is cut for operators of ONNX."""
    found = []

    def look(*flat):
        outer = tf.compat.v1.get_default_graph()
        for place in computation.places(*flat):
            same = all(tensor.graph is outer for tensor in place.tensors)
            found.append(place.cut(*place.tensors[0].shape[:2]) if same else None)
        return tf.constant(0)

    tf.function(look, autograph=False).get_concrete_function(*_specs(computation))
    return found


def to_onnx(traced: Traced) -> Any:
    """Return an `onnx.ModelProto`, inputs and outputs in order."""
    import tf2onnx

    signature = list(map(_spec, traced.ports))
    function = tf.function(
        lambda *flat: traced.function(*flat),
        input_signature=signature,
        autograph=False,
    )
    with _quiet("tf2onnx", "tensorflow"):
        model, _ = tf2onnx.convert.from_function(
            function, input_signature=signature, opset=OPSET
        )
    return model


def save(computation: Computation, path: Path) -> None:
    """Write a SavedModel: a folder, with one signature by the names of the ports."""
    module = tf.Module()
    module.variables_ = [variable.value for variable in computation.model.variables]
    function = _named(computation)
    module.captured = list(function.graph.variables)  # a stateful layer's, too
    with _quiet("tensorflow", "absl"):
        tf.saved_model.save(module, str(path), signatures={"serving_default": function})


def saved(path: Path) -> Callable[..., dict[str, Any]]:
    """Return a SavedModel as a function of arrays by name."""
    loaded = tf.saved_model.load(str(path))

    def run(**arrays):  # the signature alone would not keep the variables alive
        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        made = loaded.signatures["serving_default"](**tensors)
        return {name: tensor.numpy() for name, tensor in made.items()}

    return run


def to_litert(computation: Computation) -> bytes:
    """Return a model of LiteRT.

    Raises:
        ValueError: if it has no operation for something in the model.
    """
    with tempfile.TemporaryDirectory() as folder, _quiet("tensorflow", "absl"):
        save(computation, Path(folder) / "model")
        converter = tf.lite.TFLiteConverter.from_saved_model(f"{folder}/model")
        try:
            return converter.convert()
        except tf.errors.OpError as error:
            raise _refusal(error) from error
        except RuntimeError as error:
            raise _refusal(error) from error


def _refusal(error: Exception) -> ValueError:
    lines = [line for line in str(error).splitlines() if "error:" in line.lower()]
    return ValueError(
        f"export: LiteRT cannot hold the model: {(lines or [str(error)])[0][:300]}"
    )


def _named(computation: Computation) -> Any:
    """Return the computation as a concrete function from and to named tensors."""
    names = [port.name for port in computation.inputs]

    def named(**tensors):
        made = computation(*(tensors[name] for name in names))
        return dict(zip(computation.outputs, made, strict=True))

    specs = dict(zip(names, _specs(computation), strict=True))
    return tf.function(named, autograph=False).get_concrete_function(**specs)


def _specs(computation: Computation) -> list[tf.TensorSpec]:
    return [_spec(port) for port in computation.inputs]


def _spec(port: Port) -> tf.TensorSpec:
    shape = [size if isinstance(size, int) else None for size in port.shape]
    return tf.TensorSpec(shape, port.dtype, name=port.name)


@contextlib.contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keep what loggers of these names say below an error, and warnings, unsaid."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
