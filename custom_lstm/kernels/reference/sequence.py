"""The loop over a sequence, there and back: backpropagation through time."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import check_shapes
from custom_lstm.kernels.reference.results import Array, Gradients, Run


class RecurrentLayer(ABC):
    """A recurrent layer in NumPy, float64: a kind says what one step is.

    **Forward.** One cell, the same weights at every step, hands its states on:

        s_t = cell(x_t, s_{t−1})        y_t = h_t, the first of the states s_t

    **Backward.** A loss L that depends on y_1 … y_T and on s_T depends on s_t in two
    ways: through y_t, and through all that comes after, which sees s_t alone. So, with
    δa for dL/da, the loop runs from the last step to the first:

        δs_t = ∂L/∂y_t (in h alone) + (∂s_{t+1}/∂s_t)ᵀ·δs_{t+1}
        δx_t = (∂s_t/∂x_t)ᵀ·δs_t        δw = Σ_t (∂s_t/∂w)ᵀ·δs_t

    It begins with ∂L/∂s_T and ends with δs_0. The weights w act at every step, hence
    the sum. `cell_backward` is the product with the three Jacobians of one step. It
    needs values of the way there, which `forward` has put down as notes.

    **A remembered state.** With `remember_state` a sequence begins with the states at
    which the one before ended. These depend on the weights: give the gradient by the
    initial states of the later run to `backward` of the earlier one as `d_states`, and
    add up what both return for the weights.

    **A mask.** Where it is False, states and output stay as they were before that step
    (an output that has never been, 0), what the inputs hold there is not read, and
    gradients pass by.

    Args:
        kernel: W, `(features, gates·units)`.
        recurrent_kernel: U, `(units, gates·units)`.
        bias: b. None is zeros.
        return_sequences: whether `outputs` are those of all steps, or of the last.
        remember_state: whether to begin where the last `forward` ended, unless
            `initial_states` are given.

    Attributes:
        states: the remembered ones, or None.

    Raises:
        ValueError: names the array whose shape does not fit.
    """

    gates: int
    """How many blocks of `units` columns W has."""

    state_names: tuple[str, ...] = ("h",)

    def __init__(
        self,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None = None,
        *,
        return_sequences: bool = False,
        remember_state: bool = False,
    ):
        self.kernel = np.asarray(kernel, np.float64)
        self.recurrent_kernel = np.asarray(recurrent_kernel, np.float64)
        shape, name = self.recurrent_kernel.shape, type(self).__name__
        self.units = shape[0] if shape else 0
        self.features = self.kernel.shape[0] if self.kernel.ndim else 0
        width = self.gates * self.units
        bias_shape = self.bias_shape
        bias = np.zeros(bias_shape) if bias is None else bias
        self.bias = np.asarray(bias, np.float64)
        check_shapes(
            name,
            {
                "recurrent_kernel": self.recurrent_kernel,
                "kernel": self.kernel,
                "bias": self.bias,
            },
            {
                "recurrent_kernel": (self.units, width),
                "kernel": (self.features, width),
                "bias": bias_shape,
            },
        )
        self.return_sequences = return_sequences
        self.remember_state = remember_state
        self.states: list[Array] | None = None

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Shape of b: `(gates·units,)`."""
        return (self.gates * self.units,)

    @abstractmethod
    def cell_forward(self, x: Array, states: list[Array]) -> tuple[list[Array], Any]:
        """One step: from x, `(batch, features)`, and states to new states and notes."""

    @abstractmethod
    def cell_backward(self, d_states: list[Array], notes: Any) -> Gradients:
        """One step back: from the gradients by its new states to those by the rest."""

    def forward(
        self,
        inputs: Array,
        initial_states: list[Array] | None = None,
        mask: Array | None = None,
    ) -> Run:
        """All steps of a batch of sequences.

        Args:
            inputs: x, `(batch, time, features)`.
            initial_states: s_0, `(batch, units)` each. By default the remembered ones,
                if there are any, and else zeros.
            mask: boolean `(batch, time)`. By default every step counts.

        Returns:
            Outputs, last states, and what `backward` needs.

        Raises:
            ValueError: names the array whose shape does not fit.
        """
        inputs, states, mask = self._checked(inputs, initial_states, mask)
        y = np.zeros_like(states[0])
        outputs, notes = [], []
        for t in range(inputs.shape[1]):
            counts = mask[:, t, None]
            new, note = self.cell_forward(np.where(counts, inputs[:, t], 0.0), states)
            states = _chosen(counts, new, states)
            y = np.where(counts, new[0], y)
            outputs.append(y)
            notes.append(note)
        if self.remember_state:
            self.states = states
        y = np.stack(outputs, axis=1) if self.return_sequences else y
        return Run(y, states, notes, mask)

    def backward(
        self, run: Run, d_outputs: Array, d_states: list[Array] | None = None
    ) -> Gradients:
        """Backpropagation through time: see the class.

        Args:
            run: what `forward` returned.
            d_outputs: ∂L/∂y, in the shape of `run.outputs`.
            d_states: ∂L/∂s_T, `(batch, units)` each. By default zeros.

        Returns:
            The gradients by inputs, initial states and weights.

        Raises:
            ValueError: names the array whose shape does not fit.
        """
        batch, time = run.mask.shape
        d_outputs = np.asarray(d_outputs, np.float64)
        name = type(self).__name__
        expected = {"d_outputs": run.outputs.shape}
        check_shapes(name, {"d_outputs": d_outputs}, expected)
        d_states = self._read_states("d_states", d_states, batch)
        if not self.return_sequences:
            last, d_outputs = d_outputs, np.zeros((batch, time, self.units))
            d_outputs[:, -1] = last
        total = self._zero_gradients(batch, time)
        passed_by = np.zeros((batch, self.units))
        for t in reversed(range(time)):
            counts = run.mask[:, t, None]
            d_y = d_outputs[:, t] + passed_by
            zeros = [np.zeros_like(d) for d in d_states]
            d_new = _chosen(counts, [d_states[0] + d_y, *d_states[1:]], zeros)
            step = self.cell_backward(d_new, run.notes[t])
            d_states = _chosen(counts, step.states, d_states)
            passed_by = np.where(counts, 0.0, d_y)
            total.inputs[:, t] = step.inputs
            for sum_, summand in zip(total[2:], step[2:], strict=True):
                sum_ += summand
        return total._replace(states=d_states)

    def reset_states(self) -> None:
        """Forgets the remembered states."""
        self.states = None

    def _zero_gradients(self, batch: int, time: int) -> Gradients:
        weights = (self.kernel, self.recurrent_kernel, self.bias)
        inputs = np.zeros((batch, time, self.features))
        return Gradients(inputs, [], *map(np.zeros_like, weights))

    def _checked(
        self, inputs: Array, initial_states: list[Array] | None, mask: Array | None
    ) -> tuple[Array, list[Array], Array]:
        inputs = np.asarray(inputs, np.float64)
        if inputs.ndim != 3 or inputs.shape[2] != self.features or not inputs.size:
            raise ValueError(
                f"{type(self).__name__}: `inputs` must have shape (batch, time, "
                f"{self.features}), with at least one sequence and one step. "
                f"Received shape: {inputs.shape}"
            )
        batch, time, _ = inputs.shape
        mask = np.asarray(np.ones((batch, time)) if mask is None else mask, bool)
        check_shapes(type(self).__name__, {"mask": mask}, {"mask": (batch, time)})
        given = self.states if initial_states is None else initial_states
        return inputs, self._read_states("initial_states", given, batch), mask

    def _read_states(
        self, what: str, states: list[Array] | None, batch: int
    ) -> list[Array]:
        """Float64 states, zeros if there are none."""
        count, shape = len(self.state_names), (batch, self.units)
        if states is None:
            return [np.zeros(shape) for _ in range(count)]
        arrays = [np.asarray(state, np.float64) for state in states]
        if [array.shape for array in arrays] != [shape] * count:
            raise ValueError(
                f"{type(self).__name__}: `{what}` must be a list of {count} array(s) "
                f"of shape {shape}: [{', '.join(self.state_names)}]. "
                f"Received shapes: {[array.shape for array in arrays]}"
            )
        return arrays


def _chosen(counts: Array, new: list[Array], old: list[Array]) -> list[Array]:
    """`new` where the step counts, else `old`."""
    return [np.where(counts, n, o) for n, o in zip(new, old, strict=True)]
