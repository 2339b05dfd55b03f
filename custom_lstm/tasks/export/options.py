"""Options of `export`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from custom_lstm import config
from custom_lstm.config import options

SUFFIXES = {
    "onnx": ".onnx",
    "openvino": ".xml",
    "saved-model": "",
    "litert": ".tflite",
}
"""How names of files end, by format."""


@options
class Options(config.Options):
    """All options.

    Example:
        >>> Options.parse(["runs/mine", "--to", "litert"]).to
        'litert'
    """

    folder: Annotated[
        tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="RUN")
    ] = None
    """Folder of a finished run."""
    to: Literal["onnx", "openvino", "saved-model", "litert"] = "onnx"
    """The format."""
    step: bool = False
    """Export one step of the recurrent layers: states in, output and states out."""
    output: Path | None = None
    """File to write; by default model.onnx, or the like, in the run's folder."""

    task = "export"
    entry = "custom_lstm.tasks.export.task:main"
    summary = "write the model of a finished run for another runtime"
    description = """Write the model of a finished run as ONNX, OpenVINO, SavedModel or
    LiteRT, and run what was written beside it."""
