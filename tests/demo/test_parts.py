"""Networks taken apart, series, and the page as plain files."""

import json
import socket
import sys

import keras
import numpy as np
import pytest

import custom_lstm
from custom_lstm.errors import UserError
from custom_lstm.tasks.demo import task
from custom_lstm.tasks.demo.models import load
from custom_lstm.tasks.demo.networks import OnnxNetwork, advance
from custom_lstm.tasks.demo.options import Options
from custom_lstm.tasks.demo.parts import take_apart
from custom_lstm.tasks.demo.series import Series, read_csv
from custom_lstm.tasks.digits.model import Head, build_model

RNG = np.random.default_rng(0)
SMALL = {"units": 8, "filters": (4,), "features": 5}


def network(recurrent="carousel", symbols=0, **options):
    keras.utils.set_random_seed(1)
    head = Head("value", -9, 9, symbols=symbols)
    return build_model(head, recurrent=recurrent, **SMALL, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"views": 5},
        {"symbols": 4},
        {"symbols": 4, "views": 5},
        {"recurrent": "cell"},
        {"recurrent": "layer"},
        {"recurrent": "keras"},
    ],
    ids=str,
)
def test_its_steps_give_what_the_whole_network_gives(options):
    model = network(**options)
    apart = take_apart(model, {"id": "mine"})
    images = RNG.integers(0, 256, (6, 28 * 28), "uint8")
    rows = advance(apart, np.array(apart.about["initial"], "float32"), images)
    whole = model.predict(images.reshape(1, 6, 28, 28, 1), verbose=0)[0, :, 0]
    np.testing.assert_allclose(rows[:, 0], whole, atol=1e-4)


def test_what_it_shows_is_what_trace_shows():
    model = network()
    apart = take_apart(model, {"id": "mine"})
    images = RNG.integers(0, 256, (4, 28 * 28), "uint8")
    rows = advance(apart, np.array(apart.about["initial"], "float32"), images)
    begin = 1 + sum(apart.about["states"])
    traced = custom_lstm.trace(model, images.reshape(1, 4, 28, 28, 1), layer="core")
    for name, width in apart.about["shown"].items():
        shown = rows[:, begin : begin + width]
        np.testing.assert_allclose(shown, traced[name][0], atol=1e-4, err_msg=name)
        begin += width
    assert begin == rows.shape[1]
    carousels = traced["c"][0][:, :6]  # which add up to the total
    total = carousels @ np.array(apart.about["readout"])
    assert abs(np.diff(total) - np.diff(rows[:, 0])).max() <= 0.5 + 1e-4


@pytest.mark.parametrize(
    "model",
    [
        lambda: build_model(Head("totals", -9, 9), **SMALL),
        lambda: network(ensemble_size=2),
        lambda: keras.Sequential([keras.Input((4, 28, 28, 1)), keras.layers.Flatten()]),
    ],
)
def test_other_networks_are_refused_by_their_layers(model):
    made = model()
    with pytest.raises(UserError, match=f"layers.*{made.layers[-1].name}"):
        take_apart(made, {"id": "mine"})


def series_model(layer, **options):
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [keras.Input((None, 2)), layer(4, **options), keras.layers.Dense(3)]
    )


@pytest.mark.parametrize(
    "layer", [keras.layers.LSTM, keras.layers.GRU, custom_lstm.LSTM]
)
def test_a_series_gets_the_output_of_its_model_and_every_gate(layer):
    model = series_model(layer, return_sequences=True)
    before = model.get_weights()
    made = Series(model, "mine").read("a,b\n1,2\n3,4\n5,6\n")
    expected = model.predict(np.array([[[1, 2], [3, 4], [5, 6.0]]]), verbose=0)[0]
    np.testing.assert_allclose(made["output"], expected, atol=1e-5)
    gates = {"update", "reset"} if layer is keras.layers.GRU else {"input", "forget"}
    assert gates < {*made["shown"]}
    assert all(np.shape(rows) == (3, 4) for rows in made["shown"].values())
    for array, same in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(array, same)


def test_a_model_of_one_output_gives_one_row():
    made = Series(series_model(keras.layers.LSTM), "mine").read("1 2\n3 4")
    assert np.shape(made["output"]) == (1, 3)


