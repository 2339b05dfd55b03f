"""One recipe for every cell: its size, its network, its training."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from custom_lstm import cells
from custom_lstm.errors import UsageError
from custom_lstm.layers import RNN
from custom_lstm.tasks.compare_cells.options import Optimisation
from custom_lstm.tasks.compare_cells.problems import Floats, Problem
from custom_lstm.training.schedules import one_cycle

Cell = type[cells.AbstractRNNCell]
WARMUP = 0.1
"""Share of the steps in which the learning rate rises."""
CLIP_NORM = 1.0
"""Largest norm of all gradients together."""
SCORED_AT_ONCE = 500
"""Sequences in a batch when nothing is trained."""
ARGUMENTS: Mapping[type, Callable[[int], dict[str, Any]]] = {
    cells.ProjectedLSTMCell: lambda units: {"projection_units": (units + 1) // 2},
    cells.CfCCell: lambda units: {"backbone_units": units},
}
"""Arguments of cells beside the units, where the others' defaults do not do."""


class Diverged(Exception):
    """The loss of a step, or an answer, is not a finite number."""


def make_cell(cell: Cell, units: int) -> cells.AbstractRNNCell:
    """Return a cell with this many units and its defaults, but for `ARGUMENTS`.

    Example:
        >>> make_cell(cells.ProjectedLSTMCell, 5).output_size
        3
    """
    more = ARGUMENTS.get(cell, lambda units: {})(units)
    made: Any = cell
    return made(units, **more)


def network(cell: Cell, units: int, problem: Problem) -> keras.Model:
    """Return a network with fresh weights: the cell in `RNN`, and a linear head.

    Example:
        >>> from custom_lstm.tasks.compare_cells.problems import Adding
        >>> network(cells.GRUCell, 3, Adding()).output_shape
        (None, 1)
    """
    sequences = keras.Input((None, problem.features))
    layer = RNN(make_cell(cell, units), return_sequences=problem.every_step)
    outputs = keras.layers.Dense(problem.outputs, name="head")(layer(sequences))
    return keras.Model(sequences, outputs)


def parameters(cell: Cell, units: int, problem: Problem) -> int:
    """Return how many weights a network has, those that are not trained included.

    Example:
        >>> from custom_lstm.tasks.compare_cells.problems import Adding
        >>> parameters(cells.SimpleRNNCell, 3, Adding())
        22
    """
    return _sizes(cell, units, problem)[0]


def largest_units(cell: Cell, problem: Problem, budget: int) -> int:
    """Return the most units with which a network keeps to a budget.

    Neither its weights nor the numbers in its states are more than the budget: the
    second bounds cells whose states are matrices.

    Args:
        cell: class of the cell.
        problem: what it reads, and what the head answers.
        budget: the most weights.

    Raises:
        UsageError: one unit is too many.

    Example:
        >>> from custom_lstm.tasks.compare_cells.problems import Adding
        >>> largest_units(cells.SimpleRNNCell, Adding(), budget=22)
        3
    """
    check_budget(cell, problem, budget)
    fits, beyond = 1, 2
    while max(_sizes(cell, beyond, problem)) <= budget:
        fits, beyond = beyond, 2 * beyond
    while beyond - fits > 1:
        units = (fits + beyond) // 2
        if max(_sizes(cell, units, problem)) <= budget:
            fits = units
        else:
            beyond = units
    return fits


def check_budget(cell: Cell, problem: Problem, budget: int) -> None:
    """Raise a UsageError if a network of one unit is larger than the budget."""
    least = max(_sizes(cell, 1, problem))
    if least > budget:
        raise UsageError(
            f"--parameters {budget} is too few for {cell.__name__} on "
            f"{problem.name}: with one unit it has {least:,}"
        )


def _sizes(cell: Cell, units: int, problem: Problem) -> tuple[int, int]:
    """Return how many weights a network has, and how many numbers its states."""
    made = make_cell(cell, units)
    made.build((None, problem.features))
    width: Any = made.output_size
    weights = made.count_params() + (int(width) + 1) * problem.outputs
    states = keras.tree.flatten(made.get_initial_state(batch_size=1))
    return weights, sum(math.prod(state.shape) for state in states)


class Trainer:
    """A network for one problem, compiled once and trained from any seed.

    Args:
        cell: class of the cell.
        units: of the cell.
        problem: what is learned.
        how: the recipe.

    Example:
        >>> from custom_lstm.tasks.compare_cells.problems import Sums
        >>> trainer = Trainer(cells.GRUCell, 3, Sums(), Optimisation(steps=2))
        >>> sorted(trainer.train(seed=0)["scores"])
        ['sums, 10 steps', 'sums, 100 steps']
    """

    def __init__(
        self, cell: Cell, units: int, problem: Problem, how: Optimisation
    ) -> None:
        self._make = lambda: network(cell, units, problem)
        self._problem, self._how = problem, how
        self._model = self._make()
        self._optimizer = keras.optimizers.Adam(
            one_cycle(how.learning_rate, how.steps, WARMUP), global_clipnorm=CLIP_NORM
        )
        self._optimizer.build(self._model.trainable_variables)
        sequences, targets = problem.draw(np.random.default_rng(0), how.batch_size)
        self._step = tf.function(self._train_step).get_concrete_function(
            tf.TensorSpec(sequences.shape, sequences.dtype),
            tf.TensorSpec(targets.shape, targets.dtype),
        )

    def train(
        self, seed: int, after_step: Callable[[], object] = lambda: None
    ) -> dict[str, Any]:
        """Train the network from a seed, and score it.

        Args:
            seed: of the weights, of what the cell draws, and of the sequences.
            after_step: called after every step.

        Returns:
            `scores` by the names of the problem's measures, the `loss` of the last
            step, and the `seconds` that it took, without compiling.

        Raises:
            Diverged: the loss of a step, or an answer, is not a finite number.
        """
        began = time.perf_counter()
        self._begin(seed)
        rng, loss = np.random.default_rng(seed), np.nan
        for step in range(self._how.steps):
            sequences, targets = self._problem.draw(rng, self._how.batch_size)
            loss = float(self._step(tf.constant(sequences), tf.constant(targets)))
            if not np.isfinite(loss):
                raise Diverged(f"the loss of step {step + 1} is {loss}")
            after_step()
        return {
            "scores": self._problem.score(self._answer),
            "loss": loss,
            "seconds": time.perf_counter() - began,
        }

    def _begin(self, seed: int) -> None:
        """Take the weights, and the seeds, of a network that is made from a seed."""
        keras.utils.set_random_seed(seed)
        fresh = self._make()
        for old, new in zip(self._model.variables, fresh.variables, strict=True):
            old.assign(new)
        for variable in self._optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))

    def _train_step(self, sequences, targets):
        model = self._model
        with tf.GradientTape() as tape:
            outputs = model(sequences, training=True)
            loss = self._problem.loss(targets, outputs)
            total = tf.add_n([loss, *model.losses])
        gradients = tape.gradient(total, model.trainable_variables)
        self._optimizer.apply(gradients, model.trainable_variables)
        return loss

    def _answer(self, sequences: Floats) -> Floats:
        """Return the outputs of the network."""
        parts = np.split(
            sequences, range(SCORED_AT_ONCE, len(sequences), SCORED_AT_ONCE)
        )
        outputs = [np.asarray(self._model(part, training=False)) for part in parts]
        answers = np.concatenate(outputs)
        if not np.isfinite(answers).all():
            raise Diverged("an answer is not a finite number")
        return answers
