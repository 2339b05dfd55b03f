"""RNN and Bidirectional keep the contract of TensorFlow 2.10's, on every backend."""

import pickle
from typing import NamedTuple

import keras
import numpy as np
import pytest
from keras import layers, ops

import custom_lstm
from custom_lstm import (
    GRU,
    LSTM,
    RNN,
    AbstractRNNCell,
    Bidirectional,
    GRUCell,
    LSTMCell,
    SimpleRNN,
    StateShape,
    TimeDistributed,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 6, 4)).astype("float32")
MASK = np.array([[1, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 1], [0, 0, 1, 1, 1, 1]], bool)
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


def numpy(nest):
    return keras.tree.map_structure(ops.convert_to_numpy, nest)


def assert_same(found, expected, **tolerance):
    found, expected = numpy(found), numpy(expected)
    keras.tree.assert_same_structure(found, expected)
    pairs = zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(
            ours, theirs, **{"rtol": 1e-5, "atol": 1e-6} | tolerance
        )


def register(cls):
    return keras.saving.register_keras_serializable(package="test_contract")(cls)


@register
class Images(AbstractRNNCell):
    """States of two ranks in a dict; inputs and outputs in dicts."""

    state_size = {"image": StateShape([2, 3]), "total": 4}
    output_size = {"seen": StateShape([2, 3]), "sum": 4}

    def call(self, inputs, states):
        image = 0.5 * states["image"] + inputs["image"]
        total = states["total"] + inputs["vector"]
        return {"seen": image, "sum": total}, {"image": image, "total": total}


IMAGES = RNG.normal(size=(3, 6, 2, 3)).astype("float32")
BOTH = {"image": IMAGES, "vector": X}


def expected_of_images():
    image, total, steps = np.zeros((3, 2, 3)), np.zeros((3, 4)), []
    for t in range(6):
        image, total = 0.5 * image + IMAGES[:, t], total + X[:, t]
        steps.append({"seen": image, "sum": total})
    return keras.tree.map_structure(lambda *each: np.stack(each, 1), *steps)


def functional(layer, inputs=X, **more):
    """Return a layer as a model of inputs that are a nest, batch and time open."""
    symbols = keras.tree.map_structure(
        lambda x: keras.Input((None, *x.shape[2:]), dtype=str(x.dtype)), inputs
    )
    alone = isinstance(symbols, keras.KerasTensor)
    given = symbols if alone else keras.tree.flatten(symbols)
    return keras.Model(given, layer(symbols, **more))


@pytest.mark.parametrize("unroll", [False, True])
def test_states_of_any_rank_and_dicts_everywhere(unroll):
    layer = RNN(Images(), return_sequences=True, return_state=True, unroll=unroll)
    outputs, states = layer(BOTH)
    expected = expected_of_images()
    assert_same(outputs, expected)
    last = keras.tree.map_structure(lambda x: x[:, -1], expected)
    assert_same(states, {"image": last["seen"], "total": last["sum"]})
    shapes = layer.compute_output_shape({"image": IMAGES.shape, "vector": X.shape})
    assert shapes[0] == {"seen": (3, 6, 2, 3), "sum": (3, 6, 4)}


def test_nests_run_in_models_that_are_saved(tmp_path):
    model = functional(RNN(Images(), return_sequences=True), BOTH)
    given = keras.tree.flatten(BOTH)
    assert_same(model(given), expected_of_images())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same(loaded(given), expected_of_images())


def test_nests_are_masked_and_turned_round():
    layer = RNN(Images(), go_backwards=True)
    outputs = layer(BOTH, mask=MASK)
    for row in range(3):
        kept = keras.tree.map_structure(lambda x, r=row: x[r : r + 1, MASK[r]], BOTH)
        alone = keras.tree.map_structure(lambda x, r=row: x[r : r + 1], outputs)
        assert_same(alone, layer(kept))


def test_bidirectional_merges_every_output():
    layer = Bidirectional(RNN(Images(), return_sequences=True), merge_mode="sum")
    forward = expected_of_images()
    turned = keras.tree.map_structure(lambda x: np.flip(x, 1).copy(), BOTH)
    backward = RNN(Images(), return_sequences=True)(turned)
    backward = keras.tree.map_structure(lambda x: np.flip(numpy(x), 1), backward)
    assert_same(layer(BOTH), keras.tree.map_structure(np.add, forward, backward))


