"""The long short-term memory: one step, forward and backward."""

from typing import NamedTuple

import numpy as np

from custom_lstm.kernels.reference.results import Array, Gradients, sigmoid
from custom_lstm.kernels.reference.sequence import RecurrentLayer


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

    Example: all weights 0, so that every gate is half open and g = 0; dc'/dc = f.

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
        """One step.

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
        """One step back. With δ for dL/d, from the last equation to the first:

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
            notes: what `cell_forward` put down.

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
