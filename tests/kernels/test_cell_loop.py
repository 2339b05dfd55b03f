"""The loops run any cell as it stepped by hand would be, with what it changes."""

import threading
from functools import partial

import keras
import numpy as np
import pytest
from helpers import every_cell, layer_gradients
from keras import layers, ops

import custom_lstm
from custom_lstm import AbstractRNNCell, cells
from custom_lstm.kernels.partition import Graph, Node, partition

BACKEND = keras.backend.backend()
ON_TENSORFLOW = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="about TensorFlow's loops"
)
PARTITIONING = pytest.mark.skipif(
    BACKEND == "torch", reason="PyTorch has the plain loop alone"
)
BATCH, FEATURES, UNITS = 4, 3, 5


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


class MinimalGated(AbstractRNNCell):
    """A user's cell in two halves: f = σ(x·W_f + h·U_f), h' = (1−f)∘h + f∘tanh(…)."""

    def __init__(self, units=UNITS, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, input_shape):
        n = self.units
        self.W = self.add_weight(shape=(input_shape[-1], 2 * n), name="W")
        self.U = self.add_weight(shape=(n, n), name="U", initializer="orthogonal")
        self.V = self.add_weight(shape=(n, n), name="V", initializer="orthogonal")

    def project(self, inputs):
        return ops.matmul(inputs, self.W)

    def step(self, projected, states):
        (h,) = states
        x_f, x_g = ops.split(projected, 2, axis=-1)
        f = ops.sigmoid(x_f + ops.matmul(h, self.U))
        g = ops.tanh(x_g + ops.matmul(f * h, self.V))
        h = (1 - f) * h + f * g
        return h, [h]


class Whole(AbstractRNNCell):
    """The same kind of cell, with `call` alone and a sub-layer, output beside h."""

    def __init__(self, units=UNITS, **kwargs):
        super().__init__(**kwargs)
        self.state_size, self.output_size = [units, units], units
        self.dense = layers.Dense(2 * units)

    def call(self, inputs, states):
        h, c = states
        z = self.dense(ops.concatenate([inputs, h], axis=-1))
        i, g = ops.split(z, 2, axis=-1)
        c = 0.9 * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.softmax(c, axis=-1)
        return 2 * h - ops.mean(c, axis=-1, keepdims=True), [h, c]


PECULIAR = (
    "gru",
    "lstm",
    "simple",
    "peephole",
    "layer_norm",
    "projected",
    "coupled",
    "zoneout",
    "carousel",
    "nas",
    "scrn",
    "ind",
)
"""Those whose steps differ in kind; what all loops do with all others: check_cell."""
CELLS = {
    **{name: partial(every_cell.make, name, UNITS) for name in PECULIAR},
    "minimal gated": MinimalGated,
    "call alone": Whole,
    "stacked": lambda: [custom_lstm.GRUCell(4), custom_lstm.LSTMCell(UNITS)],
    "keras": lambda: layers.GRUCell(UNITS),
}
NAMES = list(CELLS)
if BACKEND == "jax":  # which compiles each for seconds
    NAMES = ["gru", "layer_norm", "minimal gated", "call alone", "stacked"]
MASKS = {
    "no mask": None,
    "right": [[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0], [1] * 6, [1, 1, 1, 1, 1, 0]],
    "any": [[0, 0, 1, 1, 0, 1], [1, 0, 1, 1, 1, 1], [0] * 6, [1] * 6],
}


def inputs(time=6):
    rng = np.random.default_rng(3)
    return rng.normal(size=(BATCH, time, FEATURES)).astype("float32")


def pair(make_cell, **flags):
    """Keras's layer and ours around equal cells with equal weights."""
    pair = [
        one(make_cell(), return_sequences=True, return_state=True, **flags)
        for one in (layers.RNN, custom_lstm.RNN)
    ]
    for layer in pair:
        layer(inputs())
    pair[1].set_weights(pair[0].get_weights())
    return pair


CASES = [
    (name, mask)
    for name in NAMES
    for mask in MASKS
    # at masked steps Keras on JAX takes the first state for the output before
    if not (BACKEND == "jax" and name == "call alone" and MASKS[mask])
]