def test_indices_are_a_series_too():
    model = keras.Sequential(
        [keras.Input((None,), dtype="int32"), keras.layers.Embedding(9, 3)]
        + [custom_lstm.GRU(2)]
    )
    assert Series(model, "mine").about["width"] == 1
    assert np.shape(Series(model, "mine").read("1\n8\n3")["shown"]["h"]) == (3, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1 to 20000 rows"),
        ("a,b", "1 to 20000 rows"),
        ("1,2\n3", "line 2 has 1 columns; the first has 2"),
        ("1,2\n3,x", "line 2, column 2: 'x' is no number"),
        ("1\n\n1e99", "line 3, column 1: '1e99' is no number"),
        ("nan", "1 to 20000 rows"),
        ("1\n2", "mine takes 2 columns; the series has 1"),
    ],
)
def test_what_is_no_series_is_refused_with_its_place(text, said):
    with pytest.raises(UserError, match=said):
        Series(series_model(keras.layers.LSTM), "mine").read(text)


def pairs_model():
    """A model that takes an even number of steps."""
    return keras.Sequential(
        [keras.Input((None, 2)), keras.layers.Reshape((-1, 4)), custom_lstm.GRU(3)]
    )


def test_what_a_model_raises_is_said_in_a_line():
    series = Series(pairs_model(), "mine")
    assert np.shape(series.read("1 2\n3 4")["shown"]["h"]) == (1, 3)
    with pytest.raises(UserError, match=r"^mine raised \w+: .*[Rr]eshape") as caught:
        series.read("1 2\n3 4\n5 6")
    assert "\n" not in str(caught.value)


def test_indices_are_whole_numbers_and_within_the_table():
    model = keras.Sequential(
        [keras.Input((None,), dtype="int32"), keras.layers.Embedding(5, 3)]
        + [custom_lstm.GRU(2)]
    )
    with pytest.raises(UserError, match=r"mine takes whole numbers, not 2\.5"):
        Series(model, "mine").read("1\n2.5")
    if keras.backend.backend() != "jax":  # JAX clips an index
        with pytest.raises(UserError, match=r"^mine raised .*\b(7|index)\b"):
            Series(model, "mine").read("1\n7")


@pytest.mark.parametrize(
    "text", ["1,2\n3,4", "x;y\n1; 2\n3;4", "1\t2\n3\t4", "1  2\r\n3 4\r\n"]
)
def test_csv_is_read_with_any_mark(text):
    np.testing.assert_array_equal(read_csv(text), [[1, 2], [3, 4]])


def test_models_that_no_series_fits_are_refused():
    two = keras.Sequential(
        [keras.Input((None, 2)), custom_lstm.LSTM(3, return_sequences=True)]
        + [custom_lstm.LSTM(3)]
    )
    with pytest.raises(UserError, match="one recurrent layer; it has lstm.*, lstm"):
        Series(two, "mine")
    images = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    with pytest.raises(UserError, match="must have one input"):
        Series(images, "mine")
    x = keras.Input((None, 2))
    forked = keras.Model(x, [custom_lstm.GRU(3)(x), keras.layers.Dense(1)(x)])
    with pytest.raises(UserError, match="must have one output; it has 2"):
        Series(forked, "mine")


def test_files_and_runs_are_told_apart(tmp_path):
    digits, series = tmp_path / "digits.keras", tmp_path / "series.keras"
    network().save(digits)
    series_model(keras.layers.LSTM).save(series)
    run = tmp_path / "run"
    run.mkdir()
    network("layer").save(run / "model.keras")
    options = {"recurrent": "layer", "length": 6, "start": -1}
    (run / "config.json").write_text(json.dumps({"task": "digits", "options": options}))
    (own,), other = load([digits, series])
    assert own.about["title"] == "digits.keras" and other.name == "series.keras"
    (own,), other = load([run])
    assert own.about["title"] == "Plain LSTM" and own.about["start"] == -1
    assert own.about["note"] == "trained on sums of 6 digits" and other is None
    with pytest.raises(UserError, match="one model for series"):
        load([series, series])
    with pytest.raises(UserError, match="no run folder"):
        load([tmp_path / "none"])


