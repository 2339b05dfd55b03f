"""A cell over whole sequences."""

from collections.abc import Sequence
from typing import Any, Self

import keras
from keras import ops

from custom_lstm.cells.base import takes_constants
from custom_lstm.cells.old_arguments import begin, renew_arguments
from custom_lstm.cells.validation import (
    Sizes,
    check_choice,
    check_flag,
    check_sequences,
    check_states,
    check_tensor,
    listed,
    names_of_states,
    own_arguments,
    read_argument,
    shapes_text,
    size_of_output,
    state_shape,
    state_size_of,
)
from custom_lstm.layers.building import (
    build_cell,
    check_cell,
    needs_step,
    rebuilt_by_layer,
    use_plain_functions,
    warn_of_foreign_variables,
    without_build,
)
from custom_lstm.layers.carried import CarriedStates
from custom_lstm.layers.hints import hints
from custom_lstm.layers.nests import (
    as_constants,
    cast_real,
    form_of,
    in_turn,
    known_shape,
    masks_in,
    of_form,
    swapped,
    swapped_symbols,
    symbol,
)
from custom_lstm.layers.old_forms import called_in_any_form
from custom_lstm.layers.saved_cells import (
    mark_shared,
    note_config,
    note_user,
    remember_classes,
    remembered_classes,
    warn_of_unregistered,
)
from custom_lstm.layers.steps import (
    keras_dropout,
    one_step,
    run_steps,
    sequence_begun,
)
from custom_lstm.typing import BatchSize, Config, Nest, Tensor

_KERNELS = ("auto", "loop", "scan")


