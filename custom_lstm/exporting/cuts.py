"""Where an exported function is cut, since a runtime runs the loops of layers itself.

The function is cut at the loop of a recurrent layer: what the loop is given is an
output more, and what it makes is an input more. Between them stands a node of ONNX:
`LSTM`, `GRU` or `RNN` for a layer that is one (`Operator`), or else `Scan`, which runs
one step (`Steps`) over sequences of any length.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from custom_lstm.cells.base import is_stack, project_sequence, splits
from custom_lstm.exporting.operators import LOOPS, Operator
from custom_lstm.kernels import registry
from custom_lstm.layers.nests import as_constants, known_size
from custom_lstm.layers.steps import boolean_mask, one_step, sequence_begun
from custom_lstm.typing import DType, Nest, Tensor


@dataclass(frozen=True)
class Port:
    """An input of what is exported: name, shape and dtype.

    In the shape, None is a size that is free, or its name.
    """

    name: str
    shape: tuple[Any, ...]
    dtype: DType


@dataclass(frozen=True)
class Traced:
    """What an exporter of a backend traces.

    Args:
        function: of flat tensors, to a list of them.
        ports: its inputs; a size that is free has a name, or is None.
        layer: whose weights it uses.
        cut: how many ports, the last ones, are what operators return.
    """

    function: Callable[..., list[Tensor]]
    ports: Sequence[Port]
    layer: keras.layers.Layer
    cut: int = 0


@dataclass(frozen=True)
class Steps:
    """One step of a recurrent layer, and what it is given over whole sequences.

        s_t, y_t = f(s_(t-1), y_(t-1), constants, x_t, mask_t)

    The outputs before, y_(t-1), are given where masked steps repeat them.

    Args:
        layer: the recurrent layer.
        states, outputs, constants, inputs: nests of `keras.KerasTensor`s `(None, ...)`,
            those of one step; None where there are no constants.
        masked: whether there is a mask, `(batch, time)`.
        projected: whether the inputs are what the cell's `project` returned.
    """

    layer: keras.layers.RNN
    states: Nest
    outputs: Nest
    constants: Nest
    inputs: Nest
    masked: bool
    projected: bool

    @property
    def counts(self) -> dict[str, int]:
        """How many tensors there are of each kind."""
        kinds = "states", "outputs", "constants", "inputs"
        return {kind: len(_flat(getattr(self, kind))) for kind in kinds}

    @property
    def only_last(self) -> bool:
        """Whether the outputs of the last step alone are used."""
        return not self.layer.return_sequences

    @property
    def repeats(self) -> bool:
        """Whether a step is given the outputs of the one before."""
        return self.masked and not _zeroes(self.layer)

    @property
    def holds(self) -> bool:
        """Whether outputs are carried from step to step, as states are."""
        return self.only_last or self.repeats

    @property
    def rows(self) -> list[keras.KerasTensor]:
        """All tensors of a step."""
        nests = self.states, self.outputs, self.constants, self.inputs
        return [row for nest in nests for row in _flat(nest)]

    def ports(self, batch: Any) -> list[Port]:
        """Return the inputs of a step."""
        given = [
            *_flat(self.states),
            *(_flat(self.outputs) if self.repeats else ()),
            *_flat(self.constants),
            *_flat(self.inputs),
        ]
        ports = [
            Port(f"given_{k}", (batch, *row.shape[1:]), row.dtype)
            for k, row in enumerate(given)
        ]
        return [*ports, Port("given_mask", (batch,), "bool")] if self.masked else ports

    def made(self, batch: Any, time: Any) -> list[tuple[tuple[Any, ...], DType]]:
        """Return shapes and dtypes of what the loop makes: last states, and outputs."""
        first = (batch,) if self.only_last else (batch, time)
        return [
            *(((batch, *row.shape[1:]), row.dtype) for row in _flat(self.states)),
            *(((*first, *row.shape[1:]), row.dtype) for row in _flat(self.outputs)),
        ]

    def traced(self, batch: Any) -> Traced:
        """Return one step as an exporter traces it."""
        return Traced(self, self.ports(batch), self.layer)

    def __call__(self, *flat: Tensor) -> list[Tensor]:
        """Return the new states and the outputs of one step."""
        left = iter(flat)
        states, before, constants, inputs = (
            _taken(nest, left)
            for nest in (
                self.states,
                self.outputs if self.repeats else (),
                self.constants,
                self.inputs,
            )
        )
        nest, new, _ = _stepped(self.layer, self.projected, inputs, states, constants)
        outputs = _flat(nest)
        if self.masked:
            keep, old = next(left), _flat(states)
            new = [_where(keep, a, b) for a, b in zip(new, old, strict=True)]
            other = _flat(before) if self.repeats else map(ops.zeros_like, outputs)
            outputs = [_where(keep, a, b) for a, b in zip(outputs, other, strict=True)]
        return [*new, *outputs]

    def given(
        self, sequences: Nest, initial_state: Nest, mask: Nest, constants: Nest = None
    ) -> list[Tensor]:
        """Return what the loop is given: states, outputs, constants, inputs, mask."""
        prepared, mask, _ = _prepared(self.layer, sequences, mask, constants)
        batch = ops.shape(keras.tree.flatten(sequences)[0])[0]
        held = _flat(self.outputs) if self.holds else []
        return [
            *_flat(initial_state),
            *(ops.zeros((batch, *row.shape[1:]), row.dtype) for row in held),
            *_flat(as_constants(constants)),
            *_flat(prepared),
            *([] if mask is None else [mask]),
        ]

    def result(
        self, given: Iterator[Tensor], sequences: Nest, initial_state: Nest
    ) -> tuple[Nest, Nest, Nest]:
        """Return last outputs, outputs and last states of what the loop has made."""
        batch, time = ops.shape(keras.tree.flatten(sequences)[0])[:2]
        flat = [ops.reshape(next(given), shape) for shape, _ in self.made(batch, time)]
        count = len(_flat(self.states))
        states = keras.tree.pack_sequence_as(initial_state, flat[:count])
        outputs = keras.tree.pack_sequence_as(self.outputs, flat[count:])
        every = keras.tree.map_structure
        if self.only_last:
            return outputs, every(lambda y: y[:, None], outputs), states
        return every(lambda y: y[:, -1], outputs), outputs, states


def steps_of(
    layer: keras.layers.RNN, given: tuple[Nest, Nest, Nest], constants: Nest = None
) -> tuple[Steps | None, tuple[Nest, Nest, Nest] | None]:
    """Return one step of a layer, and tensors of the shapes that its loop makes.

    None and None are returned where there is more to the loop than steps.

    Args:
        layer: the layer.
        given: sequences, initial states and mask of its loop.
        constants: what every step is given.
    """
    shows = getattr(layer, "return_all_states", False)
    if shows or layer.unroll or type(layer).inner_loop not in LOOPS:
        return None, None
    sequences, initial_state, mask = given
    constants, every = as_constants(constants), keras.tree.map_structure
    prepared, mask, projected = _prepared(layer, sequences, mask, constants)
    first = every(lambda x: x[:, 0], prepared)
    output, new, changes = _stepped(layer, projected, first, initial_state, constants)
    if changes:
        return None, None
    steps = Steps(
        layer,
        states=every(_row, initial_state),
        outputs=every(_row, output),
        constants=None if constants is None else every(_row, constants),
        inputs=every(lambda x: _row(x, 2), prepared),
        masked=mask is not None,
        projected=projected,
    )
    batch, time = ops.shape(keras.tree.flatten(sequences)[0])[:2]
    sizes = batch, 1 if steps.only_last else time
    outputs = every(
        lambda y: ops.broadcast_to(y[:, None], (*sizes, *y.shape[1:])), output
    )
    return steps, (output, outputs, keras.tree.pack_sequence_as(initial_state, new))


@dataclass(frozen=True)
class Place:
    """The loop of a recurrent layer, where a model's function can be cut.

    Args:
        operator: what ONNX has for the layer, or None.
        steps: one step of the layer, or None if its loop cannot be run by steps alone.
        tensors: the sequences, and what else the loop was given.
    """

    operator: Operator | None
    steps: Steps | None
    tensors: list[Tensor]

    def cut(
        self, batch: Any, time: Any, known: Callable[[Any], bool] | None = None
    ) -> "Cut | None":
        """Return a cut here, or None where that cannot be.

        Args:
            batch, time: sizes of the sequences; None where not known.
            known: whether any other size is the same in every call; by default those
                that are integers.
        """
        if self.operator is not None:
            return Cut(self.operator, batch, time)
        known = known or (lambda size: isinstance(size, int))
        if self.steps is None:
            return None
        sizes = (size for row in self.steps.rows for size in row.shape[1:])
        return Cut(self.steps, batch, time) if all(map(known, sizes)) else None


@dataclass
class Cut:
    """A place where the function is cut.

    Args:
        loop: what the runtime is to run there.
        batch, time: sizes of what it is given; None where not known.
        body: an `onnx.ModelProto` of one step, for `Scan`.
    """

    loop: Operator | Steps
    batch: Any
    time: Any
    body: Any = None

    @property
    def ports(self) -> list[Port]:
        """What the loop makes: inputs of the cut function."""
        made = self.loop.made(self.batch, self.time)
        return [Port(f"made_{k}", *one) for k, one in enumerate(made)]


def run_operator(
    operator: Operator, given: Iterator[Tensor], sequences: Tensor, initial_state: Nest
) -> tuple[Nest, Nest, Nest]:
    """Return last outputs, outputs and last states of what an operator has made."""
    batch, time = ops.shape(sequences)[:2]
    flat = [ops.reshape(next(given), shape) for shape, _ in operator.made(batch, time)]
    new = flat if operator.only_last else flat[1:]
    outputs = new[0][:, None] if operator.only_last else flat[0]
    return new[0], outputs, keras.tree.pack_sequence_as(initial_state, new)


def _stepped(
    layer: keras.layers.RNN,
    projected: bool,
    inputs: Nest,
    states: Nest,
    constants: Nest,
) -> tuple[Nest, list[Tensor], bool]:
    """Return outputs and new states of one step, and whether it changed variables."""
    cell, scope = layer.cell, keras.StatelessScope()
    batch = ops.shape(keras.tree.flatten(inputs)[0])[0]
    with scope, registry.exported(), sequence_begun(cell, batch, False):
        output, new, _ = one_step(cell, inputs, states, constants, projected=projected)
    pairs = zip(_flat(new), _flat(states), strict=True)
    held = map(scope.get_current_value, getattr(cell, "variables", ()))
    changed = any(value is not None for value in held)
    return output, [ops.cast(after, before.dtype) for after, before in pairs], changed


def _prepared(
    layer: keras.layers.RNN, sequences: Nest, mask: Nest, constants: Nest
) -> tuple[Nest, Tensor | None, bool]:
    """Return sequences and mask in the order of the steps, and if they are projected.

    They are where the cell can project all steps at once.
    """
    mask, cell = boolean_mask(mask), layer.cell
    head = cell.cells[0] if is_stack(cell) else cell
    projected = splits(head) and head.compute_dtype == layer.compute_dtype
    if projected:
        constants = as_constants(constants)
        sequences = project_sequence(head, sequences, False, constants)
    if layer.go_backwards:
        sequences = keras.tree.map_structure(lambda x: ops.flip(x, 1), sequences)
        mask = None if mask is None else ops.flip(mask, 1)
    return sequences, mask, projected


def _row(tensor: Tensor, axes: int = 1) -> keras.KerasTensor:
    """Return what a step has of a tensor, of which these first axes are others."""
    shape = (None, *map(known_size, tensor.shape[axes:]))
    return keras.KerasTensor(shape, keras.backend.standardize_dtype(tensor.dtype))


def _flat(nest: Nest) -> list[Tensor]:
    return [] if nest is None else keras.tree.flatten(nest)


def _taken(nest: Nest, left: Iterator[Tensor]) -> Nest:
    """Return as many tensors as a nest has, in its structure."""
    if nest is None:
        return None
    return keras.tree.map_structure(lambda _: next(left), nest)


def _zeroes(layer: keras.layers.RNN) -> bool:
    return bool(getattr(layer, "zero_output_for_mask", False))


def _where(rows: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return ops.where(ops.reshape(rows, (-1, *[1] * (len(x.shape) - 1))), x, y)
