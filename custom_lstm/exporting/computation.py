"""What is exported: a model, or one step of it, as a function of flat tensors.

The states of recurrent layers can be inputs and outputs of it. Where a runtime can run
the loop of a layer itself, the function can be cut there (see `cuts`).
"""

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.exporting.cuts import (
    Cut,
    Place,
    Port,
    Steps,
    Traced,
    run_operator,
    steps_of,
)
from custom_lstm.exporting.operators import Operator, operator_of
from custom_lstm.kernels import registry
from custom_lstm.layers.nests import as_constants
from custom_lstm.layers.steps import (
    boolean_mask,
    check_steps,
    intercepted,
    names_shown,
    one_step,
    sequence_begun,
)
from custom_lstm.typing import Nest, Tensor
from custom_lstm.walk import layers_in


@dataclass(frozen=True)
class State:
    """A state that is an input and, one step or chunk later, an output.

    Args:
        port: the input.
        output: name of the output.
        initial: what it is before the first step, `(batch, ...)`; with one row if it
            is the same for all sequences.
    """

    port: Port
    output: str
    initial: np.ndarray


@dataclass
class _Run:
    """One call of the function: what goes in and out of its recurrent layers."""

    states: dict[int, list[Tensor]]
    new: dict[int, list[Tensor]] = field(default_factory=dict)
    initial: dict[int, Nest] = field(default_factory=dict)
    cuts: list[Cut | None] | None = None
    given: Iterator[Tensor] = iter(())
    cut_inputs: list[Tensor] = field(default_factory=list)
    places: list[Place | None] = field(default_factory=list)


