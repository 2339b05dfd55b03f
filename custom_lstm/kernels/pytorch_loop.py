"""Any cell over whole sequences on PyTorch: a loop in Python."""

from collections.abc import Callable, Sequence

import torch

from custom_lstm.typing import Tensor


def why_not_partitioned() -> str | None:
    """Return why no step can be partitioned now, or None."""
    return "the backend is PyTorch"


def plain(
    step: Callable[..., tuple[list[Tensor], list[Tensor]]],
    inputs: Sequence[Tensor],
    states: Sequence[Tensor],
    constants: Sequence[Tensor],
    weights: Sequence[Tensor],
    *,
    unroll: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run a step over sequences, differentiated by PyTorch.

    Args:
        step: `(inputs, states, constants, weights)` to outputs and new states, flat.
        inputs: `(batch, time, ...)` each.
        states: before the first step.
        constants: what every step is given.
        weights: the same, without an axis for the batch.
        unroll: of no effect: the steps are always written out.

    Returns:
        Outputs, `(batch, time, ...)` each, and the last states.
    """
    made, states = [], list(states)
    for each in zip(*(tensor.unbind(1) for tensor in inputs), strict=True):
        outputs, states = step(list(each), states, constants, weights)
        made.append(outputs)
    return [torch.stack(column, 1) for column in zip(*made, strict=True)], states
