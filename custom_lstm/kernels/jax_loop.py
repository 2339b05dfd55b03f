"""Any cell over whole sequences on JAX: one `lax.scan`."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from custom_lstm.typing import Tensor


def why_not_partitioned() -> str | None:
    """Return why no step can be partitioned now, or None."""
    return "the backend is JAX"


def plain(
    step: Callable[..., tuple[list[Tensor], list[Tensor]]],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    constants: Sequence[Tensor],
    weights: Sequence[Tensor],
    *,
    unroll: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run a step over sequences, differentiated by JAX.

    Args:
        step: `(inputs, states, constants, weights)` to outputs and new states, flat.
        inputs: `(batch, time, ...)` each.
        states: before the first step; of the new ones each has the same shape.
        constants: what every step is given.
        weights: the same, without an axis for the batch.
        unroll: write the steps out.

    Returns:
        Outputs, `(batch, time, ...)` each, and the last states.
    """

    def body(states: Any, each: Any) -> Any:
        outputs, new = step(list(each), list(states), constants, weights)
        return [jnp.asarray(state) for state in new], outputs

    by_step = [jnp.moveaxis(tensor, 1, 0) for tensor in inputs]
    states = [jnp.asarray(state) for state in states]
    last, outputs = jax.lax.scan(body, states, by_step, unroll=unroll)
    return [jnp.moveaxis(tensor, 0, 1) for tensor in outputs], last
