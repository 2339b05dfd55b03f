"""Recurrent layers in NumPy, float64, to be read: every equation, and every derivative.

The kernels of `custom_lstm.kernels` are fast; these layers are what they are tested
against. Nothing is differentiated by a library: the backward passes are written out by
hand, and proved by central differences and by automatic differentiation.

Read `LSTM.cell_forward` and `LSTM.cell_backward` (one step, forward and backward) and
then `RecurrentLayer` (the loop over the steps, forward and backward). Names, orders and
shapes are Keras's; arrays are `(batch, time, features)`.

Example:
    One step of gradient descent, w ← w − η·dL/dw, on L = ½·Σ(y − 1)²:

    >>> rng = np.random.default_rng(0)
    >>> weights = [rng.normal(size=shape) for shape in ((3, 8), (2, 8), (8,))]
    >>> layer = LSTM(*weights, return_sequences=True)
    >>> run = layer.forward(rng.normal(size=(4, 5, 3)))
    >>> gradients = layer.backward(run, d_outputs=run.outputs - 1)
    >>> layer.kernel -= 0.1 * gradients.kernel
    >>> [gradient.shape for gradient in gradients[2:]]
    [(3, 8), (2, 8), (8,)]
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

__all__ = ["GRU", "LSTM", "Gradients", "RecurrentLayer", "Run", "SimpleRNN", "sigmoid"]

Array = np.ndarray


class Gradients(NamedTuple):
    """dL/da for every array a that a loss L depends on, each in the shape of its a.

    `cell_backward` gives those of one step (`inputs` and `states` are then the step's
    own), `backward` those of the whole sequence (`states` are the initial ones).
    """

    inputs: Array
    states: list[Array]
    kernel: Array
    recurrent_kernel: Array
    bias: Array


class Run(NamedTuple):
    """What `forward` returns.

    Attributes:
        outputs: y: h of every step, `(batch, time, units)`, or of the last,
            `(batch, units)`.
        states: those after the last step, `(batch, units)` each.
        notes: what each step saved for the backward pass.
        mask: which steps counted, `(batch, time)`.
    """

    outputs: Array
    states: list[Array]
    notes: list[Any]
    mask: Array


class RecurrentLayer(ABC):
    """A recurrent layer in NumPy, float64: a subclass defines one step.

    **Forward.** One cell, the same weights at every step, hands its states on:

        s_t = cell(x_t, s_{t−1})        y_t = h_t, the first of the states s_t

    **Backward.** A loss L that depends on y_1 … y_T and on s_T depends on s_t in two
    ways: through y_t, and through all that comes after, which sees s_t alone. So, with
    δa for dL/da, the loop runs from the last step to the first:

        δs_t = ∂L/∂y_t (in h alone) + (∂s_{t+1}/∂s_t)ᵀ·δs_{t+1}
        δx_t = (∂s_t/∂x_t)ᵀ·δs_t        δw = Σ_t (∂s_t/∂w)ᵀ·δs_t

    It begins with ∂L/∂s_T and ends with δs_0. The weights w act at every step, hence
    the sum. `cell_backward` is the product with the three Jacobians of one step. It
    needs values of the forward pass, which `forward` has saved as notes.

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
        self.units = self.recurrent_kernel.shape[0] if self.recurrent_kernel.ndim else 0
        self.features = self.kernel.shape[0] if self.kernel.ndim else 0
        width = self.gates * self.units
        bias = np.zeros(self.bias_shape) if bias is None else bias
        self.bias = np.asarray(bias, np.float64)
        self._check_shape("recurrent_kernel", recurrent_kernel, (self.units, width))
        self._check_shape("kernel", kernel, (self.features, width))
        self._check_shape("bias", bias, self.bias_shape)
        self.return_sequences = return_sequences
        self.remember_state = remember_state
        self.states: list[Array] | None = None

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Shape of b: `(gates·units,)`."""
        return (self.gates * self.units,)

    @abstractmethod
    def cell_forward(self, x: Array, states: list[Array]) -> tuple[list[Array], Any]:
        """Compute one step, from x and states: the new states, and notes."""

    @abstractmethod
    def cell_backward(self, d_states: list[Array], notes: Any) -> Gradients:
        """Compute one step back: from the gradients by its new states to all others."""

    def forward(
        self,
        inputs: Array,
        initial_states: list[Array] | None = None,
        mask: Array | None = None,
    ) -> Run:
        """Compute all steps of a batch of sequences.

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
        """Compute all gradients by backpropagation through time: see the class.

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
        self._check_shape("d_outputs", d_outputs, run.outputs.shape)
        d_states = self._read_states("d_states", d_states, batch)
        if not self.return_sequences:
            last, d_outputs = d_outputs, np.zeros((batch, time, self.units))
            d_outputs[:, -1] = last
        weights = (self.kernel, self.recurrent_kernel, self.bias)
        d_weights = [np.zeros_like(w) for w in weights]
        d_inputs = np.zeros((batch, time, self.features))
        passed_by = np.zeros((batch, self.units))
        for t in reversed(range(time)):
            counts = run.mask[:, t, None]
            d_y = d_outputs[:, t] + passed_by
            zeros = [np.zeros_like(d) for d in d_states]
            d_new = _chosen(counts, [d_states[0] + d_y, *d_states[1:]], zeros)
            step = self.cell_backward(d_new, run.notes[t])
            d_states = _chosen(counts, step.states, d_states)
            passed_by = np.where(counts, 0.0, d_y)
            d_inputs[:, t] = step.inputs
            for d_w, summand in zip(d_weights, step[2:], strict=True):
                d_w += summand
        return Gradients(d_inputs, d_states, *d_weights)

    def reset_states(self) -> None:
        """Forget the remembered states."""
        self.states = None

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
        self._check_shape("mask", mask, (batch, time))
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

    def _check_shape(self, name: str, array: Any, shape: tuple[int, ...]) -> None:
        if np.shape(array) != shape:
            raise ValueError(
                f"{type(self).__name__}: `{name}` must have shape {shape}. "
                f"Received shape: {np.shape(array)}"
            )


def _chosen(counts: Array, new: list[Array], old: list[Array]) -> list[Array]:
    """Return `new` where the step counts, else `old`."""
    return [np.where(counts, n, o) for n, o in zip(new, old, strict=True)]


def sigmoid(x: Array) -> Array:
    """Compute 1 / (1 + exp(−x)), without overflow at either end.

    Its derivative is σ(x)·(1 − σ(x)).

    Example:
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
        array([0. , 0.5, 1. ])
    """
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


class SimpleRNNNotes(NamedTuple):
    """What one step back needs: x and h that went in, and h' that came out."""

    x: Array
    h: Array
    h_new: Array


