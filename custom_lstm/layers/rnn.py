"""A cell over whole sequences."""

import collections
import contextlib
import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import keras
from keras import ops

from custom_lstm.cells.base import (
    AbstractRNNCell,
    in_sequence,
    project_sequence,
    splits,
    step_projected,
)
from custom_lstm.cells.gated import GatedCell
from custom_lstm.cells.validation import (
    check_choice,
    check_flag,
    check_sequences,
    check_states,
    check_tensor,
    names_of_states,
    own_arguments,
    read_argument,
)
from custom_lstm.kernels import loop
from custom_lstm.typing import Config, Nest, Shape, States, Tensor

Loop = Callable[..., tuple[Tensor, Tensor, States]]


@keras.saving.register_keras_serializable(package="custom_lstm")
class RNN(keras.layers.RNN):
    """`keras.layers.RNN`, which runs a cell over the steps of sequences, and more.

    - A cell that splits its step into `project` and `step` (see `AbstractRNNCell`)
      has the inputs of all steps projected in one matrix product before the loop.
    - `learn_initial_state=True` makes the state before the first step a weight.
    - `custom_lstm.trace` shows its states and gates.
    - What does not fit is named: shape and number of states, masks, axes.

    All else is Keras's: any cell that runs there runs here.

    Args:
        cell: a recurrent cell, or a list of them to be stacked.
        return_sequences: whether to return the outputs of all steps, not just the
            last.
        return_state: whether to return the last states too.
        go_backwards: whether to begin at the last step. Outputs then come in the
            order in which they were computed.
        stateful: whether each batch continues from the last states of the one before.
        unroll: whether to unroll the loop; quicker for short sequences.
        zero_output_for_mask: whether outputs at masked steps are 0, and not those of
            the step before.
        learn_initial_state: whether to learn the initial state, one for all
            sequences, from zero, or from what the cell's `get_initial_state` returns.
        **kwargs: `activity_regularizer`, `name`, `dtype`, `trainable`.

    Call arguments:
        sequences: `(batch, time, features)`; further axes, if the cell takes them.
        initial_state: list of tensors `(batch, width)`, as the cell's `state_size`
            says.
        mask: boolean `(batch, time)`. A step where it is False leaves the states as
            they are.
        training: whether dropout and its like are on.

    Returns:
        `(batch, units)`, or `(batch, time, units)` with `return_sequences`; with
        `return_state`, a tuple that begins with it, followed by the states.

    Attributes:
        loop_used: which loop the last call chose: "partitioned", which runs all that
            does not depend on the states for all steps at once, and the gradients of
            all weights after the loop; or "plain", differentiated by the backend.
        loop_reason: why it was the plain one, or None.

    Raises:
        ValueError: if arguments, inputs, states or mask do not fit.

    Example:
        >>> from custom_lstm import LSTMCell
        >>> layer = RNN(LSTMCell(4), return_sequences=True, learn_initial_state=True)
        >>> tuple(layer(ops.ones((2, 5, 3))).shape)
        (2, 5, 4)
        >>> [weight.name for weight in layer.weights]
        ['initial_h', 'initial_c', 'kernel', 'recurrent_kernel', 'bias']
    """

    def __init__(
        self,
        cell: keras.layers.Layer | Sequence[keras.layers.Layer],
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        learn_initial_state: bool = False,
        **kwargs: Any,
    ):
        flags = own_arguments(locals())
        owner = type(self).__name__
        _check_cell(flags.pop("cell"))
        flags = {name: check_flag(owner, name, flag) for name, flag in flags.items()}
        learns = flags.pop("learn_initial_state")
        if stateful and learns:
            raise ValueError(
                f"{owner}: `stateful` and `learn_initial_state` exclude each other: "
                "a batch begins either from the states of the one before, or from "
                "those learned."
            )
        name = "activity_regularizer"
        if name in kwargs:
            kwargs[name] = read_argument(owner, name, kwargs[name])
        super().__init__(cell, **flags, **kwargs)
        for one in _with_inner(self.cell):
            _users_of(one).add(self)
        self.learn_initial_state = learns
        self.learned_state: list[keras.Variable] = []
        self.loop_used: str | None = None
        self.loop_reason: str | None = None
        self.supports_masking = True

    @property
    def _who(self) -> str:
        return f"{type(self).__name__} {self.name!r}"

    def get_config(self) -> Config:
        """Return every constructor argument."""
        activity = keras.regularizers.serialize(self.activity_regularizer)
        config = super().get_config()
        _mark_shared(self.cell, config["cell"])
        return {
            **config,
            "learn_initial_state": self.learn_initial_state,
            "activity_regularizer": activity,
        }

    def build(self, sequences_shape: Shape, initial_state_shape: Nest = None) -> None:
        """Build the cell, and the initial state if it is learned."""
        check_sequences(self._who, sequences_shape)
        super().build(sequences_shape, initial_state_shape)
        if self.learn_initial_state:
            names = names_of_states(self.cell)
            widths = keras.tree.flatten(self.state_size)
            self.learned_state = [
                self.add_weight(
                    shape=(width,), name=f"initial_{name}", initializer="zeros"
                )
                for name, width in zip(names, widths, strict=True)
            ]

    def get_initial_state(self, batch_size: int | Tensor) -> States:
        """Return the states before the first step: the cell's, plus those learned.

        Args:
            batch_size: number of sequences.

        Returns:
            A list of tensors `(batch_size, width)`.
        """
        states = super().get_initial_state(batch_size)
        if not self.learned_state:
            return states
        flat = [
            state + ops.cast(learned, state.dtype)
            for state, learned in zip(
                keras.tree.flatten(states), self.learned_state, strict=True
            )
        ]
        return keras.tree.pack_sequence_as(states, flat)

    def compute_mask(self, sequences: Nest, mask: Nest = None) -> Nest:
        """Return the mask for the outputs, if there is one output for each step."""
        mask = keras.tree.flatten(mask)[0] if self.return_sequences else None
        if self.return_state:
            return [mask, *(None for _ in self.state_size)]
        return mask

    def call(
        self,
        sequences: Tensor,
        initial_state: Nest = None,
        mask: Nest = None,
        training: bool | None = False,
    ) -> Nest:
        """Run the cell over all steps."""
        check_tensor(self._who, "inputs", sequences)
        check_sequences(self._who, sequences.shape, mask)
        if initial_state is not None:
            check_states(
                self._who,
                "`initial_state`",
                initial_state,
                self.state_size,
                sequences.shape[0],
            )
        if self.stateful and initial_state is None:  # which the call will overwrite
            initial_state = keras.tree.map_structure(ops.copy, self.states)
        batch = ops.shape(sequences)[0]
        with contextlib.ExitStack() as stack:
            for cell in contract_cells(self.cell):
                drawn = cell.begin_sequence(batch, training)
                stack.enter_context(in_sequence(cell, drawn))
            return super().call(
                sequences, initial_state=initial_state, mask=mask, training=training
            )

    def inner_loop(
        self,
        sequences: Tensor,
        initial_state: States,
        mask: Nest,
        training: bool | None = False,
    ) -> tuple[Tensor, Tensor, States]:
        """Run all steps, over inputs that are already projected if they can be.

        Args:
            sequences: `(batch, time, features)`.
            initial_state: list of `(batch, width)`.
            mask: boolean `(batch, time)`, or None.
            training: whether dropout and its like are on.

        Returns:
            Last output, outputs of all steps (without `return_sequences` of one), last
            states.
        """
        cell, mask = self.cell, boolean_mask(mask)
        if mask is not None:
            sequences = loop.zeroed(mask, sequences)
        hoisted = splits(cell) and cell.compute_dtype == self.compute_dtype
        if hoisted:
            sequences = project_sequence(cell, sequences, training)
        nonzero = mask if self.zero_output_for_mask else None
        if self.go_backwards:
            sequences = ops.flip(sequences, 1)
            mask = None if mask is None else ops.flip(mask, 1)
            if not self.unroll:  # there Keras's zeros are not turned round
                nonzero = mask if self.zero_output_for_mask else None
        cells = contract_cells(cell)
        drawn = {str(k): c.drawn for k, c in enumerate(cells) if c.drawn is not None}
        result = loop.run(
            loop.Steps(
                functools.partial(_step, cell, cells, hoisted, training),
                sequences,
                initial_state,
                drawn,
                cell.variables,
                mask=mask,
                nonzero=nonzero,
                unroll=self.unroll,
                training=bool(training),
                only_last=not self.return_sequences,
            )
        )
        self.loop_used, self.loop_reason = result.loop, result.reason
        if result.loss is not None:
            self.add_loss(result.loss)
        return result.last, result.outputs, result.states


