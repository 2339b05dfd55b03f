"""Hostile model files are refused, by us or by Keras, or have no effect.

Every case says by whom: `OURS` are `custom_lstm.loading` and what reads the file for
it, zipfile, json and h5py; `KERAS` is Keras's safe mode, as of Keras 3.15.
"""

import contextlib
import io
import json
import os
import pickle
import stat
import struct
import sys
import tempfile
import traceback
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest
from helpers import model_files as files

from custom_lstm import LSTM, cells
from custom_lstm.errors import UserError
from custom_lstm.files import add_checksum
from custom_lstm.loading import load_model
from custom_lstm.tasks.count_ones import model as counting
from custom_lstm.tasks.count_ones.options import Options as CountingOptions
from custom_lstm.tasks.digits.model import RECURRENT, build_compiled
from custom_lstm.tasks.digits.options import Config
from custom_lstm.tasks.showers import networks
from custom_lstm.tasks.showers import options as showers
from custom_lstm.tasks.walk_through import options as walk_through
from custom_lstm.tasks.walk_through import task as walk_task

layers = keras.layers
_watching: list[str] | None = None
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_ACTS = ("os.", "shutil.", "subprocess.", "socket.", "pickle.", "ctypes.", "tempfile.")
_MAKES = ("open ", "os.mkdir", "os.symlink", "os.link", "os.rename", "tempfile.mk")
_HARMLESS = ("os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.getxattr")


def _audit(event, arguments):
    """Note what would leave a trace, while a test watches."""
    if _watching is None:
        return
    if event == "open":
        path, mode, flags = arguments
        if flags & _WRITING or "secret" in str(path):
            _watching.append(f"open {path} {mode}")
    elif event.startswith(_ACTS) and event not in _HARMLESS:
        _watching.append(f"{event} {arguments}"[:200])


sys.addaudithook(_audit)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    load_model(files.write(folder / "warm.keras", files.good_members(folder)))
    return files.good_members(folder)


