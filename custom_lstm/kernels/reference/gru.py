"""The gated recurrent unit, reset before or after: one step, forward and backward."""

from typing import NamedTuple

import numpy as np

from custom_lstm.kernels.reference.results import Array, Gradients, sigmoid
from custom_lstm.kernels.reference.sequence import RecurrentLayer


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

    Example: all weights 0, so that z = 1/2 and g = 0.

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
        """One step.

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
        """One step back. With δ for dL/d:

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
            notes: what `cell_forward` put down.

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
