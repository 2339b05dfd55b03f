"""AbstractRNNCell: what a cell may be, and what its mistakes are called."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import custom_lstm
from custom_lstm import AbstractRNNCell, LSTMCell
from custom_lstm.cells.base import observed

X = np.random.default_rng(0).normal(size=(3, 6, 4)).astype("float32")
RUNNERS = {"keras": layers.RNN, "ours": custom_lstm.RNN}


class Sum(AbstractRNNCell):
    """Adds its inputs up; only `call`, as a course asks."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units

    def call(self, inputs, states):
        total = states[0] + inputs
        return total, [total]


class SplitSum(AbstractRNNCell):
    """Adds its inputs up, doubled in the first half."""

    state_size = 4

    def project(self, inputs):
        return 2 * inputs

    def step(self, projected, states):
        total = states[0] + projected
        return total, [total]


class Several(AbstractRNNCell):
    """States of different sizes, and an output of yet another."""

    state_size = [4, 2]
    output_size = 6

    def step(self, projected, states):
        total, last = states
        total, last = total + projected, projected[:, :2]
        return ops.concatenate([total, last], axis=-1), (total, last)


class Nested(AbstractRNNCell):
    """States in a nest."""

    state_size = [4, [2, 4]]

    def call(self, inputs, states):
        total, (last, count) = states
        total = total + inputs
        return total, [total, [inputs[:, :2] + 0 * last, count + 1]]


class Shape:
    """What `tf.TensorShape([n])` is to a cell."""

    def __init__(self, n):
        self.n = n

    def as_list(self):
        return [self.n]


class Course(AbstractRNNCell):
    """A cell as it was written for TensorFlow 2.10, sub-layers and all."""

    def __init__(self, units, **kwargs):
        self.units = units
        super().__init__(**kwargs)
        self.gate = layers.Dense(units, activation="sigmoid")
        self.candidate = layers.Dense(units, activation="tanh")

    @property
    def state_size(self):
        return [Shape(self.units), Shape(self.units)]

    @property
    def output_size(self):
        return [Shape(self.units)]

    def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
        return [ops.ones((batch_size, self.units), dtype=dtype) for _ in range(2)]

    def call(self, inputs, states):
        h, c = states
        x = ops.concatenate([inputs, h], axis=-1)
        c = c * self.gate(x) + self.candidate(x)
        return ops.tanh(c), [ops.tanh(c), c]


def numpy(x):
    return keras.tree.map_structure(ops.convert_to_numpy, x)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (Sum, X.cumsum(axis=1)),
        (SplitSum, 2 * X.cumsum(axis=1)),
        (Several, np.concatenate([X.cumsum(axis=1), X[..., :2]], axis=-1)),
    ],
)
def test_runs_in_both_layers(cell, expected, runner, unroll):
    layer = RUNNERS[runner](cell(), return_sequences=True, unroll=unroll)
    np.testing.assert_allclose(numpy(layer(X)), expected, rtol=1e-5, atol=1e-5)
    assert layer.compute_output_shape(X.shape) == expected.shape


