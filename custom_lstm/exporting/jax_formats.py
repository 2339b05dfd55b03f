"""Computations of JAX in other formats: ONNX and StableHLO."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export as jax_export

from custom_lstm.exporting.computation import Computation
from custom_lstm.exporting.cuts import Cut, Port, Traced

OPSET = 21
"""ONNX's version, which onnxruntime 1.20 knows."""
_INCONCLUSIVE: type[Exception] = getattr(
    jax.errors, "InconclusiveDimensionOperation", TypeError
)
"""What sizes that cannot be compared raise, since JAX 0.10 under this name."""


def cuts_of(computation: Computation) -> list[Cut | None]:
    """Return where a computation is cut for operators of ONNX.

    Where the sizes of a layer's inputs are not those of the model's inputs, such as
    after a convolution with strides, there is none.
    """
    found: list[Cut | None] = []
    specs = _specs(map(computation.named_sizes, computation.inputs))
    known = {str(size) for spec in specs for size in spec.shape}

    def look(*flat):
        for place in computation.places(*flat):
            first = place.tensors[0].shape[:2]
            batch, time = (n if isinstance(n, int) else str(n) for n in first)
            fixed = all(isinstance(n, int) or n in known for n in (batch, time))
            found.append(place.cut(batch, time) if fixed else None)
        return 0

    jax.eval_shape(look, *specs)
    return found


def to_onnx(traced: Traced) -> Any:
    """Return an `onnx.ModelProto`, inputs and outputs in order."""
    import jax2onnx

    count = traced.cut
    own = len(traced.ports) - count
    ports = [*traced.ports[own:], *traced.ports[:own]]

    def cut_first(*flat):
        return tuple(traced.function(*flat[count:], *flat[:count]))

    with _quiet(), _refusals():  # it reads free sizes from the last input that has them
        model = jax2onnx.to_onnx(cut_first, inputs=_specs(ports), opset=OPSET)
    given = list(model.graph.input)
    del model.graph.input[:]
    model.graph.input.extend([*given[count:], *given[:count]])
    return model


def to_stablehlo(computation: Computation) -> bytes:
    """Return a serialised `jax.export.Exported`, of symbolic sizes where they are free.

    Its function takes tensors and returns them in the order of the ports.
    """
    specs = _specs(map(computation.named_sizes, computation.inputs))
    exported = jax_export.export(jax.jit(computation))(*specs)
    return bytes(exported.serialize())


def from_stablehlo(path: Path, computation: Computation) -> Callable[..., Any]:
    """Return what was serialised as a function of arrays by name."""
    exported = jax_export.deserialize(bytearray(path.read_bytes()))
    names = [port.name for port in computation.inputs]

    def run(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        made = exported.call(*(arrays[name] for name in names))
        return {
            name: np.asarray(array)
            for name, array in zip(computation.outputs, made, strict=True)
        }

    return run


def _specs(ports: Iterable[Port]) -> list[jax.ShapeDtypeStruct]:
    """Return what JAX is traced with; a size's name stands for the same everywhere."""
    scope = jax_export.SymbolicScope()
    return [
        jax.ShapeDtypeStruct(
            jax_export.symbolic_shape(
                f"({', '.join(map(str, port.shape))},)", scope=scope
            ),
            port.dtype,
        )
        for port in ports
    ]


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Raise a ValueError that says what jax2onnx cannot write."""
    try:
        yield
    except (
        AttributeError,  # of a JAX that it does not know yet
        TypeError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        _INCONCLUSIVE,
    ) as error:
        text = " ".join(str(error).split())[:300]
        raise ValueError(
            f"export: jax2onnx cannot write the model: {text} Where a size that "
            "is free is at fault, give `inputs` with known sizes."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep unsaid what jax2onnx logs of packages that it does not find."""
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