class SimpleRNN(RecurrentLayer):
    """A simple recurrent layer (Elman 1990), with state `[h]`:

        h' = tanh(x·W + h·U + b)

    Weights are those of `keras.layers.SimpleRNN`: W `(features, units)`, U `(units,
    units)`, b `(units,)`. Arguments and methods: see `RecurrentLayer`.

    Example:
        >>> layer = SimpleRNN(np.ones((1, 1)), np.ones((1, 1)))
        >>> run = layer.forward(np.ones((1, 1, 1)))
        >>> run.outputs, layer.backward(run, np.ones((1, 1))).inputs  # 1 − tanh²(1)
        (array([[0.76159416]]), array([[[0.41997434]]]))
    """

    gates = 1

    def cell_forward(
        self, x: Array, states: list[Array]
    ) -> tuple[list[Array], SimpleRNNNotes]:
        """Compute one step.

        Args:
            x: `(batch, features)`.
            states: `[h]`, `(batch, units)`.

        Returns:
            `[h']`, and what `cell_backward` needs.
        """
        (h,) = states
        h_new = np.tanh(x @ self.kernel + h @ self.recurrent_kernel + self.bias)
        return [h_new], SimpleRNNNotes(x, h, h_new)

    def cell_backward(self, d_states: list[Array], notes: SimpleRNNNotes) -> Gradients:
        """Compute one step back. With a for what tanh is taken of, and δ for dL/d:

            h' = tanh(a)                   δa = δh'∘(1 − h'²)
            a = x·W + h·U + b              δx = δa·Wᵀ    δW = xᵀ·δa
                                           δh = δa·Uᵀ    δU = hᵀ·δa    δb = Σ_batch δa

        Args:
            d_states: `[δh']`, `(batch, units)`.
            notes: what `cell_forward` saved.

        Returns:
            δx, `[δh]`, δW, δU, δb.
        """
        x, h, h_new = notes
        (d_h_new,) = d_states
        d_a = d_h_new * (1 - h_new**2)
        return Gradients(
            inputs=d_a @ self.kernel.T,
            states=[d_a @ self.recurrent_kernel.T],
            kernel=x.T @ d_a,
            recurrent_kernel=h.T @ d_a,
            bias=d_a.sum(axis=0),
        )


class LSTMNotes(NamedTuple):
    """What one step back needs: x, h and c that went in, the gates, and c'."""

    x: Array
    h: Array
    c: Array
    i: Array
    f: Array
    g: Array
    o: Array
    c_new: Array


