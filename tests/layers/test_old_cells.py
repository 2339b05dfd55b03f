"""Cells of every kind that people wrote for tf.keras 2, in `custom_lstm.RNN`.

Each is written as such cells are found in public code, with `keras.ops` in place of
TensorFlow's functions, so that it runs on every backend.
"""

import collections

import keras
import numpy as np
import pytest
from keras import layers, ops
from keras.saving import register_keras_serializable

from custom_lstm import RNN, AbstractRNNCell, LSTMCell, StateShape

Pair = collections.namedtuple("Pair", ["first", "second"])


class OfUnits(layers.Layer):
    """The common part of most: one argument, set before `super().__init__`."""

    def __init__(self, units, **kwargs):
        self.units = units
        self.state_size = units
        super().__init__(**kwargs)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register_keras_serializable(package="old cells")
class AttributesBeforeInit(OfUnits):
    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="uniform", name="kernel"
        )
        self.recurrent = self.add_weight(
            shape=(self.units, self.units), initializer="uniform", name="recurrent"
        )
        self.built = True

    def call(self, inputs, states):
        h = inputs @ self.kernel + states[0] @ self.recurrent
        return h, [h]


@register_keras_serializable(package="old cells")
class BareState(AttributesBeforeInit):
    def call(self, inputs, states):
        h = ops.tanh(inputs @ self.kernel + states[0] @ self.recurrent)
        return h, h


@register_keras_serializable(package="old cells")
class NameFirst(AbstractRNNCell):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    @property
    def state_size(self):
        return (self.units,)

    def build(self, input_shape):
        shape = [input_shape[-1], self.units]
        self.kernel = self.add_weight("in/kernel", shape, initializer="uniform")
        self.bias = self.add_weight("in/bias", shape=[self.units], use_resource=True)

    def call(self, inputs, state):
        h = ops.tanh(inputs @ self.kernel + self.bias + state[0])
        return h, (h,)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register_keras_serializable(package="old cells")
class WeightsInInit(OfUnits):
    def __init__(self, units, features=4, **kwargs):
        super().__init__(units, **kwargs)
        shape = (features, units)
        self.kernel = self.add_weight(shape=shape, initializer="uniform", name="k")

    def call(self, inputs, states):
        h = ops.tanh(inputs @ self.kernel - states[0])
        return h, [h]


@register_keras_serializable(package="old cells")
class DenseInside(AbstractRNNCell):
    def __init__(self, size, norm=True, **kwargs):
        super().__init__(**kwargs)
        self._size, self._norm = size, norm
        self._layer = layers.Dense(3 * size, use_bias=not norm)
        self._ln = layers.LayerNormalization() if norm else None

    @property
    def state_size(self):
        return self._size

    def call(self, inputs, state):
        state = state[0]
        parts = self._layer(ops.concatenate([inputs, state], -1))
        parts = self._ln(parts) if self._norm else parts
        reset, candidate, update = ops.split(parts, 3, -1)
        candidate = ops.tanh(ops.sigmoid(reset) * candidate)
        update = ops.sigmoid(update - 1)
        output = update * candidate + (1 - update) * state
        return output, [output]

    def get_config(self):
        return {**super().get_config(), "size": self._size, "norm": self._norm}


@register_keras_serializable(package="old cells")
class StatesAsTuple(OfUnits):
    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.state_size = self.output_size = (units, units)
        self.dense = layers.Dense(units)

    def call(self, inputs, states):
        s1, s2 = states
        s1 = self.dense(inputs) + 0.5 * s2
        s2 = ops.tanh(s1 + s2)
        return (s1, s2), (s1, s2)


@register_keras_serializable(package="old cells")
class NamedTuples(layers.Layer):
    def __init__(self, units, rows, **kwargs):
        self.units, self.rows = units, rows
        self.state_size = Pair(units, StateShape([rows, units]))
        self.output_size = (units, StateShape([rows, units]))
        super().__init__(**kwargs)

    def build(self, shapes):
        assert shapes.second[1] == self.rows
        shape = (shapes.first[-1], self.units)
        self.kernel = self.add_weight(shape=shape, initializer="uniform", name="k")

    def call(self, inputs, states):
        first = states.first + inputs.first @ self.kernel
        second = states.second + inputs.second + first[:, None]
        return [first, second], Pair(first, second)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "rows": self.rows}