class Computation:
    """A model, or one step of it, as a function of flat tensors.

    Args:
        model: any layer or model.
        inputs: what it is called with: a nest of `keras.KerasTensor`s; by default what
            the model was built for.
        step: whether it is one step: without the axis of time, and with the states of
            all recurrent layers as inputs and outputs.
        states: whether these are inputs and outputs of whole sequences too. Those of
            stateful layers always are.
        sample: arrays like `inputs`, which the model can be called with; by default
            some are made.

    Attributes:
        inputs, outputs: the ports of the one, the names of the other, states last.
        states: the states among them.

    Raises:
        ValueError: if the model cannot be one step, or nothing tells its inputs.
    """

    def __init__(
        self,
        model: keras.layers.Layer,
        inputs: Nest = None,
        *,
        step: bool = False,
        states: bool = False,
        sample: Nest = None,
    ):
        self.model, self.step = model, step
        self._nest = declared_inputs(model) if inputs is None else inputs
        flat = keras.tree.flatten(self._nest)
        self.ports = [
            Port(name, tuple(tensor.shape), str(tensor.dtype))
            for name, tensor in zip(_names(flat, "input"), flat, strict=True)
        ]
        self.recurrent = _recurrent_layers(model)
        self._carried = [
            layer for layer in self.recurrent if step or states or layer.stateful
        ]
        if step:
            check_step(model, self.recurrent)
        self.states: list[State] = []
        self.sample = self._made_sample(sample)
        self._probe()
        self._operators = {id(layer): operator_of(layer) for layer in self.recurrent}

    @property
    def inputs(self) -> list[Port]:
        """The inputs: the model's, of one step without time, and then the states."""
        own = [self.of_step(port) for port in self.ports] if self.step else self.ports
        return [*own, *(state.port for state in self.states)]

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs: the model's and then the new states."""
        return [*self._output_names, *(state.output for state in self.states)]

    def __call__(self, *flat: Tensor) -> list[Tensor]:
        """Return outputs and new states."""
        return self._run(flat, None)[0]

    def cut(self, cuts: Sequence[Cut | None], *flat: Tensor) -> list[Tensor]:
        """Return outputs, new states, and what the loops at `cuts` are given.

        Args:
            cuts: one for each of `places`; None where the function is not cut.
            *flat: the inputs, followed by what the loops there make.
        """
        count = len(self.inputs)
        outputs, run = self._run(flat[:count], list(cuts), flat[count:])
        return [*outputs, *run.cut_inputs]

    def leave_out(self, unfit: Callable[[Operator], bool]) -> None:
        """Let no operator of these stand for a layer: its steps are run.

        Args:
            unfit: whether an operator is one.
        """
        for key, operator in self._operators.items():
            if operator is not None and unfit(operator):
                self._operators[key] = None

    def places(self, *flat: Tensor) -> list[Place]:
        """Return where the function can be cut: at the loops of recurrent layers.

        Args:
            *flat: the inputs.
        """
        return [place for place in self._run(flat, [])[1].places if place]

    def traced(self, cuts: Sequence[Cut | None] = ()) -> Traced:
        """Return the function, cut, as an exporter traces it."""
        made = [port for cut in cuts if cut for port in cut.ports]
        ports = [Port(f"cut_{k}", x.shape, x.dtype) for k, x in enumerate(made)]
        return Traced(
            functools.partial(self.cut, cuts),
            [*map(self.named_sizes, self.inputs), *ports],
            self.model,
            cut=len(ports),
        )

    def whole(self, arrays: Sequence[np.ndarray]) -> list[Tensor]:
        """Return what the model makes of whole sequences, without the new states."""
        inputs = keras.tree.pack_sequence_as(
            self._nest, [ops.convert_to_tensor(array) for array in arrays]
        )
        with keras.StatelessScope():
            outputs = keras.tree.flatten(self.model(inputs, training=False))
        return [x for x in outputs if x is not None]

    def named_sizes(self, port: Port) -> Port:
        """Return a port with names for the sizes that are free."""
        own = {name.name for name in self.ports}
        timed = port.name in own and not self.step
        names = {0: "batch"} | ({1: "time"} if timed else {})
        shape = [
            names.get(k, f"{port.name}_{k}") if size is None else size
            for k, size in enumerate(port.shape)
        ]
        return Port(port.name, tuple(shape), port.dtype)

    @staticmethod
    def of_step(port: Port) -> Port:
        """Return the port of one step of what goes in at `port`."""
        return Port(port.name, (*port.shape[:1], *port.shape[2:]), port.dtype)

    def _run(
        self,
        flat: Sequence[Tensor],
        cuts: list[Cut | None] | None,
        given: Sequence[Tensor] = (),
    ) -> tuple[list[Tensor], _Run]:
        count = len(self.ports)
        own = [ops.convert_to_tensor(tensor) for tensor in flat[:count]]
        if self.step:
            own = [ops.expand_dims(tensor, 1) for tensor in own]
        left = map(ops.convert_to_tensor, flat[count:])
        sizes = self._state_counts() if self.states else {}
        states = {k: [next(left) for _ in range(n)] for k, n in sizes.items()}
        run = _Run(states, cuts=cuts, given=iter(given))
        inputs = keras.tree.pack_sequence_as(self._nest, own)
        with contextlib.ExitStack() as stack:
            stack.enter_context(keras.StatelessScope())
            stack.enter_context(registry.exported())
            for layer in self.recurrent:
                stack.enter_context(intercepted(layer, self._around(layer, run)))
            outputs = keras.tree.flatten(self.model(inputs, training=False))
        made = [x for x in outputs if x is not None]
        if self.step and self.has_time:
            pairs = zip(made, self.has_time, strict=True)
            made = [ops.squeeze(x, 1) if timed else x for x, timed in pairs]
        news = [state for new in run.new.values() for state in new]
        return [*made, *news], run

    def _state_counts(self) -> dict[int, int]:
        return {id(layer): n for layer, n in self._order}

    def _around(self, layer: keras.layers.RNN, run: _Run) -> Callable[..., Any]:
        """Return what runs in place of a layer's loop."""
        key, carries = id(layer), layer in self._carried

        def around(loop, sequences, initial_state, mask, training=False, **more):
            if carries and key in run.new:
                raise ValueError(
                    f"export: the layer {layer.name!r} runs twice in one call, and "
                    "only one of its two states can be an input and an output."
                )
            if carries:
                run.initial[key] = initial_state
            if run.states.get(key):
                initial_state = keras.tree.pack_sequence_as(
                    initial_state, run.states[key]
                )
            if self.step:
                made = _one(layer, sequences, initial_state, mask, **more)
            elif run.cuts is None:
                made = loop(sequences, initial_state, mask, training, **more)
            else:
                given = sequences, initial_state, mask
                made = self._looked(layer, loop, run, given, training, more)
            if carries:
                run.new[key] = keras.tree.flatten(made[2])
            return made

        return around

    def _looked(self, layer, loop, run, given, training, more):
        """Run a layer's loop and note the place, or cut there."""
        number, cuts = len(run.places), run.cuts or []
        run.places.append(None)
        cut = cuts[number] if number < len(cuts) else None
        if cut is not None:
            return _cut_out(run, layer, cut.loop, given, more)
        if cuts:
            return loop(*given, training, **more)
        operator = None if given[2] is not None or more else self._operators[id(layer)]
        steps, made = steps_of(layer, given, **more)
        tensors = [x for x in keras.tree.flatten([*given, more]) if x is not None]
        run.places[number] = Place(operator, steps, tensors)
        return loop(*given, training, **more) if made is None else made

    def _made_sample(self, sample: Nest) -> list[np.ndarray]:
        if sample is None:
            return self.arrays(batch=2, free=4)
        flat = [np.asarray(array) for array in keras.tree.flatten(sample)]
        shapes = [array.shape for array in flat]
        if [len(shape) for shape in shapes] != [len(p.shape) for p in self.ports]:
            raise ValueError(
                "export: `sample` must be what the model is called with, of shapes "
                f"{[port.shape for port in self.ports]}. Received shapes: {shapes}"
            )
        return flat

    def arrays(self, batch: int, free: int, seed: int = 0) -> list[np.ndarray]:
        """Return arrays that the model can be called with.

        The steps at the end of the last sequence are 0, as masks leave them out.

        Args:
            batch: number of sequences, where it is free.
            free: any other size that is free.
            seed: of the numbers.
        """
        rng = np.random.default_rng(seed)
        return [_array(port, batch, free, rng) for port in self.ports]

    def _probe(self) -> None:
        """Call the model, and see what it returns and which states it carries."""
        self.has_time: list[bool] = []
        self._output_names, self._order = [], []
        step, self.step = self.step, False
        outputs, run = self._run(self.sample, None)
        news = sum(map(len, run.new.values()))
        count = len(outputs) - news
        self._output_names = _names(self._symbols(count), "output")
        if step:
            longer = [np.concatenate([x, x], axis=1) for x in self.sample]
            again = self._run(longer, None)[0][:count]
            self.has_time = [
                tuple(a.shape) != tuple(b.shape)
                for a, b in zip(outputs, again, strict=False)
            ]
        self.step = step
        by_id = {id(layer): layer for layer in self.recurrent}
        carried = [by_id[key] for key in run.new]
        self._order = [(layer, len(run.new[id(layer)])) for layer in carried]
        names = _state_names(carried, [n for _, n in self._order])
        given = {k: keras.tree.flatten(nest) for k, nest in run.initial.items()}
        for layer, own in zip(carried, names, strict=True):
            for name, tensor in zip(own, given[id(layer)], strict=True):
                self.states.append(self._state(layer, name, tensor))

    def _state(self, layer: keras.layers.RNN, name: str, tensor: Tensor) -> State:
        initial = ops.convert_to_numpy(tensor)
        batch = self.ports[0].shape[0]
        if not layer.stateful:
            initial = initial[:1]
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        port = Port(name, (batch, *initial.shape[1:]), dtype)
        return State(port, f"next_{name}", initial)

    def _symbols(self, count: int) -> list[Any]:
        outputs = getattr(self.model, "outputs", None) or []
        return list(outputs) if len(outputs) == count else [None] * count


