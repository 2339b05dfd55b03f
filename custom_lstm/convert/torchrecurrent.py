"""Weights of the cells of torchrecurrent, a library for PyTorch."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from custom_lstm.convert.arrays import Weights
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

_SIGMOID = {"recurrent_activation": "sigmoid"}
_GATED = {"activation": "tanh", **_SIGMOID}
_LSTM = {**_GATED, "output_activation": "tanh"}
_OWN = {"activation": "act", "recurrent_activation": "gate_act"}
_DAMPED = {"epsilon": "epsilon", "gamma": "gamma"}


def _twin(
    name: str,
    ours: str,
    theirs: Mapping[str, str] | None = None,
    more: Mapping[str, str] | None = None,
    **options: Any,
) -> Twin:
    """Return a twin.

    Args:
        name: of the class, here and there.
        ours: layouts of `kernel`, `recurrent_kernel` and `bias`, with "|" between.
        theirs: layouts of those of their arrays that are not as in ours; "" of one
            that they do not have.
        more: layouts of what ours has besides.
        **options: see `Twin`.
    """
    W, U, b = (layout.strip() for layout in ours.split("|"))
    layouts = {"weight_ih": W, "weight_hh": U, "bias_ih": b, "bias_hh": b}
    layouts = {key: own for key, own in {**layouts, **(theirs or {})}.items() if own}
    here = {"kernel": W, "recurrent_kernel": U, "bias": b, **(more or {})}
    return Twin(
        name[0].upper() + name[1:], f"torchrecurrent {name}", here, layouts, **options
    )


_MUTATION = "Wz Wr Wg | Uz Ur Ug | bz br bg"
_PLAIN_LSTM = "Wi Wf Wg Wo | Ui Uf Ug Uo | bi bf bg bo"
_NODES = " | ".join(" ".join(f"{x}{k}" for k in range(8)) for x in "WUb")
_ALL = (
    _twin(
        "ATRCell",
        "W | U | b",
        {"bias_hh": "0"},
        fixed={**_SIGMOID, "activation": "linear"},
    ),
    _twin(
        "AntisymmetricRNNCell",
        "W | U | b",
        arguments={"activation": "act", **_DAMPED},
    ),
    _twin(
        "GatedAntisymmetricRNNCell",
        "Wz Wg | U | bz bg",
        {"bias_hh": "bg"},
        arguments=_DAMPED,
        fixed={"activation": "tanh"},
    ),
    _twin(
        "CFNCell",
        "Wi Wf Wg | Ui Uf | bi bf",
        {
            "weight_ih": "Wf Wi Wg",
            "weight_hh": "Uf Ui",
            "bias_ih": "bf bi 0",
            "bias_hh": "bf bi",
        },
        fixed=_GATED,
    ),
    _twin(
        "coRNNCell",
        "W | U / V | b",
        {"weight_hh": "U", "weight_ch": "V", "bias_ch": "b"},
        arguments={"dt": "dt", **_DAMPED},
        fixed={"activation": "tanh"},
    ),
    _twin(
        "FastRNNCell",
        "W | U | b",
        {"alpha": "alpha", "beta": "beta"},
        {"alpha": "alpha", "beta": "beta"},
        arguments={"activation": "act"},
    ),
    _twin(
        "FastGRNNCell",
        "W | U | bz bg",
        {"zeta": "zeta", "nu": "nu"},
        {"zeta": "zeta", "nu": "nu"},
        arguments={"recurrent_activation": "act"},
        fixed={"activation": "tanh"},
    ),
    _twin(
        "IndRNNCell",
        "W | u | b",
        {"weight_hh": "", "vector_u": "u"},
        arguments={"activation": "act"},
        fixed={"recurrent_limit": None},
    ),
    _twin("JANETCell", "Wf Wg | Uf Ug | bf bg", {"beta": "=beta"}, fixed=_GATED),
    _twin("LiGRUCell", "Wz Wg | Uz Ug | bz bg", arguments=_OWN),
    _twin("MGUCell", "Wf Wg | Uf Ug | bf bg", arguments=_OWN, fixed={"variant": 0}),
    _twin(
        "MUT1Cell",
        "Wz Wr Wg | Ur Ug | bz br bg",
        {"bias_ih": "bz br 0", "bias_hh": "br bg"},
        fixed={**_GATED, "direct_input": False},
    ),
    _twin("MUT2Cell", _MUTATION, fixed={**_GATED, "direct_input": False}),
    _twin("MUT3Cell", _MUTATION, fixed=_GATED),
    _twin(
        "MultiplicativeLSTMCell",
        "Wi Wf Wg Wo Wm | Um | bi bf bg bo",
        {
            "weight_ih": "Wm Wi Wf Wg Wo",
            "weight_mh": "Vi Vf Vg Vo",
            "bias_ih": "0 bi bf bg bo",
            "bias_hh": "0",
            "bias_mh": "bi bf bg bo",
        },
        {"multiplicative": "Vi Vf Vg Vo"},
        fixed={**_LSTM, "squash_after": False},
    ),
    _twin(
        "NASCell",
        _NODES,
        fixed={**_GATED, "additive": True, "projection_units": None},
    ),
    _twin("OriginalLSTMCell", "Wi Wg Wo | Ui Ug Uo | bi bg bo", fixed=_LSTM),
    _twin(
        "PeepholeLSTMCell",
        _PLAIN_LSTM,
        {"weight_ph": "pi pf po"},
        {"peephole": "pi pf po"},
        arguments={**_OWN, "output_activation": "act"},
        vectors=("peephole",),
    ),
    _twin(
        "RANCell",
        "Wi Wf Wg | Ui Uf | bi bf",
        {"weight_ih": "Wg Wi Wf"},
        fixed=_GATED,
    ),
    _twin(
        "STARCell",
        "Wk Wg | Uk | bk bg",
        {"weight_ih": "Wg Wk", "bias_ih": "bg bk", "bias_hh": "bk"},
        fixed=_GATED,
    ),
    _twin(
        "UGRNNCell",
        "Wz Wg | Uz Ug | bz bg",
        {
            "weight_ih": "Wg Wz",
            "weight_hh": "Ug Uz",
            "bias_ih": "bg bz",
            "bias_hh": "bg bz",
        },
        fixed=_GATED,
    ),
    _twin(
        "UnICORNNCell",
        "W | u | b",
        {"weight_ch": "c"},
        {"control": "c"},
        arguments={"dt": "dt", "alpha": "alpha"},
        fixed={"activation": "tanh"},
    ),
    _twin(
        "WMCLSTMCell",
        _PLAIN_LSTM,
        {"weight_mh": "Vi Vf Vo", "bias_mh": "di df do"},
        {"memory_kernel": "Vi Vf Vo", "memory_bias": "di df do"},
        fixed=_LSTM,
    ),
)
_TWINS = {twin.cell: twin for twin in _ALL}
_OTHER_EQUATIONS = {
    "LEMCell": "it has z in the place of z' in h'",
    "MCLSTMCell": "it is an LSTM with a second output, and conserves no mass",
    "SCRNCell": "it hands its output on to the next step in place of h, and learns α",
}
"""Cells that have the same name in both, and are not the same."""
_ARRAYS = "|".join(dict.fromkeys(name for twin in _ALL for name in twin.theirs))
_NAMES = re.compile(rf"(?:cells\.\d+\.)?(?:{_ARRAYS})")


def from_torchrecurrent(source: Any, layers: Any, prefix: str = "") -> list[Weights]:
    """Return weights for layers of this package from those of torchrecurrent's.

    Both call their cells by the same names (`coRNNCell` is `CoRNNCell` here). Gates
    have another order there in some cells, and two biases where ours have one, which
    becomes their sum. Where theirs adds a bias and ours has none, it must be 0.

    What numbers do not tell is compared: the class, activations and arguments such as
    ε, if `source` is a module. A `state_dict` tells nothing of them. The cells of
    torchrecurrent 0.2.5 named LEM, MCLSTM and SCRN have other equations than ours.

    Args:
        source: the module, a layer or a cell or what holds one; or a `state_dict()`,
            tensors or arrays by name.
        layers: what the weights are for: the layer or cell of this package, built; of
            several layers a list.
        prefix: begin of the names, as in `from_torch`.

    Returns:
        One list of weights per cell, for `set_weights`.

    Raises:
        ValueError: names what is missing, unexpected or of the wrong shape, or is
            computed in another way.

    Example:
        >>> from custom_lstm.cells import UGRNNCell
        >>> cell = UGRNNCell(2)
        >>> cell.build((None, 3))
        >>> state_dict = {"weight_ih": np.ones((4, 3)), "weight_hh": np.ones((4, 2))}
        >>> state_dict |= {"bias_ih": np.array([1, 2, 3, 4]), "bias_hh": np.ones(4)}
        >>> [weights] = from_torchrecurrent(state_dict, cell)
        >>> weights[2]
        array([4., 5., 2., 3.])
    """
    cells = cells_in("`layers`", layers)
    found = under_prefix("`source`", state_of(source), prefix, _NAMES)
    groups = _by_layer(found.arrays)
    if len(groups) != len(cells):
        raise ValueError(
            f"{found.what} holds {len(groups)} cells; `layers` must be as many. "
            f"Received: {len(cells)}{found.note}"
        )
    modules = [
        (kind, module)
        for kind, module in modules_of(source, found.prefix, "torchrecurrent")
        if kind.endswith("Cell")
    ]
    twins = [_twin_of(*named) for named in cells]
    for (kind, module), (name, cell), twin in zip(modules, cells, twins, strict=False):
        _check_class(kind, name, cell)
        check_arguments(name, twin, module, cell)
    return [
        from_twin(f"{found.what}{start}", twin, arrays, name, cell, found.note)
        for (start, arrays), (name, cell), twin in zip(
            groups.items(), cells, twins, strict=True
        )
    ]


def to_torchrecurrent(
    layers: Any, prefix: str = "", cell: bool = False
) -> dict[str, np.ndarray]:
    """Return weights for a layer or cell of torchrecurrent from layers of this package.

    Of two biases that ours has as one, the first gets all and the second zeros. What
    are no weights, such as ε, are arguments there too, and yours to give.

    Args:
        layers: a layer or cell of this package, or a list of stacked ones.
        prefix: what the names shall begin with.
        cell: use the names of a cell, and not of the layer of that name.

    Returns:
        Arrays by name, for `load_state_dict`.

    Raises:
        ValueError: if torchrecurrent has no such cell, or if the layers make no layer
            there: they must be equal in class and units.

    Example:
        >>> from custom_lstm.cells import MGUCell
        >>> mgu = MGUCell(2)
        >>> mgu.build((None, 3))
        >>> {name: array.shape for name, array in to_torchrecurrent(mgu).items()}
        {'cells.0.weight_ih': (4, 3), 'cells.0.weight_hh': (4, 2),
         'cells.0.bias_ih': (4,), 'cells.0.bias_hh': (4,)}
    """
    cells = cells_in("`layers`", layers)
    if cell and len(cells) > 1:
        raise ValueError(f"`cell=True` must be for one cell. Received: {len(cells)}")
    made = [to_twin(name, _twin_of(name, own), own) for name, own in cells]
    first = cells[0][1]
    for (name, own), arrays in zip(cells[1:], made[1:], strict=True):
        shapes = {key: array.shape for key, array in arrays.items()}
        expected = {key: array.shape for key, array in made[0].items()}
        expected["weight_ih"] = expected["weight_ih"][0], first.units
        if cell_class(own) != cell_class(first) or shapes != expected:
            raise ValueError(
                f"{name} must be a {cell_class(first)} with arrays {expected}, to make "
                f"one layer with the first. Received: {cell_class(own)}, {shapes}"
            )
    return {
        f"{prefix}{'' if cell else f'cells.{index}.'}{name}": array
        for index, arrays in enumerate(made)
        for name, array in arrays.items()
    }


def _twin_of(what: str, cell: Any) -> Twin:
    name = cell_class(cell)
    if name not in _TWINS:
        reason = _OTHER_EQUATIONS.get(name)
        raise ValueError(
            f"{what}: torchrecurrent's cells do not compute what {name} does"
            + (f"; of its cell of that name, {reason}" if reason else "")
        )
    return _TWINS[name]


def _check_class(kind: str, what: str, cell: Any) -> None:
    if f"torchrecurrent {kind}" != _TWINS[cell_class(cell)].module:
        raise ValueError(
            f"{what} must be {kind[0].upper() + kind[1:]}, as the module is. "
            f"Received: {cell_class(cell)}"
        )


def _by_layer(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of each cell, by what their names begin with, for errors."""
    groups: dict[int, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        match = re.fullmatch(r"cells\.(\d+)\.(.*)", name, re.DOTALL)
        layer, own = (int(match[1]), match[2]) if match else (-1, name)
        groups.setdefault(layer, {})[own] = array
    return {
        f", cell {layer}" if layer >= 0 else "": groups[layer]
        for layer in sorted(groups)
    } or {"": {}}