class Pair(NamedTuple):
    """Inputs of a cell, by name."""

    left: object
    right: object


@register
class Named(AbstractRNNCell):
    """Reads the fields of a named tuple, and has its states in one."""

    state_size = Pair(left=4, right=4)

    def call(self, inputs, states):
        left, right = states.left + inputs.left, states.right - inputs.right
        return left * right, Pair(left, right)


def test_named_tuples_keep_their_names():
    output = RNN(Named())(Pair(X, 2 * X))
    assert_same(output, X.sum(1) * -2 * X.sum(1), rtol=1e-4, atol=1e-4)


@register
class WithConstants(AbstractRNNCell):
    """Adds a constant, times a weight, to `project`, and another to `step`."""

    state_size = 4

    def build(self, input_shape):
        self.w = self.add_weight(shape=(2, 4), initializer="ones")

    def project(self, inputs, constants):
        return inputs + ops.matmul(constants[0], self.w)

    def step(self, projected, states, constants):
        h = 0.5 * states[0] + projected * constants[1]
        return h, [h]


@register
class WholeWithConstants(AbstractRNNCell):
    """The same in one piece."""

    state_size = 4

    def build(self, input_shape):
        self.w = self.add_weight(shape=(2, 4), initializer="ones")

    def call(self, inputs, states, constants):
        first, second = constants
        h = 0.5 * states[0] + (inputs + ops.matmul(first, self.w)) * second
        return h, [h]


CONSTANTS = [
    RNG.normal(size=(3, 2)).astype("float32"),
    RNG.normal(size=(3, 4)).astype("float32"),
]


def expected_of_constants(x=X):
    h, steps = np.zeros((3, 4)), []
    for t in range(x.shape[1]):
        h = 0.5 * h + (x[:, t] + CONSTANTS[0] @ np.ones((2, 4))) * CONSTANTS[1]
        steps.append(h)
    return np.stack(steps, 1)


@pytest.mark.parametrize("cell", [WithConstants, WholeWithConstants])
def test_constants_reach_every_step(cell, tmp_path):
    layer = RNN(cell(), return_sequences=True)
    assert_same(layer(X, constants=CONSTANTS), expected_of_constants())
    assert_same(layer([X, np.zeros((3, 4)), *CONSTANTS]), expected_of_constants())
    given = [keras.Input((2,)), keras.Input((4,))]
    sequences = keras.Input((None, 4))
    model = keras.Model([sequences, *given], layer(sequences, constants=given))
    assert_same(model([X, *CONSTANTS]), expected_of_constants())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same(loaded([X, *CONSTANTS]), expected_of_constants())


def test_constants_reach_those_of_a_stack_that_take_them():
    stack = RNN([layers.SimpleRNNCell(4), WithConstants()], return_sequences=True)
    below = layers.RNN(stack.cell.cells[0], return_sequences=True)
    found = stack(X, constants=CONSTANTS)
    assert_same(found, expected_of_constants(numpy(below(X))))


def test_constants_reach_both_directions():
    both = Bidirectional(RNN(WithConstants(), return_sequences=True), merge_mode=None)
    forward, backward = both(X, constants=CONSTANTS)
    assert_same(forward, expected_of_constants())
    turned = np.flip(expected_of_constants(np.flip(X, 1)), 1)
    assert_same(backward, turned)


def test_one_batch_of_constants_as_long_as_time_is_no_sequence():
    x = RNG.normal(size=(3, 3, 4)).astype("float32")
    layer = RNN(WithConstants(), return_sequences=True)
    assert_same(layer(x, constants=CONSTANTS), expected_of_constants(x))


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
def test_a_list_means_inputs_and_states(make):
    layer = make(5, return_state=True)
    outputs, *states = numpy(layer(X))
    assert_same(layer([X, *states]), layer(X, initial_state=states))
    symbols = [keras.Input((6, 4)), *(keras.Input((5,)) for _ in states)]
    model = keras.Model(symbols, layer(symbols))
    assert_same(model([X, *states]), layer(X, initial_state=states))
    both = Bidirectional(make(5))
    assert_same(both([X, *states, *states]), both(X, initial_state=[*states, *states]))


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
@pytest.mark.parametrize("backwards", [False, True])
def test_time_may_come_first(make, backwards):
    options = {"return_sequences": True, "return_state": True, "seed": 1}
    options["go_backwards"] = backwards
    first, second = make(5, time_major=True, **options), make(5, **options)
    turned = np.swapaxes(X, 0, 1)
    first.build(turned.shape)
    second.build(X.shape)
    second.set_weights(first.get_weights())
    outputs, *states = first(turned, mask=MASK.T)
    expected, *after = second(X, mask=MASK)
    assert_same(np.swapaxes(numpy(outputs), 0, 1), expected)
    assert_same(states, after)
    assert first.compute_output_shape((6, 3, 4))[0] == (6, 3, 5)
    assert functional(first, turned).output_shape[0] == (None, None, 5)


