"""Options of `demo`; read without Keras."""

from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from custom_lstm import config
from custom_lstm.config import options
from custom_lstm.errors import UsageError


@options
class Options(config.Options):
    """All options.

    Example:
        >>> Options.parse(["--port", "0", "--no-browser"]).browser
        False
    """

    networks: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="[RUN [RUN]]")
    ] = ()
    """One or two runs of digits, or .keras files, to be shown side by side; or a model
    of your own with a recurrent layer, for series. By default two networks that come
    with the page."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8077
    """Port on this machine, 127.0.0.1; 0 for any that is free."""
    browser: bool = True
    """Open the page in a browser."""
    static: Path | None = None
    """Write the page as plain files into this folder instead, for any web server."""
    runtime: Path | None = None
    """With --static: folder of the npm package onnxruntime-web, by default the one that
    `npm ci --prefix docs/live` makes."""

    task = "demo"
    entry = "custom_lstm.tasks.demo.task:main"
    summary = "a page on which one draws digits and watches the states"
    description = """Open a page in the browser on which one draws digits, and a network
    adds them up; its gates and states are drawn after each. Needs `pip install
    "custom_lstm[demo]"`."""
    keras = False

    def __post_init__(self) -> None:
        """Check what options exclude in each other."""
        if len(self.networks) > 2:
            raise UsageError(
                f"the page shows one or two networks, not {len(self.networks)}"
            )
        if self.runtime is not None and self.static is None:
            raise UsageError("--runtime needs --static DIR")