@pytest.mark.parametrize(("name", "mask"), CASES)
def test_outputs_states_and_gradients_are_those_of_keras_loop(name, mask):
    mask = None if MASKS[mask] is None else np.array(MASKS[mask], bool)
    theirs, ours = (
        layer_gradients.run(layer, inputs(), [], mask=mask)
        for layer in pair(CELLS[name])
    )
    for expected, found in zip(theirs[0] + theirs[1], ours[0] + ours[1], strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("mask", ["right", "any"])
def test_masked_steps_hold_states_and_repeat_the_output_before(mask):
    """Of a cell whose output is no state, stepped by hand on every backend."""
    layer = custom_lstm.RNN(Whole(), return_sequences=True, return_state=True)
    outputs, *last = map(numpy, layer(inputs(), mask=np.array(MASKS[mask], bool)))
    states = [np.zeros((BATCH, UNITS), "float32")] * 2
    expected, output = [], np.zeros((BATCH, UNITS), "float32")
    for t in range(6):
        acts = np.array(MASKS[mask], bool)[:, t, None]
        made, new = layer.cell(inputs()[:, t], states)
        output = np.where(acts, numpy(made), output)
        pairs = zip(new, states, strict=True)
        states = [np.where(acts, numpy(after), before) for after, before in pairs]
        expected.append(output)
    np.testing.assert_allclose(outputs, np.stack(expected, 1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(last, states, rtol=1e-5, atol=1e-6)


def compiled(layer, sizes, training):
    """Outputs, states and gradients, in a tf.function that knows some of the sizes."""
    import tensorflow as tf

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([*sizes, FEATURES])])
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            results = layer(x, training=training)
            loss = tf.add_n([tf.reduce_sum(tf.sin(result)) for result in results])
        sources = [x, *(variable.value for variable in layer.trainable_weights)]
        return [*results, *tape.gradient(loss, sources)]

    return run


@pytest.fixture
def policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield
    keras.config.set_dtype_policy(before)


@ON_TENSORFLOW
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("sizes", "time", "policy"),
    [
        ((BATCH, 6), 6, "float32"),
        ((None, 70), 70, "float64"),  # over many steps float32's last bits grow
        ((BATCH, None), 7, "float32"),
    ],
    indirect=["policy"],
)
@pytest.mark.parametrize("name", [name for name in CELLS if name != "zoneout"])
@pytest.mark.usefixtures("policy")
def test_partitioned_loops_equal_keras_loop(name, sizes, time, training):
    both = pair(CELLS[name])
    theirs, ours = (compiled(layer, sizes, training)(inputs(time)) for layer in both)
    assert both[1].loop_used == "partitioned"
    for expected, found in zip(theirs, ours, strict=True):
        scale = max(1, np.abs(expected).max())
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * scale)


@ON_TENSORFLOW
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("time", [6, 70])
@pytest.mark.parametrize("name", ["gru", "peephole", "layer_norm"])
def test_a_batch_that_two_cores_share_equals_keras_loop(name, time, training):
    both = pair(lambda: cells.get(name)(256))  # 4·256 numbers in a state
    theirs, ours = (
        compiled(layer, (BATCH, time), training)(inputs(time)) for layer in both
    )
    assert both[1].loop_used == "partitioned"
    for expected, found in zip(theirs, ours, strict=True):
        scale = max(1, np.abs(expected).max())
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * scale)


@pytest.mark.skipif(BACKEND != "jax", reason="others are compared eagerly, above")
@pytest.mark.parametrize(
    ("name", "flags"),
    [
        *((name, {}) for name in CELLS),
        *(
            (name, {flag: True})
            for name in ("gru", "minimal gated", "stacked")
            for flag in ("go_backwards", "unroll")
        ),
    ],
    ids=str,
)
def test_compiled_loops_equal_keras_loop(name, flags):
    both, training = pair(CELLS[name], **flags), name != "zoneout"
    theirs, ours = (
        layer_gradients.run(layer, inputs(), compiled=True, training=training)
        for layer in both
    )
    assert both[1].loop_used == "partitioned"
    for expected, found in zip(theirs[0] + theirs[1], ours[0] + ours[1], strict=True):
        scale = max(1, np.abs(expected).max())
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * scale)


class Mixing(Whole):
    def call(self, inputs, states):
        output, (h, c) = super().call(inputs, states)
        return output, [h, c - ops.mean(c, axis=0, keepdims=True)]