@pytest.fixture
def runtime(tmp_path):
    (tmp_path / "package" / "dist").mkdir(parents=True)
    for name in task.RUNTIME:
        (tmp_path / "package" / "dist" / name).write_text(name)
    return tmp_path / "package"


def test_plain_files_hold_the_page_and_what_runs_it(tmp_path, runtime):
    task.write(tmp_path / "page", runtime=runtime)
    names = {path.name for path in (tmp_path / "page").rglob("*")}
    assert {"index.html", "app.js", "session.json", *task.RUNTIME} <= names
    assert not json.loads((tmp_path / "page" / "session.json").read_text())["server"]


def test_a_missing_runtime_is_said_with_the_command_that_brings_it(tmp_path):
    with pytest.raises(UserError, match="npm ci --prefix docs/live"):
        task.write(tmp_path / "page", runtime=tmp_path)
    assert not (tmp_path / "page").exists()


def test_a_model_for_series_is_not_written_as_plain_files(tmp_path, runtime):
    series_model(keras.layers.LSTM).save(tmp_path / "series.keras")
    words = [f"{tmp_path}/series.keras", "--static", f"{tmp_path}/page"]
    with pytest.raises(UserError, match="networks of digits alone"):
        task.main(Options.parse([*words, "--runtime", str(runtime)]))
    assert not (tmp_path / "page").exists()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="by tf2onnx")
@pytest.mark.filterwarnings("ignore")  # of Keras's exporter
def test_plain_files_hold_ones_own_network(tmp_path, runtime):
    pytest.importorskip("tf2onnx")
    own = take_apart(network(), {"id": "mine", "title": "Mine", "start": 1})
    task.write(tmp_path / "page", [own], runtime)
    (about,) = json.loads((tmp_path / "page" / "session.json").read_text())["networks"]
    written = OnnxNetwork(about, tmp_path / "page" / "networks")
    initial = np.array(about["initial"], "float32")
    images = RNG.integers(0, 256, (3, 28 * 28), "uint8")
    rows = [advance(one, initial, images) for one in (own, written)]
    np.testing.assert_allclose(*rows, atol=1e-4)
    assert len([*(tmp_path / "page" / "networks").glob("*.onnx")]) == 2


def test_two_networks_of_ones_own_answer_one_request_side_by_side():
    testclient = pytest.importorskip("starlette.testclient", exc_type=ImportError)
    from custom_lstm.tasks.demo.server import application

    models = network(), network("layer")
    own = [take_apart(model, {"id": "a", "title": "A"}) for model in models]
    address = "http://127.0.0.1:8077"
    client = testclient.TestClient(application(own), base_url=address)
    states = np.concatenate([one.about["initial"] for one in own]).astype("<f4")
    for _ in range(5):
        images = RNG.integers(0, 256, (3, 28 * 28), "uint8")
        content = states.tobytes() + images.tobytes()
        answer = client.post("/advance", content=content).content
        found = np.split(np.frombuffer(answer, "<f4"), [3 * len(columns(own[0]))])
        for rows, model in zip(found, models, strict=True):
            whole = model.predict(images.reshape(1, 3, 28, 28, 1), verbose=0)
            totals = rows.reshape(3, -1)[:, 0]
            np.testing.assert_allclose(totals, whole[0, :, 0], atol=1e-4)


def columns(network):
    """Every number of a row: the total, the states and what is shown."""
    about = network.about
    return range(1 + sum(about["states"]) + sum(about["shown"].values()))


def test_options_that_exclude_each_other_are_refused():
    with pytest.raises(UserError, match="one or two networks, not 3"):
        Options.parse(["a", "b", "c"])
    with pytest.raises(UserError, match="--runtime needs --static"):
        Options.parse(["--runtime", "x"])


@pytest.mark.parametrize("package", ["uvicorn", "starlette"])
def test_what_the_server_lacks_is_said_before_a_model_is_loaded(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{package} .*custom_lstm\[demo\]"):
        task.main(Options.parse(["no/such/run"]))


def test_a_port_that_is_taken_is_said():
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = Options(port=taken.getsockname()[1], browser=False)
        with pytest.raises(UserError, match="port .* choose another by --port"):
            task.serve(options, [])
