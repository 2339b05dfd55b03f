"""Hostile model files are refused before anything of them is used."""

import json
import os
import pickle
import stat
import sys
import warnings
import zipfile
from pathlib import Path

import h5py
import keras
import model_files as files
import numpy as np
import pytest

from custom_lstm import LSTM
from custom_lstm.errors import UserError
from custom_lstm.files import add_checksum
from custom_lstm.loading import load_model
from custom_lstm.tasks.counting import model as counting
from custom_lstm.tasks.counting.options import ADDING, CellName
from custom_lstm.tasks.counting.options import Options as CountingOptions
from custom_lstm.tasks.showers import networks
from custom_lstm.tasks.showers import options as showers
from custom_lstm.tasks.walk_through import options as walk_through
from custom_lstm.tasks.walk_through import session as walk_session
from custom_lstm.training.build import build_compiled
from custom_lstm.training.config import Config

layers = keras.layers
_watching: list[str] | None = None
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_ACTS = ("os.", "shutil.", "subprocess.", "socket.", "pickle.", "ctypes.", "tempfile.")
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
    """A file of somebody else's numbers."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as content:
        content["secret"] = np.full((3, files.UNITS), 42, "float32")
    return path


def refused(path, reason):
    """The one error, with its reason, and nothing done."""
    global _watching
    _watching = []
    try:
        with pytest.raises(UserError) as caught:
            load_model(path)
    finally:
        acts, _watching = _watching, None
    assert str(caught.value).startswith(f"{path} cannot be loaded as a model: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert acts == []


def test_the_model_is_good_before_it_is_spoilt(tmp_path, good):
    model = load_model(files.write(tmp_path / "good.keras", good))
    assert model.count_params() == 8


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("TFSMLayer", "it holds a TFSMLayer, which runs code from outside"),
        ("TorchModuleWrapper", "it holds a TorchModuleWrapper"),
        ("JaxLayer", "it holds a JaxLayer"),
        ("FlaxLayer", "it holds a FlaxLayer"),
        ("Lambda", "it holds a Lambda"),
        ("NoSuchLayer", "it names keras.layers.NoSuchLayer, which is neither"),
        ("deserialize", "it names keras.layers.deserialize, which is neither"),
        (["Dense"], "it names keras.layers.['Dense'], which is neither"),
        ("__lambda__", "it holds Python code (__lambda__)"),
        ("__typespec__", "it holds an unknown value (__typespec__)"),
        ("__class__", "it holds an unknown value (__class__)"),
    ],
)
def test_layers_that_run_code_are_refused(tmp_path, good, name, reason):
    hostile = files.with_layer(good, name, filepath=str(tmp_path), call_endpoint="x")
    refused(files.write(tmp_path / "a.keras", hostile), reason)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("keras.callbacks", "LambdaCallback"),
        ("keras.utils", "PyDataset"),
        ("keras.src.layers.core.dense", "Dense"),
        ("keras.src.utils.file_utils", "get_file"),
        ("kerasx.layers", "Dense"),
        ("custom_lstm.layers.lstm", "LSTM"),
        ("custom_lstm.files", "add_checksum"),
        (None, "Dense"),
        (7, "Dense"),
    ],
)
def test_classes_from_elsewhere_are_refused(tmp_path, good, module, name):
    hostile = files.with_layer(good, name, module=module)
    refused(files.write(tmp_path / "a.keras", hostile), f"it names {module}.{name}, ")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.utils", "get_file"),
        ("keras.models", "load_model"),
        ("builtins", "eval"),
        ("os", "system"),
        ("keras.losses", "os.system"),
        ("keras.losses", "nothing"),
        ("keras.losses", 7),
    ],
)
def test_functions_from_elsewhere_are_refused(tmp_path, good, module, name):
    function = {"module": module, "class_name": "function", "config": name}
    hostile = files.with_dense(good, activation=function | {"registered_name": name})
    refused(files.write(tmp_path / "a.keras", hostile), f"it names {module}.{name}, ")


def test_registered_classes_need_a_trusted_package(tmp_path):
    @keras.saving.register_keras_serializable(package="homework")
    class Doubled(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    keras.Sequential([keras.Input((3,)), Doubled()]).save(tmp_path / "a.keras")
    refused(tmp_path / "a.keras", "it names homework>Doubled, of a package that is not")
    assert load_model(tmp_path / "a.keras", packages=["homework"])(np.ones((1, 3)))[
        0, 0
    ]


def test_a_live_lambda_is_not_run(tmp_path, good):
    """The code in this file does run where somebody asks Keras to be unsafe."""
    trace = tmp_path / "trace"
    code = f"lambda x: (__import__('pathlib').Path({str(trace)!r}).touch(), x)[1]"
    model = keras.Sequential([keras.Input((3,)), layers.Lambda(eval(code))])
    trace.unlink()
    with warnings.catch_warnings(action="ignore"):
        path = files.write(tmp_path / "a.keras", files.members_of(model, tmp_path))
    trace.unlink(missing_ok=True)
    refused(path, "it holds a Lambda, which runs code from outside")
    assert not trace.exists()
    keras.saving.load_model(path, safe_mode=False)
    assert trace.exists()


def test_a_vocabulary_is_not_read_from_a_file(tmp_path, good, secret):
    hostile = files.with_layer(good, "StringLookup", vocabulary=str(secret))
    refused(files.write(tmp_path / "a.keras", hostile), "read a vocabulary from a file")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: files.linked(h5py.ExternalLink(p, "secret")), "are a link to"),
        (lambda p: files.linked(h5py.SoftLink("/layers")), "are a link"),
        (files.external, "are in the file"),
        (files.virtual, "are put together from other files"),
        (lambda p: files.declared((10**6, 10**6)), "its arrays declare 4000000"),
        (lambda p: files.declared((10**9, 10**9), chunks=(9, 9)), "are in pieces"),
        (lambda p: files.declared((9, 9), compression="gzip"), "are in pieces"),
        (lambda p: files.declared(None), "are no numbers"),
        (lambda p: files.words, "are no numbers"),
        (lambda p: files.linked(np.dtype("float32")), "are a Datatype"),
        (lambda p: files.linked(np.ones((3, 1), "float32")), "could not be loaded"),
    ],
)
def test_weights_from_outside_or_of_absurd_size_are_refused(
    tmp_path, good, secret, change, reason
):
    hostile = files.with_weights(good, change(secret))
    refused(files.write(tmp_path / "a.keras", hostile), reason)


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
    + ["model.weights.npz", "config.json/", "Config.json", "assets/a\nb/../../c"],
)
def test_members_with_other_names_are_refused(tmp_path, good, name):
    hostile = {**good, name: b"evil"}
    path = files.write(tmp_path / "a.keras", hostile)
    refused(path, f"it holds {name!r}, which is no part of a model")


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_odd_members_are_refused(tmp_path, good):
    path = files.write(tmp_path / "a.keras", {**good, link("assets/x"): "/etc/passwd"})
    refused(path, "its member assets/x is no ordinary file")
    path = files.write(tmp_path / "b.keras", good, zipfile.ZIP_BZIP2)
    refused(path, "is packed in an unusual way")
    path = files.write(tmp_path / "c.keras", good)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    refused(path, "its member metadata.json is encrypted")


def test_members_that_stand_twice_are_refused(tmp_path, good):
    path = files.write(tmp_path / "a.keras", good)
    with (
        warnings.catch_warnings(action="ignore"),
        zipfile.ZipFile(path, "a") as archive,
    ):
        archive.writestr("config.json", good["config.json"])
    refused(path, "it holds config.json twice")


@pytest.mark.parametrize("lacking", ["metadata.json", "config.json", files.WEIGHTS])
def test_members_that_lack_are_said(tmp_path, good, lacking):
    rest = {name: content for name, content in good.items() if name != lacking}
    refused(files.write(tmp_path / "a.keras", rest), f"it holds no {lacking}")


@pytest.mark.parametrize("name", ["assets/x", files.WEIGHTS, "config.json"])
def test_bombs_are_refused(tmp_path, good, name):
    hostile = good | {name: bytes(2**25)}
    path = files.write(tmp_path / "a.keras", hostile, zipfile.ZIP_DEFLATED)
    refused(path, f"its member {name} grows from ")


def test_absurd_sizes_are_refused(tmp_path, good):
    path = files.write(tmp_path / "a.keras", good | {"assets/x": b"12345678"})
    content = bytearray(path.read_bytes())
    sizes = content.rindex(b"PK\1\2") + 20
    for size, reason in (
        ((2**32 - 2, 2**32 - 2), "have more bytes than the file"),
        ((2**30, 2**32 - 2), "its member assets/x has two sizes"),
        ((8, 9), "its member assets/x has two sizes"),
        ((9, 9), "cannot be loaded"),
    ):
        for k, number in enumerate(size):
            content[sizes + 4 * k : sizes + 4 * k + 4] = number.to_bytes(4, "little")
        path.write_bytes(content)
        refused(path, reason)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", b"[" * 10**6, "its config.json is no JSON"),
        ("config.json", b"[]", "its config.json is no JSON object"),
        ("config.json", b"{}", "it describes a dict, not a model"),
        ("config.json", b"\xff", "its config.json is no JSON"),
        ("config.json", b'{"a":' * 300 + b"1" + b"}" * 300, "is nested over 200 deep"),
        ("metadata.json", pickle.dumps({}), "its metadata.json is no JSON"),
        (files.WEIGHTS, b"", "cannot be loaded"),
        (files.WEIGHTS, pickle.dumps(np.ones(8)), "cannot be loaded"),
    ],
)
def test_members_of_another_kind_are_refused(tmp_path, good, name, content, reason):
    refused(files.write(tmp_path / "a.keras", good | {name: content}), reason)


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
        ("p.keras", pickle.dumps([1]), "it is a pickle"),
        ("polyglot.keras", pickle.dumps([1]) + content, "it is a pickle"),
        ("text.keras", b"x" + content, "it is no zip archive"),
        ("empty.keras", b"", "it is no zip archive"),
        ("more.keras", content + b"x", "is damaged"),
        ("short.keras", b"PK\3\4", "is damaged"),
    ):
        (tmp_path / name).write_bytes(made)
        refused(tmp_path / name, reason)
    refused(tmp_path / "missing.keras", "there is no such file")
    os.mkfifo(tmp_path / "pipe.keras")
    refused(tmp_path / "pipe.keras", "it is no ordinary file")


def same(ours, model):
    assert ours.count_params() == model.count_params()
    assert json.dumps(ours.get_config()) == json.dumps(model.get_config())
    for array, expected in zip(ours.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(array, expected)


def task_models():
    config = Config().replace(units=4, filters=(2,), features=3).settled("digits")
    for recurrent in ("cell", "layer", "keras"):
        yield build_compiled(config.replace(recurrent=recurrent), 3)
    for cell in CellName.__args__:
        yield counting.build_compiled(CountingOptions().of_cell(cell), 3)
    small = showers.Model(hidden_sizes=(4,), output_sizes=(2,), features=3)
    for name in ("lstm", "cnn"):
        yield networks.build_compiled(name, showers.Options(model=small), 3)
    yield walk_session.build_compiled(walk_through.Options())


def test_models_of_every_task_load(tmp_path):
    assert ADDING
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
    refused(Path(path), "and 1000 are free")
