"""Which kernel runs an LSTM sequence: the registry, and the rule that chooses.

A kernel runs all steps at once and says, for a given request, why it cannot, or
None. The cell itself, stepped by Keras's loop, is the kernel `"reference"`: it runs
everything.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from custom_lstm.kernels import cudnn

LONGEST_UNROLLED = 64
"""Steps up to which the loop is written out when nobody asks for it."""
SMALL_STEP = 1024
"""Numbers in h up to which starting a step takes longer than doing it."""
SHARED_STEP = 1024
"""Numbers in h, of a batch of known size, from which on two cores share a step."""
SMALL_BATCH = 16
"""Sequences below which, on JAX, reading W at every step takes longer than x·W."""
SMALL_KERNEL = 2**17
"""Numbers in W up to which it stays in a core's cache."""
STANDARD = (
    keras.activations.tanh,
    keras.activations.sigmoid,
    keras.activations.tanh,
)
"""The activations that the fast kernels know: of candidate, gates and output."""


@dataclass(frozen=True)
class Request:
    """One call of an LSTM layer, as far as a kernel must know it.

    Args:
        batch, time: sizes of the inputs; None where not known beforehand.
        features, units: widths of inputs and states.
        dtype: of inputs, states and products.
        masked: whether there is a mask.
        cell: name of the cell's class.
        activations: those of candidate, gates and output.
        gatewise_dropout: whether each gate sees dropout masks of its own now.
        unroll: whether the layer was told to write the loop out.
        cudnn: whether cuDNN may run it.
        zeros_as_keras: whether outputs are to be zeroed as Keras's unrolled backward
            loop does: by the mask in its first order, not in that of the outputs.
    """

    batch: int | None
    time: int | None
    features: int
    units: int
    dtype: str
    masked: bool = False
    cell: str = "LSTMCell"
    activations: tuple[Any, Any, Any] = STANDARD
    gatewise_dropout: bool = False
    unroll: bool = False
    cudnn: bool = True
    zeros_as_keras: bool = False


@dataclass(frozen=True)
class Kernel:
    """A way to run a whole sequence.

    Args:
        name: what `LSTM(kernel=...)` calls it.
        backends: the Keras backends that it is written for; None for any.
        why_not: says why it cannot run a request, or None.
        run: `(request, x, h, c, W, U, b, mask)` → h after every step, `(batch, time,
            units)`, and the last h and c. x is `(batch, time, features)`; h and c, from
            before the first step, are `(batch, units)`; W is `(features, 4·units)`,
            gates in the order i, f, g, o, U `(units, 4·units)` and b `(4·units,)`; mask
            is boolean, `(batch, time)`, and where it is False the states stay, or it is
            None. None in place of `run` stands for the cell, stepped.
    """

    name: str
    backends: tuple[str, ...] | None
    why_not: Callable[[Request], str | None]
    run: Callable[..., tuple[Any, Any, Any]] | None


def choose(name: str, request: Request) -> Kernel:
    """Return the kernel that runs a request.

    Args:
        name: `"auto"` for the first of this backend's that can and is worth it, or a
            kernel's name.
        request: what is to be run.

    Raises:
        ValueError: the kernel asked for is unknown or cannot run the request.

    Example:

    >>> few = Request(batch=2, time=5, features=3, units=4, dtype="float32")
    >>> choose("reference", few).name
    'reference'
    """
    if name == "auto":
        worth = _worth(request)
        return next(k for k in KERNELS if k.name in worth and not _no(k, request))
    if name not in NAMES:
        raise ValueError(f"`kernel` must be one of {NAMES}. Received: kernel={name!r}")
    if reason := why_not(name, request):
        raise ValueError(f"LSTM kernel {name!r} cannot run here: {reason}.")
    return _BY_NAME[name]


def why_not(name: str, request: Request) -> str | None:
    """Say why a kernel cannot run a request, or return None.

    Args:
        name: of the kernel.
        request: what would be run.

    Example:

    >>> few = Request(batch=2, time=5, features=3, units=4, dtype="float32")
    >>> why_not("reference", few) is None
    True
    """
    return _no(_BY_NAME[name], request)


