"""The live page, offered by its server and as plain files, and a browser for it."""

import contextlib
import functools
import http.server
import os
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "docs" / "live" / "node_modules" / "onnxruntime-web"


@pytest.fixture(scope="session")
def chromium():
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is missing")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no Chromium: none of {', '.join(names)} is on the PATH")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"] if root else []
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def served():
    """Run the page's server; yield its address."""
    uvicorn = pytest.importorskip("uvicorn", reason="the extra `demo` is missing")
    pytest.importorskip("onnxruntime", reason="the extra `demo` is missing")
    from custom_lstm.tasks.demo.networks import OnnxNetwork, shipped
    from custom_lstm.tasks.demo.server import application

    app = application([OnnxNetwork(about) for about in shipped()["networks"]])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        run = functools.partial(server.run, sockets=[listening])
        thread = threading.Thread(target=run)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A plain web server that logs nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def static(folder):
    """Write the page as plain files, and offer them; yield the address."""
    from custom_lstm.tasks.demo.task import write

    if not RUNTIME.is_dir():
        pytest.skip("no runtime: run `npm ci --prefix docs/live`")
    write(folder, runtime=RUNTIME)
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def server():
    with served() as address:
        yield address


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    with static(tmp_path_factory.mktemp("page")) as address:
        yield address


@pytest.fixture
def page(chromium, request):
    """The page, ready; a test fails if its console shows an error.

    Its server offers it, or what `parametrize("page", [...], indirect=True)` names; a
    "broken server" must show errors.
    """
    offered = getattr(request, "param", "server")
    address = request.getfixturevalue(offered.removeprefix("broken "))
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append((message.type, message.text)))
    page.on("pageerror", lambda error: said.append(("error", str(error))))
    page.goto(f"{address}?seed=1")
    page.wait_for_selector("body[data-ready=true]")
    yield page
    context.close()
    errors = [text for kind, text in said if kind in ("error", "warning")]
    assert bool(errors) == offered.startswith("broken"), errors
