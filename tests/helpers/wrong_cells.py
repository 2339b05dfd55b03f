"""Cells that are wrong, each in the one way its docstring says."""

import keras
import numpy as np
from keras import ops

from custom_lstm import AbstractRNNCell, LSTMCell, SimpleRNNCell
from custom_lstm.cells.lstm import lstm_step


class Leaky(AbstractRNNCell):
    """Right: h' = tanh(x·W + scale·h). The base of some wrong ones."""

    def __init__(self, units=4, scale=0.9, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units
        self.scale = scale

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="W")

    def project(self, inputs):
        return ops.matmul(inputs, self.kernel)

    def step(self, projected, states):
        h = ops.tanh(projected + self.scale * states[0])
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "units": self.units, "scale": self.scale}


class SwapsStates(LSTMCell):
    """Takes [h, c] and returns [c, h]."""

    def step(self, projected, states, training=False):
        output, (h, c) = super().step(projected, states, training)
        return output, [c, h]


class TakesStatesSwapped(LSTMCell):
    """Takes [c, h] and returns [h, c]."""

    def step(self, projected, states, training=False):
        return super().step(projected, [states[1], states[0]], training)


class NoRecurrentKernel(LSTMCell):
    """z = x·W + b: forgets h·U."""

    def step(self, projected, states, training=False):
        h, c = states
        h, c, _ = lstm_step(projected, ops.zeros_like(projected), c)
        return h, [h, c]


class SharedGateWeights(LSTMCell):
    """Every gate reads the input gate's columns."""

    def step(self, projected, states, training=False):
        h, c = states
        n = self.units
        z = projected[:, :n] + ops.matmul(h, self.recurrent_kernel[:, :n])
        z = ops.concatenate([z] * 4, axis=-1)
        h, c, _ = lstm_step(z, ops.zeros_like(z), c)
        return h, [h, c]


