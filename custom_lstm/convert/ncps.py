"""Weights of the cells of ncps, LTC and CfC, in its PyTorch half."""

import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import Weights, check_shapes
from custom_lstm.convert.forms import under_prefix
from custom_lstm.convert.pytorch import state_of
from custom_lstm.convert.sources import cell_class, cells_in
from custom_lstm.convert.twins import (
    Twin,
    check_arguments,
    from_twin,
    modules_of,
    to_twin,
)

_LTC = {
    "input_w": "input_scale",
    "input_b": "input_shift",
    "gleak": "leak",
    "vleak": "leak_potential",
    "cm": "capacitance",
    "sensory_w": "kernel",
    "sensory_sigma": "slope",
    "sensory_mu": "centre",
    "sensory_erev": "reversal",
    "w": "recurrent_kernel",
    "sigma": "recurrent_slope",
    "mu": "recurrent_centre",
    "erev": "recurrent_reversal",
}
_POSITIVE = ("w", "sensory_w", "gleak", "cm")
"""What `implicit_param_constraints` keeps above 0."""
_MASKS = {"w": "sparsity_mask", "sensory_w": "sensory_sparsity_mask"}
_OUTPUT = ("output_w", "output_b")
_HEADS = {"default": "gkab", "no_gate": "gkab", "pure": "g"}
_LINEAR = {"g": "ff1", "k": "ff2", "a": "time_a", "b": "time_b"}


def _of_cfc(mode: str) -> Twin:
    theirs = {"backbone.0.weight": "W / U", "backbone.0.bias": "b"}
    for head in _HEADS[mode]:
        theirs |= {
            f"{_LINEAR[head]}.weight": f"V{head}",
            f"{_LINEAR[head]}.bias": f"d{head}",
        }
    ours = {
        "kernel": "W",
        "recurrent_kernel": "U",
        "bias": "b",
        "head_kernel": " ".join(f"V{head}" for head in _HEADS[mode]),
        "head_bias": " ".join(f"d{head}" for head in _HEADS[mode]),
    }
    if mode == "pure":
        theirs |= {"w_tau": "decay", "A": "limit"}
        ours |= {"decay": "decay", "limit": "limit"}
    arguments = {"mode": "mode", "activation": "activation"}
    return Twin("CfCCell", "ncps CfCCell", ours, theirs, arguments)


_LTC_TWIN = Twin(
    "LTCCell",
    "ncps LTCCell",
    {name: name for name in _LTC.values()},
    _LTC,
    {"unfolds": "_ode_unfolds", "epsilon": "_epsilon"},
    transposed=False,
)
_CFC_TWINS = {mode: _of_cfc(mode) for mode in _HEADS}
_ARRAYS = "|".join(
    re.escape(name)
    for name in (
        *_LTC,
        *_MASKS.values(),
        *_OUTPUT,
        *(name for mode in ("default", "pure") for name in _CFC_TWINS[mode].theirs),
        "fc.weight",
        "fc.bias",
    )
)
_NAMES = re.compile(
    rf"(?:rnn_cell\.)?(?:layer_\d+\.)?(?:{_ARRAYS}|backbone\.\d+\.(?:weight|bias))"
    r"|lstm\.(?:input_map|recurrent_map)\.(?:weight|bias)"
)