class LSTM(RecurrentLayer):
    """An LSTM (Hochreiter and Schmidhuber 1997; Gers et al. 2000), states `[h, c]`:

        z = x·W + h·U + b           i, f, o = σ(z_i), σ(z_f), σ(z_o)    g = tanh(z_g)
        c' = f∘c + i∘g              h' = o∘tanh(c')

    Weights are those of `keras.layers.LSTM`, gates in the order i, f, g, o: W
    `(features, 4·units)`, U `(units, 4·units)`, b `(4·units,)`. Arguments and methods:
    see `RecurrentLayer`.

    Example:
        All weights are 0, so that every gate is half open and g = 0; dc'/dc = f:

        >>> layer = LSTM(np.zeros((3, 4)), np.zeros((1, 4)))
        >>> run = layer.forward(np.ones((1, 1, 3)), [np.zeros((1, 1)), np.ones((1, 1))])
        >>> h, c = run.states
        >>> d_h, d_c = layer.backward(run, 0 * h, d_states=[0 * h, 1 + 0 * c]).states
        >>> c, d_c
        (array([[0.5]]), array([[0.5]]))
    """

    gates = 4
    state_names = ("h", "c")

    def cell_forward(
        self, x: Array, states: list[Array]
    ) -> tuple[list[Array], LSTMNotes]:
        """Compute one step.

        Args:
            x: `(batch, features)`.
            states: `[h, c]`, `(batch, units)` each.

        Returns:
            `[h', c']`, and what `cell_backward` needs.
        """
        h, c = states
        z = x @ self.kernel + h @ self.recurrent_kernel + self.bias
        z_i, z_f, z_g, z_o = np.split(z, 4, axis=-1)
        i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)
        g = np.tanh(z_g)
        c_new = f * c + i * g
        h_new = o * np.tanh(c_new)
        return [h_new, c_new], LSTMNotes(x, h, c, i, f, g, o, c_new)

    def cell_backward(self, d_states: list[Array], notes: LSTMNotes) -> Gradients:
        """Compute one step back. With δ for dL/d, from the last equation to the first:

            h' = o∘tanh(c')       δo = δh'∘tanh(c')      δc' += δh'∘o∘(1 − tanh²(c'))
            c' = f∘c + i∘g        δf = δc'∘c    δi = δc'∘g    δg = δc'∘i    δc = δc'∘f
            i = σ(z_i)            δz_i = δi∘i∘(1 − i), and so f and o
            g = tanh(z_g)         δz_g = δg∘(1 − g²)
            z = x·W + h·U + b     δx = δz·Wᵀ    δW = xᵀ·δz
                                  δh = δz·Uᵀ    δU = hᵀ·δz    δb = Σ_batch δz

        δc' has two parts: L depends on c' by what comes after, and by h'. Along c alone
        the gradient is multiplied by f at each step and by no matrix: that is why an
        LSTM with open forget gates remembers.

        Args:
            d_states: `[δh', δc']`, `(batch, units)` each.
            notes: what `cell_forward` saved.

        Returns:
            δx, `[δh, δc]`, δW, δU, δb.
        """
        x, h, c, i, f, g, o, c_new = notes
        d_h_new, d_c_new = d_states
        tanh_c = np.tanh(c_new)
        d_o = d_h_new * tanh_c
        d_c_new = d_c_new + d_h_new * o * (1 - tanh_c**2)
        d_f, d_i, d_g, d_c = d_c_new * c, d_c_new * g, d_c_new * i, d_c_new * f
        d_z = np.concatenate(
            [
                d_i * i * (1 - i),
                d_f * f * (1 - f),
                d_g * (1 - g**2),
                d_o * o * (1 - o),
            ],
            axis=-1,
        )
        return Gradients(
            inputs=d_z @ self.kernel.T,
            states=[d_z @ self.recurrent_kernel.T, d_c],
            kernel=x.T @ d_z,
            recurrent_kernel=h.T @ d_z,
            bias=d_z.sum(axis=0),
        )


class GRUNotes(NamedTuple):
    """What one step back needs: x and h that went in, gates, candidate, and m_g.

    m_g is what r multiplies, or what it has multiplied: `h·U_g + b'_g` with
    `reset_after`, else `r∘h`.
    """

    x: Array
    h: Array
    z: Array
    r: Array
    g: Array
    m_g: Array


