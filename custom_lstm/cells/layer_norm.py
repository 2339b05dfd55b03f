"""Cells whose sums are normalised over the units of a layer."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from custom_lstm.cells.gated import Masks
from custom_lstm.cells.gru import GRUCell
from custom_lstm.cells.simple_rnn import SimpleRNNCell
from custom_lstm.cells.validation import own_arguments
from custom_lstm.typing import InitializerLike, Shape, States, Tensor

_register = keras.saving.register_keras_serializable(package="custom_lstm")


def normalized(a: Tensor, gain: Tensor, epsilon: float) -> Tensor:
    """Compute `N(a)∘gain` over the last axis, in float32 at least.

    What is so large that its square is infinite comes out as 0 on every backend;
    `keras.ops.layer_normalization` makes it NaN on PyTorch.

    Args:
        a: `(..., width)`.
        gain: `(width,)`.
        epsilon: ε, above 0.

    Example:
        >>> a = ops.convert_to_tensor([[1.0, 3.0]])
        >>> ops.convert_to_numpy(normalized(a, ops.ones(2), 1e-7)).round(3)
        array([[-1.,  1.]], dtype=float32)
    """
    dtype = keras.backend.standardize_dtype(a.dtype)
    x = ops.cast(a, "float32") if dtype in ("float16", "bfloat16") else a
    deviation = x - ops.mean(x, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(deviation), axis=-1, keepdims=True)
    return ops.cast(deviation * ops.rsqrt(variance + epsilon), dtype) * gain


@_register
class LayerNormSimpleRNNCell(SimpleRNNCell):
    """One time step of a layer-normalised simple recurrent network, with state `[h]`:

        N(a) = (a − mean(a)) / √(var(a) + ε)        over the last axis
        h' = tanh(N(x·W + h·U)∘α + b)

    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016,
    https://arxiv.org/abs/1607.06450, equation 4; as in TensorFlow Addons.

    Args:
        units: width of h.
        gain_initializer: of `gain (units,)`, α.
        epsilon: ε, above 0. N is 1/√ε steep at 0, where all begins: the smaller ε, the
            fewer steps without input until gradients overflow.
        **kwargs: the other arguments of `SimpleRNNCell`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = LayerNormSimpleRNNCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), cell.weights[-1].name
        ((2, 4), 'gain')
    """

    gain_initializer: keras.initializers.Initializer
    epsilon: float

    def __init__(
        self,
        units: int,
        gain_initializer: InitializerLike = "ones",
        epsilon: float = 1e-3,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel`, `bias` and `gain`."""
        super().build(input_shape)
        self.gain = self.add_weight(
            shape=(self.units,), name="gain", initializer=self.gain_initializer
        )

    def input_bias(self) -> Tensor | None:
        """Return None: b comes after N."""
        return None

    def step(
        self, projected: Tensor, states: States, training: bool | None = False
    ) -> tuple[Tensor, States]:
        """Compute what needs the state; see the class."""
        (h,) = states
        a = projected + self.recur(h, training)
        normal = normalized(a, self.gain, self.epsilon)
        h = self.activation(normal + self.bias if self.use_bias else normal)
        return h, [h]


@_register
class LayerNormGRUCell(GRUCell):
    """One time step of a layer-normalised GRU, with state `[h]`:

        N(a) = (a − mean(a)) / √(var(a) + ε)        over the last axis
        z, r = σ(N(x·W)∘α_x + N(h·U)∘α_h + b)       N over both gates together
        g = tanh(N(x·W_g)∘α_gx + b_g + r∘(N(h·U_g)∘α_gh + b'))
        h' = z∘h + (1 − z)∘g

    J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization", 2016,
    https://arxiv.org/abs/1607.06450, appendix. z and 1 − z have changed places, as in
    Keras. Without `reset_after`, r acts on h before the product, and
    g = tanh(N(x·W_g)∘α_gx + N((r∘h)·U_g)∘α_gh + b_g).

    Args:
        units: width of h.
        gain_initializer: of `kernel_gain (3·units,)` and `recurrent_gain (3·units,)`:
            α_x, α_gx and α_h, α_gh.
        epsilon: ε, above 0. N is 1/√ε steep at 0, where all begins: the smaller ε, the
            fewer steps without input until gradients overflow.
        **kwargs: the other arguments of `GRUCell`.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> cell = LayerNormGRUCell(4)
        >>> output, (h,) = cell(ops.ones((2, 3)), cell.get_initial_state(2))
        >>> tuple(output.shape), [weight.name for weight in cell.weights][3:]
        ((2, 4), ['kernel_gain', 'recurrent_gain'])
    """

    gain_initializer: keras.initializers.Initializer
    epsilon: float

    def __init__(
        self,
        units: int,
        gain_initializer: InitializerLike = "ones",
        epsilon: float = 1e-3,
        **kwargs: Any,
    ):
        super().__init__(units, **kwargs)
        self.set_options(own_arguments(locals()))

    def build(self, input_shape: Shape) -> None:
        """Build `kernel`, `recurrent_kernel`, `bias` and the two gains."""
        super().build(input_shape)
        self.kernel_gain, self.recurrent_gain = (
            self.add_weight(
                shape=(3 * self.units,), name=name, initializer=self.gain_initializer
            )
            for name in ("kernel_gain", "recurrent_gain")
        )

    def product(self, x: Tensor, kernel: Tensor, masks: Masks | None) -> Tensor:
        """Compute `N(x·W)∘α_x`, of z and r together and of g."""
        xW, gain = super().product(x, kernel, masks), self.kernel_gain
        parts = slice(2 * self.units), slice(2 * self.units, None)
        made = [normalized(xW[..., k], gain[k], self.epsilon) for k in parts]
        return ops.concatenate(made, axis=-1)

    def _products(
        self, h: Tensor, masks: Masks | None
    ) -> tuple[tuple[Tensor, Tensor], Callable[[Tensor], Tensor]]:
        both, U = 2 * self.units, ops.convert_to_tensor(self.recurrent_kernel)
        shift = self.bias[1] if self.use_bias and self.reset_after else None
        of_gates, of_candidate = (masks[:2], masks[2:]) if masks else (None, None)

        def normalized_product(h: Tensor, part: slice, masks: Masks | None) -> Tensor:
            hU = self.recurrent_product(h, U[..., part], masks)
            made = normalized(hU, self.recurrent_gain[part], self.epsilon)
            return made if shift is None else made + shift[part]

        hU = normalized_product(h, slice(both), of_gates)
        h_z, h_r = ops.split(hU, 2, axis=-1)
        of_g = slice(both, None)
        if self.reset_after:
            h_g = normalized_product(h, of_g, of_candidate)
            return (h_z, h_r), lambda r: r * h_g
        return (h_z, h_r), lambda r: normalized_product(r * h, of_g, of_candidate)