@pytest.mark.skipif(not ON_TENSORFLOW, reason="ragged tensors are TensorFlow's")
@pytest.mark.parametrize("backwards", [False, True])
def test_ragged_sequences_are_as_if_each_ran_alone(backwards):
    import tensorflow as tf

    rows = [X[0, :2], X[1, :5], X[2, :3]]
    ragged = tf.RaggedTensor.from_row_lengths(np.concatenate(rows), [2, 5, 3])
    layer = LSTM(5, return_sequences=True, go_backwards=backwards)
    last = LSTM(5, go_backwards=backwards)
    last.build(X.shape)
    layer.build(X.shape)
    last.set_weights(layer.get_weights())
    outputs = layer(ragged)
    assert isinstance(outputs, tf.RaggedTensor)
    for row, steps in enumerate(rows):
        assert_same(outputs[row], layer(steps[None])[0])
        assert_same(last(ragged)[row], last(steps[None])[0])
    inputs = keras.Input((None, 4), ragged=True)
    model = keras.Model(inputs, LSTM(5)(layer(inputs)))
    assert model.predict(ragged, verbose=0).shape == (3, 5)


@pytest.mark.parametrize("kind", ["layer", "cell", "stack"])
def test_all_states_can_be_trained(kind):
    make = {
        "layer": lambda **flags: LSTM(5, **flags),
        "cell": lambda **flags: RNN(LSTMCell(5), **flags),
        "stack": lambda **flags: RNN([LSTMCell(5), GRUCell(3)], **flags),
    }[kind]
    layer = make(return_sequences=True, return_all_states=True)
    outputs, shown = layer(X, mask=MASK)
    traced = custom_lstm.trace(layer, X, mask=MASK)
    assert sorted(shown) == sorted(traced)
    for name, tensor in shown.items():
        assert_same(tensor, np.nan_to_num(traced[name]))
    name, width = ("1/h", 3) if kind == "stack" else ("c", 5)
    model = functional(layer)
    target = keras.Model(model.inputs, model.output[1][name])
    target.compile("sgd", "mse")
    before = layer.get_weights()
    target.fit(X, np.ones((3, 6, width)), verbose=0)
    assert not np.array_equal(before[0], layer.get_weights()[0])


def test_all_states_of_both_directions_are_in_the_order_of_the_inputs():
    both = Bidirectional(
        LSTM(5, return_sequences=True, return_all_states=True), merge_mode=None
    )
    forward, backward, shown = both(X)
    assert_same(shown["forward"]["h"], forward)
    assert_same(shown["backward"]["h"], backward)


def test_directions_may_have_different_cells(tmp_path):
    both = Bidirectional(
        LSTM(4, return_sequences=True),
        backward_layer=GRU(3, return_sequences=True, go_backwards=True),
    )
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, both(inputs))
    assert model.output_shape == (None, 6, 7)
    expected = np.concatenate(
        [
            numpy(both.forward_layer(X)),
            np.flip(numpy(both.backward_layer(X)), 1),
        ],
        -1,
    )
    assert_same(model(X), expected)
    model.save(tmp_path / "model.keras")
    assert_same(keras.models.load_model(tmp_path / "model.keras")(X), expected)
    summed = Bidirectional(
        LSTM(4), backward_layer=GRU(3, go_backwards=True), merge_mode="sum"
    )
    with pytest.raises(ValueError, match=r"'sum'.*\(3, 4\), \(3, 3\)"):
        summed(X)


def unregistered():
    class Local(AbstractRNNCell):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = self.state_size = units

        def build(self, input_shape):
            self.w = self.add_weight(shape=(input_shape[-1], self.units))

        def call(self, inputs, states):
            h = 0.5 * states[0] + ops.matmul(inputs, self.w)
            return h, [h]

    return Local