def test_nested_states_keep_their_nest():
    cell = Nested()
    states = cell.get_initial_state(batch_size=3)
    for t in range(6):
        _, states = cell(X[:, t], states)
    total, (last, count) = numpy(states)
    np.testing.assert_allclose(total, X.sum(axis=1), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(last, X[:, -1, :2])
    np.testing.assert_array_equal(count, np.full((3, 4), 6))


@pytest.mark.parametrize("runner", RUNNERS)
def test_cell_written_for_tensorflow_2_10_runs(runner):
    inputs = keras.Input((None, 4))
    layer = RUNNERS[runner](Course(5), return_sequences=True)
    model = keras.Model(inputs, layer(inputs))
    assert model.count_params() == 2 * ((4 + 5) * 5 + 5)
    expected = [layer.cell(X[:, 0], layer.cell.get_initial_state(batch_size=3))]
    for t in range(1, 6):
        expected.append(layer.cell(X[:, t], expected[-1][1]))
    outputs = np.stack([numpy(output) for output, _ in expected], axis=1)
    np.testing.assert_allclose(numpy(model(X)), outputs, rtol=1e-5, atol=1e-6)


def test_tensor_shapes_are_read_as_sizes():
    assert Course(5).state_size == [5, 5]
    assert Course(5).output_size == 5
    assert LSTMCell(3).output_size == 3
    assert Several().output_size == 6


@pytest.mark.parametrize(
    ("arguments", "batch"),
    [
        ({"batch_size": 3}, 3),
        ({"inputs": X[:2], "batch_size": None, "dtype": None}, 2),
        ({"inputs": None, "batch_size": 3, "dtype": "float16"}, 3),
        ({}, 1),
    ],
)
@pytest.mark.parametrize("cell", [LSTMCell(4), Course(4)], ids=["ours", "course"])
def test_get_initial_state_takes_the_old_arguments_too(cell, arguments, batch):
    states = cell.get_initial_state(**arguments)
    assert [tuple(state.shape) for state in states] == [(batch, 4)] * 2
    if arguments.get("dtype"):
        assert keras.backend.standardize_dtype(states[0].dtype) == "float16"


def test_only_our_layer_projects_all_steps_at_once():
    seen = []

    class Watched(SplitSum):
        def project(self, inputs):
            seen.append(len(inputs.shape))
            return super().project(inputs)

    for runner, expected in ((custom_lstm.RNN, [3]), (layers.RNN, [2] * 6)):
        layer = runner(Watched(), unroll=True)
        layer.build(X.shape)
        seen.clear()
        layer(X)
        assert seen == expected


def test_a_cell_of_another_dtype_is_not_hoisted_but_right():
    cell = LSTMCell(5, dtype="mixed_float16")
    layer = custom_lstm.RNN(cell, dtype="float32")
    np.testing.assert_array_equal(numpy(layer(X)), numpy(layers.RNN(cell)(X)))


@pytest.mark.parametrize("runner", RUNNERS)
def test_training_reaches_the_halves_that_name_it(runner):
    class Trained(SplitSum):
        def project(self, inputs, training=False):
            return 2 * inputs if training else inputs

        def step(self, projected, states, training=False):
            total = states[0] + (10 * projected if training else projected)
            return total, [total]

    layer = RUNNERS[runner](Trained())
    total = X.sum(axis=1)
    np.testing.assert_allclose(numpy(layer(X)), total, rtol=1e-4, atol=1e-5)
    trained = numpy(layer(X, training=True))
    np.testing.assert_allclose(trained, 20 * total, rtol=1e-4, atol=1e-4)


def test_every_loop_begins_a_sequence_of_each_cell():
    begun = []

    class Hooked(Sum):
        def begin_sequence(self, batch_size, training=True):
            begun.append((int(batch_size), bool(training)))

    layer = custom_lstm.RNN([Hooked(), Hooked()])
    layer(X)
    layer(X, initial_state=[np.ones((3, 4)), np.ones((3, 4))], training=True)
    assert begun == [(3, False), (3, False), (3, True), (3, True)]
    begun.clear()
    layers.RNN(Hooked())(X)
    assert begun == [(3, True)]


def test_steps_find_what_their_sequence_drew():
    class Drawing(Sum):
        def build(self, input_shape):
            pass

        def begin_sequence(self, batch_size, training=True):
            return {"doubled": ops.full((batch_size, 1), 2.0)}

        def call(self, inputs, states):
            h = states[0] + inputs * self.drawn["doubled"]
            return h, [h]

    for runner in RUNNERS.values():
        np.testing.assert_allclose(
            numpy(runner(Drawing())(X)), 2 * X.sum(axis=1), rtol=1e-4, atol=1e-5
        )


def test_an_observer_inside_another_gives_way_to_it_again():
    cell, outer, inner = LSTMCell(2), [], []
    with observed(cell, outer.append):
        cell.observe(step=1)
        with observed(cell, inner.append):
            cell.observe(step=2)
        cell.observe(step=3)
    cell.observe(step=4)
    assert (outer, inner) == ([{"step": 1}, {"step": 3}], [{"step": 2}])


def test_a_cell_without_get_config_round_trips_by_its_arguments():
    cell = Sum.from_config(Sum(units=7).get_config())
    assert cell.units == 7


def test_steps_by_hand_drop_the_same_until_a_sequence_begins():
    cell = LSTMCell(4, dropout=0.5)
    cell.build((None, 4))

    def two_steps(states):
        return [numpy(cell(X[:, 0], states, training=True)[0]) for _ in range(2)]

    alone = two_steps([np.zeros((3, 4))] * 2)  # no sequence: every step draws
    assert not np.array_equal(*alone)
    sequences = [two_steps(cell.get_initial_state(batch_size=3)) for _ in range(2)]
    for first, second in sequences:
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(sequences[0][0], sequences[1][0])


def cell_that_returns(result, **attributes):
    def call(self, inputs, states):
        return result(inputs)

    body = {"state_size": [4, 2], "call": call, **attributes}
    return type("Wrong", (AbstractRNNCell,), body)()


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda x: x, r"pair \(output, new_states\)"),
        (lambda x: (x, [x]), r"2 tensor.*Received 1: \(3, 4\)"),
        (lambda x: (x, [x[:, :2], x]), r"\(3, 4\), \(3, 2\).*\(3, 2\), \(3, 4\)"),
        (lambda x: (x, [ops.zeros((32, 4)), x[:, :2]]), r"\(32, 4\)"),
        (lambda x: (x[:2], [x, x[:, :2]]), r"output.*\(3, ...\).*\(2, 4\)"),
    ],
    ids=["no pair", "one state", "swapped", "hard-coded batch", "output"],
)
def test_what_a_step_returns_wrongly_is_named(result, message):
    cell = cell_that_returns(result)
    with pytest.raises(ValueError, match=message):
        cell(X[:, 0], [np.zeros((3, 4)), np.zeros((3, 2))])


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ([np.zeros((3, 5))], r"2 tensor.*Received 1: \(3, 5\)"),
        ([np.zeros((3, 5)), np.zeros((3, 4))], r"\(3, 5\), \(3, 4\)"),
        ([np.zeros((2, 5)), np.zeros((2, 5))], r"\(3, 5\).*\(2, 5\)"),
        ([np.zeros(5), np.zeros(5)], r"\(5,\)"),
    ],
)
def test_states_that_do_not_fit_are_named(states, message):
    with pytest.raises(ValueError, match=message):
        LSTMCell(5)(X[:, 0], states)