def test_a_step_that_mixes_rows_is_run_as_by_keras():
    both = pair(Mixing)
    theirs, ours = (
        layer_gradients.run(layer, inputs(), compiled=True) for layer in both
    )
    used = {"tensorflow": "plain", "jax": "partitioned", "torch": "plain"}
    assert both[1].loop_used == used[BACKEND]
    if BACKEND == "tensorflow":
        assert "may mix the rows" in both[1].loop_reason
    for expected, found in zip(theirs[0] + theirs[1], ours[0] + ours[1], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


class Changing(AbstractRNNCell):
    """Normalises over the batch, drops, counts its steps and adds a loss."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size = UNITS
        self.dense = layers.Dense(UNITS)
        self.normalise = layers.BatchNormalization(momentum=0.5)
        self.drop = layers.Dropout(0.5, seed=1)
        self.steps = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="steps"
        )

    def call(self, inputs, states, training=False):
        h = self.dense(ops.concatenate([inputs, states[0]], axis=-1))
        h = self.normalise(h, training=training)
        self.steps.assign(self.steps + 1)
        self.add_loss(ops.mean(h**2))
        h = self.drop(h, training=training)
        return h, [h]


@pytest.mark.parametrize("unroll", [False, True])
def test_what_a_step_changes_and_the_losses_it_adds_reach_the_layer(unroll):
    cell = Changing()
    model = keras.Sequential(
        [keras.Input((6, FEATURES)), custom_lstm.RNN(cell, unroll=unroll)]
    )
    model.compile("sgd", "mse")
    targets = np.zeros((BATCH, UNITS), "float32")
    model.fit(inputs(), targets, epochs=2, batch_size=BATCH, verbose=0)
    assert int(numpy(cell.steps)) == 2 * 6
    assert np.abs(numpy(cell.normalise.moving_mean)).max() > 1e-3
    evaluated = model.evaluate(inputs(), targets, verbose=0)
    h, losses = np.zeros((BATCH, UNITS), "float32"), []
    for t in range(6):
        h = cell.dense(ops.concatenate([inputs()[:, t], h], axis=-1))
        h = numpy(cell.normalise(h, training=False))
        losses.append(np.mean(h**2))
    assert evaluated == pytest.approx(np.mean(h**2) + sum(losses), rel=1e-4)


@pytest.mark.parametrize(
    "name", ["gru", "lstm", "simple", "minimal gated", "call alone"]
)
def test_nan_behind_a_mask_reaches_no_gradient(name):
    layer = custom_lstm.RNN(CELLS[name]())
    x, mask = inputs(), np.array(MASKS["right"], bool)
    layer(x)
    clean = layer_gradients.run(layer, np.where(mask[..., None], x, 0), [], mask=mask)
    x = np.where(mask[..., None], x, np.nan).astype("float32")
    outputs, gradients = layer_gradients.run(layer, x, [], mask=mask)
    for expected, found in zip(clean[0] + clean[1], outputs + gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make_layer", [custom_lstm.GRU, custom_lstm.SimpleRNN, custom_lstm.LSTM]
)
def test_threads_that_share_a_layer_get_their_own_answers(make_layer):
    layer = make_layer(FEATURES)  # as wide as its inputs: no shape would give it away
    layer(inputs())
    rng = np.random.default_rng(0)
    each = [rng.normal(size=(2, 7, FEATURES)).astype("float32") for _ in range(4)]
    expected, failures = [numpy(layer(x)) for x in each], []

    def call(k):
        for _ in range(15):
            try:
                if not np.allclose(numpy(layer(each[k])), expected[k], atol=1e-6):
                    failures.append("wrong")
            except (ValueError, RuntimeError, TypeError) as error:
                failures.append(repr(error))

    threads = [threading.Thread(target=call, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize("runner", [layers.RNN, custom_lstm.RNN])
def test_every_sequence_gets_new_dropout_masks(runner):
    layer = runner(custom_lstm.LSTMCell(64, dropout=0.5), return_sequences=True)
    x = np.ones((1, 3, 8), "float32")
    states = [np.zeros((1, 64), "float32")] * 2
    layer(x)
    first, second = (
        numpy(layer(x, initial_state=states, training=True)) for _ in range(2)
    )
    assert not np.allclose(first, second)


def test_what_leads_to_no_state_is_left_out_of_the_loops():
    """h' = tanh(x·W + h): the product comes before, its gradients after the loops."""
    nodes = [
        Node("xW", ("x", "W"), ("p",), ("x", "W")),
        Node("add", ("p", "h"), ("z",), ("p", "h")),
        Node("tanh", ("z",), ("y",), ("z",)),
        Node("tanh'", ("y", "dh"), ("dz",), ("y", "dh")),
        Node("dzW", ("dz", "W"), ("dx",), ("dz", "W")),
        Node("xdz", ("x", "dz"), ("dW",), ("x", "dz")),
    ]
    plan = partition(
        Graph(
            nodes=nodes,
            inputs=["x"],
            states=["h"],
            constants=[],
            weights=["W"],
            outputs=["y"],
            new_states=["y"],
            output_cotangents=["dy"],
            state_cotangents=["dh"],
            d_inputs=["dx"],
            d_states=["dz"],
            d_constants=[],
            d_weights=["dW"],
        )
    )
    named = {
        part: [node.op for node in getattr(plan, part)]
        for part in ("before", "forward", "backward", "after")
    }
    assert named == {
        "before": ["xW"],
        "forward": ["add", "tanh"],
        "backward": ["tanh'"],
        "after": ["dzW", "xdz"],
    }
    assert (plan.read, plan.saved) == (["p"], ["y"])
    assert (plan.read_backward, plan.written) == (["y"], ["dz"])


@ON_TENSORFLOW
def test_eager_calls_never_compile():
    layer = custom_lstm.LSTM(4)
    for time in (20, 21, 22):  # for each of which XLA would compile for a second
        layer(inputs(time))
        assert layer.kernel_used != "xla"


@PARTITIONING
@pytest.mark.parametrize("mask", ["no mask", "any"])
@pytest.mark.parametrize("name", ["gru", "minimal gated", "layer_norm"])
def test_second_derivatives_are_those_of_keras_loop(name, mask):
    mask = None if MASKS[mask] is None else np.array(MASKS[mask], bool)
    both = pair(CELLS[name])
    (_, theirs), (_, ours) = (
        layer_gradients.run(layer, inputs(), order=2, compiled=True, mask=mask)
        for layer in both
    )
    assert both[1].loop_used == "partitioned"
    for expected, found in zip(theirs, ours, strict=True):
        scale = max(1, np.abs(expected).max())
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * scale)