def test_a_class_that_is_not_registered_is_found_in_its_process(tmp_path):
    layer = RNN(unregistered()(5))
    model = keras.Sequential([keras.Input((6, 4)), layer])
    assert tuple(Bidirectional(layer)(X).shape) == (3, 10)
    assert tuple(layers.Bidirectional(layer)(X).shape) == (3, 10)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert_same(clone(X), model(X))
    with pytest.warns(UserWarning, match=r"Local.*register_keras_serializable"):
        again = pickle.loads(pickle.dumps(model))
    assert_same(again(X), model(X))
    with pytest.warns(UserWarning, match=r"Local.*register_keras_serializable"):
        model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "some.weights.h5")  # of which no class is part


def test_a_config_that_lacks_an_argument_is_named_on_saving(tmp_path):
    @register
    class Forgetful(unregistered()):
        def get_config(self):
            return {"name": self.name}

    model = keras.Sequential([keras.Input((6, 4)), RNN(Forgetful(5))])
    with pytest.raises(ValueError, match=r"Forgetful.get_config.*lacks: units"):
        model.save(tmp_path / "model.keras")


@register
class Residual(AbstractRNNCell):
    """A wrapper around any cell: adds the inputs to its output."""

    def __init__(self, cell, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell

    @property
    def state_size(self):
        return self.cell.state_size

    def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
        return self.cell.get_initial_state(batch_size=batch_size)

    def build(self, input_shape):
        if isinstance(self.cell, AbstractRNNCell) or not self.cell.built:
            self.cell.build(input_shape)

    def call(self, inputs, states, training=False):
        output, states = self.cell(inputs, states, training=training)
        return inputs + output, states

    def get_config(self):
        cell = keras.saving.serialize_keras_object(self.cell)
        return {**super().get_config(), "cell": cell}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("cell")), **config)


@pytest.mark.parametrize("make", [LSTMCell, layers.LSTMCell, layers.GRUCell])
def test_a_wrapper_runs_any_cell(make, tmp_path):
    layer = RNN(Residual(make(4)), return_sequences=True)
    inner = layers.RNN(layer.cell.cell, return_sequences=True)
    assert_same(layer(X), X + numpy(inner(X)))
    model = functional(layer)
    model.save(tmp_path / "model.keras")
    assert_same(keras.models.load_model(tmp_path / "model.keras")(X), model(X))


def test_the_cell_in_a_wrapper_drops_the_same_at_every_step():
    layer = RNN(Residual(LSTMCell(4, dropout=0.5, seed=1)), return_sequences=True)
    layer.build(X.shape)
    to_candidate = np.pad(np.eye(4), ((0, 0), (8, 4)))
    layer.set_weights([to_candidate, np.zeros((4, 16)), np.zeros(16)])
    ones = np.ones_like(X)
    dropped = [numpy(layer(ones, training=True)) == 1 for _ in range(2)]
    for of_call in dropped:
        assert of_call.any() and not of_call.all()
        np.testing.assert_array_equal(
            of_call, of_call[:, :1] & np.ones((3, 6, 4), bool)
        )
    assert not np.array_equal(*dropped)


@register
class Wide(AbstractRNNCell):
    """Returns an output of another width than it says."""

    state_size = 4
    output_size = 9

    def call(self, inputs, states):
        h = states[0] + inputs
        return h[:, :3], [h]


def test_the_width_of_the_output_is_what_the_step_returns():
    layer = RNN(Wide(), return_sequences=True)
    assert functional(layer).output_shape == (None, None, 3)
    assert layer.compute_output_shape(X.shape) == (3, 6, 3)
    assert_same(layer(X), X.cumsum(1)[..., :3])


@register
class LateSize(AbstractRNNCell):
    """Says how large its state is when it is built."""

    def build(self, input_shape):
        self.state_size = input_shape[-1]

    def call(self, inputs, states):
        h = states[0] + inputs
        return h, [h]


def test_sizes_may_be_known_after_build():
    assert_same(functional(RNN(LateSize()))(X), X.sum(1))
    assert_same(RNN([LateSize(), LateSize()])(X), X.cumsum(1).sum(1), rtol=1e-4)