@register_keras_serializable(package="old cells")
class OutputSizeFromBuild(OfUnits):
    def build(self, input_shape):
        self.output_size = input_shape[-1]

    def call(self, inputs, states):
        return inputs + states[0][:, :1], [states[0] + 1]


@register_keras_serializable(package="old cells")
class StateSizeFromBuild(AbstractRNNCell):
    def build(self, input_shape):
        self.state_size = input_shape[-1]
        self.dense = layers.Dense(input_shape[-1])

    def call(self, inputs, states):
        h = ops.tanh(self.dense(inputs) + states[0])
        return h, [h]


@register_keras_serializable(package="old cells")
class WideOutput(OfUnits):
    """Says nothing about the width of its output, which is not the state's."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.dense, self.head = layers.Dense(units), layers.Dense(2)

    def call(self, inputs, states):
        h = ops.tanh(self.dense(inputs) + states[0])
        return self.head(h), [h]


@register_keras_serializable(package="old cells")
class ScalarOutput(layers.Layer):
    """Its output has no axis but the batch; its state counts; its step adds a loss."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size = [1]

    def call(self, inputs, states, training=None):
        self.add_loss(1e-3 * ops.sum(inputs**2))
        return ops.sum(inputs, axis=1) + states[0][:, 0], [states[0] + 1]


@register_keras_serializable(package="old cells")
class IntegerCounter(OfUnits):
    """Counts its steps in an integer state, which its initial state makes."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.state_size = [units, 1]
        self.dense = layers.Dense(units)

    def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
        count = ops.zeros((batch_size, 1), "int32")
        return [ops.zeros((batch_size, self.units), dtype), count]

    def call(self, inputs, states):
        h, step = states
        even = ops.cast(ops.equal(step % 2, 0), h.dtype)
        h = ops.where(ops.equal(even, 1.0), ops.tanh(self.dense(inputs) + h), h)
        return h, [h, step + 1]


@register_keras_serializable(package="old cells")
class TakesConstants(OfUnits):
    """Its constants' shapes are told in the constructor, as in TensorFlow 2.10."""

    def __init__(self, units, constant_size=2, **kwargs):
        super().__init__(units, **kwargs)
        self.constant_size = constant_size

    def build(self, input_shape):
        shapes = (input_shape[-1], self.units), (self.constant_size, self.units)
        self.kernel = self.add_weight(
            shape=shapes[0], initializer="uniform", name="kernel"
        )
        self.of_constant = self.add_weight(
            shape=shapes[1], initializer="uniform", name="of_constant"
        )

    def call(self, inputs, states, constants):
        [constant] = constants
        h = ops.tanh(inputs @ self.kernel + constant @ self.of_constant + states[0])
        return h, [h]


@register_keras_serializable(package="old cells")
class BuildGetsList(TakesConstants):
    """Its `build` takes the shapes of inputs and constants, as in Keras 2.0 to 2.3."""

    def build(self, input_shape):
        input_shape, constant_shape = input_shape
        self.constant_size = constant_shape[-1]
        super().build(input_shape)


@register_keras_serializable(package="old cells")
class Attention(OfUnits):
    """Looks at a memory, given as a constant, with layers made in the constructor."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.inner = layers.GRUCell(units)
        self.query, self.score = layers.Dense(units), layers.Dense(1)

    def call(self, inputs, states, constants, training=None):
        keys = constants[0]
        scores = self.score(ops.tanh(self.query(states[0])[:, None] + keys))
        context = ops.sum(ops.softmax(scores, axis=1) * keys, axis=1)
        inputs = ops.concatenate([inputs, context], -1)
        return self.inner(inputs, states, training=training)

    @property
    def trainable_weights(self):
        parts = self.inner, self.query, self.score
        return [weight for layer in parts for weight in layer.trainable_weights]


@register_keras_serializable(package="old cells")
class Peephole(layers.LSTMCell):
    """A subclass of Keras's cell that overrides a private method of it."""

    def build(self, input_shape):
        super().build(input_shape)
        shape = (self.units,)
        self.peephole = self.add_weight(shape=shape, initializer="uniform", name="p")

    def _compute_carry_and_output_fused(self, z, c_tm1):
        i, f = (self.recurrent_activation(x + self.peephole * c_tm1) for x in z[:2])
        c = f * c_tm1 + i * self.activation(z[2])
        return c, self.recurrent_activation(z[3] + self.peephole * c)


