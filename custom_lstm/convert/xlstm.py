"""Weights of the two cells of xlstm, the authors' package, in PyTorch."""

import re
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import Weights, check_names, check_shapes
from custom_lstm.convert.forms import under_prefix
from custom_lstm.convert.pytorch import state_of
from custom_lstm.convert.sources import cell_class, cells_in, weights_by_name

_OPEN = 100.0
"""A bias of which σ is 1 in every precision: an output gate that is always open."""
_EPSILON = 1e-5
"""What their normalisation adds to a variance."""
_GATES = ("fgate", "igate", "zgate", "ogate")
"""Names of what makes i, f, g and o in their sLSTM layer: the first two are swapped."""
_R, _B = "_recurrent_kernel_", "_bias_"
_NAMES = re.compile(
    rf"(?:slstm_cell\.)?(?:{_R}|{_B})|(?:mlstm_cell\.)?[if]gate\.(?:weight|bias)"
    r"|[zo]gate\.weight|group_norm\.weight|(?:mlstm_cell\.)?outnorm\.weight"
    r"|conv1d\.conv\.(?:weight|bias)|(?:proj_up|proj_down|[qkv]_proj)\.(?:weight|bias)"
    r"|learnable_skip"
)

Arrays = dict[str, np.ndarray]


def from_xlstm(source: Any, layers: Any, prefix: str = "") -> list[Weights]:
    """Return weights for layers of this package from those of xlstm.

    Of xlstm 2.0.6 these are, with ours of as many heads:

    - `sLSTMLayer` without a convolution (`conv1d_kernel_size=0`): an `SLSTMCell` whose
      `kernel` has zeros outside of the heads, and a normalisation of each head;
    - its `sLSTMCell`, whose inputs are those of the four gates: an `SLSTMCell` of
      `4·units` features, whose `kernel` is an identity matrix;
    - `mLSTMCell`, whose inputs are queries, keys and values: an `MLSTMCell` of
      `3·units` features, `[q, k, v]`, whose output gate is always open, and a
      normalisation of each head.

    The normalisation is Keras's `GroupNormalization(heads, epsilon=1e-5)` of one step,
    as in `custom_lstm.TimeDistributed(...)`. `mLSTMLayer` has projections, a
    convolution and a skip around its cell, which no cell of this package has: convert
    its cell alone, with the prefix "mlstm_cell.".

    Args:
        source: the module, or what holds one; or a `state_dict()`, tensors or arrays
            by name.
        layers: what the weights are for: the layer or cell of this package, built; or
            a list of it and the normalisation.
        prefix: begin of the names, as in `from_torch`.

    Returns:
        Two lists of weights, or, without a normalisation, one, for `set_weights`.

    Raises:
        ValueError: names what is missing, unexpected or of the wrong shape, or is
            computed in another way.

    Example:
        >>> from custom_lstm.cells import SLSTMCell
        >>> cell = SLSTMCell(2)
        >>> cell.build((None, 8))
        >>> state_dict = {
        ...     "_recurrent_kernel_": np.ones((1, 8, 2)),
        ...     "_bias_": np.arange(8.0),
        ... }
        >>> [weights] = from_xlstm(state_dict, cell)
        >>> [array.shape for array in weights]
        [(8, 8), (1, 2, 8), (8,)]
    """
    layers = list(layers) if isinstance(layers, list | tuple) else [layers]
    norm = layers.pop() if len(layers) > 1 else None
    [(name, cell), *others] = cells_in("`layers`", layers[0] if layers else layers)
    if others or len(layers) > 1:
        raise ValueError("`layers` must be one layer, and perhaps a normalisation")
    what, arrays, note, _ = under_prefix("`source`", state_of(source), prefix, _NAMES)
    _check_alone(what, arrays)
    short = {re.sub(r"^[ms]lstm_cell\.", "", key): a for key, a in arrays.items()}
    scale = short.pop("group_norm.weight", short.pop("outnorm.weight", None))
    normalised = scale is not None or "igate.weight" in short
    own = weights_by_name(name, cell)
    read = _read_slstm if _R in short else _read_mlstm
    weights = read(what, short, name, cell, note)
    shapes = {key: array.shape for key, array in own.items()}
    check_names(f"{name}, for {what},", list(weights), own)
    check_shapes(f"{what}, for {name}", weights, shapes)
    made = [np.ascontiguousarray(weights[key]) for key in own]
    return [made, *_after(what, normalised, scale, cell, norm)]


def _check_alone(what: str, arrays: Arrays) -> None:
    """Raise if there is more around a cell than gates and a normalisation."""
    around = [key for key in arrays if key.startswith(("proj_", "learnable", "conv1d"))]
    around += [key for key in arrays if re.match("[qkv]_proj", key)]
    if around:
        raise ValueError(
            f"{what} is more than a cell: it has {', '.join(sorted(around))}, and no "
            "cell of this package has. Of an mLSTMLayer, convert the cell, with "
            "prefix='mlstm_cell.'; an sLSTMLayer must have `conv1d_kernel_size=0`"
        )


