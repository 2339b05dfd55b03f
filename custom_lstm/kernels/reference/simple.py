"""The simple recurrent layer: one step, forward and backward."""

from typing import NamedTuple

import numpy as np

from custom_lstm.kernels.reference.results import Array, Gradients
from custom_lstm.kernels.reference.sequence import RecurrentLayer


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
        """One step.

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
        """One step back. With a for what tanh is taken of, and δ for dL/d:

            h' = tanh(a)                   δa = δh'∘(1 − h'²)
            a = x·W + h·U + b              δx = δa·Wᵀ    δW = xᵀ·δa
                                           δh = δa·Uᵀ    δU = hᵀ·δa    δb = Σ_batch δa

        Args:
            d_states: `[δh']`, `(batch, units)`.
            notes: what `cell_forward` put down.

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
