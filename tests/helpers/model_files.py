"""Model files as somebody might make them who means harm."""

import io
import json
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

PARTS = METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
UNITS = 2


def members_of(model: keras.Model, folder: Path) -> dict[str, bytes]:
    """Return the members of a model's file, by name."""
    model.save(folder / "members.keras")
    with zipfile.ZipFile(folder / "members.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def good_members(folder: Path) -> dict[str, bytes]:
    layers = [keras.Input((3,)), keras.layers.Dense(UNITS, name="dense")]
    return members_of(keras.Sequential(layers), folder)


def write(path: Path, members, packing=zipfile.ZIP_STORED) -> Path:
    """Write members, by name or as pairs of a ZipInfo or name and content."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in dict(members).items():
            archive.writestr(name, content)
    return path


def with_layer(members, class_name, config=None, module="keras.layers"):
    """Return the same with another layer behind."""
    content = json.loads(members[CONFIG])
    layer = {"module": module, "class_name": class_name, "registered_name": None}
    common = {"name": "other", "trainable": True, "dtype": "float32"}
    layer["config"] = common | (config or {})
    content["config"]["layers"].append(layer)
    return members | {CONFIG: json.dumps(content).encode()}


def with_dense(members, **changes):
    """Return the same with other arguments of its layer."""
    content = json.loads(members[CONFIG])
    content["config"]["layers"][1]["config"].update(changes)
    return members | {CONFIG: json.dumps(content).encode()}


def with_weights(members, change):
    """Return the same with changed weights: `change(file, path of the kernel)`."""
    file = io.BytesIO(members[WEIGHTS])
    with h5py.File(file, "r+") as content:
        change(content, "layers/dense/vars/0")
    return members | {WEIGHTS: file.getvalue()}


def linked(link):
    """Put a link where the kernel was."""

    def change(content, kernel):
        del content[kernel]
        content[kernel] = link

    return change


def external(path):
    """Let the kernel lie in another file."""

    def change(content, kernel):
        del content[kernel]
        where = [(str(path), 0, h5py.h5f.UNLIMITED)]
        content.create_dataset(kernel, (3, UNITS), "float32", external=where)

    return change


def virtual(path):
    """Let the kernel be a view of another file."""

    def change(content, kernel):
        del content[kernel]
        layout = h5py.VirtualLayout((3, UNITS), "float32")
        layout[:] = h5py.VirtualSource(str(path), "secret", (3, UNITS))
        content.create_virtual_dataset(kernel, layout)

    return change


def declared(shape, **options):
    """Let the kernel have another shape, of which nothing is stored."""

    def change(content, kernel):
        del content[kernel]
        content.create_dataset(kernel, shape, "float32", **options)

    return change


def words(content, kernel):
    """Let the kernel hold strings."""
    del content[kernel]
    content[kernel] = np.array([["a"] * UNITS] * 3, object)


def loop(content, kernel):
    """Let a group hold itself."""
    content["layers/dense/again"] = content["layers"]
