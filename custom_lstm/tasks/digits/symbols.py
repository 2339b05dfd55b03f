"""Whole numbers in a network of carousels: symbols for digits, and whole steps.

A single number is a poor reading of a digit: one that may be a 4 or a 9 is read as
about 6. So the encoder names one of several symbols instead, and the core reads that
alone:

    logits (batch, time, symbols) → code of the likeliest symbol → carousels → total

Which image has which symbol, and what a symbol adds to a total, are both unknown. In
training `SymbolsCell` takes every step with each symbol, and `SymbolsLikelihood` has
the total's likelihood as a mixture over them, as mixture density networks do (C. M.
Bishop, 1994, https://publications.aston.ac.uk/id/eprint/373/). The finished model has
`Symbols` in its place, and the same weights. `WholeSteps` rounds what it adds.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.cells.base import AbstractRNNCell
from custom_lstm.cells.validation import StateShape, check_positive
from custom_lstm.typing import Config, Shape, States, Tensor

_LINE, _OWN = 2.0, 0.1
"""Length of the line on which symbols lie, and of each one's own axis."""
_SLOPE = 0.4
"""Weight of the line before training."""
_CLOCK, _FEEDBACK = (8.0, -8.0, 10.0, 8.0), -30.0
"""Biases of i, f, g and o of the units that are no carousels, and the weight from
their h to their own i: all are in flat parts, where training leaves them."""
FIRST_SPREAD = 11.0
"""What the last symbol adds before training; the first adds about 0."""
_register = keras.saving.register_keras_serializable(package="custom_lstm")


def codes(symbols: int) -> np.ndarray:
    """Return what a core reads of each symbol, `(symbols, symbols + 1)`.

    They lie in order on a line, evenly; each has an axis of its own besides, so that
    what it adds can be learned apart from its neighbours.

    Example:
        >>> codes(3)[:, 0].tolist()
        [0.0, 1.0, 2.0]
    """
    line = np.linspace(0, _LINE, symbols)[:, None]
    return np.hstack([line, _OWN * np.eye(symbols)]).astype("float32")


def _largest(values: Tensor) -> Tensor:
    """Return where the largest of the last axis is.

    `keras.ops.argmax` compares bits on TensorFlow, for which ONNX has no operator.
    """
    return ops.squeeze(ops.top_k(values, 1)[1], axis=-1)


