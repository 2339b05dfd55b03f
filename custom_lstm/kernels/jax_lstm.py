"""A whole LSTM sequence on JAX, with its backward pass derived by hand.

The equations of a step, forward and backward, are `custom_lstm.cells.lstm`'s. The
gradients of W, U, b and x are taken once, over the whole sequence, and so is x·W where
that pays. Second derivatives are JAX's, of the backward pass.
"""

import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import keras  # noqa: F401 (for the example)
from jax.interpreters import ad

from custom_lstm.cells.lstm import LSTMGates, lstm_step, lstm_step_backward


def lstm_sequence(
    x: jax.Array,
    h: jax.Array,
    c: jax.Array,
    W: jax.Array,
    U: jax.Array,
    b: jax.Array,
    mask: jax.Array | None = None,
    *,
    hoist: bool = True,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Run all steps of a sequence in one `lax.scan`, and one more for the gradients.

    Args:
        x, h, c, W, U, b, mask: see `Kernel` in the registry of kernels.
        hoist: whether to take x·W of all steps beforehand, not step by step.

    Returns:
        h after every step, and the last h and c.

    Example:
        >>> x, zero = jnp.ones((2, 5, 3)), jnp.zeros((2, 4))
        >>> W, U, b = jnp.ones((3, 16)), jnp.ones((4, 16)), jnp.zeros(16)
        >>> if keras.backend.backend() == "jax":
        ...     hs, h, c = lstm_sequence(x, zero, zero, W, U, b)
        ...     assert hs.shape == (2, 5, 4) and (hs[:, -1] == h).all()
    """
    x = jnp.swapaxes(x, 0, 1)
    keep = None if mask is None else jnp.swapaxes(mask, 0, 1)[..., None]
    hs, h, c = _compiled(x, h, c, W, U, b, keep, hoist)
    return jnp.swapaxes(hs, 0, 1), h, c


def transformation(tensors: Iterable[Any]) -> str | None:
    """Return what is being done to these tensors that `lstm_sequence` cannot bear.

    It has no derivative forward. A reverse one of a forward one, or a batch of them,
    asks for it too; a forward one of a reverse one does not.
    """
    for tensor in tensors:
        while hasattr(tensor, "batch_dim"):  # of jax.vmap
            tensor = tensor.val
        if isinstance(tensor, ad.JVPTracer):
            return "forward-mode derivatives"
    return None


@functools.partial(jax.custom_vjp, nondiff_argnums=(7,))
def _recurrence(x, h, c, W, U, b, keep, hoist):
    """`lstm_sequence`, time-major."""
    return _forward(x, h, c, W, U, b, keep, hoist)[0]


def _forward(x, h, c, W, U, b, keep, hoist):
    def step(states, inputs):
        h, c = states
        x, keep = inputs
        xW = x if hoist else x @ W + b
        new_h, new_c, gates = lstm_step(xW, h @ U, c)
        if keep is not None:
            new_h, new_c = jnp.where(keep, new_h, h), jnp.where(keep, new_c, c)
        return (new_h, new_c), (new_h, new_c, gates)

    (last_h, last_c), (hs, cs, gates) = jax.lax.scan(
        step, (h, c), (x @ W + b if hoist else x, keep)
    )
    hs_before = jnp.concatenate([h[None], hs[:-1]])
    cs_before = jnp.concatenate([c[None], cs[:-1]])
    saved = (x, hs_before, cs_before, cs, gates, W, U, keep)
    return (hs, last_h, last_c), saved


def _backward(hoist, saved, above):
    x, hs_before, cs_before, cs, gates, W, U, keep = saved
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
    dW, dU = (jnp.tensordot(v, dz, axes=((0, 1), (0, 1))) for v in (x, hs_before))
    return dz @ W.T, dh, dc, dW, dU, dz.sum((0, 1)), None


_recurrence.defvjp(_forward, _backward)
_compiled = jax.jit(_recurrence, static_argnums=(7,))
"""Also where JAX runs eagerly: a `lax.scan` alone would be compiled in every call."""
