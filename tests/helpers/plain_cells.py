"""Cells of a module that knows Keras alone."""

import keras
from keras import ops


class OnDense(keras.layers.Layer):
    """Leaves it to the first step to build what is in it."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units
        self.dense = keras.layers.Dense(units, activation="tanh")

    def call(self, inputs, states):
        several = list(inputs) if isinstance(inputs, tuple) else [inputs]
        h = self.dense(ops.concatenate([*several, states[0]], axis=-1))
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class MakesDense(OnDense):
    """Makes a layer in `build`, and does not build it."""

    def build(self, input_shape):
        self.dense = keras.layers.Dense(self.units)
        self.built = True


class Table:
    """An object that Keras can write, and does not know how to read."""

    def __init__(self, size=3):
        self.size = size

    def get_config(self):
        return {"size": self.size}


class HasTable(OnDense):
    """Gets a dict for its table when it is loaded."""

    def __init__(self, units=4, table=None, **kwargs):
        super().__init__(units, **kwargs)
        self.table = Table() if table is None else table

    def build(self, input_shape):
        self.dense.build((None, input_shape[-1] + self.units))

    def call(self, inputs, states):
        h, _ = super().call(inputs, states)
        h = h / self.table.size
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "table": self.table}
