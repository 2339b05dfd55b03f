"""`export`: write a model in another format, and see that it computes the same."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops

from custom_lstm.exporting.computation import Computation, declared_inputs
from custom_lstm.exporting.formats import Format, Runner, format_of
from custom_lstm.typing import Nest
from custom_lstm.walk import layers_in


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        path: the file, or folder.
        to: the format's name.
        difference: the largest between its outputs and the model's, in any entry.
        inputs: shapes by name, None where free; the states last.
        outputs: names; the new states last.
        initial_states: by name of the input, what each state is before the first step;
            with one row if it is the same for all sequences.
    """

    path: Path
    to: str
    difference: float
    inputs: dict[str, tuple[int | None, ...]]
    outputs: tuple[str, ...]
    initial_states: dict[str, np.ndarray]


def export(
    model: keras.layers.Layer,
    path: str | os.PathLike,
    to: str | None = None,
    *,
    step: bool = False,
    states: bool = False,
    inputs: Nest = None,
    sample: Nest = None,
    tolerance: float | None = None,
) -> Exported:
    """Write a model for another runtime, and run what was written beside the model.

    What is written answers as the model does outside training, with its present
    weights. Sizes that the model leaves free stay free, but for the batch of "litert",
    which is 1. If it cannot be written, or answers otherwise than the model, nothing is
    left at the path.

    Args:
        model: any layer or model. The states of stateful layers are inputs, and the new
            ones outputs: `h` and `next_h`.
        path: file to write, or, for "saved-model", folder.
        to: "onnx" (.onnx), "openvino" (.xml), "saved-model" or "litert" (.tflite); by
            default what the path's suffix says.
        step: whether to export one step of all recurrent layers: inputs without the
            axis of time and states in, outputs and new states out.
        states: whether the states of all recurrent layers are inputs and outputs of
            whole sequences too, so that they can be cut into chunks.
        inputs: what the model is called with, a nest of `keras.KerasTensor`s with None
            where a size is free; by default what it was built for.
        sample: arrays that the model can be called with, to be run by both; by default
            some are made, of integers 0 and 1 alone.
        tolerance: the largest difference allowed, in units of the largest output if
            that is above 1. By default 1e-4, and 0.05 in half precision.

    Returns:
        What was written, with the largest difference.

    Raises:
        ValueError: if the format cannot hold the model, or answers otherwise.
        ModuleNotFoundError: if a package is missing; tells how to install it.

    Example:
        >>> from custom_lstm import LSTM
        >>> model = keras.Sequential([keras.Input((None, 3)), LSTM(4)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     one = export(model, f"{folder}/step.onnx", step=True)
        >>> list(one.inputs), one.outputs, one.difference < 1e-5
        (['input', 'h', 'c'], ('output', 'next_h', 'next_c'), True)
    """
    path = Path(path)
    form = format_of(to, path)
    form.check()
    nest = declared_inputs(model) if inputs is None else inputs
    if form.batch is not None:
        nest = keras.tree.map_structure(lambda x: _of_batch(x, form.batch), nest)
    computation = Computation(model, nest, step=step, states=states, sample=sample)
    difference = _written(form, computation, path, tolerance)
    return Exported(
        path,
        form.name,
        difference,
        {port.name: port.shape for port in computation.inputs},
        tuple(computation.outputs),
        {state.port.name: state.initial for state in computation.states},
    )


_OF_STEPS = (
    " A step is compared with the model over whole sequences: a layer that looks at "
    "several steps, such as a convolution or an attention over time, has no single one."
)


def _of_batch(tensor: keras.KerasTensor, batch: int | None) -> keras.KerasTensor:
    first, *rest = tensor.shape
    shape = (batch if first is None else first, *rest)
    return keras.KerasTensor(shape, tensor.dtype, name=tensor.name)


def _written(
    form: Format, computation: Computation, path: Path, tolerance: float | None
) -> float:
    """Write beside the path, compare, and move there; return the difference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        made = Path(folder) / path.name
        form.write(computation, made)
        difference, scale = compare(computation, form.read(computation, made))
        allowed = _tolerance(computation) if tolerance is None else tolerance
        if not difference <= allowed * max(1.0, scale):
            raise ValueError(
                f"export: what {form.name!r} computes differs from the model by "
                f"{difference:.3g} in outputs of up to {scale:.3g}, more than "
                f"{allowed:g}; nothing was written."
                + (_OF_STEPS if computation.step else "")
            )
        for one in Path(folder).iterdir():
            target = path.parent / one.name
            if target.is_dir():
                shutil.rmtree(target)
            one.replace(target)
    return difference


def _tolerance(computation: Computation) -> float:
    dtypes = {str(layer.compute_dtype) for layer in layers_in(computation.model)}
    return 0.05 if dtypes & {"float16", "bfloat16"} else 1e-4


def compare(computation: Computation, run: Runner) -> tuple[float, float]:
    """Run what was written beside the model.

    Returns:
        The largest difference, and the largest number that the model returned.
    """
    cases = [computation.sample]
    if any(None in port.shape for port in computation.ports):
        cases += [computation.arrays(1, 3, seed=1), computation.arrays(3, 7, seed=2)]
    compared = [
        _step_by_step(computation, run, case)
        if computation.step
        else _at_once(computation, run, case)
        for case in cases
    ]
    return max(a for a, _ in compared), max(b for _, b in compared)


def _at_once(computation, run, arrays) -> tuple[float, float]:
    given = [*arrays, *_first_states(computation, arrays)]
    expected = _arrays(computation(*given))
    names = [port.name for port in computation.inputs]
    made = run(dict(zip(names, given, strict=True)))
    return _largest(expected, [made[name] for name in computation.outputs])


def _step_by_step(computation, run, arrays) -> tuple[float, float]:
    """Run an exported step over sequences, and the model over all of them at once."""
    time = arrays[0].shape[1]
    states = _first_states(computation, arrays)
    names = [port.name for port in computation.inputs]
    count = len(computation.outputs) - len(states)
    made = []
    for t in range(time):
        given = [*(array[:, t] for array in arrays), *states]
        one = run(dict(zip(names, given, strict=True)))
        outputs = [one[name] for name in computation.outputs]
        made.append(outputs[:count])
        states = outputs[count:]
    expected = _arrays(computation.whole(arrays))
    found = [
        np.stack(column, 1) if timed else column[-1]
        for column, timed in zip(
            zip(*made, strict=True), computation.has_time, strict=True
        )
    ]
    return _largest(expected, found)


def _first_states(computation: Computation, arrays: Sequence[np.ndarray]) -> list:
    batch = len(arrays[0])
    return [
        np.repeat(state.initial, batch, axis=0)
        if len(state.initial) == 1
        else state.initial
        for state in computation.states
    ]


def _arrays(tensors: Sequence) -> list[np.ndarray]:
    return [np.asarray(ops.convert_to_numpy(tensor)) for tensor in tensors]


def _largest(
    expected: Sequence[np.ndarray], found: Sequence[np.ndarray]
) -> tuple[float, float]:
    difference = scale = 0.0
    for a, b in zip(expected, found, strict=True):
        if a.shape != b.shape:
            raise ValueError(
                f"export: an output of shape {a.shape} has the shape {b.shape} there; "
                "nothing was written."
            )
        a, b = a.astype("float64"), np.asarray(b).astype("float64")
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return float("inf"), scale
        finite = np.isfinite(a)
        difference = max(difference, np.abs(a - b)[finite].max(initial=0))
        scale = max(scale, np.abs(a)[finite].max(initial=0))
    return float(difference), float(scale)