def declared_inputs(model: keras.layers.Layer) -> Nest:
    """Return what a model was built to be called with, as `keras.KerasTensor`s.

    Raises:
        ValueError: if nothing tells it.
    """
    tensors = getattr(model, "inputs", None)
    if tensors:
        if isinstance(model, keras.Sequential):
            return tensors[0]
        return getattr(model, "input", tensors)
    config = model.get_build_config() if isinstance(model, keras.layers.Layer) else {}
    shape = (config or {}).get("input_shape") or (config or {}).get("sequences_shape")
    if not isinstance(shape, tuple | list) or any(map(keras.tree.is_nested, shape)):
        raise ValueError(
            f"export: nothing tells what {getattr(model, 'name', model)!r} is called "
            "with. Give `inputs`, such as keras.KerasTensor((None, None, features)); "
            "None is a size that is free."
        )
    recurrent = isinstance(model, keras.layers.RNN | keras.layers.Bidirectional)
    free = (None, None) if recurrent else (None,)
    return keras.KerasTensor((*free, *shape[len(free) :]), model.compute_dtype)


def check_step(model: keras.layers.Layer, recurrent: Sequence[Any]) -> None:
    """Raise a ValueError unless a model with these recurrent layers has one step."""
    if not recurrent:
        raise ValueError(
            f"export: there is no recurrent layer in {model.name!r}, of which one step "
            "could be exported."
        )
    for layer in recurrent:
        check_steps("export", layer)


def _recurrent_layers(model: Any) -> list[keras.layers.RNN]:
    """Return the recurrent layers that a model runs over its sequences."""
    within = (keras.layers.TimeDistributed,)
    found = [
        layer
        for layer in layers_in(model, leave_out=within)
        if isinstance(layer, keras.layers.RNN)
    ]
    inner = {id(x) for layer in found for x in layers_in(layer.cell)}
    return [layer for layer in found if id(layer) not in inner]