class OneKernelForAllGates(AbstractRNNCell):
    """An LSTM whose kernels are as wide as a single gate."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units, units]

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, self.units), name="U")
        self.bias = self.add_weight((self.units,), name="bias")

    def call(self, inputs, states):
        h, c = states
        z = ops.matmul(inputs, self.kernel) + ops.matmul(h, self.recurrent_kernel)
        z = ops.concatenate([z + self.bias] * 4, axis=-1)
        h, c, _ = lstm_step(z, ops.zeros_like(z), c)
        return h, [h, c]


class GatesInAnotherOrder(LSTMCell):
    """Reads i, f, o, g: as other libraries order them."""

    def step(self, projected, states, training=False):
        h, c = states
        z = projected + ops.matmul(h, self.recurrent_kernel)
        z_i, z_f, z_o, z_g = ops.split(z, 4, axis=-1)
        z = ops.concatenate([z_i, z_f, z_g, z_o], axis=-1)
        h, c, _ = lstm_step(z, ops.zeros_like(z), c)
        return h, [h, c]


class ForgetBiasAtRunTimeToo(LSTMCell):
    """Adds 1 to a forget bias that starts at 1 already."""

    def step(self, projected, states, training=False):
        z_i, z_f, z_g, z_o = ops.split(projected, 4, axis=-1)
        projected = ops.concatenate([z_i, z_f + 1, z_g, z_o], axis=-1)
        return super().step(projected, states, training)


class ForgetBiasInTheWrongGate(LSTMCell):
    """Starts the input gate's bias at 1, and the forget gate's at 0."""

    def _whole_bias(self, shape, dtype=None):
        n = self.units
        return ops.concatenate([ops.ones((n,), dtype), ops.zeros((3 * n,), dtype)])


class HardCodedBatch(Leaky):
    """Works for 3 sequences only."""

    def step(self, projected, states):
        return super().step(projected, [ops.reshape(states[0], (3, self.units))])


class InitialStateOfHardCodedBatch(Leaky):
    """Begins with 32 rows, whatever it is asked for."""

    def get_initial_state(self, batch_size=None):
        return [ops.zeros((32, self.units))]


class BatchOfTheShape(Leaky):
    """Reads the batch size from the static shape, where it may be unknown."""

    def step(self, projected, states):
        rows = [projected[k] for k in range(projected.shape[0])]
        return super().step(ops.stack(rows), states)


class StateBesideTheStates(Leaky):
    """Counts its steps in an attribute, so that masked steps count too."""

    steps = 0

    def get_initial_state(self, batch_size=None):
        self.steps = 0
        return super().get_initial_state(batch_size)

    def step(self, projected, states):
        self.steps += 1
        return super().step(projected / self.steps, states)


class StateLeftOver(Leaky):
    """Continues where the last call ended."""

    left_over = 0.0

    def step(self, projected, states):
        h, states = super().step(projected + self.left_over, states)
        self.left_over = float(ops.convert_to_numpy(ops.mean(h)))
        return h, states


class MixesSequences(Leaky):
    """Normalises over the batch axis."""

    def step(self, projected, states):
        h = ops.tanh(projected + states[0])
        h = h - ops.mean(h, axis=0, keepdims=True)
        return h, [h]


class MixesSteps(Leaky):
    """Projects a sequence at once other than step by step."""

    def project(self, inputs):
        if len(inputs.shape) == 3:
            inputs = inputs - ops.mean(inputs, axis=1, keepdims=True)
        return super().project(inputs)


class OutputTooWide(Leaky):
    """Promises one width and returns another."""

    def step(self, projected, states):
        h, states = super().step(projected, states)
        return ops.concatenate([h, h], axis=-1), states


class OneStateTooFew(LSTMCell):
    """Returns h and not c."""

    def step(self, projected, states, training=False):
        h, (h, _) = super().step(projected, states, training)
        return h, [h]


class NoPair(Leaky):
    """Returns the output alone."""

    def step(self, projected, states):
        return super().step(projected, states)[0]


class DropsAtInference(SimpleRNNCell):
    """Drops whether it trains or not."""

    def call(self, inputs, states, training=False):
        if self.dropout:
            inputs = keras.random.dropout(inputs, self.dropout, seed=1)
        return super().call(inputs, states, training=False)


class DropoutWithoutEffect(SimpleRNNCell):
    """Takes a rate and drops nothing."""

    def call(self, inputs, states, training=False):
        return super().call(inputs, states, training=False)


class StopsGradient(SimpleRNNCell):
    """No gradient flows back through h."""

    def step(self, projected, states, training=False):
        return super().step(projected, [ops.stop_gradient(states[0])], training)


class NoGradientAtZero(SimpleRNNCell):
    """√(h·U)² has no derivative where the sequence begins."""

    def step(self, projected, states, training=False):
        hU = ops.matmul(states[0], self.recurrent_kernel)
        h = ops.tanh(projected + ops.sqrt(ops.square(hU)))
        return h, [h]


class StaysInFloat32(Leaky):
    """Writes a dtype into its equations."""

    def step(self, projected, states):
        h, _ = super().step(ops.cast(projected, "float32"), states)
        h = ops.cast(h, "float32")
        return h, [h]


class ConfigWithoutArgument(Leaky):
    """Leaves `scale` out of its config."""

    def get_config(self):
        config = super().get_config()
        del config["scale"]
        return config


class ConfigWithoutUnits(Leaky):
    """Needs `units`, and leaves it out of its config."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)

    def get_config(self):
        config = super().get_config()
        return {key: config[key] for key in config if key not in ("units", "scale")}


class ConfigOfDefaults(Leaky):
    """Writes a constant where the argument belongs."""

    def get_config(self):
        return {**super().get_config(), "scale": 0.9}


class ConfigWithoutBase(Leaky):
    """Does not ask its base class for the config."""

    def get_config(self):
        return {"units": self.units, "scale": self.scale}


class WeightsOutsideKeras(Leaky):
    """Keeps a random matrix that no file holds."""

    def build(self, input_shape):
        super().build(input_shape)
        shape = (input_shape[-1], self.units)
        self.kernel = np.random.default_rng().normal(size=shape).astype("float32")


class NeedsTable(Leaky):
    """Can be built only where something has set `table` before."""

    table = None

    def build(self, input_shape):
        if self.table is None:
            raise ValueError("there is no table")
        super().build(input_shape)