@register
class OldArguments(AbstractRNNCell):
    """Hands on what TensorFlow 2.10's base took, by position."""

    state_size = 4

    def __init__(self, trainable=True, name=None, dtype=None, dynamic=False, **kwargs):
        super().__init__(trainable, name, dtype, dynamic, **kwargs)

    def call(self, inputs, states):
        return inputs, [states[0] + inputs]


def test_old_arguments_are_understood():
    cell = OldArguments(False, "old", "float32", False)
    assert (cell.trainable, cell.name, cell.compute_dtype) == (False, "old", "float32")
    config = LSTM(5, stateful=True).get_config()
    config |= {"batch_input_shape": (3, 6, 4), "dynamic": False, "num_constants": None}
    with pytest.warns(UserWarning, match="input_shape"):  # Keras's
        layer = LSTM.from_config(config)
    layer.build((None, 6, 4))
    assert [tuple(state.shape) for state in layer.states] == [(3, 5), (3, 5)]
    with pytest.raises(ValueError, match="set_weights"):
        LSTM(5, weights=[1])


class Counting(LSTMCell):
    """Begins at one, and counts in whole numbers beside."""

    def get_initial_state(self, batch_size=None, dtype=None, inputs=None):
        return [ops.ones((batch_size, self.units)) for _ in range(2)]


STATEFUL = {
    "layer": (lambda: LSTM(5, stateful=True, name="memory"), 0.0),
    "stack": (
        lambda: RNN([LSTMCell(5), GRUCell(3)], stateful=True, name="memory"),
        0.0,
    ),
    "begins at one": (lambda: RNN(Counting(5), stateful=True, name="memory"), 1.0),
}


@pytest.mark.parametrize("kind", STATEFUL)
def test_states_of_a_model_are_read_set_and_reset(kind):
    make, begin = STATEFUL[kind]
    layer = make()
    inputs = keras.Input(batch_shape=(3, 6, 4))
    model = keras.Model(inputs, layers.Dense(1)(layer(inputs)))
    first = numpy(model(X))
    states = custom_lstm.get_states(model)
    second = numpy(model(X))
    assert not np.allclose(first, second)
    custom_lstm.set_states(model, states)
    assert_same(model(X), second)
    custom_lstm.reset_states(model, sequences=[1])
    rows = [state[1] for state in custom_lstm.get_states(model)["memory"]]
    assert all(np.all(row == begin) for row in rows)
    assert not np.allclose(custom_lstm.get_states(model)["memory"][0][0], begin)
    custom_lstm.reset_states(model)
    assert_same(model(X), first)
    layer.reset_state(layer.get_initial_state(3))
    assert_same(model(X), first)
    layer.reset_states()
    assert_same(model(X), first)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: custom_lstm.get_states(keras.Sequential([LSTM(2)])), "no stateful"),
        (lambda m: custom_lstm.set_states(m, {"other": []}), "'other'.*'memory'"),
        (
            lambda m: custom_lstm.set_states(m, {"memory": [np.ones((3, 4))] * 2}),
            r"\(3, 5\), \(3, 5\). Received: \(3, 4\), \(3, 4\)",
        ),
        (lambda m: custom_lstm.reset_states(m, [3]), "indices of the 3.*3"),
        (lambda m: custom_lstm.reset_states(m, [0.5]), "indices of the 3"),
        (
            lambda m: m.layers[0].reset_state([np.ones((2, 5))] * 2),
            r"\(3, 5\).*\(2, 5\)",
        ),
        (lambda m: LSTM(2).reset_state([np.ones((2, 2))] * 2), "not stateful"),
        (lambda m: m(np.ones((2, 6, 4), "float32")), r"3.*2"),
    ],
)
def test_states_that_do_not_fit_a_model_are_named(call, message):
    model = keras.Sequential(
        [keras.Input(batch_shape=(3, 6, 4)), LSTM(5, stateful=True, name="memory")]
    )
    with pytest.raises(ValueError, match=message):
        call(model)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RNN(LSTMCell(2))(X, constants=[X]), "LSTMCell has no argument"),
        (lambda: RNN(Images())({"image": IMAGES, "vector": X[:, :5]}), "same first"),
        (lambda: RNN(Images())((IMAGES, X[:2])), "same first axes"),
        (lambda: LSTM(2)([X, X]), r"list of 2: \(3, 6, 4\), \(3, 6, 4\)"),
        (
            lambda: RNN(Images())(BOTH, initial_state=[np.zeros((3, 2, 3)), X[:, 0]]),
            r"in a dict of \['image', 'total'\]",
        ),
        (lambda: LSTM(2, unroll=True)(keras.Input((None, 4))), "known number of steps"),
        (lambda: LSTM(2, stateful=True)(keras.Input((6, 4))), "batch_shape"),
        (lambda: LSTM(2, time_major="no"), "`time_major`"),
        (
            lambda: LSTM(2, kernel="loop", return_all_states=True).kernel_for(X),
            "does not return the states|needs tensorflow",
        ),
    ],
)
def test_what_does_not_fit_the_contract_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@register
class TwoSizes(AbstractRNNCell):
    """Means one state with two axes, and says two states."""

    state_size = (4, 3)

    def call(self, inputs, states):
        return inputs, [inputs[:, :, None] * ops.ones((1, 1, 3))]


