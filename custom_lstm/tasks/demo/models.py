"""Runs and model files that the page shows."""

from collections.abc import Sequence
from pathlib import Path

from custom_lstm.errors import UserError
from custom_lstm.loading import load_model
from custom_lstm.tasks.demo.networks import About
from custom_lstm.tasks.demo.parts import KerasNetwork, take_apart
from custom_lstm.tasks.demo.series import Series
from custom_lstm.training.run_folder import RunFolder, read_json

_TITLES = {"carousel": "LSTM with carousels"}


def load(paths: Sequence[Path]) -> tuple[list[KerasNetwork], Series | None]:
    """Load runs and `.keras` files.

    Args:
        paths: one or two.

    Returns:
        The networks of digits among them, and the model for series.

    Raises:
        UserError: one cannot be loaded or shown, or there are two for series.
    """
    networks: list[KerasNetwork] = []
    series: list[Series] = []
    for number, path in enumerate(paths):
        about = _about(path, number)
        model = load_model(path if path.suffix == ".keras" else path / "model.keras")
        if isinstance(model.input_shape, tuple) and len(model.input_shape) == 5:
            networks.append(take_apart(model, about))
        else:
            series.append(Series(model, about["title"]))
    if len(series) > 1:
        raise UserError("the page shows one model for series, not two")
    return networks, series[0] if series else None


def _about(path: Path, number: int) -> About:
    """Return what a run's options tell of its network; of a file, its name."""
    name = path.name if path.suffix == ".keras" else path.resolve().name
    about = {"id": f"network-{number + 1}", "title": name, "note": "", "start": 1}
    if path.suffix == ".keras":
        return about
    options = read_json(RunFolder.open(path).config).get("options")
    if not isinstance(options, dict) or "recurrent" not in options:
        return about
    kind = options["recurrent"]
    return about | {
        "title": _TITLES.get(kind, "Plain LSTM"),
        "note": f"trained on sums of {options.get('length')} digits",
        "start": options.get("start", 1),
    }
