"""The two cells of the extended LSTM, with exponential gates."""

from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.cells.gated import InputGatedCell, Masks
from custom_lstm.cells.lstm import LSTMCell
from custom_lstm.cells.validation import StateShape, check_positive, own_arguments
from custom_lstm.typing import States, Tensor

_register = keras.saving.register_keras_serializable(package="custom_lstm")

_LARGEST = 80.0
"""What exp is taken of: above, 1 is as good as infinite beside what is kept."""


def check_heads(owner: str, units: int, heads: Any) -> int:
    """Return the width of each head, or raise a ValueError if it is not whole."""
    if units % check_positive(owner, "heads", heads, whole=True):
        raise ValueError(
            f"{owner}: `units` must be a multiple of `heads`. Received: units={units}, "
            f"heads={heads}"
        )
    return units // heads


def stabilized(
    z_i: Tensor, z_f: Tensor, m: Tensor, empty: Tensor, exponential: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute exponential gates that cannot overflow:

        m' = max(log f + m, z_i)        i' = exp(z_i − m')      f' = exp(log f + m − m')

    Args:
        z_i: log i.
        z_f: what log f is made of: log σ(z_f), or z_f itself.
        m: the stabiliser before.
        empty: where nothing has been stored yet, so that m has no meaning.
        exponential: whether f is exp(z_f), and not σ(z_f).

    Returns:
        i', f' and m'.

    Example:
        >>> z, no = ops.convert_to_tensor([[90.0]]), ops.zeros((1, 1), "bool")
        >>> i, f, m = stabilized(z, z, z, no, exponential=True)
        >>> [float(ops.convert_to_numpy(x)[0, 0]) for x in (i, m)]
        [0.0, 180.0]
    """
    kept = (z_f if exponential else ops.log_sigmoid(z_f)) + m
    m = ops.where(empty, z_i, ops.maximum(kept, z_i))
    return ops.exp(z_i - m), ops.exp(ops.minimum(kept - m, 0)), m


@_register
class SLSTMCell(LSTMCell):
    """One time step of an sLSTM, with states `[h, c, n, m]`:

        z = x·W + h·U + b       i, f = exp(z_i), σ(z_f)     g, o = tanh(z_g), σ(z_o)
        c' = f∘c + i∘g          n' = f∘n + i                h' = o∘c'/n'

    M. Beck, K. Pöppel, M. Spanring, A. Auer, O. Prudnikova, M. Kopp, G. Klambauer, J.
    Brandstetter and S. Hochreiter, "xLSTM: Extended long short-term memory", NeurIPS
    2024, https://arxiv.org/abs/2405.04517, section 2.2. c and n are kept divided by
    exp(m); see `stabilized`. As in the authors' code the first step sets m to z_i.

    Args:
        units: width of h, c, n and m.
        heads: h is cut into so many parts, each of which the gates of its own units
            alone see; must divide `units`.
        exponential_forget: whether f is exp(z_f).
        **kwargs: the other arguments of `LSTMCell`. `recurrent_kernel` is `(heads,
            units/heads, 4·units/heads)`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = SLSTMCell(4, heads=2)
        >>> output, (h, c, n, m) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(cell.recurrent_kernel.shape)
        ((2, 4), (2, 2, 8))
    """

    state_names = ("h", "c", "n", "m")
    heads: int
    exponential_forget: bool

    def __init__(
        self,
        units: int,
        heads: int = 1,
        exponential_forget: bool = False,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        self.head_units = check_heads(type(self).__name__, self.units, heads)
        self.state_size = [self.units] * 4

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """`(heads, units/heads, 4·units/heads)`."""
        return self.heads, self.head_units, 4 * self.head_units

    def recurrent_product(
        self, h: Tensor, kernel: Tensor, masks: Masks | None
    ) -> Tensor:
        """Compute `h·U` head by head; gate k sees `h∘mask_k` if there are masks."""
        d, heads = self.head_units, self.heads
        seen = [h] if masks is None else [h * mask for mask in masks]
        U = ops.reshape(kernel, (heads, d, 4, d))
        gates = []
        for k in range(4):
            parts = ops.reshape(seen[k % len(seen)], (-1, heads, d))
            product = ops.einsum("bhi,hio->bho", parts, U[:, :, k])
            gates.append(ops.reshape(product, (-1, self.units)))
        return ops.concatenate(gates, axis=-1)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states.

        Args:
            projected: `x·W + b`, `(batch, 4·units)`, in the order i, f, g, o.
            states: `[h, c, n, m]`, `(batch, units)` each.
            training: whether recurrent dropout is on.

        Returns:
            h', and `[h', c', n', m']`.
        """
        h, c, n, m = states
        z = projected + self.recur(h, training)
        z_i, z_f, z_g, z_o = ops.split(z, 4, axis=-1)
        i, f, m = stabilized(z_i, z_f, m, ops.equal(n, 0), self.exponential_forget)
        activation, recurrent_activation, _ = self.activations
        g, o = activation(z_g), recurrent_activation(z_o)
        c, n = f * c + i * g, f * n + i
        h = o * (c / n)
        self.observe(input=i, forget=f, candidate=g, output=o)
        return h, [h, c, n, m]


@_register
class MLSTMCell(InputGatedCell):
    """One time step of an mLSTM, with states `[C, n, m]`, in each head:

        q, k, v, o = x·W_q + b_q, (x·W_k + b_k)/√d, x·W_v + b_v, σ(x·W_o + b_o)
        i, f = exp(x·W_i + b_i), σ(x·W_f + b_f)         one number each
        C' = f·C + i·k·vᵀ           n' = f·n + i·k
        h' = o∘(q·C')/max(|q·n'|, 1)

    M. Beck et al., "xLSTM: Extended long short-term memory", NeurIPS 2024,
    https://arxiv.org/abs/2405.04517, section 2.3: a memory of values v by keys k. C and
    n are kept divided by exp(m); see `stabilized`. Of k the authors' code divides the
    bias too, and it adds ε to the divisor; both are followed.

    Args:
        units: width of h, and of q, k and v of all heads together.
        heads: number of heads, of width d = units/heads.
        exponential_forget: whether f is an exponential too.
        epsilon: ε, above 0.
        **kwargs: the other arguments of `InputGatedCell`. Weights are `kernel
            (features, 4·units + 2·heads)` and `bias`, in the order q, k, v, o, i, f.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = MLSTMCell(4, heads=2)
        >>> output, (C, n, m) = cell(ops.ones((1, 3)), cell.get_initial_state(1))
        >>> tuple(output.shape), tuple(C.shape), tuple(n.shape), tuple(m.shape)
        ((1, 4), (1, 2, 2, 2), (1, 2, 2), (1, 2))
    """

    gates = ("query", "key", "value", "output", "input", "forget")
    state_names = ("C", "n", "m")
    heads: int
    exponential_forget: bool
    epsilon: float

    def __init__(
        self,
        units: int,
        heads: int = 1,
        exponential_forget: bool = False,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        d = self.head_units = check_heads(type(self).__name__, self.units, heads)
        matrix, vector = StateShape([heads, d, d]), StateShape([heads, d])
        self.state_size = [matrix, vector, heads]
        self.output_size = self.units

    @property
    def gate_width(self) -> int:
        """Width of q, k, v, o, i and f together."""
        return 4 * self.units + 2 * self.heads

    def step(self, projected: Tensor, states: States) -> tuple[Tensor, States]:
        """Compute what needs the states.

        Args:
            projected: `x·W + b`, `(batch, 4·units + 2·heads)`.
            states: `[C, n, m]`, `(batch, heads, d, d)`, `(batch, heads, d)` and
                `(batch, heads)`.

        Returns:
            h', and `[C', n', m']`.
        """
        C, n, m = states
        q, k, v, o, z_i, z_f = self._parts(projected)
        empty = ops.all(ops.equal(n, 0), axis=-1)
        i, f, m = stabilized(z_i, z_f, m, empty, self.exponential_forget)
        self.observe(input=i, forget=f, output=o)
        i, f = ops.expand_dims(i, -1), ops.expand_dims(f, -1)
        n = f * n + i * k
        C = f[..., None] * C + (i * k)[..., None] * v[..., None, :]
        read = ops.einsum("bhi,bhio->bho", q, C)
        least = ops.expand_dims(ops.exp(ops.minimum(-m, _LARGEST)), -1)
        size = ops.abs(ops.sum(q * n, axis=-1, keepdims=True))
        h = read / (ops.maximum(size, least) + self.epsilon)
        return o * ops.reshape(h, (-1, self.units)), [C, n, m]

    def _parts(self, projected: Tensor) -> tuple[Tensor, ...]:
        """Return q, k, v `(batch, heads, d)`, o `(batch, units)`, z_i, z_f."""
        n, heads, d = self.units, self.heads, self.head_units
        z = [projected[..., j * n : (j + 1) * n] for j in range(4)]
        q, k, v = (ops.reshape(part, (-1, heads, d)) for part in z[:3])
        gates = projected[..., 4 * n : 4 * n + heads], projected[..., 4 * n + heads :]
        return q, k / float(np.sqrt(d)), v, ops.sigmoid(z[3]), *gates