@register
class OneState(TwoSizes):
    """Says by its initial state what it means."""

    def get_initial_state(self, batch_size=None, dtype=None, inputs=None):
        return [ops.zeros((batch_size, 4, 3))]


def test_a_tuple_that_means_a_shape_is_told_what_to_write():
    with pytest.raises(ValueError, match=r"state_size=StateShape\(\[4, 3\]\)"):
        RNN(TwoSizes())(X)


def test_first_states_say_what_sizes_do_not():
    _, state = RNN(OneState(), return_state=True)(X)
    assert_same(state, X[:, -1, :, None] * np.ones((1, 1, 3)))


def test_a_mask_of_words_becomes_one_of_sentences():
    words = np.array(
        [[[1, 2, 0], [3, 0, 0], [0, 0, 0]], [[4, 1, 2], [0, 0, 0], [1, 0, 0]]]
    )
    embed = layers.Embedding(5, 4, mask_zero=True)
    reader, core = LSTM(3), LSTM(2)
    inputs = keras.Input((None, None), dtype="int32")
    sentences = TimeDistributed(reader)(TimeDistributed(embed)(inputs))
    model = keras.Model(inputs, core(sentences))
    there = words > 0
    vectors = [numpy(reader(embed(words[:, k]), mask=there[:, k])) for k in range(3)]
    expected = core(np.stack(vectors, 1), mask=there.any(-1))
    assert_same(model(words), expected)
    assert not np.allclose(numpy(model(words)), numpy(core(np.stack(vectors, 1))))


def test_time_distributed_passes_on_the_mask_that_its_layer_makes():
    made = TimeDistributed(layers.Embedding(5, 4, mask_zero=True))
    words = np.array([[[1, 2, 0], [0, 0, 0]]])
    np.testing.assert_array_equal(numpy(made.compute_mask(words)), words > 0)
    kept = TimeDistributed(layers.Dense(2))
    kept(numpy(made(words)))
    np.testing.assert_array_equal(
        numpy(kept.compute_mask(numpy(made(words)), words > 0)), words > 0
    )


@register
class Image(AbstractRNNCell):
    """One image as its state, which it shows twice as bright."""

    state_size = StateShape([2, 3])

    def call(self, inputs, states):
        image = 0.5 * states[0] + inputs
        self.observe(bright=2 * image)
        return image, [image]


def test_states_of_any_rank_are_traced_and_streamed():
    layer = RNN(Image(), return_sequences=True)
    expected = expected_of_images()["seen"]
    shown = custom_lstm.trace(layer, IMAGES)
    assert_same(shown, {"h": expected, "bright": 2 * expected})
    masked = custom_lstm.trace(layer, IMAGES, mask=MASK)
    assert np.isnan(masked["bright"][~MASK]).all()
    assert np.isfinite(masked["h"]).all()
    stream = custom_lstm.Stream(layer)
    parts = [stream(IMAGES[:, :4]), stream(IMAGES[:, 4:])]
    assert_same(np.concatenate(parts, axis=1), expected)


def test_constants_are_traced():
    sequences, given = keras.Input((6, 4)), [keras.Input((2,)), keras.Input((4,))]
    outputs = RNN(WithConstants())(sequences, constants=given)
    shown = custom_lstm.trace(
        keras.Model([sequences, *given], outputs), [X, *CONSTANTS]
    )
    assert_same(shown["h"], expected_of_constants())


