"""Cells with a memory of some structure: a window, mass, working memory, a sum."""

from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.cells.gated import InputGatedCell, Masks
from custom_lstm.cells.lstm import LSTMCell, LSTMGates
from custom_lstm.cells.scan import constant_scan
from custom_lstm.cells.simple_rnn import SimpleRNNCell
from custom_lstm.cells.validation import (
    check_choice,
    check_flag,
    check_number,
    check_positive,
    own_arguments,
)
from custom_lstm.typing import (
    DType,
    InitializerLike,
    Shape,
    States,
    Tensor,
)

_register = keras.saving.register_keras_serializable(package="custom_lstm")


def legendre_system(
    order: int, theta: float, method: str = "zoh"
) -> tuple[np.ndarray, np.ndarray]:
    """Return A and B of m' = A·m + B·u, which hold a window of u.

    m are the coefficients of the Legendre polynomials, of degrees below `order`, that
    best fit the last `theta` steps of u (Voelker et al. 2019, equations 1 to 6).

    Args:
        order: number of coefficients.
        theta: length of the window, in steps.
        method: "zoh", as if u were constant within a step, or "euler".

    Returns:
        A, `(order, order)`, and B, `(order,)`, in float64.

    Example:
        >>> A, B = legendre_system(1, 4.0, "euler")
        >>> A.tolist(), B.tolist()
        ([[0.75]], [0.25])
    """
    i, j = np.mgrid[:order, :order]
    signs = np.where(i < j, -1.0, (-1.0) ** (i - j + 1))
    A = (2 * i + 1) * signs / theta
    B = (2 * i[:, 0] + 1) * (-1.0) ** i[:, 0] / theta
    if method == "euler":
        return np.eye(order) + A, B
    both = np.zeros((order + 1, order + 1))
    both[:order, :order], both[:order, order] = A, B
    both = _exponential(both)
    return both[:order, :order], both[:order, order]


def _exponential(matrix: np.ndarray) -> np.ndarray:
    """Return exp of a matrix: Taylor's series of a 2^k-th of it, squared k times."""
    halvings = max(0, int(np.ceil(np.log2(max(np.abs(matrix).sum(axis=1).max(), 1)))))
    small, term = matrix / 2.0**halvings, np.eye(len(matrix))
    total = term.copy()
    for k in range(1, 25):
        term = term @ small / k
        total += term
    for _ in range(halvings):
        total = total @ total
    return total


