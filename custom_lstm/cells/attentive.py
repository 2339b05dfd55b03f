"""Cells that read a memory by attention: one that is given, one that they write."""

from typing import Any

import keras
from keras import ops

from custom_lstm.cells.lstm import LSTMCell
from custom_lstm.cells.simple_rnn import SimpleRNNCell
from custom_lstm.cells.validation import (
    StateShape,
    check_choice,
    check_positive,
    fits,
    own_arguments,
    shapes_text,
)
from custom_lstm.typing import BatchSize, DType, Nest, States, Tensor

_register = keras.saving.register_keras_serializable(package="custom_lstm")


@_register
class AttentiveLSTMCell(LSTMCell):
    """One time step of an LSTM that attends to a memory, with states `[h, c]`:

        e_j = tanh(h·Q + M_j·K)·s           or, if it is "general", e_j = h·Q·M_j
        α = softmax(e)      a = Σ_j α_j·M_j
        h', c' = the step of an `LSTMCell` from h and c, with z = x·W + a·V + h·U + b

    D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning
    to align and translate", ICLR 2015, https://arxiv.org/abs/1409.0473; "general":
    M.-T. Luong, H. Pham and C. D. Manning, "Effective approaches to attention-based
    neural machine translation", EMNLP 2015, https://arxiv.org/abs/1508.04025. The layer
    is given M as `constants`, `(batch, length, memory_features)`.

    Args:
        units: width of h and c.
        memory_features: width of the entries of M.
        score: "additive" or "general".
        attention_units: width of the sum in the additive score; by default `units`.
        **kwargs: the other arguments of `LSTMCell`. There are `query_kernel` Q,
            `context_kernel` V, and for the additive score `memory_kernel` K and
            `score_kernel` s besides.

    Raises:
        ValueError: if an argument is out of range, or the memory is not given.

    Example:
        >>> from custom_lstm import RNN
        >>> layer = RNN(AttentiveLSTMCell(4, memory_features=6), return_sequences=True)
        >>> memory = ops.ones((2, 7, 6))
        >>> tuple(layer(ops.ones((2, 5, 3)), constants=memory).shape)
        (2, 5, 4)
    """

    memory_features: int
    score: str
    attention_units: int | None

    def __init__(
        self,
        units: int,
        memory_features: int,
        score: str = "additive",
        attention_units: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        if attention_units is None:
            attention_units = self.units
        self.set_options(own_arguments(locals()))
        owner = type(self).__name__
        check_positive(owner, "memory_features", memory_features, whole=True)
        check_choice(owner, "score", score, ("additive", "general"))

    def _add_weights(self, features: int) -> None:
        super()._add_weights(features)
        n, m, a = self.units, self.memory_features, self.attention_units
        shapes: dict[str, tuple[Any, ...]] = {}
        shapes |= {"query_kernel": (n, m if self.score == "general" else a)}
        if self.score == "additive":
            shapes |= {"memory_kernel": (m, a), "score_kernel": (1, 1, a)}
        shapes["context_kernel"] = (m, 4 * n)
        for name, shape in shapes.items():
            weight = self.add_weight(shape, self.kernel_initializer, name=name)
            setattr(self, name, weight)

    def attend(self, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return a, `(batch, memory_features)`, and α, `(batch, length)`."""
        query = ops.expand_dims(ops.matmul(h, self.query_kernel), 1)
        if self.score == "general":
            scores = ops.sum(query * memory, axis=-1)
        else:
            keys = ops.einsum("blm,ma->bla", memory, self.memory_kernel)
            scores = ops.sum(ops.tanh(query + keys) * self.score_kernel, axis=-1)
        weights = ops.softmax(scores, axis=-1)
        return ops.einsum("bl,blm->bm", weights, memory), weights

    def step(
        self,
        projected: Tensor,
        states: States,
        training: bool | None = False,
        constants: Nest = None,
    ) -> tuple[Tensor, States]:
        """Compute what needs the states.

        Args:
            projected: `x·W + b`, `(batch, 4·units)`.
            states: `[h, c]`, `(batch, units)` each.
            training: whether recurrent dropout is on.
            constants: M, alone or in a list.

        Returns:
            h', and `[h', c']`.
        """
        h, c = states
        memory = self._memory(constants)
        context, weights = self.attend(h, memory)
        aV = ops.matmul(context, self.context_kernel)
        h, c, gates = self.recurrence(projected + aV, self.recur(h, training), c)
        self.observe(**gates._asdict(), attention=weights)
        return h, [h, c]

    def _memory(self, constants: Nest) -> Tensor:
        """Return M, or raise a ValueError if it is none."""
        tensors = [] if constants is None else keras.tree.flatten(constants)
        expected = (None, None, self.memory_features)
        if len(tensors) != 1 or not fits(tensors[0].shape, expected):
            raise ValueError(
                f"{type(self).__name__} attends to one memory, (batch, length, "
                f"{self.memory_features}): call the layer with `constants=memory`. "
                f"Received {len(tensors)} constants: {shapes_text(tensors)}"
            )
        return ops.cast(tensors[0], self.compute_dtype)


@_register
class NTMCell(SimpleRNNCell):
    """One time step of a neural Turing machine, with states `[h, r, w_r, w_w, M]`:

        h' = tanh(x·W + [h, r]·U + b)       the controller; r is what was read
        of h', for the head that writes and the one that reads:
            k, β, g, s, γ       key, strength, gate, shifts by −1, 0, 1, sharpness
            v = softmax_j(β·cos(k, M_j))
            w' ∝ (s ∗ (g·v + (1 − g)·w))^γ
        M' = M∘(1 − w_w'·eᵀ) + w_w'·aᵀ      e erases, a adds
        r' = Σ_j w_r'_j·M'_j

    A. Graves, G. Wayne and I. Danihelka, "Neural Turing machines", 2014,
    https://arxiv.org/abs/1410.5401, with a simple recurrent controller. M begins
    constant, as M. Collier and J. Beel, 2018, https://arxiv.org/abs/1807.08518, advise,
    and both heads at the first slot.

    Args:
        units: width of h.
        slots: number of rows of M; at least 3.
        memory_units: width of M and r.
        **kwargs: the other arguments of `SimpleRNNCell`. `recurrent_kernel` is `(units
            + memory_units, units)`; `head_kernel` and `head_bias` make the parameters
            of the heads, of the writing, of the reading, e, a, in that order.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = NTMCell(8, slots=10, memory_units=5)
        >>> states = cell.get_initial_state(2)
        >>> output, (h, r, w_r, w_w, M) = cell(ops.ones((2, 3)), states)
        >>> tuple(output.shape), tuple(M.shape)
        ((2, 8), (2, 10, 5))
    """

    short_name = "ntm"
    state_names = ("h", "r", "w_r", "w_w", "M")
    slots: int
    memory_units: int
    _EMPTY = 1e-6
    """What M is at first."""

    def __init__(
        self, units: int, slots: int = 16, memory_units: int = 8, **kwargs: Any
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))
        n = check_positive(type(self).__name__, "slots", slots, whole=True)
        if n < 3:
            raise ValueError(
                f"{type(self).__name__}: `slots` must be at least 3. Received: {slots=}"
            )
        memory = StateShape([n, self.memory_units])
        self.state_size = [self.units, self.memory_units, n, n, memory]

    @property
    def recurrent_size(self) -> int:
        """Width of h and r together."""
        return self.units + self.memory_units

    def _add_weights(self, features: int) -> None:
        super()._add_weights(features)
        width = 2 * (self.memory_units + 6) + 2 * self.memory_units
        shape, drawn = (self.units, width), self.kernel_initializer
        self.head_kernel = self.add_weight(shape, drawn, name="head_kernel")
        self.head_bias = self.add_weight((width,), "zeros", name="head_bias")

    def get_initial_state(
        self,
        batch_size: BatchSize | None = None,
        dtype: DType | None = None,
        inputs: Tensor | None = None,
    ) -> States:
        """Return zeros, both heads at the first slot, and the empty memory."""
        h, r, w, _, M = super().get_initial_state(batch_size, dtype, inputs)
        first = ops.cast(ops.arange(self.slots) == 0, w.dtype)
        return [h, r, w + first, w + first, M + self._EMPTY]

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the states.

        Args:
            projected: `x·W + b`, `(batch, units)`.
            states: `[h, r, w_r, w_w, M]`.
            training: whether recurrent dropout is on.

        Returns:
            h', and the new states.
        """
        h, r, w_r, w_w, M = states
        hU = self.recur(ops.concatenate([h, r], axis=-1), training)
        h = self.activation(projected + hU)
        heads = ops.matmul(h, self.head_kernel) + self.head_bias
        m = self.memory_units
        cuts = [m + 6, 2 * (m + 6), 2 * (m + 6) + m]
        writing, reading, erase, add = ops.split(heads, cuts, axis=-1)
        w_w = self.address(writing, w_w, M)
        erased, added = ops.sigmoid(erase), ops.tanh(add)
        w = ops.expand_dims(w_w, -1)
        M = M * (1 - w * erased[:, None]) + w * added[:, None]
        w_r = self.address(reading, w_r, M)
        r = ops.einsum("bn,bnm->bm", w_r, M)
        return h, [h, r, w_r, w_w, M]

    def address(self, head: Tensor, w: Tensor, M: Tensor) -> Tensor:
        """Return where a head turns.

        Args:
            head: its parameters, `(batch, memory_units + 6)`: k, β, g, s, γ.
            w: where it was, `(batch, slots)`.
            M: the memory, `(batch, slots, memory_units)`.

        Returns:
            w', `(batch, slots)`.
        """
        m = self.memory_units
        key, rest = ops.tanh(head[:, :m]), head[:, m:]
        strength, gate = ops.softplus(rest[:, :1]), ops.sigmoid(rest[:, 1:2])
        shifts, power = ops.softmax(rest[:, 2:5]), 1 + ops.softplus(rest[:, 5:])
        sizes = _size(key)[:, None] * _size(M)
        cosines = ops.einsum("bm,bnm->bn", key, M) / sizes
        found = ops.softmax(strength * cosines)
        w = gate * found + (1 - gate) * w
        back = ops.concatenate([w[:, 1:], w[:, :1]], axis=1)
        forth = ops.concatenate([w[:, -1:], w[:, :-1]], axis=1)
        w = shifts[:, :1] * back + shifts[:, 1:2] * w + shifts[:, 2:] * forth
        w = ops.exp(power * ops.log(ops.maximum(w, _LEAST)))
        return w / ops.sum(w, axis=-1, keepdims=True)


_LEAST = 1e-12
"""What is not distinguished from 0 where a quotient or logarithm is taken."""


def _size(vectors: Tensor) -> Tensor:
    return ops.sqrt(ops.maximum(ops.sum(ops.square(vectors), axis=-1), _LEAST))
