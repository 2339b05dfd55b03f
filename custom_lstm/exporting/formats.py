"""The formats that models are exported to: who writes them, and who runs them."""

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np

from custom_lstm.exporting import onnx_graph
from custom_lstm.exporting.computation import Computation
from custom_lstm.exporting.cuts import Cut, Steps
from custom_lstm.extras import MissingExtra

_EXTRAS = {"jax2onnx": "export-jax"}
"""The extras that install packages, where it is not "export"."""
Runner = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
"""Runs what was written: arrays by name to arrays by name."""


@dataclass(frozen=True)
class Format:
    """A format: where it can be written, how, and how it is run.

    Args:
        name: what `to` calls it.
        suffix: how names of its files end.
        backends: those of Keras that can write it.
        needs: modules by the backend that needs them to write it; under "" those that
            every backend needs, and that run it.
        write: writes a computation to a path.
        read: makes a runner of what was written.
        batch: the number of sequences where the model leaves it free; None if it may
            stay so.
    """

    name: str
    suffix: str
    backends: tuple[str, ...]
    needs: dict[str, tuple[str, ...]]
    write: Callable[[Computation, Path], None]
    read: Callable[[Computation, Path], Runner]
    batch: int | None = None

    def check(self) -> None:
        """Raise unless the backend can write the format, and what it needs is there.

        Raises:
            ValueError: if the backend cannot.
            MissingExtra: if a package is missing; names it and the extra.
        """
        backend = keras.backend.backend()
        if backend not in self.backends:
            raise ValueError(
                f"export: {self.name!r} is written with the backend "
                f"{' or '.join(self.backends)}, and the backend is {backend}."
            )
        needed = (*self.needs.get("", ()), *self.needs.get(backend, ()))
        missing = [name for name in needed if importlib.util.find_spec(name) is None]
        if missing:
            raise MissingExtra(missing[0], _EXTRAS.get(missing[0], "export"))


def format_of(to: str | None, path: Path) -> Format:
    """Return the format of a name, or else that of a path's suffix.

    Raises:
        ValueError: if there is none.

    Example:
        >>> format_of(None, Path("model.onnx")).name
        'onnx'
    """
    for one in FORMATS:
        if one.name == to or (to is None and one.suffix == path.suffix):
            return one
    known = ", ".join(f"{one.name!r} ({one.suffix})" for one in FORMATS)
    raise ValueError(
        f"export: `to` must be one of {known}, or the path end in its suffix. "
        f"Received: to={to!r}, path={str(path)!r}"
    )


def _own_module() -> ModuleType:
    backend = keras.backend.backend()
    return importlib.import_module(f"custom_lstm.exporting.{backend}_formats")


def _onnx_model(computation: Computation) -> Any:
    module = _own_module()
    cuts = [] if computation.step else module.cuts_of(computation)
    cuts = [cut if cut is None else _with_body(cut, module) for cut in cuts]
    model = module.to_onnx(computation.traced(cuts))
    return onnx_graph.finished(model, computation, cuts)


def _with_body(cut: Cut, module: ModuleType) -> Cut | None:
    """Return a cut with its step in ONNX; None if ONNX has no such step."""
    if isinstance(cut.loop, Steps):
        try:
            cut.body = module.to_onnx(cut.loop.traced(cut.batch))
            onnx_graph.check_step(cut.body, cut.loop)
        except ValueError:
            return None
    return cut


def _write_onnx(computation: Computation, path: Path) -> None:
    import onnx

    onnx.save(_onnx_model(computation), str(path))


def _read_onnx(computation: Computation, path: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options)
    names = [value.name for value in session.get_outputs()]
    failures = onnxruntime.capi.onnxruntime_pybind11_state

    def run(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return dict(zip(names, session.run(names, arrays), strict=True))
        except (failures.Fail, failures.InvalidArgument) as error:
            raise ValueError(
                f"export: onnxruntime cannot run what was written: {str(error)[:300]}"
            ) from error

    return run


def _write_openvino(computation: Computation, path: Path) -> None:
    import openvino

    computation.leave_out(lambda operator: "P" in operator.weights)  # not read by it
    onnx_file = path.with_suffix(".onnx")
    _write_onnx(computation, onnx_file)
    with _openvino_refusals():
        try:
            model = openvino.convert_model(str(onnx_file))
        finally:
            onnx_file.unlink()
    openvino.save_model(model, str(path), compress_to_fp16=False)


@contextlib.contextmanager
def _openvino_refusals() -> Iterator[None]:
    """Raise a ValueError that says what OpenVINO cannot hold or run."""
    from openvino import frontend

    try:
        yield
    except (
        RuntimeError,
        frontend.GeneralFailure,
        frontend.NotImplementedFailure,
        frontend.OpConversionFailure,
        frontend.OpValidationFailure,
    ) as error:
        text = " ".join(str(error).split())[:300]
        raise ValueError(f"export: OpenVINO cannot hold the model: {text}") from error


def _read_openvino(computation: Computation, path: Path) -> Runner:
    import openvino

    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    with _openvino_refusals():
        model = openvino.Core().compile_model(str(path), "CPU", precise)

    def run(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        with _openvino_refusals():
            made = model(arrays)
        return {name: made[name] for name in computation.outputs}

    return run


def _write_saved_model(computation: Computation, path: Path) -> None:
    _own_module().save(computation, path)


def _read_saved_model(computation: Computation, path: Path) -> Runner:
    function = _own_module().saved(path)
    return lambda arrays: function(**arrays)


def _write_bytes(path: Path, writer: str, computation: Computation) -> None:
    path.write_bytes(getattr(_own_module(), writer)(computation))


def _write_litert(computation: Computation, path: Path) -> None:
    _write_bytes(path, "to_litert", computation)


def _read_litert(computation: Computation, path: Path) -> Runner:
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=str(path)).get_signature_runner()
    return lambda arrays: run(**arrays)


FORMATS = (
    Format(
        "onnx",
        ".onnx",
        ("tensorflow", "jax", "torch"),
        {
            "": ("onnx", "onnxruntime"),
            "tensorflow": ("tf2onnx",),
            "jax": ("jax2onnx",),
            "torch": ("onnxscript",),
        },
        _write_onnx,
        _read_onnx,
    ),
    Format(
        "openvino",
        ".xml",
        ("tensorflow", "jax", "torch"),
        {
            "": ("onnx", "openvino"),
            "tensorflow": ("tf2onnx",),
            "jax": ("jax2onnx",),
            "torch": ("onnxscript",),
        },
        _write_openvino,
        _read_openvino,
    ),
    Format(
        "saved-model",
        "",
        ("tensorflow",),
        {"": ("tensorflow",)},
        _write_saved_model,
        _read_saved_model,
    ),
    Format(
        "litert",
        ".tflite",
        ("tensorflow",),
        {"": ("tensorflow", "ai_edge_litert")},
        _write_litert,
        _read_litert,
        batch=1,
    ),
    Format(
        "stablehlo",
        ".stablehlo",
        ("jax",),
        {"": ("jax",)},
        lambda computation, path: _write_bytes(path, "to_stablehlo", computation),
        lambda computation, path: _own_module().from_stablehlo(path, computation),
    ),
    Format(
        "torch-export",
        ".pt2",
        ("torch",),
        {"": ("torch",)},
        lambda computation, path: _own_module().save(computation, path),
        lambda computation, path: _own_module().saved(path, computation),
    ),
)
"""Every format."""
