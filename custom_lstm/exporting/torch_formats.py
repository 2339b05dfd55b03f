"""Computations of PyTorch in other formats: ONNX and torch.export."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from custom_lstm.exporting.computation import Computation, Cut, Port

OPSET = 20
"""ONNX's version."""


class _Module(torch.nn.Module):
    """A computation as a module of PyTorch; its parameters are the model's."""

    def __init__(self, computation: Computation, cuts: Sequence[Cut | None] = ()):
        super().__init__()
        self.model, self._cuts = computation.model, list(cuts)
        self._computation = [computation]

    def forward(self, *flat):
        """Return a tuple of the outputs."""
        return tuple(self._computation[0].cut(self._cuts, *flat))


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
        found = computation.operators(*map(torch.as_tensor, arrays))
    return [
        Cut(operator, *(names.get(size, size) for size in x.shape[:2]))
        if not names or set(x.shape[:2]) <= {*names, *_fixed(ports)}
        else None
        for operator, x in found
    ]


def _fixed(ports: Sequence[Port]) -> set[int]:
    return {n for port in ports for n in port.shape if isinstance(n, int)}


def to_onnx(computation: Computation, cuts: Sequence[Cut | None]) -> Any:
    """Return an `onnx.ModelProto`, inputs and outputs in order.

    Raises:
        ValueError: if PyTorch's exporter cannot write it.
    """
    own = [computation.named_sizes(port) for port in computation.inputs]
    arrays = _example(computation)
    sizes = {
        name: size
        for port, array in zip(own, arrays, strict=True)
        for name, size in zip(port.shape, array.shape, strict=True)
    }
    more = [port for cut in cuts if cut for port in cut.ports]
    given = [torch.as_tensor(array) for array in arrays]
    for port in more:
        given.append(torch.zeros([sizes.get(n, n) for n in port.shape]))
    with _quiet(), torch.no_grad(), _refusals():
        program: Any = torch.onnx.export(
            _Module(computation, cuts).eval(),
            tuple(given),
            dynamo=True,
            dynamic_shapes=_dynamic([*own, *more]),
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
            _Module(computation).eval(),
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
    arrays = computation.arrays(batch=11, free=13)
    if computation.step:
        arrays = [array[:, 0] for array in arrays]
    batch = len(arrays[0])
    states = [
        s.initial if len(s.initial) > 1 else np.repeat(s.initial, batch, axis=0)
        for s in computation.states
    ]
    return [*arrays, *states]


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
