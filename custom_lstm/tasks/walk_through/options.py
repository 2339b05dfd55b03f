"""Options of the task `walk-through`; read without Keras."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from custom_lstm import config
from custom_lstm.config import LearningRate, Positive, options
from custom_lstm.training.options import CheckpointOptions, RunOptions


@options
class Model:
    """Inputs and LSTM."""

    features: Literal[1, 2] = 2
    """Numbers at each step: the number itself, and with 2 a constant beside it."""
    units: Positive = 10
    """Units of the LSTM."""
    scale: Annotated[float, Field(ge=1e-3, le=1e3)] = 10.0
    """What numbers are divided by for the LSTM, and its answers multiplied by; 1 is the
    notebook's."""


@options
class Optimisation:
    """How the weights are found."""

    steps: Positive = 1000
    """Steps of Adam, each on all three sequences."""
    learning_rate: LearningRate = 0.02
    """Peak of Adam's one-cycle learning rate."""


@options
class Options(config.Options):
    """All options of a run.

    Args:
        model, optimisation, run, checkpoints: the groups that `--help` shows.

    Example:
        >>> Options.parse(["--features", "1"]).model.features
        1
    """

    model: Model = Model()
    optimisation: Optimisation = Optimisation()
    run: RunOptions = RunOptions()
    checkpoints: CheckpointOptions = CheckpointOptions()

    task = "walk-through"
    entry = "custom_lstm.tasks.walk_through.task:WalkThrough.main"
    summary = "add each number to the one before"
    description = """Train an LSTM on three sequences of four numbers to say, at each
    step, the number plus the one before; then cut sequences anywhere and carry the
    state on."""

    @staticmethod
    def headline(
        scores: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, dict[str, str]]:
        """Return the mean squared and the largest error on the test sequences."""
        test = scores["test"]
        return {
            "": {
                "MSE": f"{test['mse']:.4f}",
                "largest error": f"{test['largest_error']:.3f}",
            }
        }