def _check_class(what: str, name: str, cell: Any, expected: str) -> None:
    if cell_class(cell) != expected or cell.exponential_forget:
        raise ValueError(
            f"{name} must be an {expected} with `exponential_forget=False`, as {what} "
            f"is. Received: {cell_class(cell)}"
        )


def _read_slstm(what: str, arrays: Arrays, name: str, cell: Any, note: str) -> Arrays:
    """Return our arrays of their sLSTM, layer or cell."""
    _check_class(what, name, cell, "SLSTMCell")
    inputs = [f"{gate}.weight" for gate in _GATES]
    inputs = inputs if any(key in arrays for key in inputs) else []
    check_names(what, [_R, _B, *inputs], arrays, note)
    n, heads = cell.units, cell.heads
    d = n // heads
    shapes = dict.fromkeys(inputs, (heads, d, d)) | {_B: (4 * n,)}
    fused = arrays[_R].shape == (heads, d, 4 * d)
    shapes |= {} if fused else {_R: (heads, 4 * d, d)}  # as on a GPU, or on a CPU
    check_shapes(f"{what}, for an SLSTMCell({n}, heads={heads})", arrays, shapes)
    U, b = arrays[_R], arrays[_B]
    if fused:
        b = b.reshape(heads, 4, d).swapaxes(0, 1).reshape(-1)
    else:
        U = U.swapaxes(1, 2)
    W = [_of_heads(arrays[key].swapaxes(1, 2)) for key in inputs]
    kernel = np.concatenate(W, 1) if W else np.eye(4 * n, dtype=U.dtype)
    made = {"kernel": kernel, "recurrent_kernel": U, "bias": b.copy()}
    return _without_bias(what, name, cell, made)


def _read_mlstm(what: str, arrays: Arrays, name: str, cell: Any, note: str) -> Arrays:
    """Return our arrays of their mLSTM cell."""
    names = [
        f"{gate}.{kind}" for gate in ("igate", "fgate") for kind in ("weight", "bias")
    ]
    check_names(what, names, arrays, note)
    _check_class(what, name, cell, "MLSTMCell")
    n, heads = cell.units, cell.heads
    expected = [(heads, 3 * n), (heads,)] * 2
    shapes = dict(zip(names, expected, strict=True))
    check_shapes(f"{what}, for an MLSTMCell({n}, heads={heads})", arrays, shapes)
    W_i, b_i, W_f, b_f = (arrays[key] for key in names)
    qkvo = np.eye(3 * n, 4 * n, dtype=W_i.dtype)
    b_qkvo = np.repeat(np.array([0, _OPEN], W_i.dtype), [3 * n, n])
    made = {
        "kernel": np.concatenate([qkvo, W_i.T, W_f.T], axis=1),
        "bias": np.concatenate([b_qkvo, b_i, b_f]),
    }
    return _without_bias(what, name, cell, made)


def _without_bias(what: str, name: str, cell: Any, made: Arrays) -> Arrays:
    if cell.use_bias:
        return made
    if made["bias"].any():
        raise ValueError(f"{name} must have a bias, as {what} has: use_bias=True")
    return {key: array for key, array in made.items() if key != "bias"}


def _of_heads(blocks: np.ndarray) -> np.ndarray:
    """Return a matrix with these blocks along its diagonal."""
    heads, rows, columns = blocks.shape
    whole = np.zeros((heads, rows, heads, columns), blocks.dtype)
    whole[np.arange(heads), :, np.arange(heads)] = blocks
    return whole.reshape(heads * rows, heads * columns)


def _after(
    what: str, normalised: bool, scale: Any, cell: Any, norm: Any
) -> list[Weights]:
    """Return the weights of the normalisation, in a list, if there is one."""
    form = f"GroupNormalization({cell.heads}, epsilon={_EPSILON})"
    if norm is None and normalised:
        raise ValueError(
            f"{what} normalises its outputs; `layers` must be a list that ends with "
            f"TimeDistributed({form})"
        )
    if norm is None:
        return []
    inner = getattr(norm, "layer", norm)
    if type(inner).__name__ != "GroupNormalization" or (
        (inner.groups, inner.epsilon) != (cell.heads, _EPSILON)
    ):
        raise ValueError(
            f"`layers` must end with {form}, of one step, as in TimeDistributed. "
            f"Received: {type(inner).__name__} with {getattr(inner, 'groups', None)} "
            f"groups, epsilon={getattr(inner, 'epsilon', None)}"
        )
    gamma = np.ones(cell.units, "float32") if scale is None else 1 + scale
    check_shapes(
        what, {"weight of the norm": gamma}, {"weight of the norm": (cell.units,)}
    )
    made = [gamma] if inner.scale else []
    return [[*made, np.zeros_like(gamma)] if inner.center else made]