@_register
class Symbols(keras.layers.Layer):
    """The code of the likeliest symbol.

    Args:
        symbols: how many there are.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        logits: `(..., symbols)`.

    Returns:
        `(..., symbols + 1)`; see `codes`.

    Raises:
        ValueError: `symbols` is not a positive integer.

    Example:
        >>> tuple(Symbols(3)(ops.zeros((2, 5, 3))).shape)
        (2, 5, 4)
    """

    def __init__(self, symbols: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.symbols = check_positive("Symbols", "symbols", symbols, whole=True)

    def call(self, logits: Tensor) -> Tensor:
        """Look up the code of the largest logit."""
        chosen = ops.one_hot(_largest(logits), self.symbols)
        return ops.cast(ops.matmul(chosen, codes(self.symbols)), self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the codes."""
        return (*input_shape[:-1], self.symbols + 1)

    def get_config(self) -> Config:
        """Return the arguments that rebuild this layer."""
        return {**super().get_config(), "symbols": self.symbols}


class _OfCandidates(keras.constraints.Constraint):
    """A constraint on weights `(..., 4·units)` of i, f, g and o of a carousel cell.

    Args:
        carousels: how many units add up: the first.

    Raises:
        ValueError: `carousels` is not a positive integer.
    """

    def __init__(self, carousels: int):
        owner = type(self).__name__
        self.carousels = check_positive(owner, "carousels", carousels, whole=True)

    def _candidates(self, weights: Tensor) -> Tensor:
        """Return 1 for g of the carousels and 0 for all else, `(4·units,)`."""
        columns = np.arange(weights.shape[-1])
        first = weights.shape[-1] // 2
        theirs = (columns >= first) & (columns < first + self.carousels)
        return ops.cast(theirs, weights.dtype)

    def get_config(self) -> Config:
        """Return the arguments that rebuild this constraint."""
        return {"carousels": self.carousels}


@_register
class ReachesCandidates(_OfCandidates):
    """Lets the inputs of a `CarouselLSTMCell` reach what its carousels add, no more.

    Gates and the other units then go through the same states whatever is read, so that
    a symbol adds the same wherever it comes with the same sign, at any length. And all
    carousels read a symbol as one number, with which sign ever it counts: gates alone
    tell a step that adds from one that subtracts.

    Args:
        carousels: how many units add up: the first.

    Call arguments:
        kernel: `(features, 4·units)`, of i, f, g and o.

    Returns:
        The kernel, in each row one number for the carousels' g, 0 for all else.

    Raises:
        ValueError: `carousels` is not a positive integer.

    Example:
        >>> kernel = ops.convert_to_tensor([[1.0, 2, 3, 4, 5, 6, 7, 8]])
        >>> ops.convert_to_numpy(ReachesCandidates(2)(kernel))[0].tolist()
        [0.0, 0.0, 0.0, 0.0, 5.5, 5.5, 0.0, 0.0]
    """

    def __call__(self, kernel: Tensor) -> Tensor:
        """Return the kernel with the mean of these columns, and 0 in all others."""
        kernel = ops.convert_to_tensor(kernel)
        theirs = self._candidates(kernel)
        number = ops.sum(kernel * theirs, axis=-1, keepdims=True) / self.carousels
        return number * theirs


@_register
class LeavesCandidates(_OfCandidates):
    """Keeps states and bias of a `CarouselLSTMCell` from what its carousels add.

    Args:
        carousels: how many units add up: the first.

    Call arguments:
        weights: `(units, 4·units)` or `(4·units,)`, of i, f, g and o.

    Returns:
        The weights, 0 for the carousels' g.

    Raises:
        ValueError: `carousels` is not a positive integer.

    Example:
        >>> bias = ops.convert_to_tensor([1.0, 2, 3, 4, 5, 6, 7, 8])
        >>> ops.convert_to_numpy(LeavesCandidates(2)(bias)).tolist()
        [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 7.0, 8.0]
    """

    def __call__(self, weights: Tensor) -> Tensor:
        """Return the weights with 0 in these columns."""
        weights = ops.convert_to_tensor(weights)
        return weights * (1 - self._candidates(weights))


@_register
class SymbolsCell(AbstractRNNCell):
    """One time step of a cell with the mean of all symbols, and with each of them.

        p = softmax(logits)
        y_0, states' = cell(Σ_k p_k·code_k, states)
        y_k, _ = cell(code_k, states)            k = 1 … symbols

    Args:
        cell: the cell that reads codes; its output is a vector, its states are a list.
        symbols: how many there are.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        logits: `(batch, symbols)`.

    Returns:
        y_0, y_1, …, `(batch, symbols + 1, cell.output_size)`, and states'.

    Raises:
        ValueError: `symbols` is not a positive integer.

    Example:
        >>> from custom_lstm.cells import CarouselLSTMCell
        >>> cell = SymbolsCell(CarouselLSTMCell(4, carousels=3), symbols=5)
        >>> y, states = cell(ops.zeros((2, 5)), cell.get_initial_state(2))
        >>> tuple(y.shape)
        (2, 6, 3)
    """

    def __init__(self, cell: AbstractRNNCell, symbols: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.cell = cell
        self.symbols = check_positive("SymbolsCell", "symbols", symbols, whole=True)
        self.state_size = cell.state_size
        self.output_size = StateShape((self.symbols + 1, cell.output_size))

    def build(self, input_shape: Shape) -> None:
        """Build the cell that reads codes."""
        self.cell.build((input_shape[0], self.symbols + 1))

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute all outputs of a step; see the class."""
        ways = self.symbols + 1
        table = ops.cast(codes(self.symbols), projected.dtype)
        mean = ops.matmul(ops.softmax(projected, axis=-1), table)[:, None]
        each = ops.zeros_like(mean) + table[None]
        inputs = ops.reshape(ops.concatenate([mean, each], axis=1), (-1, ways))
        before = [ops.repeat(state, ways, axis=0) for state in states]
        outputs, after = self.cell(inputs, before, training=training)
        outputs = ops.reshape(outputs, (-1, ways, self.cell.output_size))
        return outputs, [state[::ways] for state in after]

    def get_config(self) -> Config:
        """Return the arguments that rebuild this cell."""
        cell = keras.saving.serialize_keras_object(self.cell)
        return {**super().get_config(), "cell": cell, "symbols": self.symbols}

    @classmethod
    def from_config(cls, config: Config) -> "SymbolsCell":
        """Rebuild the cell and the one within."""
        cell = keras.saving.deserialize_keras_object(config["cell"])
        return cls(**{**config, "cell": cell})


def steps_and_logits(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Divide what a network with symbols returns in training.

    Args:
        outputs: `(batch, time, 2·symbols + 1)`: the answers with the mean of the
            symbols and with each, and the logits.

    Returns:
        What each of these answers adds to the one with means of the step before,
        `(batch, time, symbols + 1)`; and the logits, `(batch, time, symbols)`.
    """
    symbols = outputs.shape[-1] // 2
    answers, logits = ops.split(outputs, [symbols + 1], axis=-1)
    before = ops.pad(answers[:, :-1, :1], [(0, 0), (1, 0), (0, 0)])
    return answers - before, logits


def whole_totals(outputs: Tensor) -> Tensor:
    """Return what the finished model would answer: likeliest symbols, whole steps.

    Args:
        outputs: see `steps_and_logits`.

    Returns:
        `(batch, time, 1)`.

    Example:
        >>> outputs = ops.array([[[2.6, 0.1, 4.2, -1.0, 1.0], [2.0, 2.7, -1.6, -1, 1]]])
        >>> ops.convert_to_numpy(whole_totals(outputs))[0, :, 0].tolist()
        [4.0, 0.0]
    """
    steps, logits = steps_and_logits(outputs)
    chosen = ops.one_hot(_largest(logits), logits.shape[-1], dtype=steps.dtype)
    taken = ops.sum(steps[..., 1:] * chosen, axis=-1, keepdims=True)
    return ops.cumsum(ops.round(taken), axis=1)


def _over_devices(mean: Tensor) -> Tensor:
    """Return a mean over the whole batch, of which this device may have a share."""
    if keras.backend.backend() != "tensorflow":
        return mean
    from custom_lstm.kernels.tensorflow_replicas import mean_over_replicas

    return mean_over_replicas(mean)


@_register
class SymbolsLikelihood(keras.losses.Loss):
    """What the totals say of the mean of all symbols, and of the choice among them.

    With Δy the step of the true total and Δ_k what the network answers with symbol k,
    less its answer with the means of the steps before,

        ℓ_0 = log(1 + (2·(Δ_0 − Δy))²)
        ℓ_1 = −log Σ_k p_k / (1 + ((Δ_k − Δy)/s)²)
        w = exp(−mean of ℓ_0)                       s = (1 − w)·scale + w·final_scale
        ℓ = (1 − w)·ℓ_0 + w·ℓ_1

    The means learn first what digits are about and with which sign they count; from
    there each image chooses the symbol whose step explains that of the total. The
    better the means are, the less they count, as a mean knows no digit that is one of
    two; and the narrower the mixture is, in which a digit misread by 1 then costs
    nearly what one misread by 9 does. w is a constant to the gradients.

    Args:
        symbols: how many there are.
        scale: of the mixture where means know nothing, in the totals' unit.
        final_scale: of the mixture where they are exact.
        reduction, name, dtype: as in `keras.losses.Loss`.

    Call arguments:
        y_true: totals, `(batch, time, 1)`.
        y_pred: `(batch, time, 2·symbols + 1)`; see `steps_and_logits`.

    Raises:
        ValueError: `symbols` or a scale is not positive, or `symbols` not whole.

    Example:
        >>> loss = SymbolsLikelihood(symbols=1, final_scale=1.0)
        >>> y = ops.array([[[3.0]]])
        >>> round(float(loss(y, ops.array([[[3.0, 4.0, 0.0]]]))), 4)
        0.6931
    """

    def __init__(
        self,
        symbols: int,
        scale: float = 0.25,
        final_scale: float = 0.05,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        owner = type(self).__name__
        self.symbols = check_positive(owner, "symbols", symbols, whole=True)
        self.scale = check_positive(owner, "scale", scale)
        self.final_scale = check_positive(owner, "final_scale", final_scale)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Return the loss of each step, `(batch, time)`."""
        steps, logits = steps_and_logits(y_pred)
        before = ops.pad(y_true[:, :-1], [(0, 0), (1, 0), (0, 0)])
        error = steps - (y_true - before)
        of_mean = ops.log1p(ops.square(2 * error[..., 0]))
        weight = ops.stop_gradient(ops.exp(-_over_devices(ops.mean(of_mean))))
        scale = (1 - weight) * self.scale + weight * self.final_scale
        misfit = ops.log1p(ops.square(error[..., 1:] / scale))
        choice = ops.log_softmax(logits, axis=-1) - misfit
        of_choice = -ops.logsumexp(choice, axis=-1)
        return (1 - weight) * of_mean + weight * of_choice

    def get_config(self) -> Config:
        """Return the arguments that rebuild this loss."""
        scales = {"scale": self.scale, "final_scale": self.final_scale}
        return {**super().get_config(), "symbols": self.symbols, **scales}


def spread(cell: AbstractRNNCell, head: keras.layers.Dense, start: int = 1) -> None:
    """Set a fresh core and head so that symbols add 0 to about `FIRST_SPREAD`.

    They are too many and too close to mean digits; what each adds is learned. Every
    other carousel counts against the sum, so that gates can subtract. The units that
    are no carousels are a clock: their h, which shuts their own input gates, is tanh(1)
    after odd steps and 0 after even ones, as before the first. What the carousels'
    gates make of it is learned, and holds at any length; a swing that is learned at
    short lengths fades or grows at long ones.

    Args:
        cell: a built `CarouselLSTMCell` that reads codes, under `ReachesCandidates` and
            `LeavesCandidates`.
        head: built, on its carousels, without bias.
        start: sign of the first digit: of what is added.
    """
    carousels, candidates = cell.carousels, slice(2 * cell.units, 3 * cell.units)
    kernel = ops.convert_to_numpy(cell.kernel).copy()
    kernel[0, candidates] = _SLOPE
    cell.kernel.assign(cell.kernel_constraint(kernel))
    bias = ops.convert_to_numpy(cell.bias).reshape(4, cell.units).copy()
    bias[:, carousels:] = np.reshape(_CLOCK, (4, 1))
    cell.bias.assign(cell.bias_constraint(bias.ravel()))
    recurrent = ops.convert_to_numpy(cell.recurrent_kernel).copy()
    others = np.arange(carousels, cell.units)
    recurrent[others, others] = _FEEDBACK
    cell.recurrent_kernel.assign(cell.recurrent_constraint(recurrent))
    last = _LINE * np.eye(1, len(kernel), dtype="float32")
    output, _ = cell(last, cell.get_initial_state(1))
    weights = np.abs(ops.convert_to_numpy(head.kernel)[:, 0])
    weights *= np.where(np.arange(carousels) % 2, -1, 3)
    weights *= start * FIRST_SPREAD / (weights @ ops.convert_to_numpy(output)[0])
    head.kernel.assign(weights[:, None])


@_register
class WholeSteps(AbstractRNNCell):
    """One step of a sum in whole numbers, of running totals y that are nearly whole:

        s' = s + round(y' − y)

    A total differs from the one before by a whole number. Rounded step by step, an
    error below a half is gone, where it would add up over the steps of a long sequence.
    Of several networks, the step that most of them take counts, and of steps with as
    many votes that of the first network.

    Args:
        members: how many networks' totals are read.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: y', `(batch, members)`.
        states: s and y, `(batch, 1)` and `(batch, members)`.

    Raises:
        ValueError: `members` is not a positive integer.

    Example:
        >>> from custom_lstm import RNN
        >>> layer = RNN(WholeSteps(), return_sequences=True)
        >>> totals = layer(ops.array([[[3.4], [5.8], [8.2]]]))
        >>> ops.convert_to_numpy(totals)[0, :, 0].tolist()
        [3.0, 5.0, 7.0]
    """

    output_size = 1

    def __init__(self, members: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.members = check_positive("WholeSteps", "members", members, whole=True)
        self.state_size = (1, self.members)

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute s' and the states `(s', y')`; see the class."""
        total, last = states
        taken = ops.round(projected - last)
        if self.members > 1:
            alike = ops.equal(taken[:, :, None], taken[:, None])
            votes = ops.sum(ops.cast(alike, taken.dtype), axis=-1)
            first = ops.arange(self.members, dtype=taken.dtype) / self.members
            chosen = ops.one_hot(_largest(votes - first), self.members)  # of ties too
            taken = ops.sum(
                taken * ops.cast(chosen, taken.dtype), axis=-1, keepdims=True
            )
        total = total + taken
        return total, [total, projected]

    def get_config(self) -> Config:
        """Return the arguments that rebuild this cell."""
        return {**super().get_config(), "members": self.members}