def _no(kernel: Kernel, request: Request) -> str | None:
    backend = keras.backend.backend()
    if kernel.backends and backend not in kernel.backends:
        written = " and ".join(kernel.backends)
        return f"it is written for {written}, and the backend is {backend}"
    return kernel.why_not(request)


def _worth(request: Request) -> set[str]:
    """The kernels worth their while, by the measurements in `benchmarks/LOG.md`.

    XLA compiles anew for every shape, a second each time: only where batch and time
    are fixed, and only where steps are so small that starting them is what takes the
    time.
    """
    worth = {"reference", "torch", "scan", "loop", "cudnn"}
    time, batch = request.time, request.batch
    if request.unroll or (time is not None and time <= LONGEST_UNROLLED):
        worth.add("unrolled")
    small = batch is not None and batch * request.units <= SMALL_STEP
    if small and time is not None and time >= 16:
        worth.add("xla")
    return worth


def _only_standard(request: Request) -> str | None:
    """What every fast kernel refuses."""
    if request.cell != "LSTMCell":
        return f"it knows LSTMCell, and the cell is {request.cell}"
    if request.activations != STANDARD:
        return "it knows tanh, sigmoid and tanh, and the activations are others"
    if request.gatewise_dropout:
        return "it knows no dropout masks for each gate"
    if request.zeros_as_keras:
        return "unrolled, backwards and with zero_output_for_mask, Keras's zeros differ"
    return None


def _needs_known(*names: str) -> Callable[[Request], str | None]:
    """Refuse requests in which one of these sizes is not known."""

    def why_not(request: Request) -> str | None:
        for name in names:
            if getattr(request, name) is None:
                return f"{name} is not known beforehand"
        return _only_standard(request)

    return why_not


def _no_mask(request: Request) -> str | None:
    return "it knows no masks" if request.masked else _only_standard(request)


def _no_cudnn(request: Request) -> str | None:
    if not request.cudnn:
        return "`use_cudnn` is False"
    if request.unroll:
        return "the layer is to be unrolled"
    if request.dtype != "float32":
        return f"it is asked for float32 only, and the inputs are {request.dtype}"
    if not cudnn.has_gpu():
        return f"{keras.backend.backend()} sees no GPU"
    return _no_mask(request)


def _shards(request: Request) -> int:
    cores = 1 if cudnn.has_gpu() else os.cpu_count() or 1
    return 2 if cores > 1 and (request.batch or 0) * request.units >= SHARED_STEP else 1


def _tensorflow(**options: Any) -> Callable[..., Any]:
    def run(request: Request, *tensors: Any) -> Any:
        from custom_lstm.kernels.tensorflow_lstm import lstm_sequence

        shards = 1 if options.get("xla") else _shards(request)
        return lstm_sequence(*tensors, shards=shards, **options)

    return run


def _jax(request: Request, *tensors: Any) -> Any:
    from custom_lstm.kernels.jax_lstm import lstm_sequence

    batch, numbers = request.batch, 4 * request.features * request.units
    few = batch is not None and batch < SMALL_BATCH
    return lstm_sequence(*tensors, hoist=few or numbers > SMALL_KERNEL)


def _module(name: str) -> Callable[..., Any]:
    def run(request: Request, *tensors: Any) -> Any:
        module = importlib.import_module(f"custom_lstm.kernels.{name}")
        return module.lstm_sequence(*tensors)

    return run


_TF, _JAX = ("tensorflow",), ("jax",)
KERNELS = (
    Kernel("cudnn", _TF + _JAX, _no_cudnn, _module("cudnn")),
    Kernel("xla", _TF, _needs_known("batch", "time"), _tensorflow(xla=True)),
    Kernel("unrolled", _TF, _needs_known("time"), _tensorflow(unroll=True)),
    Kernel("loop", _TF, _only_standard, _tensorflow()),
    Kernel("torch", ("torch",), _no_mask, _module("pytorch_lstm")),
    Kernel("scan", _JAX, _only_standard, _jax),
    Kernel("reference", None, lambda request: None, None),
)
"""Every kernel, in the order in which `"auto"` tries them."""
_BY_NAME = {kernel.name: kernel for kernel in KERNELS}
NAMES = ("auto", *_BY_NAME)
"""What `LSTM(kernel=...)` takes."""