@pytest.mark.parametrize("size", [0, -1, 2.5, "4", None, [], [4, 0], True])
def test_invalid_sizes_are_named(size):
    cell = Sum()
    with pytest.raises(ValueError, match="state_size"):
        cell.state_size = size


def test_other_protocol_mistakes_are_named():
    with pytest.raises(TypeError, match=r"Empty.*`step\(projected, states\)`"):
        type("Empty", (AbstractRNNCell,), {})()
    sizeless = type("Sizeless", (AbstractRNNCell,), {"call": Sum.call})()
    assert not hasattr(sizeless, "state_size")
    with pytest.raises(ValueError, match="state_size"):
        layers.RNN(sizeless)
    with pytest.raises(ValueError, match="output_size"):
        Sum().output_size = [4, 0]
    flatten = {"project": lambda self, inputs: ops.reshape(inputs, (-1, 4))}
    flat = type("Flat", (SplitSum,), flatten)
    with pytest.raises(ValueError, match=r"Flat.project.*\(3, 6, 4\).*\(18, 4\)"):
        custom_lstm.RNN(flat())(X)
    misnamed = type("Misnamed", (Sum,), {"state_names": ("h", "c")})
    with pytest.raises(ValueError, match=r"1 states.*\('h', 'c'\)"):
        custom_lstm.trace(layers.RNN(misnamed()), X)


def test_inputs_that_do_not_fit_are_named():
    cell = LSTMCell(4)
    with pytest.raises(ValueError, match=r"\(None, None\)"):
        cell.build((None, None))
    cell.build((None, 3))
    with pytest.raises(ValueError, match=r"3 features.*\(3, 4\)"):
        cell(X[:, 0], cell.get_initial_state(batch_size=3))


def test_keras_rnn_takes_unknown_sizes():
    layer = keras.layers.RNN(custom_lstm.LSTMCell(3))
    assert layer(keras.Input((None, 2))).shape == (None, 3)