def from_ncps(
    source: Any,
    layers: Any,
    prefix: str = "",
    implicit_param_constraints: bool | None = None,
) -> list[Weights]:
    """Return weights for layers of this package from those of ncps's LTC or CfC.

    Synapses that a wiring leaves out have the weight 0 in an `LTCCell`, which has all.
    A wired CfC is a stack of `CfCCell` without a backbone, which `activation=None` and
    `backbone_units=features + units` are here: its weights become an identity matrix.
    What comes after the cell, the map of an LTC's motor neurons or the `proj_size` of
    a CfC, is a `Dense` layer here.

    What numbers do not tell is compared, if `source` is a module: activation, mode,
    unfolds, ε. A CfC with several backbone layers, and `mixed_memory`, are no cell of
    this package.

    Args:
        source: the module, `LTC`, `CfC` or a cell, or what holds one; or a
            `state_dict()`, tensors or arrays by name.
        layers: what the weights are for: the layer or cell of this package, built; a
            list of those of a wired CfC; with a `Dense` at the end if there is a map.
        prefix: begin of the names, as in `from_torch`.
        implicit_param_constraints: that of an LTC given as a `state_dict`: whether
            softplus is taken of what must be positive. `LTC` has it unless told.

    Returns:
        One list of weights per cell, and per `Dense`, for `set_weights`.

    Raises:
        ValueError: names what is missing, unexpected or of the wrong shape, or is
            computed in another way.

    Example:
        >>> from custom_lstm.cells import LTCCell
        >>> cell = LTCCell(2)
        >>> cell.build((None, 3))
        >>> [weights] = from_ncps(to_ncps(cell), cell, implicit_param_constraints=False)
        >>> all(map(np.array_equal, weights, cell.get_weights()))
        True
    """
    layers = list(layers) if isinstance(layers, list | tuple) else [layers]
    maps = bool(layers) and type(layers[-1]).__name__ == "Dense"
    dense = layers.pop() if maps else None
    cells = cells_in("`layers`", layers if len(layers) != 1 else layers[0])
    found = under_prefix("`source`", state_of(source), prefix, _NAMES)
    what = found.what
    arrays = {name.removeprefix("rnn_cell."): a for name, a in found.arrays.items()}
    if any(name.startswith("lstm.") for name in arrays):
        raise ValueError(
            f"{what} has `mixed_memory`, an LSTM before the cell; no cell of this "
            f"package has. Received: {[n for n in arrays if n.startswith('lstm.')]}"
        )
    after = {
        n: arrays.pop(n) for n in (*_OUTPUT, "fc.weight", "fc.bias") if n in arrays
    }
    groups = _by_layer(arrays)
    if len(groups) != len(cells):
        raise ValueError(
            f"{what} holds {len(groups)} cells; `layers` must be as many, and a "
            f"`Dense` if it maps the outputs. Received: {len(cells)}{found.note}"
        )
    inside = modules_of(source, found.prefix, "ncps")
    modules = [module for kind, module in inside if kind in ("LTCCell", "CfCCell")]
    made = []
    for k, (group, (name, cell)) in enumerate(zip(groups, cells, strict=True)):
        module = modules[k] if len(modules) == len(cells) else None
        read = _read_ltc if "gleak" in group else _read_cfc
        twin, group = read(what, group, name, cell, module, implicit_param_constraints)
        made.append(from_twin(what, twin, group, name, cell, found.note))
    units = cells[-1][1].units
    told = getattr(modules[-1], "motor_size", units) if modules else None
    return made + _after(what, after, units, told, dense)


