"""The registry of LSTM kernels, and the rule that chooses one.

A kernel runs all steps of a sequence at once. For a given request it says why it cannot
run, or None. The cell itself, stepped by Keras's loop, is the kernel `"reference"`,
which runs everything.
"""

import contextlib
import contextvars
import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from custom_lstm.cells.base import AbstractRNNCell
from custom_lstm.kernels import cudnn
from custom_lstm.typing import Activation, DType, Tensor

LONGEST_UNROLLED = 64
"""Steps up to which `"auto"` unrolls the loop."""
FEW_STEPS = 16
"""Steps up to which they are written out though they may be differentiated twice."""
SMALL_STEP = 1024
"""Numbers in h up to which starting a step takes longer than computing it."""
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
"""The activations of the fast kernels: of candidate, gates and output."""


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
        gatewise_dropout: whether each gate sees dropout masks of its own in this call.
        unroll: whether the layer was told to unroll the loop.
        cudnn: whether cuDNN may run it.
        zeros_as_keras: whether outputs are zeroed as Keras's unrolled backward
            loop does: by the mask in its first order, not in that of the outputs.
        eager: whether each operation runs at once: sizes are those of this call alone.
        all_states: whether the states and gates of every step are asked for.
        training: whether gradients are expected.
        only_last: whether h after the last step is all that is asked for.
        jit: whether XLA compiles what is around the call.
        higher_order: whether gradients of its gradients may be asked for.
        transformed: what the backend does to the call, if only the cell can bear it,
            such as a derivative in forward mode; or None.
    """

    batch: int | None
    time: int | None
    features: int
    units: int
    dtype: DType
    masked: bool = False
    cell: str = "LSTMCell"
    activations: tuple[Activation, Activation, Activation] = STANDARD
    gatewise_dropout: bool = False
    unroll: bool = False
    cudnn: bool = True
    zeros_as_keras: bool = False
    eager: bool = False
    all_states: bool = False
    training: bool = True
    only_last: bool = False
    jit: bool = False
    higher_order: bool = False
    transformed: str | None = None


Rule = Callable[[Request], str | None]
"""Returns why a request cannot be run, or None."""
Run = Callable[..., tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Kernel:
    """A way to run a whole sequence.

    Args:
        name: what `LSTM(kernel=...)` calls it.
        backends: the Keras backends that it is written for; None for any.
        supports: returns why it cannot run a request, or None.
        run: `(request, x, h, c, W, U, b, mask)` → h after every step, `(batch, time,
            units)`, or after one, `(batch, 1, units)`, if `only_last`; and the last h
            and c. x is `(batch, time, features)`; h and c, from
            before the first step, are `(batch, units)`; W is `(features, 4·units)`,
            gates in the order i, f, g, o, U `(units, 4·units)` and b `(4·units,)`; mask
            is boolean, `(batch, time)`, and where it is False the states stay, or it is
            None. With None in place of `run`, the layer steps its cell.
        pays: whether `"auto"` should take it for a request that it can run. By
            default always.
    """

    name: str
    backends: tuple[str, ...] | None
    supports: Rule
    run: Run | None
    pays: Callable[[Request], bool] = lambda request: True


def choose(name: str, request: Request) -> Kernel:
    """Return the kernel that runs a request.

    Args:
        name: `"auto"` for the first of `KERNELS` that can run it and pays, or a
            kernel's name. In what is being exported it is `"auto"` always.
        request: what to run.

    Raises:
        ValueError: the named kernel is unknown or cannot run the request.

    Example:
        >>> few = Request(batch=2, time=5, features=3, units=4, dtype="float32")
        >>> choose("reference", few).name
        'reference'
    """
    if name == "auto" or exporting():
        return next(k for k in KERNELS if not _why_not(k, request) and k.pays(request))
    if reason := supports(name, request):
        raise ValueError(f"LSTM kernel {name!r} cannot run here: {reason}.")
    return next(kernel for kernel in KERNELS if kernel.name == name)


_EXPORTING = contextvars.ContextVar("exporting", default=False)


@contextlib.contextmanager
def exported() -> Iterator[None]:
    """While it lasts, what is traced is for another runtime: small and plain."""
    token = _EXPORTING.set(True)
    try:
        yield
    finally:
        _EXPORTING.reset(token)


def exporting() -> bool:
    """Return whether what is traced now is to be exported; see `exported`."""
    return _EXPORTING.get()


def supports(name: str, request: Request) -> str | None:
    """Return why the kernel of a name cannot run a request, or None if it can.

    Raises:
        ValueError: there is no such kernel.

    Example:
        >>> few = Request(batch=2, time=5, features=3, units=4, dtype="float32")
        >>> supports("reference", few) is None
        True
    """
    named = [kernel for kernel in KERNELS if kernel.name == name]
    if not named:
        raise ValueError(f"`kernel` must be one of {NAMES}. Received: kernel={name!r}")
    return _why_not(named[0], request)


def shares(batch: int | None, width: int) -> int:
    """Return in how many parts, side by side, TensorFlow runs a batch.

    Args:
        batch: number of sequences, or None if it is not known beforehand.
        width: of the widest state.

    Returns:
        Two on several cores, if a state has `SHARED_STEP` numbers; or else one.

    Example:
        >>> shares(None, 4096)
        1
    """
    cores = 1 if cudnn.has_gpu() else os.cpu_count() or 1
    return 2 if cores > 1 and (batch or 0) * width >= SHARED_STEP else 1


def runs_eagerly() -> bool:
    """Return whether it is TensorFlow, running each operation at once."""
    if keras.backend.backend() != "tensorflow":
        return False
    return importlib.import_module("custom_lstm.kernels.tensorflow_lstm").is_eager()


def transformation(tensors: Iterable[Tensor]) -> str | None:
    """Return what is being done to tensors that no kernel but the cell can bear."""
    backend = keras.backend.backend()
    if backend not in _TRANSFORMING:
        return None
    return importlib.import_module(_TRANSFORMING[backend]).transformation(tensors)


def why_stepped(request: Request) -> str | None:
    """Return why the cell is stepped: why the backend's most general kernel cannot run.

    Example:
        >>> few = Request(batch=2, time=5, features=3, units=4, dtype="float32")
        >>> why_stepped(few) is None
        True
    """
    backend = keras.backend.backend()
    written = [k for k in KERNELS if k.backends and backend in k.backends]
    return written[-1].supports(request)


def why_not_scanned(
    cell: Any, hoisted: bool, masked: bool, training: bool | None, unroll: bool
) -> str | None:
    """Return why the steps of a cell are not computed at once, or None if they are.

    Args:
        cell: any recurrent cell.
        hoisted: whether its inputs are projected before.
        masked: whether there is a mask.
        training: whether dropout and its like are on.
        unroll: whether the layer was told to unroll its loop.

    Example:
        >>> from custom_lstm import LSTMCell
        >>> why_not_scanned(LSTMCell(2), True, False, False, False)
        'LSTMCell has no `scan`'
    """
    if not isinstance(cell, AbstractRNNCell):
        return f"{type(cell).__name__} has no `scan`"
    if reason := cell.why_not_scanned(masked, training):
        return reason
    if unroll:
        return "`unroll` is True"
    if exporting():
        return "the model is being exported"
    return None if hoisted else "the inputs are not projected before the loop"


def compiled_by_xla() -> bool:
    """Return whether it is TensorFlow, tracing for XLA."""
    return keras.backend.backend() == "tensorflow" and _turns().compiled_by_xla()


def of_higher_order(tensors: Iterable[Tensor]) -> bool:
    """Return whether it is TensorFlow, with tapes for gradients of gradients."""
    if keras.backend.backend() != "tensorflow":
        return False
    return bool(_turns().of_higher_order(tensors))


def _turns() -> Any:
    return importlib.import_module("custom_lstm.kernels.tensorflow_turns")


def _why_not(kernel: Kernel, request: Request) -> str | None:
    backend = keras.backend.backend()
    if kernel.backends and backend not in kernel.backends:
        written = " or ".join(kernel.backends)
        return f"it needs {written}, and the backend is {backend}"
    return kernel.supports(request)


def _only_standard(request: Request) -> str | None:
    """Return what every fast kernel refuses."""
    if request.transformed:
        return f"it does not support {request.transformed}"
    if request.cell != "LSTMCell":
        return f"it runs only LSTMCell, and the cell is {request.cell}"
    if request.activations != STANDARD:
        return "it supports only the activations tanh, sigmoid and tanh"
    if request.gatewise_dropout:
        return "it does not support dropout masks for each gate"
    if request.all_states:
        return "it does not return the states and gates of every step"
    if request.zeros_as_keras:
        return "unrolled, backwards and with zero_output_for_mask, Keras's zeros differ"
    return None


def _known(*names: str) -> Rule:
    """Refuse requests in which one of these sizes is not known."""

    def rule(request: Request) -> str | None:
        for name in names:
            if getattr(request, name) is None:
                return f"{name} is not known beforehand"
        return _only_standard(request)

    return rule


def _counted(request: Request) -> str | None:
    if request.time is None:
        return "the number of steps is not known beforehand"
    return _no_mask(request)


def _no_mask(request: Request) -> str | None:
    return "it does not support masks" if request.masked else _only_standard(request)


def _on_gpu(request: Request) -> str | None:
    if exporting():
        return "the model is being exported"
    if not request.cudnn:
        return "`use_cudnn` is False"
    if request.unroll:
        return "`unroll` is True"
    if request.dtype != "float32":
        return f"it takes float32 only, and the inputs are {request.dtype}"
    if not cudnn.has_gpu():
        return f"{keras.backend.backend()} sees no GPU"
    return _no_mask(request)


def _compact(request: Request) -> bool:
    """Return whether the graph of the call should be small, as it may be exported.

    What answers on one sequence and is traced for nothing known may be for a device.
    """
    traced = not (request.training or request.eager or request.jit)
    return traced and (request.batch == 1 or exporting())


def _small(request: Request) -> bool:
    """Return whether what is written out costs more time than it saves."""
    few = request.time is not None and request.time <= FEW_STEPS
    again = request.higher_order and not request.eager and not few
    return request.jit or again or _compact(request)


def _unrolling_pays(request: Request) -> bool:
    short = request.time is not None and request.time <= LONGEST_UNROLLED
    return request.unroll or (short and not _small(request))


def _xla_pays(request: Request) -> bool:
    """Return whether batch and time are fixed, as XLA needs them, and steps small.

    Eager calls only seem to have fixed sizes: XLA would compile for each of them.
    """
    time, batch = request.time, request.batch
    small = batch is not None and batch * request.units <= SMALL_STEP
    fixed = time is not None and time >= 16 and not request.eager
    return small and fixed and not exporting() and not request.higher_order


def _tensorflow(**options: bool) -> Run:
    def run(request: Request, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        from custom_lstm.kernels import tensorflow_turns as turns
        from custom_lstm.kernels.tensorflow_lstm import lstm_sequence

        alone = options.get("xla") or _small(request)
        several = turns.steps_a_turn(request.time)
        kept = request.training or any(options.values())
        if request.eager:
            kept = turns.is_recorded()
        if alone:
            once = request.jit or options.get("xla")
            several = 1 if once else turns.steps_of_small_graph(request.time)
        return lstm_sequence(
            *tensors,
            shards=1 if alone else shares(request.batch, request.units),
            steps=several,
            keep=kept and not _compact(request),
            training=request.training,
            only_last=request.only_last,
            **options,
        )

    return run


def _jax(request: Request, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from custom_lstm.kernels.jax_lstm import lstm_sequence

    batch, numbers = request.batch, 4 * request.features * request.units
    few = batch is not None and batch < SMALL_BATCH
    return lstm_sequence(*tensors, hoist=few or numbers > SMALL_KERNEL)


def _module(name: str) -> Run:
    def run(request: Request, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        module = importlib.import_module(f"custom_lstm.kernels.{name}")
        return module.lstm_sequence(*tensors)

    return run


_TRANSFORMING = {
    "jax": "custom_lstm.kernels.jax_lstm",
    "torch": "custom_lstm.kernels.pytorch_lstm",
}
"""Backends that transform functions in ways that not every kernel bears."""

_TF, _JAX = ("tensorflow",), ("jax",)
KERNELS = (
    Kernel("cudnn", _TF + _JAX, _on_gpu, _module("cudnn")),
    Kernel("xla", _TF, _known("batch", "time"), _tensorflow(xla=True), _xla_pays),
    Kernel("unrolled", _TF, _known("time"), _tensorflow(unroll=True), _unrolling_pays),
    Kernel("loop", _TF, _only_standard, _tensorflow()),
    Kernel("torch", ("torch",), _counted, _module("pytorch_lstm")),
    Kernel("scan", _JAX, _only_standard, _jax),
    Kernel("reference", None, lambda request: None, None),
)
"""Every kernel, in the order in which `"auto"` tries them."""
NAMES = ("auto", *(kernel.name for kernel in KERNELS))
"""What `LSTM(kernel=...)` takes."""
