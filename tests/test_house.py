"""The house: imports go one way down, and each backend's own API keeps to its file."""

import ast
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1] / "custom_lstm"
FLOORS = [  # from the ground up: a room imports from rooms that stand before it
    *("errors", "files", "described", "tyro_text", "options", "completion"),
    *("heads", "cells", "convert", "data", "plots", "loading"),
    *("kernels", "layers", "tracing", "models", "checking", "streaming"),
    *("__init__", "training", "tasks", "command"),
]
ABOVE = {"__init__", "training", "tasks", "command"}
ASIDE = {"data", "plots"}  # what is read and what is drawn: for those above alone
BACKENDS = {"tensorflow", "tf_keras", "jax", "torch"}
MAY_USE_BACKENDS = {
    "checking/backends.py",  # gradients, for which keras.ops has no word
    "kernels/cudnn.py",
    "kernels/jax_lstm.py",
    "kernels/pytorch_lstm.py",
    "kernels/tensorflow_batch_norm.py",
    "kernels/tensorflow_loop.py",
    "kernels/tensorflow_lstm.py",
}
ON_TENSORFLOW = ("data", "loading", "training", "tasks")


def _imported(path):
    """The dotted name of everything that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(name):
    """The room that `custom_lstm.name...` stands in."""
    _, *parts = name.split(".")
    return parts[0] if parts and parts[0] in FLOORS else "__init__"


MODULES = {
    path.relative_to(HOUSE).as_posix(): set(_imported(path))
    for path in sorted(HOUSE.rglob("*.py"))
}
ROOMS = {}
for _path, _names in MODULES.items():
    _own = _path.partition("/")[0].removesuffix(".py")
    ROOMS.setdefault(_own, set()).update(
        _room(name) for name in _names if name.partition(".")[0] == "custom_lstm"
    )


def test_every_room_has_its_floor():
    assert set(ROOMS) == set(FLOORS)
    assert ROOMS["layers"] >= {"cells", "kernels"}  # the imports are seen at all


@pytest.mark.parametrize("room", FLOORS)
def test_imports_go_down(room):
    below = set(FLOORS[: FLOORS.index(room) + 1])
    assert ROOMS[room] <= below


@pytest.mark.parametrize("room", [room for room in FLOORS if room not in ABOVE])
def test_the_layers_know_neither_data_nor_pictures(room):
    assert not (ROOMS[room] & ASIDE) - {room}


@pytest.mark.parametrize("path", MODULES)
def test_keras_is_spoken_in_public(path):
    assert not [name for name in MODULES[path] if name.startswith("keras.src")]
    if path not in MAY_USE_BACKENDS and not path.startswith(ON_TENSORFLOW):
        assert not {name.partition(".")[0] for name in MODULES[path]} & BACKENDS