def to_ncps(
    layer: Any, prefix: str = "", implicit_param_constraints: bool = False
) -> dict[str, np.ndarray]:
    """Return weights for a `LTCCell` or `CfCCell` of ncps from a layer of this package.

    An LTC gets the wiring `FullyConnected`, and outputs as they are. Unfolds, ε, the
    mode and the activation are arguments there too, and yours to give.

    Args:
        layer: an `LTCCell` or `CfCCell`, or the layer around it.
        prefix: what the names shall begin with: "rnn_cell." for an `LTC` or `CfC`.
        implicit_param_constraints: that of the LTC they are for.

    Returns:
        Arrays by name, for `load_state_dict`.

    Raises:
        ValueError: if ncps has no such cell; if what must be above 0 is not, with
            `implicit_param_constraints`.

    Example:
        >>> from custom_lstm.cells import CfCCell
        >>> cell = CfCCell(2, backbone_units=4)
        >>> cell.build((None, 3))
        >>> arrays = to_ncps(cell)
        >>> arrays["backbone.0.weight"].shape, arrays["time_a.weight"].shape
        ((4, 5), (2, 4))
    """
    [(name, cell), *others] = cells_in("`layer`", layer)
    if others:
        raise ValueError(f"`layer` must hold one cell. Received: {1 + len(others)}")
    arrays = to_twin(name, _twin_of(name, cell), cell)
    if cell_class(cell) == "CfCCell":
        for key in ("w_tau", "A"):
            arrays |= {key: arrays[key][None]} if key in arrays else {}
        return {prefix + key: array for key, array in arrays.items()}
    if implicit_param_constraints:
        for key in _POSITIVE:
            if not (arrays[key] > 0).all():
                raise ValueError(
                    f"{name}: `{_LTC[key]}` must be above 0, as what softplus makes "
                    f"is. Received: {arrays[key].min()}"
                )
            arrays[key] = arrays[key] + np.log(-np.expm1(-arrays[key]))
    arrays |= {mask: np.ones_like(arrays[key]) for key, mask in _MASKS.items()}
    arrays["output_w"] = np.ones_like(arrays["gleak"])
    arrays["output_b"] = np.zeros_like(arrays["gleak"])
    return {prefix + key: array for key, array in arrays.items()}


def _twin_of(what: str, cell: Any) -> Twin:
    name = cell_class(cell)
    if name not in ("LTCCell", "CfCCell"):
        raise ValueError(
            f"{what} must be an LTCCell or a CfCCell, or a layer around one. "
            f"Received: {name}"
        )
    return _LTC_TWIN if name == "LTCCell" else _CFC_TWINS[cell.mode]


Arrays = dict[str, np.ndarray]


def _by_layer(arrays: Mapping[str, np.ndarray]) -> list[Arrays]:
    """Return the arrays of each cell; those of a wired CfC begin with its layer."""
    groups: dict[int, Arrays] = {}
    for name, array in arrays.items():
        match = re.fullmatch(r"layer_(\d+)\.(.*)", name, re.DOTALL)
        layer, own = (int(match[1]), match[2]) if match else (0, name)
        groups.setdefault(layer, {})[own] = array
    return [groups[layer] for layer in sorted(groups)] or [{}]


def _read_ltc(
    what: str,
    arrays: Arrays,
    name: str,
    cell: Any,
    module: Any,
    implicit: bool | None,
) -> tuple[Twin, Arrays]:
    """Return the twin and its arrays, of which softplus and masks are part."""
    _check_class(what, name, cell, "an LTCCell")
    if module is not None:
        check_arguments(name, _LTC_TWIN, module, cell)
        implicit = module._implicit_param_constraints
    if implicit is None:
        raise ValueError(
            f"{what}: say whether the LTC has `implicit_param_constraints`, which its "
            "arrays do not tell, or give the module"
        )
    if implicit:
        arrays |= {k: np.logaddexp(arrays[k], 0) for k in _POSITIVE if k in arrays}
    for key, mask in _MASKS.items():
        if mask in arrays and key in arrays:
            arrays[key] = _masked(what, mask, arrays.pop(mask), arrays[key])
    features = _size(arrays.get("sensory_w"), 0)
    arrays.setdefault("input_w", np.ones(features, "float32"))
    arrays.setdefault("input_b", np.zeros(features, "float32"))
    return _LTC_TWIN, arrays


def _check_class(what: str, name: str, cell: Any, wanted: str) -> None:
    """Raise a ValueError unless a cell is what is wanted: "an LTCCell"."""
    if cell_class(cell) != wanted.split()[1]:
        raise ValueError(
            f"{name} must be {wanted}, as {what} holds. Received: {cell_class(cell)}"
        )


def _size(array: np.ndarray | None, axis: int) -> int:
    return array.shape[axis] if array is not None and array.ndim else 0


def _masked(what: str, name: str, mask: np.ndarray, array: np.ndarray) -> np.ndarray:
    check_shapes(what, {name: mask}, {name: array.shape})
    return array * mask


