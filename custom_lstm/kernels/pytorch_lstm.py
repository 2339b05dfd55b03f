"""A whole LSTM sequence on PyTorch: the library's own fused operation."""

from collections.abc import Iterable, Iterator

import torch
from torch.autograd import forward_ad


def lstm_sequence(
    x: torch.Tensor,
    h: torch.Tensor,
    c: torch.Tensor,
    W: torch.Tensor,
    U: torch.Tensor,
    b: torch.Tensor,
    mask: None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Run all steps of a sequence by `torch.lstm`: oneDNN on a CPU, cuDNN on a GPU.

    Args:
        x, h, c, W, U, b: see `Kernel` in the registry of kernels. The order of the
            gates is PyTorch's; of its two biases the other is zero.
        mask: None; masks are not known here.

    Returns:
        h after every step, and the last h and c.

    Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html.

    Example:
        >>> x, zero = torch.ones(2, 5, 3), torch.zeros(2, 4)
        >>> W, U, b = torch.ones(3, 16), torch.ones(4, 16), torch.zeros(16)
        >>> hs, h, c = lstm_sequence(x, zero, zero, W, U, b)
        >>> tuple(hs.shape), torch.equal(hs[:, -1], h)
        ((2, 5, 4), True)
    """
    hs, h, c = torch.lstm(
        x,
        (h[None].contiguous(), c[None].contiguous()),
        [W.t().contiguous(), U.t().contiguous(), b, torch.zeros_like(b)],
        True,  # has biases
        1,  # layer
        0.0,  # dropout
        torch.is_grad_enabled(),
        False,  # both directions
        True,  # batch first
    )
    return hs, h[0], c[0]


def transformation(tensors: Iterable[torch.Tensor]) -> str | None:
    """Return what is being done to these tensors that `lstm_sequence` cannot bear."""
    tensors = list(tensors)
    if torch.is_autocast_enabled(tensors[0].device.type):
        return "torch.autocast"
    if forward_ad._current_level >= 0:  # also where these tensors hide it
        return "forward-mode derivatives"
    batched = torch._C._functorch.is_batchedtensor
    if any(batched(inner) for tensor in tensors for inner in _unwrapped(tensor)):
        return "torch.func.vmap"
    return None


def _unwrapped(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield a tensor, and those in it, one for each transformation under way."""
    yield tensor
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
        yield tensor
