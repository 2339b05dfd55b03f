"""The model of a finished run, for another runtime."""

from collections.abc import Mapping

from custom_lstm import config
from custom_lstm.errors import UsageError, UserError
from custom_lstm.exporting import export
from custom_lstm.files import writing
from custom_lstm.loading import load_model
from custom_lstm.tasks.export.options import SUFFIXES, Options
from custom_lstm.training.run_folder import RunFolder


def main(options: Options, tasks: Mapping[str, type[config.Options]]) -> int:
    """Export the model of a run; return the exit code, 0.

    Raises:
        UsageError: no run is named.
        UserError: there is no finished run, the format cannot hold its model, or a
            package is missing.
    """
    if options.folder is None:
        raise UsageError("export needs the folder of a run: export RUN --to onnx")
    run = RunFolder.open(options.folder)
    if not run.model.is_file():
        raise UserError(f"{options.folder} holds no finished model, {run.model.name}")
    model = load_model(run.model)
    name = "step" if options.step else "model"
    path = options.output or run.path / f"{name}{SUFFIXES[options.to]}"
    with writing(path):
        try:
            made = export(model, path, options.to, step=options.step)
        except ValueError as error:
            raise UserError(str(error)) from error
    print(f"{made.path}: {made.to}, largest difference {made.difference:.1e}")
    print(f"  inputs:  {_listed(made.inputs)}")
    print(f"  outputs: {', '.join(made.outputs)}")
    return 0


def _listed(shapes: Mapping[str, tuple[int | None, ...]]) -> str:
    """Return names and shapes; a size that is free is "?"."""
    return ", ".join(
        f"{name} ({', '.join('?' if n is None else str(n) for n in shape)})"
        for name, shape in shapes.items()
    )
