"""Computations of PyTorch in other formats: ONNX and torch.export."""

import contextlib
import io
import itertools
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from custom_lstm.exporting.computation import Computation
from custom_lstm.exporting.cuts import Cut, Port, Traced

OPSET = 20
"""ONNX's version."""


class _Module(torch.nn.Module):
    """A function as a module of PyTorch; its parameters are a layer's."""

    def __init__(self, function: Callable[..., Any], layer: Any):
        super().__init__()
        self.layer, self._function = layer, [function]

    def forward(self, *flat):
        """Return a tuple of the outputs."""
        return tuple(self._function[0](*flat))


def cuts_of(computation: Computation) -> list[Cut | None]:
    """Return where a computation is cut for operators of ONNX."""
    arrays = _example(computation)
    ports = computation.inputs
    names = {
        size: name
        for port, array in zip(ports, arrays, strict=True)
        for name, size in zip(
            computation.named_sizes(port).shape, array.shape, strict=True
        )
        if isinstance(name, str)
    }
    with torch.no_grad():
        found = computation.places(*map(torch.as_tensor, arrays))
    cuts: list[Cut | None] = []
    for place in found:
        sizes = place.tensors[0].shape[:2]
        known = not names or set(sizes) <= {*names, *_fixed(ports)}
        batch, time = (names.get(size, size) for size in sizes)
        cut = place.cut(batch, time, known=lambda size: size not in names)
        cuts.append(cut if known else None)
    return cuts


def _fixed(ports: Sequence[Port]) -> set[int]:
    return {n for port in ports for n in port.shape if isinstance(n, int)}


def to_onnx(traced: Traced) -> Any:
    """Return an `onnx.ModelProto`, inputs and outputs in order.

    Raises:
        ValueError: if PyTorch's exporter cannot write it.
    """
    batch, free = _free_sizes(traced.layer, traced.ports)
    example = tuple(
        torch.zeros(
            [
                batch if n == "batch" else free if isinstance(n, str) else n
                for n in shape
            ],
            dtype=getattr(torch, dtype),
        )
        for shape, dtype in ((port.shape, port.dtype) for port in traced.ports)
    )
    with _quiet(), torch.no_grad(), _refusals():
        program: Any = torch.onnx.export(
            _Module(traced.function, traced.layer).eval(),
            example,
            dynamo=True,
            dynamic_shapes=_dynamic(traced.ports),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    return program.model_proto


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Raise a ValueError that says what an exporter of PyTorch cannot write."""
    try:
        yield
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
        raise ValueError(
            f"export: PyTorch cannot write the model: {' '.join(lines)[:300]}"
        ) from error


def save(computation: Computation, path: Path) -> None:
    """Write a `torch.export.ExportedProgram`."""
    example = tuple(torch.as_tensor(array) for array in _example(computation))
    ports = [computation.named_sizes(port) for port in computation.inputs]
    with _quiet(), torch.no_grad(), _refusals():
        program = torch.export.export(
            _Module(computation, computation.model).eval(),
            example,
            dynamic_shapes=_dynamic(ports),
            strict=False,
        )
        torch.export.save(program, path)


def saved(path: Path, computation: Computation) -> Callable[..., Any]:
    """Return what was saved as a function of arrays by name."""
    with _quiet():
        module = torch.export.load(path).module()
    names = [port.name for port in computation.inputs]

    def run(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        with torch.no_grad():
            made = module(*(torch.as_tensor(arrays[name]) for name in names))
        return {
            name: tensor.numpy()
            for name, tensor in zip(computation.outputs, made, strict=True)
        }

    return run


def _example(computation: Computation) -> list[np.ndarray]:
    """Return arrays like the inputs; sizes that are free differ from all others."""
    batch, free = _free_sizes(computation.model, computation.ports)
    arrays = computation.arrays(batch, free)
    if computation.step:
        arrays = [array[:, 0] for array in arrays]
    batch = len(arrays[0])
    states = [
        s.initial if len(s.initial) > 1 else np.repeat(s.initial, batch, axis=0)
        for s in computation.states
    ]
    return [*arrays, *states]


def _free_sizes(layer: Any, ports: Sequence[Port]) -> list[int]:
    """Return a batch and another size, which no weight and no port has."""
    taken = {n for variable in layer.variables for n in variable.shape} | _fixed(ports)
    return list(itertools.islice((n for n in range(11, 9999) if n not in taken), 2))


def _dynamic(ports: Sequence[Port]) -> Any:
    """Return which sizes are free: those with names, equal where the names are."""
    names = {size for port in ports for size in port.shape if isinstance(size, str)}
    free = {name: torch.export.Dim(name) for name in sorted(names)}
    shapes = [
        {k: free[size] for k, size in enumerate(port.shape) if size in free}
        for port in ports
    ]
    return (tuple(shapes),)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep unsaid what exporters print, warn of and log."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
