"""Run the page's server, or write the page as plain files."""

import importlib
import json
import shutil
import socket
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from custom_lstm import program
from custom_lstm.errors import UserError
from custom_lstm.extras import extra
from custom_lstm.files import writing
from custom_lstm.tasks.demo.networks import PAGE, Network, OnnxNetwork, shipped
from custom_lstm.tasks.demo.options import Options

HOST = "127.0.0.1"
RUNTIME = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
"""Files of onnxruntime-web that the page needs where no server answers."""


def main(options: Options, tasks: Any = None) -> int:
    """Serve the page until Ctrl-C, or write it; return the exit code, 0.

    Raises:
        UserError: what the page needs is not installed, a model is none that it can
            show, the port is taken, or the folder cannot be written.
    """
    if options.static is not None:
        networks = _of(options.networks)[0] if options.networks else None
        if networks == []:
            raise UserError(
                "plain files hold networks of digits alone: a model for series needs "
                f"the server, `{program.name()} demo` without --static"
            )
        write(options.static, networks, options.runtime)
        print(f"The page is in {options.static}; any web server can offer it, such as")
        print(f"  python -m http.server --directory {options.static}")
        return 0
    with extra("demo"):  # said before models are loaded, which takes a while
        importlib.import_module("uvicorn")
        importlib.import_module("starlette")
    if options.networks:
        networks, series = _of(options.networks)
    else:
        networks, series = [OnnxNetwork(about) for about in shipped()["networks"]], None
    serve(options, networks, series)
    return 0


def serve(options: Options, networks: Sequence[Network], series: Any = None) -> None:
    """Serve the page on this machine until Ctrl-C.

    Args:
        options: port and browser.
        networks: what answers when digits are drawn.
        series: the model for series, if any.

    Raises:
        UserError: a package is missing, or the port is taken.
    """
    with extra("demo"):
        import uvicorn

        from custom_lstm.tasks.demo.server import application
    try:
        listening = socket.create_server((HOST, options.port))
    except OSError as error:
        raise UserError(
            f"port {options.port}: {error.strerror}; choose another by --port, or any "
            "by --port 0"
        ) from error
    with listening:
        url = f"http://{HOST}:{listening.getsockname()[1]}/"
        print(f"The page is at {url} - Ctrl-C ends it", flush=True)
        if options.browser:
            webbrowser.open(url)
        config = uvicorn.Config(application(networks, series), log_level="warning")
        uvicorn.Server(config).run(sockets=[listening])


def write(
    folder: Path, networks: Sequence[Any] | None = None, runtime: Path | None = None
) -> None:
    """Write the page as plain files, with the network and what runs it in a browser.

    Args:
        folder: where to; made if it is missing.
        networks: `KerasNetwork`s to export; by default those that come with the page.
        runtime: folder of the npm package onnxruntime-web.

    Raises:
        UserError: the runtime is not there, or the folder cannot be written.
    """
    own = Path("docs") / "live" / "node_modules" / "onnxruntime-web"
    dist = (own if runtime is None else runtime) / "dist"
    missing = [name for name in RUNTIME if not (dist / name).is_file()]
    if missing:
        raise UserError(
            f"{dist} has no {missing[0]}: run `npm ci --prefix docs/live` first, or "
            "name a folder of onnxruntime-web by --runtime"
        )
    with writing(folder):
        shutil.copytree(PAGE, folder, dirs_exist_ok=True)
        (folder / "runtime").mkdir(exist_ok=True)
        for name in RUNTIME:
            shutil.copyfile(dist / name, folder / "runtime" / name)
        if networks is None:
            return
        for old in (folder / "networks").glob("*.onnx"):
            old.unlink()
        for network in networks:
            network.export(folder / "networks")
        abouts = [network.about for network in networks]
        session = {"server": False, "networks": abouts, "series": None}
        text = json.dumps(session, indent=1)
        (folder / "session.json").write_text(text + "\n", "utf-8")


def _of(paths: Sequence[Path]) -> tuple[list[Any], Any]:
    """Load runs and model files: networks of digits, and the model for series."""
    with program.quiet():
        from custom_lstm.tasks.demo.models import load
    return load(paths)
