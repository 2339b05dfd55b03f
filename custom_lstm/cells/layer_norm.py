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
        epsilon: ε, above 0.
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
        epsilon: float = 1e-5,
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
        normal = ops.layer_normalization(a, self.gain, self.bias, epsilon=self.epsilon)
        h = self.activation(normal)
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
        epsilon: ε, above 0.
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
        epsilon: float = 1e-5,
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
        both = 2 * self.units
        xW = super().product(x, kernel, masks)
        parts = (
            self._normalize(part, gain)
            for part, gain in (
                (xW[..., :both], self.kernel_gain[:both]),
                (xW[..., both:], self.kernel_gain[both:]),
            )
        )
        return ops.concatenate(list(parts), axis=-1)

    def _products(
        self, h: Tensor, masks: Masks | None
    ) -> tuple[tuple[Tensor, Tensor], Callable[[Tensor], Tensor]]:
        both, U = 2 * self.units, ops.convert_to_tensor(self.recurrent_kernel)
        two_rows = self.use_bias and self.reset_after
        shift = self.bias[1] if two_rows else ops.zeros_like(self.recurrent_gain)
        of_gates, of_candidate = (masks[:2], masks[2:]) if masks else (None, None)

        def normalized_product(h: Tensor, part: slice, masks: Masks | None) -> Tensor:
            hU = self.recurrent_product(h, U[..., part], masks)
            return self._normalize(hU, self.recurrent_gain[part]) + shift[part]

        hU = normalized_product(h, slice(both), of_gates)
        h_z, h_r = ops.split(hU, 2, axis=-1)
        of_g = slice(both, None)
        if self.reset_after:
            h_g = normalized_product(h, of_g, of_candidate)
            return (h_z, h_r), lambda r: r * h_g
        return (h_z, h_r), lambda r: normalized_product(r * h, of_g, of_candidate)

    def _normalize(self, a: Tensor, gain: Tensor) -> Tensor:
        return ops.layer_normalization(a, gain, epsilon=self.epsilon)