def _one(layer, sequences, initial_state, mask, constants=None):
    """Run one step; where a mask leaves it out, states and outputs stay."""
    if any(tensor.shape[1] != 1 for tensor in keras.tree.flatten(sequences)):
        raise ValueError(
            f"export: of one step of the model, the layer {layer.name!r} is given "
            "several, so that it cannot be run step by step."
        )
    inputs = keras.tree.map_structure(lambda x: x[:, 0], sequences)
    batch = ops.shape(keras.tree.flatten(inputs)[0])[0]
    with sequence_begun(layer.cell, batch, False):
        output, new, _ = one_step(
            layer.cell, inputs, initial_state, as_constants(constants)
        )
    mask = boolean_mask(mask)
    if mask is not None:
        output, new = _held(layer, mask[:, 0], output, new, initial_state)
    return output, keras.tree.map_structure(lambda x: x[:, None], output), new


def _held(layer, keep, output, new, old):
    """Return the output and the states of a step that counts where `keep` is True.

    Elsewhere the states are the old ones, and the output is the one before, which can
    be told if it is one of the states.
    """
    flat, before = keras.tree.flatten(new), keras.tree.flatten(old)
    held = [_where(keep, a, b) for a, b in zip(flat, before, strict=True)]
    outputs = []
    for one in keras.tree.flatten(output):
        same = [h for state, h in zip(flat, held, strict=True) if state is one]
        if getattr(layer, "zero_output_for_mask", False):
            same = [_where(keep, one, ops.zeros_like(one))]
        if not same:
            raise ValueError(
                f"export: the layer {layer.name!r} has a mask, and where it leaves a "
                "step out, the output is that of the step before, which is not among "
                "the states; `zero_output_for_mask=True` makes it 0."
            )
        outputs.append(same[0])
    pack = keras.tree.pack_sequence_as
    return pack(output, outputs), pack(old, held)


def _where(rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return ops.where(ops.reshape(rows, (-1, *[1] * (len(x.shape) - 1))), x, y)


def _cut_out(run, layer, loop, given, more):
    """Return what a loop will have made of what it will be given."""
    sequences, initial_state, mask = given
    if isinstance(loop, Steps):
        run.cut_inputs += loop.given(sequences, initial_state, mask, **more)
        return loop.result(run.given, sequences, initial_state)
    if layer.go_backwards:
        sequences = ops.flip(sequences, 1)
    run.cut_inputs += [sequences, *keras.tree.flatten(initial_state)]
    return run_operator(loop, run.given, sequences, initial_state)


def _array(port: Port, batch: int, free: int, rng: np.random.Generator) -> np.ndarray:
    first, *rest = (None, *port.shape[1:]) if port.shape else (None,)
    shape = [batch if port.shape[0] is None else port.shape[0]]
    shape += [free if size is None else size for size in rest]
    if port.dtype == "uint8":
        return rng.integers(0, 256, shape).astype("uint8")
    if "int" in port.dtype:  # 0 and 1 are among the indices of any embedding
        return rng.integers(0, 2, shape).astype(port.dtype)
    if port.dtype == "bool":
        return rng.integers(0, 2, shape).astype("bool")
    made = rng.normal(size=shape)
    if len(shape) > 2:
        made[-1, (shape[1] + 1) // 2 :] = 0
    return np.asarray(ops.convert_to_numpy(ops.cast(made, port.dtype)))


def _names(tensors: Sequence[Any], default: str) -> list[str]:
    """Return names for tensors: one is `default`, several have their own names."""
    if len(tensors) == 1:
        return [default]
    names = [re.sub(r"\W", "_", getattr(x, "name", None) or "") for x in tensors]
    if len(set(names)) == len(names) and all(names):
        return names
    return [f"{default}_{k}" for k in range(len(tensors))]


def _state_names(
    layers: Sequence[keras.layers.RNN], counts: Sequence[int]
) -> list[list[str]]:
    """Return the names of the states of layers, with theirs where it tells them apart.

    Args:
        layers: recurrent layers.
        counts: how many states each has.

    Example:
        >>> from custom_lstm import LSTM
        >>> _state_names([LSTM(2)], [2])
        [['h', 'c']]
        >>> _state_names([LSTM(2, name="a"), LSTM(2, name="b")], [2, 2])
        [['a_h', 'a_c'], ['b_h', 'b_c']]
    """
    own = [[name.replace("/", "_") for name in names_shown(x.cell)] for x in layers]
    for names, count in zip(own, counts, strict=True):
        if len(names) != count:
            names[:] = [f"state_{k}" for k in range(count)]
    flat = [name for names in own for name in names]
    if len(set(flat)) == len(flat):
        return own
    called = [re.sub(r"\W", "_", layer.name) for layer in layers]
    if len(set(called)) < len(called):
        called = [f"{name}_{k}" for k, name in enumerate(called)]
    return [
        [f"{layer}_{name}" for name in names]
        for layer, names in zip(called, own, strict=True)
    ]