def _step(cell, cells, hoisted, training, inputs, states, drawn):
    """Run one step of a cell, for which each of `cells` in it finds what it drew."""
    with contextlib.ExitStack() as stack:
        for k, one in enumerate(cells):
            stack.enter_context(in_sequence(one, drawn.get(str(k))))
        if hoisted:
            return step_projected(cell, inputs, states, training)
        takes_training = getattr(cell, "_call_has_training_arg", False)
        output, new = cell(
            inputs, states, **({"training": training} if takes_training else {})
        )
        return output, new if keras.tree.is_nested(new) else [new]


def boolean_mask(mask: Nest) -> Tensor | None:
    """Return a mask as booleans `(batch, time)`, or None."""
    mask = keras.tree.flatten(mask)[0]
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    return mask if len(mask.shape) == 2 else ops.squeeze(mask, -1)


class _Loops(threading.local):
    """What runs on this thread around the loops of layers, by the layers' ids."""

    def __init__(self) -> None:
        self.around: dict[int, list[Loop]] = collections.defaultdict(list)


_LOOPS = _Loops()
_INTERCEPTED: collections.Counter[int] = collections.Counter()
_INTERCEPTING = threading.Lock()


@contextlib.contextmanager
def intercepted(layer: keras.layers.RNN, around: Loop) -> Iterator[None]:
    """While it lasts, calls of a layer on this thread run `around` its loop.

    Args:
        layer: any recurrent layer, of Keras too.
        around: called as `around(loop, sequences, initial_state, mask, training)`,
            in place of `loop`.
    """
    key = id(layer)

    def dispatch(sequences, initial_state, mask, training=False):
        loop = functools.partial(type(layer).inner_loop, layer)
        for wrapper in _LOOPS.around.get(key, ()):
            loop = functools.partial(wrapper, loop)
        return loop(sequences, initial_state, mask, training)

    with _INTERCEPTING:
        _INTERCEPTED[key] += 1
        layer.inner_loop = dispatch
    _LOOPS.around[key].append(around)
    try:
        yield
    finally:
        _LOOPS.around[key].pop()
        with _INTERCEPTING:
            _INTERCEPTED[key] -= 1
            if not _INTERCEPTED[key]:
                del _INTERCEPTED[key], layer.inner_loop