@pytest.fixture
def secret(tmp_path):
    """Return a file of somebody else's numbers."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as content:
        content["secret"] = np.full((3, files.UNITS), 42, "float32")
    return path


OURS, KERAS = "custom_lstm.loading", "Keras"


def refuser(error):
    """Who raised what became the one error."""
    frames = traceback.walk_tb(error.__cause__.__traceback__)
    modules = [frame.f_globals["__name__"] for frame, _ in frames]
    return KERAS if any(name.startswith("keras.") for name in modules) else OURS


@contextlib.contextmanager
def watched():
    """Yield what leaves a trace meanwhile, noted."""
    global _watching
    _watching = acts = []
    try:
        yield acts
    finally:
        _watching = None


def refused(path, reason, by=OURS):
    """Check that a file ends in the one error, with its reason, and nothing is done."""
    with watched() as acts, pytest.raises(UserError) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path} cannot be loaded as a model: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert refuser(caught.value) == by
    assert acts == []


def harmless(path, good, monkeypatch):
    """Check that it loads as the good model; what it wrote is gone with its folder."""
    folder = path.parent / "unpacked here"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = {*path.parent.rglob("*")}
    with warnings.catch_warnings(action="ignore"), watched() as acts:
        model = load_model(path)
    made = [act for act in acts if act.startswith(_MAKES)]
    assert [act for act in made if str(folder) not in act] == []
    assert {*path.parent.rglob("*")} == before
    with h5py.File(io.BytesIO(good[files.WEIGHTS])) as content:
        expected = [content[f"layers/dense/vars/{k}"][:] for k in range(2)]
    for array, stored in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(array, stored)


def test_the_model_is_good_before_it_is_spoilt(tmp_path, good):
    model = load_model(files.write(tmp_path / "good.keras", good))
    assert model.count_params() == 8


CODE = {"class_name": "__lambda__", "config": {"code": "4wAAAA==", "defaults": None}}
CODE["config"]["closure"] = None
RUNS_CODE = {
    "filepath": "folder",
    "call_endpoint": "x",
    "module": CODE,
    "method": None,
    "function": CODE,
    "call_fn": CODE,
    "init_fn": CODE,
}
"""Arguments with code in them, for layers of all kinds."""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("TFSMLayer", "the deserialization of a `TFSMLayer`, which loads an external"),
        ("JaxLayer", "the deserialization of a Python lambda"),
        ("FlaxLayer", "the deserialization of a Python lambda"),
        ("Lambda", "the deserialization of a `Lambda` layer"),
        ("NoSuchLayer", "'keras.layers.NoSuchLayer' because it is not a KerasSaveable"),
        ("deserialize", "Only instances of `keras.Layer` can be added"),
        (["Dense"], "unhashable type: 'list'"),
        ("__lambda__", "the deserialization of a Python lambda"),
        ("__typespec__", "__typespec__ class name"),
        ("__class__", "'keras.layers.__class__' because it is not a KerasSaveable"),
    ],
)
def test_layers_that_run_code_are_refused(tmp_path, good, name, reason):
    hostile = files.with_layer(good, name, RUNS_CODE)
    refused(files.write(tmp_path / "a.keras", hostile), reason, by=KERAS)


def test_a_module_of_torch_is_refused_before_torch_is_imported(tmp_path, good):
    """PyTorch must not be imported after TensorFlow."""
    hostile = files.with_layer(good, "TorchModuleWrapper", RUNS_CODE)
    imported = "torch" in sys.modules
    refused(files.write(tmp_path / "a.keras", hostile), "it holds a TorchModuleWrapper")
    assert ("torch" in sys.modules) == imported


LOCATE, SAVEABLE = "Could not locate ", "it is not a KerasSaveable subclass"
COMPUTES = "which does more than compute"


@pytest.mark.parametrize(
    ("module", "name", "reason", "by"),
    [
        ("os", "system", LOCATE, KERAS),
        ("builtins", "eval", LOCATE, KERAS),
        ("keras.callbacks", "LambdaCallback", COMPUTES, OURS),
        ("keras.utils", "PyDataset", COMPUTES, OURS),
        ("keras.src.layers.core.dense", "Dense", "missing 1 required", KERAS),
        ("keras.src.utils.file_utils", "get_file", SAVEABLE, KERAS),
        ("kerasx.layers", "Dense", LOCATE, KERAS),
        ("custom_lstm.layers.lstm", "LSTM", LOCATE, KERAS),
        ("custom_lstm.files", "add_checksum", LOCATE, KERAS),
        (None, "Dense", LOCATE, KERAS),
        (7, "Dense", "'int' object has no attribute 'startswith'", KERAS),
    ],
)
def test_classes_from_elsewhere_are_refused(tmp_path, good, module, name, reason, by):
    hostile = files.with_layer(good, name, module=module)
    refused(files.write(tmp_path / "a.keras", hostile), reason, by)


@pytest.mark.parametrize(
    ("module", "name", "reason", "by"),
    [
        ("keras.utils", "get_file", COMPUTES, OURS),
        ("keras.models", "load_model", "it is not a modeling function", KERAS),
        ("builtins", "eval", LOCATE, KERAS),
        ("os", "system", LOCATE, KERAS),
        ("keras.losses", "os.system", SAVEABLE, KERAS),
        ("keras.losses", "nothing", SAVEABLE, KERAS),
        ("keras.losses", 7, "non-null str", KERAS),
    ],
)
def test_functions_from_elsewhere_are_refused(tmp_path, good, module, name, reason, by):
    function = {"module": module, "class_name": "function", "config": name}
    hostile = files.with_dense(good, activation=function | {"registered_name": name})
    refused(files.write(tmp_path / "a.keras", hostile), reason, by)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.visualization", "plot_image_gallery"),
        ("keras", "visualization.plot_image_gallery"),
        ("keras.datasets.mnist", "load_data"),
        ("keras.config", "set_floatx"),
    ],
)
def test_functions_of_keras_that_write_or_download_are_refused(
    tmp_path, good, module, name
):
    """Keras hands them out, to be called with whatever a Lambda layer is given."""
    function = {"module": module, "class_name": "function", "config": name}
    arguments = {"path": str(tmp_path / "evil.png")}
    config = {"function": function, "arguments": arguments}
    hostile = files.with_layer(good, "Lambda", config)
    path = files.write(tmp_path / "a.keras", hostile)
    refused(path, f"it names {module}.{name}, {COMPUTES}")
    assert keras.saving.load_model(path).layers[-1].arguments == arguments


def test_registered_classes_need_a_trusted_package(tmp_path):
    @keras.saving.register_keras_serializable(package="homework")
    class Doubled(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    path = tmp_path / "a.keras"
    keras.Sequential([keras.Input((3,)), Doubled()]).save(path)
    refused(path, "it names homework>Doubled, of a package that is not trusted")
    assert load_model(path, packages=["homework"])(np.ones((1, 3)))[0, 0] == 2
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    disguised = members[files.CONFIG].replace(b"homework>", rb"homework\u003e")
    path = files.write(tmp_path / "b.keras", members | {files.CONFIG: disguised})
    refused(path, f"{LOCATE}class 'Doubled'", by=KERAS)
    assert load_model(path, packages=["homework"])


def test_a_live_lambda_is_not_run(tmp_path, good):
    """The code in this file does run where somebody asks Keras to be unsafe."""
    trace = tmp_path / "trace"
    code = f"lambda x: (__import__('pathlib').Path({str(trace)!r}).touch(), x)[1]"
    model = keras.Sequential([keras.Input((3,)), layers.Lambda(eval(code))])
    trace.unlink()
    with warnings.catch_warnings(action="ignore"):
        path = files.write(tmp_path / "a.keras", files.members_of(model, tmp_path))
    trace.unlink(missing_ok=True)
    refused(path, "the deserialization of a `Lambda` layer", by=KERAS)
    assert not trace.exists()
    keras.saving.load_model(path, safe_mode=False)
    assert trace.exists()


def test_a_vocabulary_is_not_read_from_a_file(tmp_path, good, secret):
    hostile = files.with_layer(good, "StringLookup", {"vocabulary": str(secret)})
    path = files.write(tmp_path / "a.keras", hostile)
    refused(path, "the loading of a vocabulary file outside", by=KERAS)


@pytest.mark.parametrize(
    ("change", "reason", "by"),
    [
        (lambda p: files.linked(h5py.ExternalLink(p, "secret")), "ExternalLink", KERAS),
        (lambda p: files.linked(h5py.SoftLink("/layers")), "with SoftLink", KERAS),
        (files.external, "H5 file with external Dataset", KERAS),
        (files.virtual, "H5 file with virtual Dataset", KERAS),
        (lambda p: files.declared((10**6, 10**6)), "its arrays declare 4000000", OURS),
        (
            lambda p: files.declared((10**9, 10**9), chunks=(9, 9)),
            "its arrays declare 4000000000",
            OURS,
        ),
        (
            lambda p: files.declared((9, 9), compression="gzip"),
            "value.shape=(9, 9)",
            KERAS,
        ),
        (lambda p: files.declared(None), "'NoneType' object is not iterable", KERAS),
        (lambda p: files.words, "could not convert string to float", KERAS),
        (lambda p: files.linked(np.dtype("float32")), "expected Dataset", KERAS),
        (
            lambda p: files.linked(np.ones((3, 1), "float32")),
            "value.shape=(3, 1)",
            KERAS,
        ),
    ],
)
def test_weights_from_outside_or_of_absurd_size_are_refused(
    tmp_path, good, secret, change, reason, by
):
    hostile = files.with_weights(good, change(secret))
    refused(files.write(tmp_path / "a.keras", hostile), reason, by)


def test_a_loop_of_weights_ends(tmp_path, good):
    path = files.write(tmp_path / "a.keras", files.with_weights(good, files.loop))
    assert load_model(path).count_params() == 8


@pytest.mark.parametrize("units", [10**9, 10**18])
def test_a_model_much_larger_than_its_weights_is_refused(tmp_path, good, units):
    path = files.write(tmp_path / "a.keras", files.with_dense(good, units=units))
    refused(path, f"it describes a model of {4 * units} numbers, and holds 8")


@pytest.mark.parametrize(
    "name",
    ["../evil", "/tmp/evil", "assets/../../evil", "assets\\..\\evil", "C:/evil"]
    + ["assets/./evil", "assets//evil", "assets/C:evil", "model.pkl", "assets", "data"]
    + ["model.weights.npz", "Config.json", "assets/a\nb/../../c"],
)
def test_members_with_other_names_have_no_effect(tmp_path, good, name, monkeypatch):
    path = files.write(tmp_path / "a.keras", {**good, name: b"evil"})
    harmless(path, good, monkeypatch)


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_a_link_as_a_member_has_no_effect(tmp_path, good, monkeypatch):
    path = files.write(tmp_path / "a.keras", {**good, link("assets/x"): "/etc/passwd"})
    harmless(path, good, monkeypatch)


def test_odd_packing_has_no_effect_and_encryption_is_refused(
    tmp_path, good, monkeypatch
):
    harmless(
        files.write(tmp_path / "b.keras", good, zipfile.ZIP_BZIP2), good, monkeypatch
    )
    path = files.write(tmp_path / "c.keras", good)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    refused(path, "File 'metadata.json' is encrypted")


@pytest.mark.parametrize("name", [*files.PARTS, "./config.json", "config.json/"])
def test_two_members_of_one_name_are_refused(tmp_path, good, name):
    path = files.write(tmp_path / "a.keras", good)
    with (
        warnings.catch_warnings(action="ignore"),
        zipfile.ZipFile(path, "a") as archive,
    ):
        archive.writestr(name, good[name.strip("./")])
    refused(path, "it holds two members of one name")


@pytest.mark.parametrize("lacking", [files.CONFIG, files.WEIGHTS])
def test_members_that_lack_are_said(tmp_path, good, lacking):
    rest = {name: content for name, content in good.items() if name != lacking}
    refused(files.write(tmp_path / "a.keras", rest), f"it holds no {lacking}")


@pytest.mark.parametrize("metadata", [{}, {files.METADATA: pickle.dumps({})}])
def test_metadata_have_no_effect(tmp_path, good, metadata, monkeypatch):
    rest = {n: content for n, content in good.items() if n != files.METADATA}
    harmless(files.write(tmp_path / "a.keras", rest | metadata), good, monkeypatch)


@pytest.mark.parametrize("name", ["assets/x", files.WEIGHTS, "config.json"])
def test_bombs_are_refused(tmp_path, good, name):
    hostile = good | {name: bytes(2**25)}
    path = files.write(tmp_path / "a.keras", hostile, zipfile.ZIP_DEFLATED)
    refused(path, f"its member {name} grows from ")


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ((2**32 - 2, 2**32 - 2), "have more bytes than the file"),
        ((2**30, 2**32 - 2), "have more bytes than the file"),
        ((8, 9), None),
        ((9, 9), "its member assets/x is damaged"),
    ],
)
def test_absurd_sizes_are_refused(tmp_path, good, sizes, reason, monkeypatch):
    path = files.write(tmp_path / "a.keras", good | {"assets/x": b"12345678"})
    content = bytearray(path.read_bytes())
    place = content.rindex(b"PK\1\2") + 20
    content[place : place + 8] = struct.pack("<II", *sizes)
    path.write_bytes(content)
    if reason:
        refused(path, reason)
    else:
        harmless(path, good, monkeypatch)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", b"[" * 10**6, "its config.json is no JSON"),
        ("config.json", b"[]", "its config.json is no JSON object"),
        ("config.json", b"{}", "it describes a dict, not a model"),
        ("config.json", b"\xff", "its config.json is no JSON"),
        ("config.json", b'{"a":' * 300 + b"1" + b"}" * 300, "describes a dict"),
        ("config.json", b'{"a":' * 900 + b"1" + b"}" * 900, "maximum recursion"),
        (files.WEIGHTS, b"", "cannot be loaded"),
        (files.WEIGHTS, pickle.dumps(np.ones(8)), "cannot be loaded"),
    ],
)
def test_members_of_another_kind_are_refused(tmp_path, good, name, content, reason):
    by = KERAS if "recursion" in reason else OURS
    refused(files.write(tmp_path / "a.keras", good | {name: content}), reason, by)


def test_what_is_no_archive_is_refused(tmp_path, good):
    keras.Sequential([keras.Input((3,)), layers.Dense(2)]).export(
        tmp_path / "saved.keras", verbose=False
    )
    refused(tmp_path / "saved.keras", "it is a folder, not a .keras file")
    content = files.write(tmp_path / "good.keras", good).read_bytes()
    with h5py.File(tmp_path / "old.h5", "w"):
        pass
    for name, made, reason in (
        ("old.h5", (tmp_path / "old.h5").read_bytes(), "does not end in .keras"),
        ("old.keras", (tmp_path / "old.h5").read_bytes(), "it is an HDF5 file"),
        ("p.keras", pickle.dumps([1]), "it is no zip archive"),
        ("polyglot.keras", pickle.dumps([1]) + content, "it is no zip archive"),
        ("text.keras", b"x" + content, "it is no zip archive"),
        ("empty.keras", b"", "it is no zip archive"),
        ("more.keras", content + b"x", "is damaged"),
        ("short.keras", b"PK\3\4", "is damaged"),
    ):
        (tmp_path / name).write_bytes(made)
        refused(tmp_path / name, reason)
    refused(tmp_path / "missing.keras", "there is no such file")
    os.mkfifo(tmp_path / "pipe.keras")
    refused(tmp_path / "pipe.keras", "it is not a regular file")


def same(ours, model):
    assert ours.count_params() == model.count_params()
    assert json.dumps(ours.get_config()) == json.dumps(model.get_config())
    for array, expected in zip(ours.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(array, expected)


def task_models():
    config = Config().replace(units=4, filters=(2,), features=3)
    for recurrent in RECURRENT:
        yield build_compiled(
            config.replace(recurrent=recurrent).resolve_defaults("mnist"), 3
        )
    for cell in cells.names():
        options = CountingOptions().resolve_defaults(cell)
        yield counting.build_compiled(options, 3)
    small = showers.Model(hidden_sizes=(4,), output_sizes=(2,), features=3)
    for name in ("lstm", "cnn"):
        yield networks.build_compiled(name, showers.Options(model=small), 3)
    yield walk_task.build_compiled(walk_through.Options())


def test_models_of_every_task_load(tmp_path):
    for number, model in enumerate(task_models()):
        path = tmp_path / f"{number}.keras"
        if model.compiled:
            model.optimizer.build(model.trainable_variables)
        model.save(path)
        add_checksum(path)
        same(load_model(path), model)


def test_models_of_keras_layers_load(tmp_path):
    x = keras.Input((6, 8))
    h = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(2 * x + 1)
    h = layers.RNN([layers.GRUCell(3), layers.LSTMCell(8)], return_sequences=True)(h)
    h = layers.MultiHeadAttention(2, 4)(h, keras.ops.relu(x))
    h = layers.TimeDistributed(layers.Dense(4, "gelu", kernel_constraint="max_norm"))(h)
    h = layers.LayerNormalization()(layers.BatchNormalization()(h))
    h = keras.ops.concatenate([h, LSTM(3, return_sequences=True)(h)], axis=-1)[:, -1]
    h = layers.Dense(3, kernel_regularizer="l2", dtype="mixed_bfloat16")(h)
    model = keras.Model(x, layers.Dropout(0.5, seed=1)(h))
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
    model.compile(
        keras.optimizers.AdamW(schedule, use_ema=True),
        loss=keras.losses.mean_squared_error,
        metrics=["mae", keras.metrics.R2Score()],
        run_eagerly=True,
    )
    model.fit(np.zeros((4, 6, 8)), np.zeros((4, 3)), verbose=0)
    model.save(tmp_path / "a.keras")
    ours = load_model(tmp_path / "a.keras")
    same(ours, model)
    assert int(ours.optimizer.iterations) == 1
    words = layers.TextVectorization(output_mode="tf_idf", vocabulary=None)
    words.adapt(["one two", "two three"])
    text = keras.Sequential([keras.Input((1,), dtype="string"), words])
    text.save(tmp_path / "b.keras")
    found = load_model(tmp_path / "b.keras").layers[0].get_vocabulary()
    assert found == words.get_vocabulary()


def test_no_room_to_unpack_is_said(tmp_path, good, monkeypatch):
    path = files.write(tmp_path / "a.keras", good | {"assets/x": b"1"})
    assert load_model(path)
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("custom_lstm.loading.shutil.disk_usage", lambda _: free)
    refused(path, "and 1000 are free")