@keras.saving.register_keras_serializable(package="custom_lstm")
class RNN(keras.layers.RNN):
    """A layer that runs a cell over the steps of sequences.

    It takes the place of `keras.layers.RNN`, and of that of TensorFlow 2.10, whose
    whole contract it keeps on every backend:

    - Inputs, outputs and states may be nests of tensors of any rank.
    - `constants` reach every step of a cell that takes them.
    - Steps may add losses, and change variables such as metrics.
    - Ragged tensors, inputs with the time first, and lists `[inputs, *states]`.

    And beyond both:

    - A cell that splits its step into `project` and `step` (see `AbstractRNNCell`)
      has the inputs of all steps projected in one matrix product before the loop.
    - `learn_initial_state=True` makes the state before the first step a weight.
    - `return_all_states=True` returns the states and gates of every step, as outputs
      that can be trained; `custom_lstm.trace` shows those of any layer of a model.
    - What does not fit is named: shape and number of states, masks, axes.

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
        time_major: whether the first two axes of inputs, outputs and masks are
            (time, batch).
        return_all_states: whether to return a dict of the states and gates of every
            step as well, in the order of the outputs. At masked steps the states are
            those before, and the gates 0.
        kernel: "loop", step by step; "scan", all steps at once, for cells that can
            (those whose new states are linear in the old, such as `MinGRUCell`); or
            "auto", the latter where it can run.
        **kwargs: `activity_regularizer`, `name`, `dtype`, `trainable`; and what
            TensorFlow 2.10 had besides, such as `batch_input_shape`.

    Call arguments:
        sequences: `(batch, time, features)`; further axes, or a nest, if the cell takes
            them. A `tf.RaggedTensor` brings its own mask, and the outputs of all steps
            are then ragged too. A list means `[sequences, *states, *constants]`.
        initial_state: list of tensors `(batch, width)`, as the cell's `state_size`
            says.
        mask: boolean `(batch, time)`. A step where it is False leaves the states as
            they are.
        training: whether dropout and its like are on.
        constants: a tensor `(batch, ...)`, or a list or dict of them, which every step
            is given.

    Returns:
        `(batch, units)`, or `(batch, time, units)` with `return_sequences`; with
        `return_state` or `return_all_states`, a tuple that begins with it, followed by
        the states, and by a dict of tensors `(batch, time, width)` with the names that
        `custom_lstm.trace` uses.

    Attributes:
        loop_used: which loop the last call chose: "partitioned", which runs all that
            does not depend on the states for all steps at once, and the gradients of
            all weights after the loop; "plain", differentiated by the backend; or
            "scan": none, as the cell computed all steps at once.
        loop_reason: why it was the plain one, or None.

    Raises:
        ValueError: if arguments, inputs, states, mask or constants do not fit, or
            (in a call) the cell cannot be scanned with `kernel="scan"`.

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
        time_major: bool = False,
        return_all_states: bool = False,
        kernel: str = "auto",
        **kwargs: Any,
    ):
        flags = own_arguments(locals())
        owner = type(self).__name__
        cell = check_cell(flags.pop("cell"))
        del flags["kernel"]
        flags = {name: check_flag(owner, name, flag) for name, flag in flags.items()}
        if stateful and learn_initial_state:
            raise ValueError(
                f"{owner}: `stateful` and `learn_initial_state` exclude each other: "
                "a batch begins either from the states of the one before, or from "
                "those learned."
            )
        name = "activity_regularizer"
        if name in kwargs:
            kwargs[name] = read_argument(owner, name, kwargs[name])
        kwargs, batch_size = renew_arguments(kwargs)
        super(keras.layers.RNN, self).__init__(**kwargs)  # the rest of it is here
        self.cell = cell
        self.kernel = check_choice(owner, "kernel", kernel, _KERNELS)
        for name, flag in flags.items():
            setattr(self, name, flag)
        self.learned_state: list[keras.Variable] = []
        self.loop_used: str | None = None
        self.loop_reason: str | None = None
        self.supports_masking = True
        self._carried = CarriedStates(batch_size)
        self._form: tuple[str, ...] | int | None = None
        remember_classes(cell)
        note_user(cell, self)

    @property
    def _who(self) -> str:
        return f"{type(self).__name__} {self.name!r}"

    @property
    def state_size(self) -> Sizes:
        """What the cell's `state_size` says; one size alone in a list."""
        return listed(state_size_of(self.cell.state_size))

    @property
    def states(self) -> Nest:
        """The states that a stateful layer carries: variables; or else None."""
        return self._carried.variables

    def get_config(self) -> Config:
        """Return every constructor argument."""
        activity = keras.regularizers.serialize(self.activity_regularizer)
        note_config(self)
        remember_classes(self.cell)  # of one name, those of this layer are meant now
        config = super().get_config()
        mark_shared(self.cell, config["cell"])
        if self._form or rebuilt_by_layer(self.cell):
            config["cell"] = without_build(config["cell"])
        if self._form:
            config["input_form"] = self._form
        return {
            **config,
            "learn_initial_state": self.learn_initial_state,
            "time_major": self.time_major,
            "return_all_states": self.return_all_states,
            "activity_regularizer": activity,
            "kernel": self.kernel,
        }

    @classmethod
    def from_config(
        cls, config: Config, custom_objects: dict[str, Any] | None = None
    ) -> Self:
        """Return the layer whose `get_config` this is, of TensorFlow 2.10 too.

        A cell whose class is not registered is found if this process has run it in
        such a layer before.
        """
        config = dict(config)
        form = config.pop("input_form", None)
        known = {**remembered_classes(), **(custom_objects or {})}
        cell = keras.saving.deserialize_keras_object(
            config.pop("cell"), custom_objects=known
        )
        layer = cls(cell, **config)
        layer._form = tuple(form) if isinstance(form, list | tuple) else form
        return layer

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Save the weights of this layer; warn if its cell could not be loaded."""
        warn_of_unregistered(self, self._who)
        super().save_own_variables(store)

    def build(
        self,
        sequences_shape: Nest,
        initial_state_shape: Nest = None,
        constants_shape: Nest = None,
    ) -> None:
        """Build the cell, and the initial state if it is learned."""
        sequences_shape = of_form(sequences_shape, self._form)
        self._form = form_of(sequences_shape)
        shapes = self._batch_first_shapes(sequences_shape)
        check_sequences(self._who, shapes)
        step = keras.tree.map_shape_structure(lambda s: (s[0], *s[2:]), shapes)
        use_plain_functions(self.cell)
        with hints(self._who):
            build_cell(self.cell, step, as_constants(constants_shape))
        if needs_step(self.cell):
            make, constants = symbol(self.compute_dtype), as_constants(constants_shape)
            if constants is not None:
                constants = keras.tree.map_shape_structure(make, constants)
            inputs = keras.tree.map_shape_structure(make, step)
            _OneStep(self).compute_output_spec(inputs, constants)
        warn_of_foreign_variables(self._who, self.cell)
        if self.learn_initial_state and not self.learned_state:
            sizes = keras.tree.flatten(self.state_size)
            self.learned_state = [
                self.add_weight(
                    shape=state_shape(size, None)[1:],
                    name=f"initial_{name}",
                    initializer="zeros",
                )
                for name, size in zip(names_of_states(self.cell), sizes, strict=True)
            ]
        if self.stateful:
            batch = keras.tree.flatten(step)[0]
            with keras.name_scope(self.name, caller=self):
                self._carried.make(self, batch)

    def get_initial_state(self, batch_size: BatchSize) -> Nest:
        """Return the states before the first step: the cell's, plus those learned.

        Args:
            batch_size: number of sequences.

        Returns:
            Tensors `(batch_size, width)`, in the nest that the cell's `state_size` is;
            one alone in a list.
        """
        method = getattr(self.cell, "get_initial_state", None)
        dtype = str(getattr(self.cell, "compute_dtype", self.compute_dtype))
        if method is None:
            states = keras.tree.map_structure(
                lambda size: ops.zeros(state_shape(size, batch_size), dtype),
                self.state_size,
            )
        else:
            states = listed(begin(method, batch_size, dtype))
        if not self.learned_state:
            return states
        flat = [
            state + ops.cast(learned, state.dtype)
            for state, learned in zip(
                keras.tree.flatten(states), self.learned_state, strict=True
            )
        ]
        return keras.tree.pack_sequence_as(states, flat)

    def reset_state(
        self, states: Nest = None, sequences: Sequence[int] | None = None
    ) -> None:
        """Let a stateful layer begin again, or from given states.

        Args:
            states: what to begin from, arrays like `states`. By default what the
                cell begins with.
            sequences: indices in the batch of those that begin again; by default all.

        Raises:
            ValueError: if states or indices do not fit.
        """
        self._carried.reset(self, states, sequences)

    def reset_states(
        self, states: Nest = None, sequences: Sequence[int] | None = None
    ) -> None:
        """Do what `reset_state` does, by its name in TensorFlow 2.10."""
        self.reset_state(states, sequences)

    def compute_mask(self, sequences: Nest, mask: Nest = None) -> Nest:
        """Return the mask for the outputs, if there is one output for each step."""
        masks = masks_in(mask)
        mask = masks[0] if masks and self.return_sequences else None
        of_outputs = [mask] * len(keras.tree.flatten(size_of_output(self.cell)))
        if self.return_state or len(of_outputs) > 1:
            count = len(keras.tree.flatten(self.state_size)) if self.return_state else 0
            return [*of_outputs, *([None] * count)]
        return mask

    def compute_output_shape(
        self,
        sequences_shape: Nest,
        initial_state_shape: Nest = None,
        constants_shape: Nest = None,
    ) -> Nest:
        """Return the shapes of what a call returns."""
        make = symbol(self.compute_dtype)
        shapes = self._batch_first_shapes(sequences_shape)
        if self.built or getattr(self.cell, "built", False):
            constants = constants_shape
            if constants is not None:
                constants = keras.tree.map_shape_structure(make, constants)
            given = keras.tree.map_shape_structure(make, sequences_shape)
            spec = self.compute_output_spec(given, constants=constants)
            return keras.tree.map_structure(lambda tensor: tuple(tensor.shape), spec)
        if self.return_all_states:
            raise ValueError(
                f"{self._who}: what all steps show is known when the layer is built; "
                f"build it first. Received: sequences_shape={sequences_shape}"
            )
        batch, time = keras.tree.flatten(shapes)[:2]
        step, states = (
            keras.tree.map_structure(lambda n: state_shape(n, batch), nest)
            for nest in (size_of_output(self.cell), self.state_size)
        )
        outputs = keras.tree.map_shape_structure(
            lambda shape: self._of_steps(shape, batch, time), step
        )
        return (outputs, *in_turn(states)) if self.return_state else outputs

    def compute_output_spec(
        self,
        sequences: Nest,
        initial_state: Nest = None,
        mask: Nest = None,
        training: bool | None = False,
        constants: Nest = None,
    ) -> Nest:
        """Return shapes and dtypes of what a call returns, by one symbolic step."""
        self._check_call(sequences, initial_state, mask, constants)
        first = keras.tree.flatten(sequences)[0].shape
        batch, time = first[1::-1] if self.time_major else first[:2]
        made = _OneStep(self).compute_output_spec(
            keras.tree.map_structure(self._step_symbol, sequences),
            as_constants(constants),
        )
        outputs, states, shown = made
        outputs = keras.tree.map_structure(
            lambda x: symbol(x.dtype)(self._of_steps(x.shape, batch, time)), outputs
        )
        states = keras.tree.map_structure(
            lambda x: symbol(x.dtype)((batch, *x.shape[1:])), states
        )
        shown = {
            name: symbol(x.dtype)(self._of_all_steps(x.shape, batch, time))
            for name, x in shown.items()
        }
        return self._result(outputs, states, shown)

    def _step_symbol(self, tensor: Tensor) -> keras.KerasTensor:
        shape = tuple(tensor.shape)
        batch = shape[1] if self.time_major else shape[0]
        real = "float" in keras.backend.standardize_dtype(tensor.dtype)
        return symbol(self.compute_dtype if real else tensor.dtype)((batch, *shape[2:]))

    def _of_all_steps(self, shape, batch, time):
        first = (time, batch) if self.time_major else (batch, time)
        return (*first, *shape[1:])

    def _of_steps(self, shape, batch, time):
        if self.return_sequences:
            return self._of_all_steps(shape, batch, time)
        return (batch, *shape[1:])

    def __call__(self, sequences: Nest, *args: Any, **kwargs: Any) -> Nest:
        """Run the cell over all steps; see the class for the arguments."""
        count = len(keras.tree.flatten(getattr(self.cell, "state_size", None)))
        takes = takes_constants(self.cell)
        sequences = of_form(sequences, self._form)
        with hints(self._who):
            return called_in_any_form(
                self, super().__call__, count, takes, sequences, args, kwargs
            )

    def call(
        self,
        sequences: Nest,
        initial_state: Nest = None,
        mask: Nest = None,
        training: bool | None = False,
        constants: Nest = None,
    ) -> Nest:
        """Run the cell over all steps."""
        self._check_call(sequences, initial_state, mask, constants)
        constants = as_constants(constants)
        if self.time_major:
            sequences, mask = (swapped(nest) for nest in (sequences, mask))
        first = keras.tree.flatten(sequences)[0]
        batch = ops.shape(first)[0]
        with sequence_begun(self.cell, batch, training):
            states = self._first_states(initial_state, first.shape[0], batch)
            with keras_dropout(self.cell, sequences, states):
                last, outputs, states = self.inner_loop(
                    sequences=sequences,
                    initial_state=states,
                    mask=mask,
                    training=training,
                    **({} if constants is None else {"constants": constants}),
                )
        outputs, shown = outputs if self.return_all_states else (outputs, {})
        if self.stateful:
            self._carried.assign(states)
        if self.time_major:
            outputs, shown = swapped(outputs), swapped(shown)
        made = outputs if self.return_sequences else last
        return self._result(*(self._as_computed(x) for x in (made, states, shown)))

    def inner_loop(
        self,
        sequences: Nest,
        initial_state: Nest,
        mask: Nest,
        training: bool | None = False,
        constants: Nest = None,
    ) -> tuple[Nest, Nest, Nest]:
        """Run all steps, over inputs that are already projected if they can be.

        Args:
            sequences: `(batch, time, features)`, or a nest of them.
            initial_state: list of `(batch, width)`.
            mask: boolean `(batch, time)`, or None.
            training: whether dropout and its like are on.
            constants: what every step is given.

        Returns:
            Last output, outputs of all steps (without `return_sequences` of one), last
            states; with `return_all_states`, the outputs are a pair with the dict of
            what all steps showed.
        """
        result = run_steps(
            self.cell,
            sequences,
            initial_state,
            mask,
            dtype=self.compute_dtype,
            constants=constants,
            training=training,
            go_backwards=self.go_backwards,
            unroll=self.unroll,
            zero_output_for_mask=self.zero_output_for_mask,
            only_last=not self.return_sequences,
            show=self.return_all_states,
            kernel=self.kernel,
        )
        self.loop_used, self.loop_reason = result.loop, result.reason
        if result.loss is not None:
            self.add_loss(result.loss)
        outputs = result.outputs
        if self.return_all_states:
            outputs = outputs, result.shown
        return result.last, outputs, result.states

    def _first_states(
        self, initial_state: Nest, static_batch: int | None, batch: BatchSize
    ) -> Nest:
        """Return the states to begin with, in the cell's compute dtype."""
        if initial_state is not None:
            sizes = self.state_size
            check_states(
                self._who, "`initial_state`", initial_state, sizes, static_batch
            )
            flat = keras.tree.flatten(initial_state)
            states = keras.tree.pack_sequence_as(sizes, flat)
        elif self.stateful:
            states = self._carried.read(self._who, static_batch)
        else:
            states = self.get_initial_state(batch_size=batch)
        return self._in_dtype_of_cell(states)

    def _in_dtype_of_cell(self, states: Nest) -> Nest:
        dtype = getattr(self.cell, "compute_dtype", self.compute_dtype)
        return keras.tree.map_structure(lambda x: cast_real(x, str(dtype)), states)

    def _as_computed(self, nest: Nest) -> Nest:
        dtype = str(self.compute_dtype)
        return keras.tree.map_structure(lambda x: cast_real(x, dtype), nest)

    def _result(self, made: Nest, states: Nest, shown: dict[str, Tensor]) -> Nest:
        """Return what a call returns, a tuple if it is more than the outputs."""
        more = [*in_turn(states)] if self.return_state else []
        more += [shown] if self.return_all_states else []
        return (made, *more) if more else made

    def _check_call(self, sequences, initial_state, mask, constants):
        for tensor in keras.tree.flatten(sequences):
            check_tensor(self._who, "inputs", tensor)
        shapes = keras.tree.map_structure(known_shape, sequences)
        if self.time_major:
            shapes = self._batch_first_shapes(shapes)
            mask = None if mask is None else swapped_symbols(mask)
        check_sequences(self._who, shapes, mask)
        time = keras.tree.flatten(shapes)[1]
        if self.unroll and time is None:
            raise ValueError(
                f"{self._who}: `unroll=True` needs a known number of steps. Received "
                f"inputs of shape {shapes}; give `keras.Input` the number, or leave "
                "`unroll` out."
            )
        takes = takes_constants(self.cell)
        given = keras.tree.flatten(constants)
        if constants is not None and given and not takes:
            raise ValueError(
                f"{self._who}: `constants` were given, {shapes_text(given)}, but "
                f"{type(self.cell).__name__} has no argument `constants` in `project`, "
                "`step` or `call`."
            )

    def _batch_first_shapes(self, shapes: Nest) -> Nest:
        if not self.time_major:
            return shapes
        return keras.tree.map_shape_structure(
            lambda shape: (*shape[1::-1], *shape[2:]), shapes
        )


class _OneStep(keras.Operation):
    """One step of a layer's cell, for Keras to find shapes and dtypes."""

    def __init__(self, layer: RNN):
        super().__init__()
        self.layer = layer

    def call(self, inputs: Nest, constants: Nest) -> tuple[Nest, Nest, Nest]:
        """Return output, new states, and what the step shows."""
        layer = self.layer
        batch = ops.shape(keras.tree.flatten(inputs)[0])[0]
        with sequence_begun(layer.cell, batch, False):
            states = layer._in_dtype_of_cell(layer.get_initial_state(batch))
            made = one_step(
                layer.cell, inputs, states, constants, show=layer.return_all_states
            )
        return tuple(layer._as_computed(nest) for nest in made)