_USERS: weakref.WeakKeyDictionary[Any, weakref.WeakSet[RNN]]
_USERS = weakref.WeakKeyDictionary()


def _users_of(cell: keras.layers.Layer) -> "weakref.WeakSet[RNN]":
    """Return the layers around a cell: several, if they share it."""
    return _USERS.setdefault(cell, weakref.WeakSet())


def _with_inner(cell: keras.layers.Layer) -> list[keras.layers.Layer]:
    inner = cell.cells if isinstance(cell, keras.layers.StackedRNNCells) else []
    return [cell, *(leaf for one in inner for leaf in _with_inner(one))]


def _mark_shared(cell: keras.layers.Layer, config: Config) -> None:
    """Make a loaded model share what this one shares: Keras marks the second only."""
    if len(_users_of(cell)) > 1:
        config["shared_object_id"] = id(cell)
    if isinstance(cell, keras.layers.StackedRNNCells):
        for one, entry in zip(cell.cells, config["config"]["cells"], strict=True):
            _mark_shared(one, entry)


def _check_cell(cell: Any) -> None:
    """Raise if `cell`, or one of several, is a class or layer, or if there is none."""
    cells = cell.cells if isinstance(cell, keras.layers.StackedRNNCells) else cell
    several = isinstance(cells, list | tuple)
    if several and not cells:
        raise ValueError(f"RNN: `cell` must hold at least one cell. Received: {cell}")
    for one in cells if several else [cells]:
        if isinstance(one, type):
            raise ValueError(
                f"RNN: `cell` must be a cell, not a class. Received: {one.__name__}; "
                f"write RNN({one.__name__}(...))."
            )
        if isinstance(one, keras.layers.RNN | keras.layers.Bidirectional):
            raise ValueError(
                "RNN: `cell` must be a cell, one time step, and not a layer that runs "
                f"one over sequences. Received: the layer {type(one).__name__}"
            )