@_register
class LMUCell(SimpleRNNCell):
    """One time step of a Legendre memory unit, with states `[h, m]`:

        u = x·e_x + h·e_h + m·e_m           m' = A·m + B·u      for each of the memories
        h' = tanh(x·W + h·U + m'·V + b)

    A. R. Voelker, I. Kajić and C. Eliasmith, "Legendre memory units: Continuous-time
    representation in recurrent neural networks", NeurIPS 2019. A and B are fixed; see
    `legendre_system`. With `recurrent=False`, nothing of h or m goes back: e_h, e_m and
    U are left out, h is no state, and all steps can be computed at once (N. Chilkuri
    and C. Eliasmith, "Parallelizing Legendre memory unit training", ICML 2021,
    https://arxiv.org/abs/2102.11417).

    Args:
        units: width of h.
        memories: number of signals u, each with its own window.
        order: width of the memory of each.
        theta: length of the window, in steps, above 0.
        recurrent: whether h and m go back into u, and h into h'.
        method: "zoh" or "euler": see `legendre_system`.
        **kwargs: the other arguments of `SimpleRNNCell`. Weights are `kernel (features,
            units + memories)`, W and e_x; `recurrent_kernel (units, units + memories)`,
            U and e_h; `bias (units,)`; `memory_kernel (memories·order, units)`, V; and
            `memory_recurrent_kernel (memories·order, memories)`, e_m.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = LMUCell(4, order=6, theta=20)
        >>> output, (h, m) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), tuple(m.shape)
        ((2, 4), (2, 6))
    """

    memories: int
    order: int
    theta: float
    recurrent: bool
    method: str

    def __init__(
        self,
        units: int,
        memories: int = 1,
        order: int = 8,
        theta: float = 32.0,
        recurrent: bool = True,
        method: str = "zoh",
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        owner = type(self).__name__
        for name, value in (("memories", memories), ("order", order)):
            check_positive(owner, name, value, whole=True)
        check_positive(owner, "theta", theta)
        check_choice(owner, "method", method, ("zoh", "euler"))
        check_flag(owner, "recurrent", recurrent)
        width = self.memories * self.order
        self.state_size = [self.units, width] if recurrent else [width]
        self.state_names = ("h", "m") if recurrent else ("m",)
        self.output_size = self.units
        self._system = legendre_system(order, float(theta), method)

    @property
    def gate_width(self) -> int:
        """Width of h and u."""
        return self.units + self.memories

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """`(units,)`: u has none."""
        return (self.units,)

    def _add_weights(self, features: int) -> None:
        super()._add_weights(features)
        width = self.memories * self.order
        self.memory_kernel = self.add_weight(
            (width, self.units), self.kernel_initializer, name="memory_kernel"
        )
        if self.recurrent:
            self.memory_recurrent_kernel = self.add_weight(
                (width, self.memories),
                self.recurrent_initializer,
                name="memory_recurrent_kernel",
            )

    @property
    def recurrent_shape(self) -> tuple[int, ...]:
        """`(units, units + memories)`, or `()` if it is not `recurrent`."""
        return (self.units, self.gate_width) if self.recurrent else ()

    def _dropout_rates(self) -> dict[str, float]:
        rates = super()._dropout_rates()
        return rates if self.recurrent else {"inputs": rates["inputs"]}

    def input_bias(self) -> Tensor | None:
        """Return b before zeros for u."""
        if not self.use_bias:
            return None
        return ops.concatenate(
            [self.bias, ops.zeros((self.memories,), self.bias.dtype)]
        )

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states.

        Args:
            projected: `x·W + b` and `x·e_x`, `(batch, units + memories)`.
            states: `[h, m]`, or `[m]` if it is not `recurrent`.
            training: whether recurrent dropout is on.

        Returns:
            h', and the new states.
        """
        *before, m = states
        z = projected
        if before:
            z = z + self.recur(before[0], training)
        z, u = z[:, : self.units], z[:, self.units :]
        if before:
            u = u + ops.matmul(m, self.memory_recurrent_kernel)
        m = self.window(m, u)
        h = self.activation(z + ops.matmul(m, self.memory_kernel))
        self.observe(signal=u)
        return h, [h, m] if before else [m]

    def window(self, m: Tensor, u: Tensor) -> Tensor:
        """Return A·m + B·u of every memory.

        Args:
            m: `(batch, memories·order)`.
            u: `(batch, memories)`.
        """
        A, B = (ops.convert_to_tensor(x.T, m.dtype) for x in self._system)
        signals = ops.split(u, self.memories, axis=-1)
        windows = ops.split(m, self.memories, axis=-1)
        pairs = zip(windows, signals, strict=True)
        turned = [ops.matmul(window, A) + signal * B for window, signal in pairs]
        return ops.concatenate(turned, axis=-1)

    def scan(
        self, projected: Tensor, states: States, mask: Tensor | None = None
    ) -> tuple[Tensor, States]:
        """Compute all steps at once, without a mask: see `AbstractRNNCell`."""
        time = ops.shape(projected)[1]
        z, u = projected[..., : self.units], projected[..., self.units :]
        windows = ops.reshape(states[0], (-1, self.memories, self.order))
        every = constant_scan(*self._system, u, windows)
        m = ops.reshape(every, (-1, time, self.memories * self.order))
        self.observe(signal=u)
        return self.activation(z + ops.matmul(m, self.memory_kernel)), [m]

    def why_not_scanned(self, masked: bool, training: bool | None) -> str | None:
        """Return why all steps cannot be computed at once, or None."""
        if self.recurrent:
            return "h goes back into its memory: `recurrent` is True"
        return "its memory turns at every step, and a mask holds it" if masked else None


@_register
class WMCLSTMCell(LSTMCell):
    """One time step of an LSTM with working memory connections, states `[h, c]`:

        z = x·W + h·U + b                   g = tanh(z_g)
        i = σ(z_i + tanh(c·V_i + d_i))      f = σ(z_f + tanh(c·V_f + d_f))
        c' = f∘c + i∘g
        o = σ(z_o + tanh(c'·V_o + d_o))     h' = o∘tanh(c')

    F. Landi, L. Baraldi, M. Cornia and R. Cucchiara, "Working memory connections for
    LSTM", Neural Networks 144 (2021), https://arxiv.org/abs/2109.00020: gates that see
    all of c, but not too much of it.

    Args:
        units: width of h and c.
        memory_initializer: of `memory_kernel (units, 3·units)`: V_i, V_f, V_o.
        **kwargs: the other arguments of `LSTMCell`. With `use_bias` there is
            `memory_bias (3·units,)` too.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = WMCLSTMCell(4)
        >>> output, (h, c) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> [weight.name for weight in cell.weights][3:]
        ['memory_kernel', 'memory_bias']
    """

    short_name = "wmc_lstm"
    memory_initializer: keras.initializers.Initializer

    def __init__(
        self,
        units: int,
        memory_initializer: InitializerLike = "glorot_uniform",
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))

    def _add_weights(self, features: int) -> None:
        super()._add_weights(features)
        n, add = self.units, self.add_weight
        self.memory_kernel = add(
            (n, 3 * n), self.memory_initializer, name="memory_kernel"
        )
        self.memory_bias = (
            add((3 * n,), self.bias_initializer, name="memory_bias")
            if self.use_bias
            else None
        )

    def recurrence(
        self, xW: Tensor, hU: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, LSTMGates]:
        """Compute the equations of a step; see `LSTMCell.recurrence`."""
        activation, recurrent_activation, output_activation = self.activations
        z_i, z_f, z_g, z_o = ops.split(xW + hU, 4, axis=-1)
        m_i, m_f = ops.split(self._seen(c, slice(0, 2)), 2, axis=-1)
        i, f = recurrent_activation(z_i + m_i), recurrent_activation(z_f + m_f)
        g = activation(z_g)
        c = f * c + i * g
        o = recurrent_activation(z_o + self._seen(c, slice(2, 3)))
        return o * output_activation(c), c, LSTMGates(i, f, g, o)

    def _seen(self, c: Tensor, gates: slice) -> Tensor:
        """Return what gates see of c."""
        n = self.units
        part = slice(gates.start * n, gates.stop * n)
        cV = ops.matmul(c, ops.convert_to_tensor(self.memory_kernel)[:, part])
        if self.memory_bias is not None:
            cV = cV + ops.convert_to_tensor(self.memory_bias)[part]
        return ops.tanh(cV)


@_register
class MCLSTMCell(InputGatedCell):
    """One time step of a mass-conserving LSTM (MC-LSTM), with state `[c]`:

        z = a·W + c/Σc·U + b
        i, r, o = softmax(z_i), softmax(z_r), σ(z_o)    rows of i and r sum to 1
        m = c·r + x·i           h' = o∘m                c' = m − h'

    P.-J. Hoedt, F. Kratzert, D. Klotz, C. Halmich, M. Holzleitner, G. Nearing, S.
    Hochreiter and G. Klambauer, "MC-LSTM: Mass-conserving LSTM", ICML 2021,
    https://arxiv.org/abs/2101.05186: what flows in, x, is in c or has flowed out as h.
    (torchrecurrent's cell of that name is another, with a controller of its memory.)

    Args:
        units: width of c and h.
        masses: the first features are so many masses, x; the others are a, which only
            the gates see.
        recurrent_initializer: of `recurrent_kernel`, U.
        initial_output: what b of o begins with: −3 in the authors' code.
        **kwargs: the other arguments of `InputGatedCell`. Weights are `kernel (features
            − masses, width)`, W, `recurrent_kernel (units, width)`, U, and `bias
            (width,)`, of width masses·units + units² + units, in the order i, r, o.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = MCLSTMCell(4)
        >>> mass, other = ops.ones((2, 1)), ops.ones((2, 2))
        >>> inputs = ops.concatenate([mass, other], axis=-1)
        >>> h, (c,) = cell(inputs, cell.get_initial_state(2))
        >>> ops.convert_to_numpy(ops.sum(h + c, axis=-1)).round(5)
        array([1., 1.], dtype=float32)
    """

    short_name = "mc_lstm"
    state_names = ("c",)
    gates = ("input", "redistribution", "output")
    masses: int
    initial_output: float

    def __init__(
        self,
        units: int,
        masses: int = 1,
        recurrent_initializer: InitializerLike = "orthogonal",
        initial_output: float = -3.0,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        check_positive(type(self).__name__, "masses", masses, whole=True)
        check_number(type(self).__name__, "initial_output", initial_output)

    @property
    def gate_width(self) -> int:
        """Width of i, r and o."""
        return (self.masses + self.units + 1) * self.units

    def _add_weights(self, features: int) -> None:
        if features < self.masses:
            raise ValueError(
                f"{type(self).__name__}: the inputs must begin with `masses`="
                f"{self.masses} features. Received inputs of {features} features"
            )
        super()._add_weights(features - self.masses)
        self.recurrent_kernel = self.add_weight(
            (self.units, self.gate_width),
            self.recurrent_initializer,
            name="recurrent_kernel",
        )

    def _whole_bias(self, shape: tuple[int, ...], dtype: DType | None = None) -> Tensor:
        """Begin with r near the identity, and o nearly closed."""
        n = self.units
        of_input = self.bias_initializer((self.masses * n,), dtype=dtype)
        identity = ops.reshape(ops.eye(n, dtype=dtype), (-1,))
        of_output = ops.full((n,), self.initial_output, dtype=dtype)
        return ops.concatenate([of_input, identity, of_output])

    def check_features(self, shape: Shape) -> None:
        """Raise a ValueError unless inputs have the features the cell knows."""
        known = self.kernel.shape[0] + self.masses
        if shape[-1] != known:
            raise ValueError(
                f"{type(self).__name__} was built for {known} features. Received "
                f"inputs of shape {tuple(shape)}"
            )

    def product(self, x: Tensor, kernel: Tensor, masks: Masks | None) -> Tensor:
        """Compute `a·W`."""
        return super().product(x[..., self.masses :], kernel, masks)

    def project(self, inputs: Tensor, training: bool | None = False) -> list[Tensor]:
        """Return `a·W + b`, and the masses.

        Args:
            inputs: `(batch, features)` or `(batch, time, features)`.
            training: whether dropout of a is on.
        """
        z = super().project(inputs, training)
        return [z, ops.cast(inputs[..., : self.masses], z.dtype)]

    def step(self, projected: list[Tensor], states: States) -> tuple[Tensor, States]:
        """Compute what needs the state.

        Args:
            projected: `a·W + b`, `(batch, width)`, and x, `(batch, masses)`.
            states: `[c]`, `(batch, units)`.

        Returns:
            h', and `[c']`.
        """
        (aW, x), (c,), n = projected, states, self.units
        total = ops.sum(c, axis=-1, keepdims=True)
        share = c / ops.where(ops.equal(total, 0), ops.ones_like(total), total)
        z = aW + ops.matmul(share, self.recurrent_kernel)
        end = self.masses * n
        i = ops.softmax(ops.reshape(z[:, :end], (-1, self.masses, n)))
        r = ops.softmax(ops.reshape(z[:, end : end + n * n], (-1, n, n)))
        o = ops.sigmoid(z[:, end + n * n :])
        mass = ops.einsum("bi,bio->bo", c, r) + ops.einsum("bi,bio->bo", x, i)
        h = o * mass
        self.observe(output=o)
        return h, [mass - h]


@_register
class NAUCell(SimpleRNNCell):
    """One time step of a neural accumulator, with state `[h]`:

        h' = x·Ŵ + h·Û          Ŵ, Û = W and U cut off at −1 and 1

    A neural addition unit of [x, h]: A. Madsen and A. R. Johansen, "Neural arithmetic
    units", ICLR 2020, https://arxiv.org/abs/2001.05016. `recurrent_initializer=
    "identity"` begins as a sum over time. `NAURegularizer` draws the weights to −1, 0
    and 1.

    Args:
        units: width of h.
        recurrent_initializer: of `recurrent_kernel (units, units)`, U.
        **kwargs: the other arguments of `SimpleRNNCell`, of which `activation` and
            `use_bias` are None and False unless given.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> from custom_lstm import RNN
        >>> exact = {"kernel_initializer": "ones", "recurrent_initializer": "identity"}
        >>> numbers = ops.convert_to_tensor([[[3.0], [4.0], [5.0]]])
        >>> ops.convert_to_numpy(RNN(NAUCell(1, **exact))(numbers))
        array([[12.]], dtype=float32)
    """

    short_name = "nau"

    def __init__(
        self,
        units: int,
        recurrent_initializer: InitializerLike = "glorot_uniform",
        **kwargs: Any,
    ):
        kwargs["recurrent_initializer"] = recurrent_initializer
        super().__init__(units, **{"activation": None, "use_bias": False, **kwargs})

    def product(self, x: Tensor, kernel: Tensor, masks: Masks | None) -> Tensor:
        """Compute `x·Ŵ`."""
        return super().product(x, ops.clip(kernel, -1.0, 1.0), masks)

    def recurrent_product(
        self, h: Tensor, kernel: Tensor, masks: Masks | None
    ) -> Tensor:
        """Compute `h·Û`."""
        return super().recurrent_product(h, ops.clip(kernel, -1.0, 1.0), masks)


@_register
class NAURegularizer(keras.regularizers.Regularizer):
    """The penalty on weights of a `NAUCell` that are not −1, 0 or 1.

        rate·mean(min(|W|, 1 − |W|))        with W cut off at −1 and 1

    Args:
        rate: at least 0.

    Example:
        >>> penalty = NAURegularizer(1.0)(ops.convert_to_tensor([[0.5, -1.0]]))
        >>> float(ops.convert_to_numpy(penalty))
        0.25
    """

    def __init__(self, rate: float = 0.01):
        self.rate = check_number("NAURegularizer", "rate", rate, 0)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty on a weight."""
        size = ops.minimum(ops.abs(x), 1.0)
        return self.rate * ops.mean(ops.minimum(size, 1.0 - size))

    def get_config(self) -> dict[str, Any]:
        """Return every constructor argument."""
        return {"rate": self.rate}
