"""One number that depends on all a cell does, to be differentiated."""

from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.checking.runs import call, pack, run
from custom_lstm.checking.subject import Subject, values_of


class Total:
    """A random weighting of outputs and last states, as a pure function of tensors:

        L(inputs, initial states, trainable weights) = Σ w∘outputs + Σ v∘states

    in the precision in force.

    Args:
        subject: where the cell comes from.
        batch: number of sequences.
        time: number of steps.
        seed: of the weighting.
        cell: the cell, if it is to be another than the subject's own.
        begin: states before the first step. By default those two steps lead to.

    Attributes:
        arrays: where to differentiate: inputs, initial states, weights, as NumPy.
        names: of these.
        first_weight: the index at which the weights begin.
    """

    def __init__(
        self,
        subject: Subject,
        batch: int,
        time: int,
        seed: int,
        cell: Any = None,
        begin: Any = None,
    ):
        cell = subject.cell() if cell is None else cell
        self.layer = keras.layers.RNN(
            cell, return_sequences=True, return_state=True, unroll=True
        )
        self.variables = cell.trainable_variables
        dtype = cell.compute_dtype
        x = subject.inputs(batch, time).astype(dtype)
        if begin is None:
            begin = run(cell, subject.inputs(batch, 2, draw=1)).states
        after = call(self.layer, x, states=begin)
        rng = np.random.default_rng(seed)
        self.weighting = [
            ops.convert_to_tensor(rng.normal(size=result.shape), dtype)
            for result in (after.outputs, *after.states)
        ]
        weights = values_of(self.variables)
        self.arrays = [x, *begin, *weights]
        self.first_weight = 1 + len(begin)
        self.names = ["inputs", *(f"state {k}" for k in range(len(begin)))]
        self.names += [variable.name for variable in self.variables]

    def __call__(self, tensors: list[Any]) -> Any:
        """L, a scalar tensor."""
        inputs, *rest = tensors
        states, values = rest[: self.first_weight - 1], rest[self.first_weight - 1 :]
        mapping = list(zip(self.variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            outputs, *last = self.layer(
                inputs, initial_state=pack(self.layer.cell, states)
            )
        results = [outputs, *keras.tree.flatten(last)]
        return sum(
            ops.sum(result * weights)
            for result, weights in zip(results, self.weighting, strict=True)
        )

    def moved(self, which: int, shift: np.ndarray) -> float:
        """L, with one of `arrays` shifted."""
        arrays = [*self.arrays]
        arrays[which] = (arrays[which] + shift).astype(arrays[which].dtype)
        value = self([ops.convert_to_tensor(a, dtype=a.dtype) for a in arrays])
        return float(ops.convert_to_numpy(value))
