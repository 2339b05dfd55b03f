"""A whole LSTM sequence on JAX, with its backward pass derived by hand.

The equations of a step, forward and backward, are `custom_lstm.cells.lstm`'s. The
gradients of W, U, b and x are taken once, over the whole sequence, and so is x·W,
unless W is small enough to stay in a core's cache: then it is quicker beside h·U, step
by step (`benchmarks/LOG.md`). Second derivatives are JAX's, of the backward pass.
"""

from typing import Any

import jax
import jax.numpy as jnp
import keras  # noqa: F401 (for the example)

from custom_lstm.cells.lstm import LSTMGates, lstm_step, lstm_step_backward

SMALL_BATCH = 16
"""Sequences below which reading W at every step takes longer than multiplying by it."""
SMALL_KERNEL = 2**17
"""Numbers in W up to which it stays in a core's cache."""


def lstm_sequence(
    x: Any, h: Any, c: Any, W: Any, U: Any, b: Any, mask: Any = None
) -> tuple[Any, Any, Any]:
    """All steps of a sequence in one `lax.scan`, and one more for the gradients.

    Args:
        x: `(batch, time, features)`.
        h, c: states before the first step, `(batch, units)`.
        W: `(features, 4·units)`, gates in the order i, f, g, o.
        U: `(units, 4·units)`.
        b: `(4·units,)`.
        mask: boolean `(batch, time)`; where False the states stay. Or None.

    Returns:
        h after every step, `(batch, time, units)`, and the last h and c.

    Example:

    >>> x, zero = jnp.ones((2, 5, 3)), jnp.zeros((2, 4))
    >>> W, U, b = jnp.ones((3, 16)), jnp.ones((4, 16)), jnp.zeros(16)
    >>> if keras.backend.backend() == "jax":
    ...     hs, h, c = lstm_sequence(x, zero, zero, W, U, b)
    ...     assert hs.shape == (2, 5, 4) and (hs[:, -1] == h).all()
    """
    steps = jnp.swapaxes(x, 0, 1)
    batch = x.shape[0]  # no number where it is a symbol
    if (isinstance(batch, int) and batch < SMALL_BATCH) or W.size > SMALL_KERNEL:
        steps, W, b = steps @ W + b, None, None
    keep = None if mask is None else jnp.swapaxes(mask, 0, 1)[..., None]
    hs, h, c = _recurrence(steps, h, c, W, U, b, keep)
    return jnp.swapaxes(hs, 0, 1), h, c


@jax.custom_vjp
def _recurrence(
    steps: Any, h: Any, c: Any, W: Any, U: Any, b: Any, keep: Any
) -> tuple[Any, Any, Any]:
    """All steps, time-major: of x, or of x·W + b where W and b are None."""
    (last_h, last_c), (hs, *_) = _scan(steps, h, c, W, U, b, keep, save=False)
    return hs, last_h, last_c


def _scan(
    steps: Any, h: Any, c: Any, W: Any, U: Any, b: Any, keep: Any, save: bool
) -> Any:
    """The last states, and at every step h and, to save, c and the gates."""

    def step(states, inputs):
        h, c = states
        x, keep = inputs
        xW = x if W is None else x @ W + b
        new_h, new_c, gates = lstm_step(xW, h @ U, c)
        if keep is not None:
            new_h, new_c = jnp.where(keep, new_h, h), jnp.where(keep, new_c, c)
        return (new_h, new_c), (new_h, new_c, gates) if save else (new_h,)

    return jax.lax.scan(step, (h, c), (steps, keep))


def _forward(steps: Any, h: Any, c: Any, W: Any, U: Any, b: Any, keep: Any) -> Any:
    (last_h, last_c), saved = _scan(steps, h, c, W, U, b, keep, save=True)
    hs, cs, gates = saved
    hs_before = jnp.concatenate([h[None], hs[:-1]])
    cs_before = jnp.concatenate([c[None], cs[:-1]])
    return (hs, last_h, last_c), (steps, hs_before, cs_before, cs, gates, W, U, keep)


def _backward(saved: Any, above: Any) -> Any:
    steps, hs_before, cs_before, cs, gates, W, U, keep = saved
    dhs, dh, dc = above

    def step(carry, inputs):
        dh, dc = carry
        above, c_before, c, gates, keep = inputs
        dh = dh + above
        dz, new_dc = lstm_step_backward(dh, dc, LSTMGates(*gates), c_before, c)
        if keep is None:
            return (dz @ U.T, new_dc), dz
        dz = jnp.where(keep, dz, 0)
        return (jnp.where(keep, dz @ U.T, dh), jnp.where(keep, new_dc, dc)), dz

    inputs = (dhs, cs_before, cs, gates, keep)
    (dh, dc), dz = jax.lax.scan(step, (dh, dc), inputs, reverse=True)
    over_all = ((0, 1), (0, 1))
    dU = jnp.tensordot(hs_before, dz, axes=over_all)
    if W is None:
        return dz, dh, dc, None, dU, None, None
    dW = jnp.tensordot(steps, dz, axes=over_all)
    return dz @ W.T, dh, dc, dW, dU, dz.sum((0, 1)), None


_recurrence.defvjp(_forward, _backward)