@register_keras_serializable(package="old cells")
class ZoneoutSubclass(layers.LSTMCell):
    """A subclass that calls Keras's step, and a dropout layer of its own."""

    def __init__(self, units, rate=0.1, **kwargs):
        super().__init__(units, **kwargs)
        self.rate, self.drop = rate, layers.Dropout(rate)

    def call(self, inputs, states, training=None):
        output, new = super().call(inputs, states, training=training)
        pairs = zip(new, states, strict=True)
        kept = [s + self.drop(n - s, training=training) for n, s in pairs]
        return output, kept

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


@register_keras_serializable(package="old cells")
class Wrapper(layers.Layer):
    """Residual connections around any cell, to which it hands all else on."""

    def __init__(self, cell, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell

    @property
    def state_size(self):
        return self.cell.state_size

    def get_initial_state(self, *args, **kwargs):
        return self.cell.get_initial_state(*args, **kwargs)

    def call(self, inputs, states, training=None):
        output, states = self.cell(inputs, states, training=training)
        return inputs + output, states

    def get_config(self):
        cell = keras.saving.serialize_keras_object(self.cell)
        return {**super().get_config(), "cell": cell}

    @classmethod
    def from_config(cls, config):
        cell = keras.saving.deserialize_keras_object(config.pop("cell"))
        return cls(cell, **config)


@register_keras_serializable(package="old cells")
class OldInitialState(Wrapper):
    """A wrapper that asks for the initial state as in TensorFlow 2.10."""

    def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
        return self.cell.get_initial_state(inputs, batch_size, dtype)


@register_keras_serializable(package="old cells")
class SkipConnections(layers.Layer):
    """Several cells, of which each sees the outputs of all before it."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.cells = [layers.LSTMCell(units), LSTMCell(units)]

    @property
    def state_size(self):
        return [cell.state_size for cell in self.cells]

    def call(self, inputs, states):
        merged, new = inputs, []
        for cell, own in zip(self.cells, states, strict=True):
            output, own = cell(merged, own)
            merged = ops.concatenate([merged, output], -1)
            new.append(own)
        return merged, new

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register_keras_serializable(package="old cells")
class FlatStack(layers.StackedRNNCells):
    """A stack with its states in one list."""

    @property
    def state_size(self):
        return keras.tree.flatten(super().state_size)

    def get_initial_state(self, batch_size=None):
        return keras.tree.flatten(super().get_initial_state(batch_size))

    def call(self, inputs, states, training=None, **kwargs):
        nest = [cell.state_size for cell in self.cells]
        states = keras.tree.pack_sequence_as(nest, keras.tree.flatten(states))
        output, new = super().call(inputs, states, training=training)
        return output, keras.tree.flatten(new)


@register_keras_serializable(package="old cells")
class MemoryMatrix(OfUnits):
    """Reads and writes a matrix; its states are a dict."""

    def __init__(self, units, slots=3, **kwargs):
        super().__init__(units, **kwargs)
        self.slots = slots
        self.state_size = {"memory": StateShape([slots, units]), "read": units}
        self.output_size = units
        self.address, self.write = layers.Dense(slots), layers.Dense(units)

    def call(self, inputs, states):
        seen = ops.concatenate([inputs, states["read"]], -1)
        w = ops.softmax(self.address(seen))[..., None]
        memory = states["memory"] * (1 - w) + w * self.write(seen)[:, None]
        read = ops.sum(w * memory, axis=1)
        return read, {"memory": memory, "read": read}


@register_keras_serializable(package="old cells")
class WrongStateSize(AbstractRNNCell):
    """Begins with a matrix, and says that its state is a vector as long."""

    def __init__(self, nodes, units, **kwargs):
        super().__init__(**kwargs)
        self.nodes, self.units = nodes, units
        self.dense = layers.Dense(units)

    def get_initial_state(self, inputs, batch_size, dtype):
        return ops.zeros((batch_size, self.nodes, self.units), dtype)

    @property
    def state_size(self):
        return self.nodes * self.units

    @property
    def output_size(self):
        return (self.nodes, self.units)

    def call(self, inputs, states, scope=None):
        h = ops.tanh(self.dense(inputs)[:, None] + states[0])
        return h, h

    def get_config(self):
        return {**super().get_config(), "nodes": self.nodes, "units": self.units}


@register_keras_serializable(package="old cells")
class GraphInputs(OfUnits):
    """Takes a tuple of nodes and edges; sets `state_size` twice."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.state_size = StateShape([None, units])
        self.dense = layers.Dense(units)

    def build(self, input_shape):
        self.state_size = StateShape([input_shape[0][-2], self.units])

    def call(self, inputs, states):
        x, edges = inputs
        h = ops.reshape(states[0], (-1, x.shape[1], self.units))
        h = ops.tanh(self.dense(edges @ ops.concatenate([x, h], -1)))
        return h, h


@register_keras_serializable(package="old cells")
class ImagesOfUnknownSize(OfUnits):
    """Convolves; its initial state knows the size that `state_size` leaves open."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.state_size = StateShape([None, None, units])
        self.conv = layers.Conv2D(units, 3, padding="same")

    def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
        return [ops.zeros((batch_size, 5, 4, self.units), dtype)]

    def call(self, inputs, states):
        h = ops.tanh(self.conv(ops.concatenate([inputs, states[0]], -1)))
        return h, [h]


@register_keras_serializable(package="old cells")
class OdeWithInnerLoop(OfUnits):
    """Solves an equation by some Euler steps within each step."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.rate = layers.Dense(units, activation="tanh")

    def call(self, inputs, states):
        elapsed, h = ops.abs(inputs[:, :1]), states[0]
        for _ in range(3):
            h = h + elapsed / 3 * self.rate(ops.concatenate([inputs, h], -1))
        return h, [h]


@register_keras_serializable(package="old cells")
class Spiking(OfUnits):
    """Fires where a threshold is passed, with the gradient of something smooth."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.state_size = [units, units]
        self.dense = layers.Dense(units)

    def call(self, inputs, states):
        v, z = states
        v = 0.9 * v * (1 - z) + self.dense(inputs)
        smooth = ops.sigmoid(4 * (v - 0.5))
        hard = ops.cast(v > 0.5, v.dtype)
        z = smooth + ops.stop_gradient(hard - smooth)
        return z, [v, z]


@register_keras_serializable(package="old cells")
class Kalman(OfUnits):
    """Carries an estimate and its covariance, beginning from the identity."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.state_size = [units, StateShape([units, units])]
        self.model = layers.Dense(units, use_bias=False)

    def get_initial_state(self, batch_size=None, dtype=None):
        eye = ops.broadcast_to(
            ops.eye(self.units, dtype=dtype), (batch_size, self.units, self.units)
        )
        return (ops.zeros((batch_size, self.units), dtype), eye)

    def call(self, inputs, states):
        x, p = self.model(states[0]), states[1] + ops.eye(self.units)
        gain = p @ ops.inv(p + ops.eye(self.units))
        x = x + (gain @ (inputs - x)[..., None])[..., 0]
        return x, (x, p - gain @ p)


@register_keras_serializable(package="old cells")
class RowsOfTable(layers.Layer):
    """Takes a dict of indices, which an embedding within the cell reads."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size = [3]
        self.table = layers.Embedding(10, 3)

    def call(self, inputs, states):
        h = ops.tanh(self.table(inputs["index"][:, 0]) + states[0])
        return h, [h]


@register_keras_serializable(package="old cells")
class FunctionalInside(OfUnits):
    """Its step is a functional model, made in `build`."""

    def build(self, input_shape):
        x, h = (keras.Input((n,)) for n in (input_shape[-1], self.units))
        new = layers.add([layers.Dense(self.units)(x), layers.Dense(self.units)(h)])
        self.model = keras.Model([x, h], layers.Activation("tanh")(new))

    def call(self, inputs, states):
        h = self.model([inputs, states[0]])
        return h, [h]


class NoLayer:
    """No Keras layer at all: a filter with fixed coefficients."""

    state_size = StateShape([2, 4])

    def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
        if dtype is None:
            raise ValueError("dtype cannot be None")
        return ops.zeros((batch_size, 2, 4), dtype)

    def call(self, inputs, states):
        last, before = ops.unstack(states[0], axis=1)
        y = inputs + 0.5 * last - 0.2 * before
        return y, ops.stack([y, last], axis=1)


def draw(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype("float32")


X = draw(3, 5, 4)
GRAPH = (draw(3, 5, 6, 4), draw(3, 5, 6, 6))
INDICES = {"index": np.random.default_rng(0).integers(0, 10, (3, 5, 1), dtype="int32")}
KINDS = {
    "attributes set before super().__init__": (lambda: AttributesBeforeInit(4), X),
    "a bare new state": (lambda: BareState(4), X),
    "add_weight with the name first": (lambda: NameFirst(4), X),
    "weights made in the constructor": (lambda: WeightsInInit(4), X),
    "layers inside": (lambda: DenseInside(4), X),
    "outputs and states in tuples": (lambda: StatesAsTuple(4), X),
    "named tuples": (lambda: NamedTuples(4, 2), Pair(X, draw(3, 5, 2, 4))),
    "output_size set in build": (lambda: OutputSizeFromBuild(3), X),
    "state_size set in build": (StateSizeFromBuild, X),
    "no output_size": (lambda: WideOutput(4), X),
    "an output without axes, and a loss": (ScalarOutput, X),
    "a counter of integers": (lambda: IntegerCounter(4), X),
    "constants": (lambda: TakesConstants(4), X, [draw(3, 2)]),
    "a build that gets a list": (lambda: BuildGetsList(4), X, [draw(3, 2)]),
    "attention": (lambda: Attention(4), X, [draw(3, 7, 4)]),
    "a subclass of LSTMCell": (lambda: Peephole(4), X),
    "a subclass that calls Keras's step": (lambda: ZoneoutSubclass(4), X),
    "a wrapper": (lambda: Wrapper(layers.LSTMCell(4)), X),
    "an old get_initial_state": (lambda: OldInitialState(LSTMCell(4)), X),
    "skip connections": (lambda: SkipConnections(3), X),
    "a flat stack": (lambda: FlatStack([layers.LSTMCell(4), layers.GRUCell(4)]), X),
    "a memory in a dict": (lambda: MemoryMatrix(4), X),
    "a wrong state_size": (lambda: WrongStateSize(2, 4), X),
    "a graph": (lambda: GraphInputs(4), GRAPH),
    "images of unknown size": (lambda: ImagesOfUnknownSize(2), draw(3, 5, 5, 4, 1)),
    "an inner loop": (lambda: OdeWithInnerLoop(4), X),
    "spikes": (lambda: Spiking(4), X),
    "a Kalman filter": (lambda: Kalman(4), X),
    "an embedding": (RowsOfTable, INDICES),
    "a functional model inside": (lambda: FunctionalInside(4), X),
    "no layer": (NoLayer, X),
}
WEIGHTLESS = (
    "output_size set in build",
    "an output without axes, and a loss",
    "no layer",
)


def is_plain(kind):
    """Whether it is a layer of one input and output: what Bidirectional takes."""
    _, x, *constants = KINDS[kind]
    others = ("no layer", "outputs and states in tuples")
    return isinstance(x, np.ndarray) and not constants and kind not in others


def arrays(nest):
    return [ops.convert_to_numpy(x) for x in keras.tree.flatten(nest)]


def tensors(nest):
    return keras.tree.map_structure(ops.convert_to_tensor, nest)


def given(kind):
    """Return how to make the cell, its inputs, and the constants as an argument."""
    make, x, *constants = KINDS[kind]
    return make, tensors(x), {"constants": tensors(constants[0])} if constants else {}


def same(actual, expected, atol=1e-6):
    actual, expected = arrays(actual), arrays(expected)
    assert len(actual) == len(expected)
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol)


def by_hand(layer, inputs, constants):
    """Run the cell's own `call` step by step, and nothing of the package."""
    states, outputs = layer.get_initial_state(3), []
    for t in range(5):
        x = keras.tree.map_structure(lambda a, t=t: a[:, t], inputs)
        output, new = layer.cell.call(x, states, **constants)
        states = keras.tree.pack_sequence_as(states, keras.tree.flatten(new))
        outputs.append(keras.tree.flatten(output))
    return [ops.stack(column, axis=1) for column in zip(*outputs, strict=True)], states


def functional(make, x, constants, **options):
    """Return a model around the cell, and what it is called with."""
    options = {"return_sequences": True, **options}
    given = {"x": x, **constants}
    inputs = keras.tree.map_structure(
        lambda a: keras.Input((None, *a.shape[2:]), dtype=a.dtype), x
    )
    extra = keras.tree.map_structure(lambda a: keras.Input(a.shape[1:]), constants)
    outputs = RNN(make(), **options)(inputs, **extra)
    flat = keras.tree.flatten([inputs, extra])
    model = keras.Model(flat, keras.tree.flatten(outputs))
    return model, keras.tree.flatten([given.pop("x"), given])


@pytest.mark.parametrize("unroll", [False, True], ids=["looped", "unrolled"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_runs_the_cells_own_call_step_by_step(kind, unroll):
    make, x, constants = given(kind)
    layer = RNN(make(), return_sequences=True, return_state=True, unroll=unroll)
    outputs, *states = layer(x, **constants)
    expected, last = by_hand(layer, x, constants)
    same([outputs, states], [expected, last])


@pytest.mark.parametrize("kind", KINDS)
def test_a_functional_model_has_the_shapes_and_values_of_the_layer(kind):
    make, x, constants = given(kind)
    model, data = functional(make, x, constants)
    layer = model.layers[-1]
    same(model(data), layer(x, **constants))
    outputs = arrays(model(data))
    shapes = [tensor.shape for tensor in keras.tree.flatten(model.outputs)]
    assert [(None, None, *a.shape[2:]) for a in outputs] == shapes


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in WEIGHTLESS])
def test_fit_changes_all_its_weights_and_the_layer_follows(kind):
    make, x, constants = given(kind)
    model, data = functional(make, x, constants, return_sequences=False)
    before = arrays(model.trainable_variables)
    data = arrays(data)
    targets = [np.ones_like(a) for a in arrays(model(data))]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(data, targets, batch_size=3, epochs=2, verbose=0)
    after = arrays(model.trainable_variables)
    unchanged = [
        variable.path
        for variable, a, b in zip(model.trainable_variables, before, after, strict=True)
        if np.array_equal(a, b)
    ]
    assert not unchanged
    layer = model.layers[-1]
    layer.return_sequences = True
    same(layer(x, **constants), by_hand(layer, x, constants)[0])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "no layer"])
def test_a_saved_model_is_loaded_with_its_values(kind, tmp_path):
    make, x, constants = given(kind)
    model, data = functional(make, x, constants)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    same(loaded(data), model(data))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if is_plain(kind)])
def test_bidirectional_runs_it_both_ways(kind):
    make, x, _ = given(kind)
    both = layers.Bidirectional(RNN(make()), merge_mode=None)
    outputs = keras.tree.flatten(both(x))
    forward = RNN(both.forward_layer.cell)(x)
    backward = RNN(both.backward_layer.cell)(ops.flip(x, 1))
    same(outputs, [forward, backward])