@pytest.mark.skipif(not ON_TENSORFLOW, reason="a SavedModel is TensorFlow's")
def test_nests_are_exported(tmp_path):
    import tensorflow as tf

    model = functional(RNN(Images(), return_sequences=True), BOTH)
    given = keras.tree.flatten(BOTH)
    model.export(tmp_path / "saved", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved").serve(given)
    assert_same(served, expected_of_images())


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_nests_run_in_mixed_precision(dtype):
    layer = RNN(Images(dtype=dtype), return_sequences=True, dtype=dtype)
    outputs = layer(BOTH)
    low = dtype.removeprefix("mixed_")
    for tensor in keras.tree.flatten(outputs):
        assert keras.backend.standardize_dtype(tensor.dtype) == low
    numbers = keras.tree.map_structure(
        lambda x: np.asarray(ops.convert_to_numpy(ops.cast(x, "float32"))), outputs
    )
    assert_same(numbers, expected_of_images(), rtol=0.05, atol=0.05)


@register
class Ticking(AbstractRNNCell):
    """Counts its steps in whole numbers."""

    state_size = [4, 1]

    def get_initial_state(self, batch_size=None, dtype=None, inputs=None):
        return [ops.zeros((batch_size, 4)), ops.zeros((batch_size, 1), "int32")]

    def call(self, inputs, states):
        h, ticks = states
        h = h + inputs * ops.cast(ticks % 2, inputs.dtype)
        return h, [h, ticks + 1]


@pytest.mark.parametrize("unroll", [False, True])
def test_whole_numbers_stay_whole(unroll):
    layer = RNN(Ticking(), return_state=True, unroll=unroll)
    output, _, ticks = layer(X)
    assert_same(output, X[:, 1::2].sum(1), rtol=1e-4)
    assert keras.backend.standardize_dtype(ticks.dtype) == "int32"
    np.testing.assert_array_equal(numpy(ticks), np.full((3, 1), 6))
    model = keras.Sequential([keras.Input((6, 4)), RNN(Ticking()), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, np.ones((3, 1)), verbose=0)


def test_nothing_is_reset_where_one_layer_lacks_the_sequence():
    first = LSTM(2, stateful=True, name="of_three")
    second = LSTM(2, stateful=True, name="of_two")
    first(X)
    second(X[:2])
    both = keras.Sequential([first, second])
    before = custom_lstm.get_states(both)
    with pytest.raises(ValueError, match="indices of the 2.*2"):
        custom_lstm.reset_states(both, [2])
    assert_same(custom_lstm.get_states(both), before)


def test_of_two_classes_of_one_name_a_copy_has_its_own():
    older, newer = unregistered(), unregistered()
    newer.call = lambda self, inputs, states: (inputs, states)
    layer = RNN(older(5))
    RNN(newer(5))  # remembered by the same name
    copy = RNN.from_config(layer.get_config())
    assert type(copy.cell) is older


class PlainCell:
    """A cell that is no layer, and not hashable."""

    state_size = output_size = 4

    def __eq__(self, other):
        return True

    def call(self, inputs, states):
        return inputs + states[0], [inputs + states[0]]


def test_a_cell_need_be_no_layer():
    assert_same(RNN(PlainCell())(X), X.sum(1), rtol=1e-4)


def test_a_layer_that_is_not_built_does_not_know_what_all_steps_show():
    layer = LSTM(4, return_all_states=True)
    with pytest.raises(ValueError, match="build it first"):
        layer.compute_output_shape(X.shape)
    layer.build(X.shape)
    assert layer.compute_output_shape(X.shape)[1]["c"] == (3, 6, 4)


def test_both_directions_know_their_shapes_with_constants():
    both = Bidirectional(RNN(WithConstants()))
    both(X, constants=CONSTANTS)
    shapes = [tensor.shape for tensor in CONSTANTS]
    assert both.compute_output_shape(X.shape, constants_shape=shapes) == (3, 8)


@pytest.mark.skipif(not ON_TENSORFLOW, reason="about kernels of TensorFlow")
def test_the_kernel_for_inputs_with_time_first_is_that_of_a_call():
    layer = LSTM(4, time_major=True)
    x = keras.KerasTensor((100, 2, 3))
    turned = LSTM(4).kernel_for(keras.KerasTensor((2, 100, 3)))
    assert layer.kernel_for(x) == turned != LSTM(4).kernel_for(x)