def _read_cfc(
    what: str,
    arrays: Arrays,
    name: str,
    cell: Any,
    module: Any,
    implicit: bool | None,
) -> tuple[Twin, Arrays]:
    """Return the twin and its arrays, with a backbone that changes nothing if none."""
    _check_class(what, name, cell, "a CfCCell")
    twin = _CFC_TWINS[cell.mode]
    bare = not any(key.startswith("backbone.") for key in arrays)
    if bare:
        arrays |= _backbone(name, arrays, cell)
        twin = twin._replace(fixed={"activation": "linear"})
    elif any(re.match(r"backbone\.[1-9]", key) for key in arrays):
        raise ValueError(
            f"{what} has several backbone layers; a CfCCell has one. Received: "
            f"{[key for key in arrays if key.startswith('backbone.')]}"
        )
    if module is not None:
        own = twin.arguments if not bare else {"mode": "mode"}
        activation = None if bare else module.backbone[1]
        told = SimpleNamespace(mode=module.mode, activation=activation)
        check_arguments(name, twin._replace(arguments=own), told, cell)
    if "sparsity_mask" in arrays:
        mask = arrays.pop("sparsity_mask")
        for key in arrays.keys() & {"ff1.weight", "ff2.weight"}:
            arrays[key] = _masked(what, "sparsity_mask", mask, arrays[key])
    arrays |= {k: arrays[k].reshape(-1) for k in ("w_tau", "A") if k in arrays}
    return twin, arrays


def _backbone(name: str, arrays: Arrays, cell: Any) -> Arrays:
    """Return the arrays of a backbone that changes nothing."""
    width = _size(arrays.get("ff1.weight"), -1)
    if cell.backbone_units != width:
        raise ValueError(
            f"{name}: a CfC without a backbone is a CfCCell with `activation=None` and "
            f"`backbone_units={width}`, its features and units. Received: "
            f"backbone_units={cell.backbone_units}"
        )
    dtype = arrays["ff1.weight"].dtype
    return {
        "backbone.0.weight": np.eye(width, dtype=dtype),
        "backbone.0.bias": np.zeros(width, dtype),
    }


def _after(
    what: str, arrays: Arrays, units: int, told: int | None, dense: Any
) -> list[Weights]:
    """Return the weights of the `Dense` that comes after the cell, if one does."""
    rows = _size(next(iter(arrays.values()), None), 0)
    shapes = {
        **dict.fromkeys((*_OUTPUT, "fc.bias"), (rows,)),
        "fc.weight": (rows, units),
    }
    check_shapes(what, arrays, {n: shape for n, shape in shapes.items() if n in arrays})
    if "fc.weight" in arrays:
        kernel = arrays["fc.weight"].T.copy()
        bias = arrays.get("fc.bias", np.zeros(kernel.shape[1], kernel.dtype))
    elif arrays:
        scale = arrays.get("output_w", np.ones(rows, "float32"))
        kernel = np.eye(units, rows, dtype=scale.dtype) * scale
        bias = arrays.get("output_b", np.zeros(rows, scale.dtype))
    else:  # only the module tells how many neurons an LTC shows without a map
        width = getattr(dense, "units", units) if told is None else told
        kernel, bias = np.eye(units, width, dtype="float32"), np.zeros(width, "float32")
    changes = not np.array_equal(kernel, np.eye(units)) or bias.any()
    if dense is None and changes:
        raise ValueError(
            f"{what} maps its outputs; `layers` must end with a layer that does, "
            f"`keras.layers.Dense({kernel.shape[1]})`"
        )
    if dense is None:
        return []
    if dense.units != kernel.shape[1]:
        raise ValueError(
            f"{what}: the `Dense` at the end of `layers` must have units="
            f"{kernel.shape[1]}. Received: {dense.units}"
        )
    if not dense.use_bias and bias.any():
        raise ValueError(
            f"{what} adds a bias to its outputs; the `Dense` at the end of `layers` "
            "must have one. Received: use_bias=False"
        )
    return [[kernel, bias] if dense.use_bias else [kernel]]