@PARTITIONING
def test_saved_and_cloned_models_partition_their_loops(tmp_path):
    def answers(model):
        function = compiled_answer(model)
        found = [numpy(function(inputs())) for _ in range(2)]
        assert model.layers[-1].loop_used == "partitioned"
        np.testing.assert_array_equal(*found)
        return found[0]

    cell = custom_lstm.GRUCell(UNITS)
    model = keras.Sequential([keras.Input((6, FEATURES)), custom_lstm.RNN(cell)])
    expected = numpy(keras.layers.RNN(cell)(inputs()))
    np.testing.assert_allclose(answers(model), expected, rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(answers(loaded), expected, rtol=1e-5, atol=1e-6)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(answers(clone), expected, rtol=1e-5, atol=1e-6)


def compiled_answer(model):
    """Return a model's answer, compiled as the backend does."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(model, autograph=False)
    import jax

    return jax.jit(model)


@ON_TENSORFLOW
@pytest.mark.parametrize("time", [6, 21])  # written out, and as a loop
@pytest.mark.parametrize("name", ["gru", "call alone"])
def test_a_gradient_penalty_is_that_of_the_steps(name, time):
    """The second derivatives of a partitioned loop are those of the plain one."""
    import tensorflow as tf

    layer = custom_lstm.RNN(CELLS[name]())
    layer(inputs())

    def penalty(x, training):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(layer(x, training=training)))
        return tf.reduce_sum(tape.gradient(loss, x) ** 2)

    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = penalty(x, training=True)
        return tape.gradient(loss, [x, *(w.value for w in layer.trainable_weights)])

    x = tf.constant(inputs(time))
    expected, found = gradients(x), tf.function(gradients, autograph=False)(x)
    assert layer.loop_used == "partitioned"
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-5)


def nodes_of(function):
    """Return the nodes of a graph in which every call is replaced by what it calls."""
    graph = function.get_concrete_function().graph.as_graph_def()
    bodies = {one.signature.name: one.node_def for one in graph.library.function}

    def count(nodes):
        called = [a.func.name for node in nodes for a in node.attr.values()]
        return len(nodes) + sum(
            count(bodies[name]) for name in called if name in bodies
        )

    return count(graph.node)


@ON_TENSORFLOW
@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_the_graph_of_a_gradient_penalty_is_no_larger_than_keras_s(name):
    """It must be optimised before the first step: nothing is written out there."""
    import tensorflow as tf

    x = tf.ones((32, 50, 16))  # enough for two parts of the batch, and to write out

    def penalty(kind):
        layer = kind(64)
        layer.build(x.shape)
        weights = [weight.value for weight in layer.trainable_weights]

        def gradients():
            with tf.GradientTape() as outer:
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    y = tf.reduce_sum(layer(x, training=True) ** 2)
                loss = tf.reduce_sum(inner.gradient(y, x) ** 2)
            return outer.gradient(loss, weights)

        return nodes_of(tf.function(gradients, autograph=False))

    ours, theirs = (penalty(getattr(m, name)) for m in (custom_lstm, layers))
    assert ours < 1.5 * theirs


@ON_TENSORFLOW
def test_gradients_of_a_step_reshape_nothing():
    """Sums over no axes and reshapes to the same shape were a third of its nodes."""
    import tensorflow as tf

    layer = custom_lstm.RNN(CELLS["gru"]())
    layer(inputs())

    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(inputs(), training=True))
        return tape.gradient(loss, [w.value for w in layer.trainable_weights])

    traced = tf.function(gradients, autograph=False).get_concrete_function()
    steps = [f for f in traced.graph.as_graph_def().library.function if f.node_def]
    assert len(steps) == 2  # forward and backward
    for step in steps:
        assert not {node.op for node in step.node_def} & {"Reshape", "Sum"}


@pytest.mark.parametrize("name", ["GRU", "SimpleRNN", "LSTM"])
def test_stateful_layers_train(name):
    layer = getattr(custom_lstm, name)(UNITS, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(BATCH, 6, FEATURES)), layer])
    model.compile("sgd", "mse")
    targets = np.ones((BATCH, UNITS), "float32")
    model.fit(inputs(), targets, epochs=2, batch_size=BATCH, verbose=0)
    first, second = (numpy(layer(inputs())) for _ in range(2))
    assert not np.allclose(first, second)


class Ticking(keras.layers.Layer):
    """Counts its steps in a state without rows."""

    state_size = [256, 1]

    def get_initial_state(self, batch_size=None):
        return [ops.zeros((batch_size, 256)), ops.zeros(())]

    def call(self, inputs, states):
        h, ticks = states
        h = h + ops.sum(inputs, axis=-1, keepdims=True) * (ticks + 1)
        return h, [h, ticks + 1]


@ON_TENSORFLOW
def test_a_state_without_rows_is_not_shared_by_cores():
    import tensorflow as tf

    layer = custom_lstm.RNN(Ticking(), return_state=True)
    x = inputs(6)
    output, h, ticks = tf.function(lambda x: layer(x))(x)
    expected = (x.sum(-1) * np.arange(1, 7)).sum(1, keepdims=True)
    np.testing.assert_allclose(output, np.tile(expected, 256), rtol=1e-4)
    np.testing.assert_array_equal(h, output)
    assert ticks.numpy() == 6


@ON_TENSORFLOW
@pytest.mark.parametrize("sequences", [0, 2])
@pytest.mark.parametrize("time", [1, 3, 4, 9, 101])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_answers_of_unknown_sizes_keep_every_step(kind, time, sequences):
    """Four steps a turn and what is left over, also where there is none of either."""
    import tensorflow as tf

    layer = getattr(custom_lstm, kind)(UNITS, return_sequences=True)
    spec = tf.TensorSpec((None, None, FEATURES))
    answer = tf.function(lambda x: layer(x), input_signature=[spec])
    x = np.random.default_rng(0).normal(size=(sequences, time, FEATURES))
    x = x.astype("float32")
    np.testing.assert_allclose(answer(x), layer(x), rtol=1e-5, atol=1e-6)


@ON_TENSORFLOW
@pytest.mark.parametrize("every", [False, True])
def test_outputs_apart_from_states_are_held_where_no_size_is_known(every):
    """TensorFlow loses the rank of what a scan over an axis of unknown size makes."""
    import tensorflow as tf

    class Doubling(custom_lstm.cells.MGUCell):
        def call(self, inputs, states):
            output, states = super().call(inputs, states)
            return 2 * output, states

    layer = custom_lstm.RNN(Doubling(UNITS), return_sequences=every)
    x = np.random.default_rng(0).normal(size=(2, 7, FEATURES)).astype("float32")
    mask = np.array([[0, 1, 0, 1, 1, 0, 0], [1, 0, 0, 0, 1, 1, 1]], "bool")
    specs = tf.TensorSpec((None, None, FEATURES)), tf.TensorSpec((None, None), "bool")
    answer = tf.function(lambda x, m: layer(x, mask=m), input_signature=specs)
    expected = keras.layers.RNN(layer.cell, return_sequences=every)(x, mask=mask)
    np.testing.assert_allclose(answer(x, mask), expected, rtol=1e-5, atol=1e-6)
