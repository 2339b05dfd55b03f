"""What the NumPy reference is compared with, and by how much they differ.

    python tests/helpers/reference_problems.py

prints the worst errors over all of TMVA's test shapes.
"""

from dataclasses import dataclass, field, replace

import keras
import numpy as np

import custom_lstm
from custom_lstm import numpy_reference

# time, batch, state, input; the last with a second layer.
SHAPES = [
    (2, 1, 1, 2),
    (1, 2, 3, 2),
    (2, 3, 4, 5),
    (4, 2, 10, 5),
    (5, 64, 10, 5),
    (3, 1, 10, 5),
    (4, 32, 10, 20),
    (4, 32, 10, 5),
]
TWO_LAYERS = SHAPES[-1]


@dataclass(frozen=True)
class Kind:
    reference: type
    layer: type
    cell: type
    gates: int
    states: int
    options: dict = field(default_factory=dict)


KINDS = {
    "simple": Kind(
        numpy_reference.SimpleRNN,
        keras.layers.SimpleRNN,
        custom_lstm.SimpleRNNCell,
        gates=1,
        states=1,
    ),
    "lstm": Kind(
        numpy_reference.LSTM,
        keras.layers.LSTM,
        custom_lstm.LSTMCell,
        gates=4,
        states=2,
    ),
    "gru": Kind(
        numpy_reference.GRU,
        keras.layers.GRU,
        custom_lstm.GRUCell,
        gates=3,
        states=1,
        options={"reset_after": True},
    ),
}
KINDS["gru, reset before"] = replace(KINDS["gru"], options={"reset_after": False})


