"""The page's server answers this machine's page alone, and says what was wrong."""

import numpy as np
import pytest

from custom_lstm.tasks.demo.networks import PAGE, OnnxNetwork, advance, shipped

HERE = "http://127.0.0.1:8077"
SAMPLES = np.frombuffer((PAGE / "samples.bin").read_bytes(), np.uint8)
LABELS, IMAGES = SAMPLES[:400], SAMPLES[400:].reshape(400, 28 * 28)


@pytest.fixture(scope="module")
def networks():
    pytest.importorskip("onnxruntime", reason="the extra `demo` is missing")
    return [OnnxNetwork(about) for about in shipped()["networks"]]


@pytest.fixture(scope="module")
def client(networks):
    testclient = pytest.importorskip("starlette.testclient", exc_type=ImportError)
    from custom_lstm.tasks.demo.server import application

    return testclient.TestClient(application(networks), base_url=HERE)


def initial(network):
    return np.array(network.about["initial"], "<f4")


def test_the_networks_that_come_with_the_page_read_as_it_says(networks):
    rows = [advance(one, initial(one), IMAGES)[:, 0] for one in networks]
    signs = np.where(np.arange(400) % 2, -1, 1)
    truth = np.cumsum(signs * LABELS.astype(int))
    read = [signs * np.diff(np.rint(totals), prepend=0) == LABELS for totals in rows]
    assert read[0].mean() > 0.98
    assert all((np.rint(totals) == truth)[:4].all() for totals in rows)
    assert read[1][:4].all() and read[1][8:].mean() < 0.6  # plain: at four digits alone


def test_rows_are_those_of_the_network_at_any_cut(client, networks):
    for number, network in enumerate(networks):
        expected = advance(network, initial(network), IMAGES[:5])
        states, rows = initial(network), []
        for piece in (IMAGES[:3], IMAGES[3:5]):
            body = states.tobytes() + piece.tobytes()
            answer = client.post(f"/advance/{number}", content=body)
            rows += [*np.frombuffer(answer.content, "<f4").reshape(len(piece), -1)]
            states = rows[-1][1 : 1 + len(states)]
        np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_all_networks_are_asked_at_once(client, networks):
    states = b"".join(initial(network).tobytes() for network in networks)
    answer = client.post("/advance", content=states + IMAGES[:3].tobytes())
    expected = [advance(one, initial(one), IMAGES[:3]) for one in networks]
    found = np.frombuffer(answer.content, "<f4")
    np.testing.assert_allclose(
        found, np.concatenate([np.ravel(rows) for rows in expected]), atol=1e-5
    )
    short = client.post("/advance", content=states[:-4] + IMAGES[:1].tobytes())
    assert short.status_code == 400 and "784 for each image" in short.json()["error"]


@pytest.mark.parametrize("path", ["/", "/session.json", "/js/app.js"])
def test_the_page_is_there(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),  # the request itself is empty
        ({"origin": HERE}, 400),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_other_origins_are_refused(client, headers, status):
    for path in ("/advance", "/advance/0", "/model", "/series"):
        answer = client.post(path, headers=headers, content=b"")
        assert answer.status_code == status


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8077", "127.0.0.1.evil"]
)
def test_other_names_of_this_machine_are_refused(client, host):
    assert client.get("/session.json", headers={"host": host}).status_code == 400


def test_wrong_requests_are_refused_with_a_reason(client, networks):
    states = initial(networks[0]).tobytes()
    short = client.post("/advance/0", content=states + b"123")
    assert short.status_code == 400 and "784 for each image" in short.json()["error"]
    wild = np.full(len(states) // 4, np.nan, "<f4").tobytes() + bytes(784)
    assert "finite" in client.post("/advance/0", content=wild).json()["error"]
    assert client.post("/advance/2", content=states + bytes(784)).status_code == 404
    large = client.post("/advance/0", content=bytes(2**22 + 1))
    assert large.status_code == 413
    assert client.get("/advance/0").status_code == 404
    assert client.get("/../options.py").status_code == 404
    none = client.post("/series", content=b"1")
    assert "no model yet" in none.json()["error"]


def test_a_file_that_is_no_model_is_refused_by_its_name(client):
    answer = client.post("/model?name=mine.keras", content=b"no model")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("mine.keras cannot be loaded as a model")


def test_what_a_model_raises_reaches_the_page(client, tmp_path):
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [keras.Input((None, 2)), keras.layers.Reshape((-1, 4)), keras.layers.GRU(3)]
    )
    model.save(tmp_path / "mine.keras")
    content = (tmp_path / "mine.keras").read_bytes()
    assert client.post("/model?name=mine.keras", content=content).status_code == 200
    assert client.post("/series", content=b"1 2\n3 4").status_code == 200
    answer = client.post("/series", content=b"1 2\n3 4\n5 6")
    assert answer.status_code == 400
    said = answer.json()["error"]
    assert said.startswith("mine.keras raised ") and "eshape" in said
    assert "\n" not in said


class Failing:
    """A network that cannot compute."""

    about = shipped()["networks"][0]

    def encode(self, images):
        raise RuntimeError("out of\nmemory")


def test_a_failure_of_the_server_is_a_line_too():
    testclient = pytest.importorskip("starlette.testclient", exc_type=ImportError)
    from custom_lstm.tasks.demo.server import application

    client = testclient.TestClient(
        application([Failing()]), base_url=HERE, raise_server_exceptions=False
    )
    answer = client.post("/advance/0", content=initial(Failing).tobytes() + bytes(784))
    assert answer.status_code == 500
    assert answer.json()["error"] == "the server failed: RuntimeError: out of memory"
    assert "nosniff" in answer.headers["x-content-type-options"]
