"""Looking into a recurrent layer: its states and gates at every step."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.cells.base import contract_cells
from custom_lstm.layers.steps import boolean_mask, intercepted, names_shown, run_steps
from custom_lstm.layers.time_distributed import TimeDistributed
from custom_lstm.typing import Nest, Tensor
from custom_lstm.walk import layers_in

Trace = dict[str, np.ndarray]


def trace(
    model: keras.layers.Layer,
    inputs: Nest,
    mask: Tensor | None = None,
    *,
    layer: str | keras.layers.Layer | None = None,
    initial_state: Nest = None,
) -> Trace | dict[str, Trace]:
    """Return the states and gates of a recurrent layer at every step.

    Works for `custom_lstm.RNN`, `LSTM`, `GRU`, `SimpleRNN`, for `keras.layers.RNN`
    around any `AbstractRNNCell`, and for every layer and model that holds such
    layers, at any depth. The model need not be rewritten: it runs once, eagerly, not
    in training, and is left as it was. A stateful layer begins from its present states
    and keeps them.

    Entry t belongs to `inputs[:, t]`, also with `go_backwards`, where the last entry
    is the first to be made. At a step that the mask leaves out, the states are those
    held from the step before, and the gates, which did not act, are NaN.

    Args:
        model: a layer or model.
        inputs: what it is called with.
        mask: boolean `(batch, time)`, if it takes one; masks made inside the model,
            by `Embedding` or `Masking`, count by themselves.
        layer: the recurrent layer to look into, or its name, if there are several.
        initial_state: the states to begin with, if the model takes them.

    Returns:
        Arrays `(batch, time, width)` by name. For an LSTM: "input", "forget",
        "candidate", "output" (the gates), "h" and "c" (the states after the step);
        for a GRU: "update", "reset", "candidate" and "h"; for other cells, what they
        `observe`, and their states. With a stack of cells, the names begin with
        "0/", "1/" and so on. If there are several layers, a dict of such dicts by
        layer name; one that is called several times counts as "name:0", "name:1".
        Inside a `custom_lstm.TimeDistributed`, which folds its own time into the batch,
        they are `(batch, outer time, time, width)`.

    Raises:
        ValueError: if there is no such layer, or none of that name.

    Example:
        >>> from custom_lstm import LSTM
        >>> model = keras.Sequential([LSTM(4), keras.layers.Dense(1)])
        >>> states = trace(model, np.ones((2, 5, 3)))
        >>> states["forget"].shape
        (2, 5, 4)
        >>> sorted(states)
        ['c', 'candidate', 'forget', 'h', 'input', 'output']
    """
    found = [found for found in layers_in(model) if _traceable(found)]
    calls: list[tuple[str, Trace]] = []
    given = {"mask": mask, "initial_state": initial_state}
    with contextlib.ExitStack() as stack:
        folds: list[tuple[int, int]] = []
        for outer in [x for x in layers_in(model) if isinstance(x, TimeDistributed)]:
            stack.enter_context(_folding(outer, folds))
        for recurrent in found:
            stack.enter_context(_recording(recurrent, calls, folds))
        if found:
            given = {name: value for name, value in given.items() if value is not None}
            model(inputs, training=False, **given)
    traces = _by_name(calls)
    if layer is not None:
        name = layer if isinstance(layer, str) else layer.name
        traces = {key: traces[key] for key in traces if key == name}
    if not traces:
        raise ValueError(
            f"There is no {f'{layer!r} to trace' if layer else 'layer to trace'} in "
            f"{model}: a layer `RNN`, `LSTM`, ... of custom_lstm, or a "
            "`keras.layers.RNN` around one of its cells. Keras's own LSTM shows no "
            "gates; `custom_lstm.LSTM` takes its weights. "
            f"Found: {[name for name, _ in calls]}"
        )
    return traces if len(traces) > 1 else next(iter(traces.values()))


def _traceable(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.RNN) and bool(contract_cells(layer.cell))


def _by_name(calls: list[tuple[str, Trace]]) -> dict[str, Trace]:
    names = [name for name, _ in calls]
    traces: dict[str, Trace] = {}
    for index, (name, recorded) in enumerate(calls):
        once = names.count(name) == 1
        traces[name if once else f"{name}:{names[:index].count(name)}"] = recorded
    return traces


@contextlib.contextmanager
def _folding(layer: TimeDistributed, folds: list[tuple[int, int]]) -> Iterator[None]:
    """Within this context, `folds` holds (batch, time) of the calls under way."""
    call = layer.call

    def folding(inputs, *args, **kwargs):
        folds.append(tuple(keras.tree.flatten(inputs)[0].shape[:2]))
        try:
            return call(inputs, *args, **kwargs)
        finally:
            folds.pop()

    layer.call = folding  # type: ignore[method-assign]
    try:
        yield
    finally:
        del layer.call


def _unfolded(array: np.ndarray, folds: list[tuple[int, int]]) -> np.ndarray:
    """Return the rows of an array by the axes that `TimeDistributed`s have folded."""
    if not folds:
        return array
    axes = (folds[0][0], *(time for _, time in folds))
    return array.reshape(*axes, *array.shape[1:])


@contextlib.contextmanager
def _recording(
    layer: keras.layers.RNN,
    calls: list[tuple[str, Trace]],
    folds: list[tuple[int, int]],
) -> Iterator[None]:
    """Within this context, every loop of `layer` adds its name and trace to `calls`."""
    before = [ops.copy(state) for state in keras.tree.flatten(layer.states or [])]

    def record(loop, sequences, initial_state, mask, training, **more):
        traced = _run(layer, sequences, initial_state, mask, more)
        unfolded = {name: _unfolded(array, folds) for name, array in traced.items()}
        calls.append((layer.name, unfolded))
        return loop(sequences, initial_state, mask, training, **more)

    try:
        with intercepted(layer, record):
            yield
    finally:
        if not before:
            layer.reset_state()
        for state, value in zip(keras.tree.flatten(layer.states), before, strict=False):
            state.assign(value)


def _run(layer: Any, sequences: Nest, states: Nest, mask: Nest, more: Any) -> Trace:
    """Run the loop of `layer` once more, and record what its steps show."""
    with keras.StatelessScope():  # what the steps change, they change only once
        made = run_steps(
            layer.cell,
            keras.tree.map_structure(ops.convert_to_tensor, sequences),
            states,
            mask,
            dtype=layer.compute_dtype,
            go_backwards=layer.go_backwards,
            show=True,
            **more,
        )
    order = slice(None, None, -1 if layer.go_backwards else 1)
    shown = {name: _array(tensor)[:, order] for name, tensor in made.shown.items()}
    mask = boolean_mask(mask)
    if mask is not None:
        acts = ops.convert_to_numpy(mask)
        for name in set(shown) - set(names_shown(layer.cell)):
            rows = np.reshape(acts, (*acts.shape, *[1] * (shown[name].ndim - 2)))
            shown[name] = np.where(rows, shown[name], np.nan)
    return shown


def _array(tensor: Tensor) -> np.ndarray:
    array = ops.convert_to_numpy(tensor)
    return array.astype("float32") if array.itemsize < 4 else array