class GRU(RecurrentLayer):
    """A GRU (Cho et al. 2014, https://arxiv.org/abs/1406.1078), with state `[h]`:

        a = x·W + b                         z, r = σ(a_z + m_z), σ(a_r + m_r)
        h' = z∘h + (1 − z)∘g                (m_z, m_r) = h·(U_z, U_r) + (b'_z, b'_r)

    and the reset gate r acts after the product with U, or before it:

        `reset_after`:   m_g = h·U_g + b'_g        g = tanh(a_g + r∘m_g)
        else, no b':     m_g = r∘h                 g = tanh(a_g + m_g·U_g)

    Weights are those of `keras.layers.GRU`, gates in the order z, r, g: W `(features,
    3·units)`, U `(units, 3·units)`, and as bias b and b' in two rows, `(2, 3·units)`,
    or with `reset_after=False` b alone, `(3·units,)`. Arguments and methods: see
    `RecurrentLayer`.

    Args:
        reset_after: where the reset gate acts.

    Example:
        All weights are 0, so that z = 1/2 and g = 0:

        >>> layer = GRU(np.zeros((2, 3)), np.zeros((1, 3)))
        >>> run = layer.forward(np.ones((1, 1, 2)), [np.ones((1, 1))])
        >>> run.outputs, layer.backward(run, np.ones((1, 1))).states
        (array([[0.5]]), [array([[0.5]])])
    """

    gates = 3

    def __init__(
        self,
        kernel: Array,
        recurrent_kernel: Array,
        bias: Array | None = None,
        *,
        reset_after: bool = True,
        return_sequences: bool = False,
        remember_state: bool = False,
    ):
        self.reset_after = reset_after
        super().__init__(
            kernel,
            recurrent_kernel,
            bias,
            return_sequences=return_sequences,
            remember_state=remember_state,
        )

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """`(2, 3·units)`, or one such row if reset before."""
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def cell_forward(
        self, x: Array, states: list[Array]
    ) -> tuple[list[Array], GRUNotes]:
        """Compute one step.

        Args:
            x: `(batch, features)`.
            states: `[h]`, `(batch, units)`.

        Returns:
            `[h']`, and what `cell_backward` needs.
        """
        (h,) = states
        b, b_h = self.bias if self.reset_after else (self.bias, 0.0)
        a_z, a_r, a_g = np.split(x @ self.kernel + b, 3, axis=-1)
        m_z, m_r, m_g = np.split(h @ self.recurrent_kernel + b_h, 3, axis=-1)
        z, r = sigmoid(a_z + m_z), sigmoid(a_r + m_r)
        if self.reset_after:
            g = np.tanh(a_g + r * m_g)
        else:
            m_g = r * h
            g = np.tanh(a_g + m_g @ self.recurrent_kernel[:, -self.units :])
        return [z * h + (1 - z) * g], GRUNotes(x, h, z, r, g, m_g)

    def cell_backward(self, d_states: list[Array], notes: GRUNotes) -> Gradients:
        """Compute one step back. With δ for dL/d:

            h' = z∘h + (1 − z)∘g     δz = δh'∘(h − g)    δg = δh'∘(1 − z)    δh = δh'∘z
            g = tanh(a_g + …)        δa_g = δg∘(1 − g²)
            z, r = σ(a + m)          δa_z = δm_z = δz∘z∘(1 − z),
                                     δa_r = δm_r = δr∘r∘(1 − r)
            a = x·W + b              δx = δa·Wᵀ    δW = xᵀ·δa    δb = Σ_batch δa

        Between them, with `reset_after`,

            r∘m_g                    δr = δa_g∘m_g       δm_g = δa_g∘r
            m = h·U + b'             δh += δm·Uᵀ   δU = hᵀ·δm    δb' = Σ_batch δm

        and without, where m_z and m_r are as above and b' is missing,

            m_g·U_g                  δm_g = δa_g·U_gᵀ    δU_g = m_gᵀ·δa_g
            m_g = r∘h                δr = δm_g∘h         δh += δm_g∘r

        Args:
            d_states: `[δh']`, `(batch, units)`.
            notes: what `cell_forward` saved.

        Returns:
            δx, `[δh]`, δW, δU, and δb with δb', if there is one.
        """
        x, h, z, r, g, m_g = notes
        (d_h_new,) = d_states
        U_zr, U_g = np.split(self.recurrent_kernel, [2 * self.units], axis=-1)
        d_z, d_g, d_h = d_h_new * (h - g), d_h_new * (1 - z), d_h_new * z
        d_a_g = d_g * (1 - g**2)
        d_m_g = d_a_g * r if self.reset_after else d_a_g @ U_g.T
        d_r = d_a_g * m_g if self.reset_after else d_m_g * h
        d_zr = np.concatenate([d_z * z * (1 - z), d_r * r * (1 - r)], axis=-1)
        d_a = np.concatenate([d_zr, d_a_g], axis=-1)
        d_h = d_h + d_zr @ U_zr.T
        if self.reset_after:
            d_h = d_h + d_m_g @ U_g.T
            d_U_g = h.T @ d_m_g
            d_m = np.concatenate([d_zr, d_m_g], axis=-1)
            d_bias = np.stack([d_a.sum(axis=0), d_m.sum(axis=0)])
        else:
            d_h = d_h + d_m_g * r
            d_U_g = m_g.T @ d_a_g
            d_bias = d_a.sum(axis=0)
        return Gradients(
            inputs=d_a @ self.kernel.T,
            states=[d_h],
            kernel=x.T @ d_a,
            recurrent_kernel=np.concatenate([h.T @ d_zr, d_U_g], axis=-1),
            bias=d_bias,
        )