def contract_cells(cell: keras.layers.Layer) -> list[AbstractRNNCell]:
    """Return the cells in `cell`, itself or stacked, that are `AbstractRNNCell`s.

    Example:
        >>> from custom_lstm import LSTMCell
        >>> stack = keras.layers.StackedRNNCells([LSTMCell(2), keras.layers.GRUCell(2)])
        >>> [type(cell).__name__ for cell in contract_cells(stack)]
        ['LSTMCell']
    """
    if isinstance(cell, AbstractRNNCell):
        return [cell]
    if isinstance(cell, keras.layers.StackedRNNCells):
        return [leaf for inner in cell.cells for leaf in contract_cells(inner)]
    return []


class GatedRNN(RNN):
    """Base of layers that make their own cell and take its arguments as theirs.

    A subclass names its `cell_class`, and its `cell_name`, which is Keras's and part of
    the paths of the weights, and hands its constructor's arguments on as `options`.
    Those of the cell are found in its signature. They can be read as attributes of the
    layer, and its config holds them in place of the cell.

    Args:
        options: the arguments of the subclass's constructor, by name.
        **kwargs: the other arguments of `RNN`.
    """

    cell_class: type[GatedCell]
    cell_name: str
    _of_cell: tuple[str, ...]

    def __init_subclass__(cls, **kwargs: Any):
        """Make every argument of the cell readable as an attribute of the layer."""
        super().__init_subclass__(**kwargs)
        parameters = inspect.signature(cls.cell_class.__init__).parameters
        cls._of_cell = tuple(n for n in parameters if n not in ("self", "kwargs"))
        for name in cls._of_cell:
            setattr(cls, name, _read_from_cell(name))

    def __init__(self, options: dict[str, Any], **kwargs: Any):
        knows_cudnn = "use_cudnn" in options
        use_cudnn = options.pop("use_cudnn", False)
        check_choice(type(self).__name__, "use_cudnn", use_cudnn, ("auto", True, False))
        cell = self.cell_class(
            **{name: options.pop(name) for name in self._of_cell},
            name=self.cell_name,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
        )
        super().__init__(cell, **options, **kwargs)
        if knows_cudnn:
            self.use_cudnn = use_cudnn
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, sequences_shape: Shape, initial_state_shape: Nest = None) -> None:
        """Build the cell, and the initial state if it is learned."""
        if getattr(self, "use_cudnn", False) is True and (why := self._why_no_cudnn()):
            raise ValueError(
                f"{self._who}: {why}, so that `use_cudnn` must be 'auto' or False when "
                "it is built. Received: use_cudnn=True"
            )
        super().build(sequences_shape, initial_state_shape)

    def _why_no_cudnn(self) -> str | None:
        """Return why cuDNN can never run the layer, or None."""
        return "it has no cuDNN kernel"

    def get_config(self) -> Config:
        """Return every constructor argument."""
        config = super().get_config()
        del config["cell"]
        of_cell = self.cell.get_config()
        config.update({name: of_cell[name] for name in self._of_cell})
        if hasattr(self, "use_cudnn"):
            config["use_cudnn"] = self.use_cudnn
        return config

    @classmethod
    def from_config(
        cls, config: Config, custom_objects: dict[str, Any] | None = None
    ) -> Self:
        """Return the layer whose `get_config` this is."""
        return cls(**config)


def _read_from_cell(name: str) -> property:
    return property(lambda self: getattr(self.cell, name), doc=f"The cell's `{name}`.")
