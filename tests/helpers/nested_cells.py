"""Right and wrong cells with nests or images in place of vectors, or constants."""

import keras
from keras import ops

from custom_lstm import AbstractRNNCell, ConvLSTMCell, StateShape


class OfUnits(AbstractRNNCell):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Memory(OfUnits):
    """Right: a matrix and what is read from it, in a dict."""

    def __init__(self, units=3, **kwargs):
        super().__init__(units, **kwargs)
        self.state_size = {"memory": StateShape([2, units]), "read": units}
        self.output_size = units
        self.address = keras.layers.Dense(2)
        self.write = keras.layers.Dense(units)

    def call(self, inputs, states):
        seen = ops.concatenate([inputs, states["read"]], -1)
        w = ops.softmax(self.address(seen))[..., None]
        memory = states["memory"] * (1 - w) + w * self.write(seen)[:, None]
        read = ops.tanh(ops.sum(w * memory, axis=1))
        return read, {"memory": memory, "read": read}


class MemoryTurned(Memory):
    """Returns the matrix transposed."""

    def call(self, inputs, states):
        read, states = super().call(inputs, states)
        return read, {**states, "memory": ops.swapaxes(states["memory"], 1, 2)}


class TwoOutputs(OfUnits):
    """Right: outputs of two widths."""

    def __init__(self, units=3, **kwargs):
        super().__init__(units, **kwargs)
        self.output_size = [units, 2]
        self.inward = keras.layers.Dense(units)
        self.head = keras.layers.Dense(2)

    def call(self, inputs, states):
        h = ops.tanh(self.inward(inputs) + 0.5 * states[0])
        return [h, self.head(h)], [h]


class TwoOutputsOfOtherWidths(TwoOutputs):
    """Says that the second output is wider than it is."""

    def __init__(self, units=3, **kwargs):
        super().__init__(units, **kwargs)
        self.output_size = [units, 4]


class TwoInputs(OfUnits):
    """Right: an image and a vector, in a dict."""

    def __init__(self, units=3, **kwargs):
        super().__init__(units, **kwargs)
        self.look = keras.layers.Dense(units)
        self.move = keras.layers.Dense(units)

    def call(self, inputs, states):
        image = ops.mean(inputs["image"], axis=(1, 2))
        h = ops.tanh(self.look(image) + self.move(inputs["move"]) + 0.5 * states[0])
        return h, [h]


class TwoInputsMixed(TwoInputs):
    """Takes the mean of the second input over the batch."""

    def call(self, inputs, states):
        mean = ops.mean(inputs["move"], axis=0, keepdims=True)
        return super().call({**inputs, "move": inputs["move"] * 0 + mean}, states)


class ConvWithoutMemory(ConvLSTMCell):
    """A convolutional LSTM that forgets its hidden state."""

    def step(self, projected, states, training=False):
        return super().step(projected, [ops.zeros_like(states[0]), states[1]], training)


class SizeFromBuild(OfUnits):
    """Right: as wide as its inputs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        del self._state_size

    def build(self, input_shape):
        self.state_size = input_shape[-1]
        self.scale = self.add_weight(shape=(input_shape[-1],), name="scale")

    def call(self, inputs, states):
        h = ops.tanh(self.scale * inputs + 0.5 * states[0])
        return h, [h]

    def get_config(self):
        return AbstractRNNCell.get_config(self)


class SizeFromBuildTooLarge(SizeFromBuild):
    """Says that its state is wider by one."""

    def build(self, input_shape):
        super().build(input_shape)
        self.state_size = input_shape[-1] + 1

    def get_initial_state(self, batch_size=None):
        return [ops.zeros((batch_size, self.state_size - 1), self.compute_dtype)]


class Conditioned(OfUnits):
    """Right: its steps see a constant."""

    def __init__(self, units=3, **kwargs):
        super().__init__(units, **kwargs)
        self.inward = keras.layers.Dense(units)
        self.condition = keras.layers.Dense(units, use_bias=False)

    def call(self, inputs, states, constants):
        h = self.inward(inputs) + self.condition(constants[0]) + 0.5 * states[0]
        return ops.tanh(h), [ops.tanh(h)]


class ConditionedInVain(Conditioned):
    """Its constant makes no difference."""

    def call(self, inputs, states, constants):
        return super().call(inputs, states, [ops.zeros_like(constants[0])])


class Counter(OfUnits):
    """Right: every second step is left out, as an integer state counts."""

    def __init__(self, units=3, **kwargs):
        super().__init__(units, **kwargs)
        self.state_size = [units, 1]
        self.inward = keras.layers.Dense(units)

    def get_initial_state(self, batch_size=None, dtype=None):
        h = ops.zeros((batch_size, self.units), dtype)
        return [h, ops.zeros((batch_size, 1), "int32")]

    def call(self, inputs, states):
        h, count = states
        new = ops.tanh(self.inward(inputs) + 0.5 * h)
        return ops.where(ops.equal(count % 2, 0), new, h), [new, count + 1]


class CounterNeverRead(Counter):
    """Counts anew at every step."""

    def call(self, inputs, states):
        h, count = states
        output, (new, _) = super().call(inputs, [h, ops.zeros_like(count)])
        return output, [new, ops.ones_like(count)]


INPUTS = {"image": (4, 4, 2), "move": 2}
RIGHT = {
    Memory: {},
    TwoOutputs: {},
    TwoInputs: {"features": INPUTS},
    SizeFromBuild: {},
    Conditioned: {"constants": 2},
    Counter: {},
}
"""Cells, and what `check_cell` must be told of them."""
WRONG = {
    MemoryTurned: ("states", {}),
    TwoOutputsOfOtherWidths: ("output_size", {}),
    TwoInputsMixed: ("batch_independence", {"features": INPUTS}),
    SizeFromBuildTooLarge: ("states", {}),
    ConditionedInVain: ("weights_used", {"constants": [(2,)]}),
    CounterNeverRead: ("states_used", {}),
}
"""Cells, the check that catches each, and what it must be told."""