class Problem:
    """A stack of layers, its data, and one linear form L of all that it returns.

    `arrays` are x, and for each layer its initial states, kernel, recurrent kernel and
    bias: what L is differentiated by.
    """

    def __init__(self, kind, shape, seed=0, mask=None):
        self.kind = kind = KINDS[kind]
        time, batch, units, features = shape
        rng = np.random.default_rng(seed)
        width = kind.gates * units
        bias = (2, width) if kind.options.get("reset_after") else (width,)
        self.layers = 2 if shape == TWO_LAYERS else 1
        self.arrays = [rng.normal(size=(batch, time, features))]
        for k in range(self.layers):
            shapes = [(batch, units)] * kind.states
            shapes += [(units if k else features, width), (units, width), bias]
            self.arrays += [0.7 * rng.normal(size=shape) for shape in shapes]
        self.mask = mask
        shapes = [(batch, time, units), *[(batch, units)] * kind.states * self.layers]
        self.weighting = [rng.normal(size=shape) for shape in shapes]

    def split(self, arrays):
        """x, and for each layer (initial states, weights)."""
        x, *rest = arrays
        size = self.kind.states + 3
        parts = [rest[k * size : (k + 1) * size] for k in range(self.layers)]
        count = self.kind.states
        return x, [(part[:count], part[count:]) for part in parts]

    def has_batch_axis(self, index):
        return index == 0 or (index - 1) % (self.kind.states + 3) < self.kind.states

    def run(self, arrays):
        """Return the reference layers, their runs, and all results."""
        y, parts = self.split(arrays)
        layers, runs, last = [], [], []
        for states, weights in parts:
            layer = self.kind.reference(
                *weights, return_sequences=True, **self.kind.options
            )
            run = layer.forward(y, states, self.mask)
            y = run.outputs
            layers.append(layer)
            runs.append(run)
            last += run.states
        return layers, runs, [y, *last]

    def gradients(self):
        """By the NumPy reference, in the order of `arrays`."""
        layers, runs, _ = self.run(self.arrays)
        d_y, *d_last = self.weighting
        found = []
        for k in reversed(range(self.layers)):
            count = self.kind.states
            d_states = d_last[k * count : (k + 1) * count]
            gradients = layers[k].backward(runs[k], d_y, d_states)
            d_y, states, *weights = gradients
            found = [*states, *weights, *found]
        return [d_y, *found]

    def losses(self, arrays):
        """L of every sequence of the batch by itself."""
        _, _, results = self.run(arrays)
        return sum(
            (w * result).sum(axis=tuple(range(1, result.ndim)))
            for w, result in zip(self.weighting, results, strict=True)
        )

    def differences(self, step=1e-5):
        """Central differences of L by every number of every array.

        No sequence sees another's numbers: one number is moved in all sequences at
        once, and each one's own L tells its derivative.
        """
        found = []
        for index, array in enumerate(self.arrays):
            gradient = np.empty_like(array)
            own = self.has_batch_axis(index)
            for place in np.ndindex(array.shape[1:] if own else array.shape):
                place = (slice(None), *place) if own else place
                sides = []
                for shift in (step, -step):
                    moved = array.copy()
                    moved[place] += shift
                    arrays = list(self.arrays)
                    arrays[index] = moved
                    sides.append(self.losses(arrays))
                slope = (sides[0] - sides[1]) / (2 * step)
                gradient[place] = slope if own else slope.sum()
            found.append(gradient)
        return found

    def by_keras(self):
        """Results and gradients of Keras's own layers in float64, on TensorFlow."""
        import tensorflow as tf

        tensors = [tf.constant(array) for array in self.arrays]
        y, parts = self.split(tensors)
        last, sources = [], []
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            for states, weights in parts:
                layer = self.kind.layer(
                    weights[1].shape[0],
                    dtype="float64",
                    return_sequences=True,
                    return_state=True,
                    **self.kind.options,
                )
                layer.build(y.shape)
                layer.set_weights(weights)
                mask = None if self.mask is None else tf.constant(self.mask)
                y, *own = layer(y, initial_state=states, mask=mask)
                last += own
                sources += [*states, *(w.value for w in layer.weights)]
            value = sum(
                tf.reduce_sum(w * result)
                for w, result in zip(self.weighting, [y, *last], strict=True)
            )
        gradients = tape.gradient(value, [tensors[0], *sources])
        return [
            [np.asarray(tensor) for tensor in tensors]
            for tensors in ([y, *last], gradients)
        ]

    def by_cells(self):
        """Results of this package's cells in float64, one step after the other."""
        y, parts = self.split(self.arrays)
        last = []
        for states, weights in parts:
            cell = self.kind.cell(
                weights[1].shape[0], dtype="float64", **self.kind.options
            )
            cell.build((None, y.shape[-1]))
            cell.set_weights(weights)
            outputs = []
            for t in range(y.shape[1]):
                output, states = cell(y[:, t], states)
                outputs.append(np.asarray(output))
            y = np.stack(outputs, axis=1)
            last += [np.asarray(state) for state in states]
        return [y, *last]


def absolute_error(ours, theirs):
    """Return the largest difference between numbers."""
    pairs = zip(ours, theirs, strict=True)
    return max(np.abs(a - b).max() for a, b in pairs)


def relative_error(ours, theirs):
    """Return the largest difference in an array, by its largest number."""
    pairs = zip(ours, theirs, strict=True)
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in pairs)


def errors(kind, shape):
    """By name: how far the NumPy reference is from each oracle."""
    problem = Problem(kind, shape)
    _, _, results = problem.run(problem.arrays)
    gradients = problem.gradients()
    outputs, by_tape = problem.by_keras()
    return {
        "forward, Keras": absolute_error(results, outputs),
        "forward, cells": absolute_error(results, problem.by_cells()),
        "gradients, autodiff": relative_error(gradients, by_tape),
        "gradients, differences": relative_error(gradients, problem.differences()),
    }


def main():
    for kind in KINDS:
        found = [errors(kind, shape) for shape in SHAPES]
        row = {name: max(e[name] for e in found) for name in found[0]}
        print(kind, *(f"{name} {error:.1e}" for name, error in row.items()), sep=" | ")


if __name__ == "__main__":
    main()
