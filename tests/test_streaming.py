"""Endless sequences: the same outputs however they are cut, in constant memory."""

import gc

import keras
import numpy as np
import pytest
from keras import layers, ops

import custom_lstm
from custom_lstm import Stream

FEATURES, TIME = 5, 7


class Subclassed(keras.Model):
    """A model whose layers Keras cannot see before it is called."""

    def __init__(self):
        super().__init__()
        self.first = custom_lstm.LSTM(4, return_sequences=True)
        self.second = layers.GRU(3, return_sequences=True)
        self.head = layers.Dense(2)

    def call(self, x):
        return self.head(self.second(self.first(x)))


class Watch(layers.Layer):
    """Passes its inputs on and counts how often Python runs it: once a compilation."""

    runs = 0

    def call(self, x):
        self.runs += 1
        return x


def learned():
    layer = custom_lstm.LSTM(4, return_sequences=True, learn_initial_state=True)
    layer.build((None, None, FEATURES))
    for state in layer.learned_state:
        state.assign(np.arange(4) / 3)
    return layer


def functional():
    x = keras.Input((None, FEATURES))
    h = custom_lstm.GRU(4, return_sequences=True)(layers.Dense(3)(x))
    each = custom_lstm.TimeDistributed(keras.Sequential([layers.Dense(2)]))(h)
    return keras.Model(x, {"each": each, "last": layers.LSTM(3)(h)})


def nested():
    inner = keras.Sequential([layers.SimpleRNN(3, return_sequences=True)])
    return keras.Sequential([custom_lstm.LSTM(4, return_sequences=True), inner])


STACK = [custom_lstm.LSTMCell(4), layers.GRUCell(3)]
MODELS = {
    "LSTM": lambda: custom_lstm.LSTM(4, return_sequences=True),
    "GRU": lambda: custom_lstm.GRU(4, return_sequences=True),
    "SimpleRNN": lambda: custom_lstm.SimpleRNN(4, return_sequences=True),
    "unrolled": lambda: custom_lstm.LSTM(4, return_sequences=True, unroll=True),
    "last output": lambda: custom_lstm.LSTM(4),
    "peephole": lambda: custom_lstm.RNN(
        custom_lstm.PeepholeLSTMCell(4), return_sequences=True
    ),
    "keras LSTM": lambda: layers.LSTM(4, return_sequences=True, return_state=True),
    "keras GRU": lambda: layers.GRU(4, return_sequences=True),
    "stacked cells": lambda: layers.RNN(
        [type(c).from_config(c.get_config()) for c in STACK], return_sequences=True
    ),
    "learned initial state": learned,
    "functional": functional,
    "nested": nested,
    "subclassed": Subclassed,
    "ConvLSTM": lambda: keras.Sequential(
        [
            layers.Reshape((-1, FEATURES, 1)),
            layers.ConvLSTM1D(2, 3, padding="same", return_sequences=True),
        ]
    ),
}


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, TIME, FEATURES)).astype("float32")


def arrays(outputs):
    return [ops.convert_to_numpy(y) for y in keras.tree.flatten(outputs)]


def joined(chunks, whole):
    """Return outputs of all chunks, put together as those of the whole are."""
    parts = zip(*map(arrays, chunks), strict=True)
    return [
        np.concatenate(p, axis=1) if w.ndim > 2 and w.shape[1] == TIME else p[-1]
        for p, w in zip(parts, whole, strict=True)
    ]


@pytest.mark.parametrize("name", MODELS)
def test_every_cut_gives_the_outputs_of_the_whole(name, x):
    model = MODELS[name]()
    whole = arrays(model(x))
    stream = Stream(model)
    for cut in range(1, TIME):
        chunks = [stream(x[:, :cut]), stream(x[:, cut:])]
        stream.reset()
        for ours, expected in zip(joined(chunks, whole), whole, strict=True):
            np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_steps_may_come_one_by_one(x):
    model = functional()
    stream, whole = Stream(model), arrays(model(x))
    chunks = [stream(x[:, t : t + 1]) for t in range(TIME)]
    for ours, expected in zip(joined(chunks, whole), whole, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_an_unbuilt_model_is_built_by_the_first_chunk(x):
    model = Subclassed()
    first = Stream(model)(x)
    np.testing.assert_allclose(first, arrays(model(x))[0], atol=1e-6)


@pytest.mark.parametrize("name", ["LSTM", "learned initial state", "functional"])
def test_chosen_streams_begin_anew_and_the_others_go_on(name, x):
    model = MODELS[name]()
    stream = Stream(model)
    stream(x[:, :3])
    stream.reset([0, 2])
    ours = arrays(stream(x[:, 3:]))
    whole, fresh = arrays(model(x)), arrays(model(x[:, 3:]))
    for part, on, begun in zip(ours, whole, fresh, strict=True):
        on = on[:, 3:] if on.ndim > 2 else on
        np.testing.assert_allclose(part[1], on[1], atol=1e-6)
        np.testing.assert_allclose(part[[0, 2]], begun[[0, 2]], atol=1e-6)


def test_streams_do_not_touch_each_other(x):
    layer = custom_lstm.GRU(4, return_sequences=True)
    together, alone = Stream(layer), Stream(layer)
    for chunk in (x[:, :2], x[:, 2:]):
        expected = together(chunk)[1:2]
        np.testing.assert_allclose(alone(chunk[1:2]), expected, atol=1e-6)


def test_after_a_reset_there_may_be_another_number_of_streams(x):
    stream = Stream(custom_lstm.LSTM(4))
    stream(x)
    stream.reset()
    assert stream.states == {}
    assert stream(x[:1]).shape == (1, 4)


def test_states_are_those_of_the_layer(x):
    layer = custom_lstm.LSTM(4, return_state=True, name="memory")
    stream = Stream(layer)
    stream(x[:, :2])
    output, *states = arrays(stream(x[:, 2:]))
    for ours, expected in zip(stream.states["memory"], states, strict=True):
        np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(output, states[0])


def test_new_weights_count_from_the_next_chunk_on(x):
    layer = custom_lstm.SimpleRNN(4)
    stream = Stream(layer)
    stream(x)
    (states,) = stream.states.values()
    layer.set_weights([w / 2 for w in layer.get_weights()])
    expected = layer(x, initial_state=[ops.convert_to_tensor(s) for s in states])
    np.testing.assert_allclose(stream(x), arrays(expected)[0], atol=1e-6)


def test_the_model_is_left_as_it_was(x):
    model = nested()
    before, weights = arrays(model(x))[0], model.get_weights()
    Stream(model)(x)
    np.testing.assert_array_equal(arrays(model(x))[0], before)
    for ours, expected in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert not any("inner_loop" in vars(layer) for layer in model.layers)


def test_masked_steps_leave_a_stream_where_it_is():
    model = keras.Sequential([layers.Masking(), custom_lstm.LSTM(4)])
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
    waiting = x.copy()
    waiting[1, 3:] = 0  # nothing came in the second stream
    stream = Stream(model)
    stream(waiting)
    ours = stream(x)[1]
    expected = model(np.concatenate([x[1:, :3], x[1:]], axis=1))
    np.testing.assert_allclose(ours, arrays(expected)[0][0], atol=1e-6)


def test_a_thousand_chunks_take_the_memory_of_a_few():
    watch = Watch()
    layer = custom_lstm.LSTM(2, return_sequences=True)
    model = keras.Sequential([keras.Input((None, 3)), watch, layer])
    stream = Stream(model)
    rng = np.random.default_rng(0)
    lengths = [1, 4, 2, 3, *rng.integers(1, 5, size=996)]
    x = rng.normal(size=(2, 4, 3)).astype("float32")
    objects, compiled = [], []
    for count, length in enumerate(lengths):
        stream(x[:, :length])
        if count in (99, 999):
            gc.collect()
            objects.append(len(gc.get_objects()))
            compiled.append(watch.runs)
    assert objects[1] - objects[0] < 50
    if keras.backend.backend() != "torch":  # compiles nothing
        assert compiled[1] == compiled[0]


def after(layer):
    return keras.Sequential([layer, custom_lstm.LSTM(3, return_sequences=True)])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: after(layers.Conv1D(3, 3, padding="same")), "cut in pieces"),
        (lambda: after(layers.MaxPooling1D(3, 1, "same")), "cut in pieces"),
        (
            lambda: keras.Sequential(
                [layers.LSTM(3, return_sequences=True), layers.GlobalMaxPooling1D()]
            ),
            "cut in pieces",
        ),
        (lambda: layers.Bidirectional(layers.LSTM(3)), "goes backwards"),
        (lambda: custom_lstm.GRU(3, stateful=True), "stateful"),
        (lambda: custom_lstm.GRU(3, time_major=True), "takes the time first"),
        (lambda: layers.Dense(3), "no recurrent layer"),
        (lambda: "model", "a Keras layer or model. Received: str"),
        (
            lambda: keras.Model(
                i := keras.Input((4, FEATURES)), custom_lstm.LSTM(2)(i)
            ),
            "takes 4 steps, no more and no fewer",
        ),
        (
            lambda: keras.Model(
                [keras.Input((None, 2)), i := keras.Input((None, FEATURES))],
                custom_lstm.LSTM(2)(i),
            ),
            "one input",
        ),
    ],
)
def test_what_cannot_be_carried_on_is_refused(model, said, x):
    with pytest.raises(ValueError, match=said):
        Stream(model())(x)


class Centred(layers.Layer):
    """Subtracts the mean of all steps, or divides by what another function makes."""

    def __init__(self, norm=ops.mean, **kwargs):
        super().__init__(**kwargs)
        self.norm = norm

    def call(self, x):
        return x - self.norm(x, axis=1, keepdims=True)


class Counting(layers.Layer):
    """Adds how often it was called: a state that no stream carries on."""

    def build(self, input_shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.count.assign(self.count + 1)
        return x + self.count


class Numbering(layers.Layer):
    """Adds the number of each step."""

    def call(self, x):
        numbers = ops.cast(ops.arange(ops.shape(x)[1]), x.dtype)
        return x + 0.1 * numbers[None, :, None]


class Running(layers.Layer):
    """A mean of all steps so far, by a loop that is no recurrent layer."""

    def call(self, x):
        return ops.cumsum(x, axis=1)


def attending(**options):
    x = keras.Input((None, FEATURES))
    h = custom_lstm.LSTM(4, return_sequences=True)(x)
    attention = layers.MultiHeadAttention(1, 4, name="fault")
    return keras.Model(x, layers.Dense(2)(attention(h, h, **options)))


def attending_before_the_last():
    x = keras.Input((None, FEATURES))
    h = layers.Attention(name="fault")([x, x])
    return keras.Model(x, custom_lstm.LSTM(4)(h))


class Inside(keras.Model):
    """A model that mixes steps between its layers."""

    def __init__(self):
        super().__init__(name="fault")
        self.memory = custom_lstm.LSTM(4, return_sequences=True)
        self.head = layers.Dense(2)

    def call(self, x):
        h = self.memory(x)
        return self.head(h - ops.mean(h, axis=1, keepdims=True))


def between(layer):
    first = custom_lstm.LSTM(4, return_sequences=True)
    return keras.Sequential([first, layer, layers.Dense(3)])


LOOKING = {
    "attention": attending,
    "causal attention": lambda: attending(use_causal_mask=True),
    "attention before the last output": attending_before_the_last,
    "mean": lambda: between(Centred(name="fault")),
    "max": lambda: between(Centred(ops.max, name="fault")),
    "normalised over time": lambda: between(
        layers.LayerNormalization(axis=1, center=False, scale=False, name="fault")
    ),
    "unit normalised": lambda: between(layers.UnitNormalization(1, name="fault")),
    "group normalised": lambda: between(layers.GroupNormalization(2, name="fault")),
    "convolution": lambda: after(layers.Conv1D(3, 3, padding="same", name="fault")),
    "causal convolution": lambda: after(
        layers.Conv1D(3, 2, padding="causal", name="fault")
    ),
    "call count": lambda: after(Counting(name="fault")),
    "numbering": lambda: after(Numbering(name="fault")),
    "running sum": lambda: after(Running(name="fault")),
    "inside a model": Inside,
}


@pytest.mark.filterwarnings("ignore:.*softmax over axis")  # of one step
@pytest.mark.parametrize("steps", [1, TIME])
@pytest.mark.parametrize("name", LOOKING)
def test_layers_that_look_at_several_steps_are_refused_by_name(name, steps, x):
    model = LOOKING[name]()
    model(x)
    with pytest.raises(ValueError, match="layer 'fault' .* cut in pieces"):
        Stream(model)(x[:, :steps])
    assert not any("call" in vars(layer) for layer in model.layers)


@pytest.mark.parametrize("value", [0, -3, 1e-4])
def test_a_layer_is_refused_though_the_first_chunk_is_all_the_same(value, x):
    with pytest.raises(ValueError, match="'fault'"):
        Stream(attending())(np.full_like(x, value))


def with_layer(layer, features=FEATURES, **call):
    i = keras.Input((None, features))
    return keras.Model(i, custom_lstm.GRU(3, return_sequences=True)(layer(i, **call)))


def embedding(size=9, **options):
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(size, 3, **options),
            custom_lstm.LSTM(4, return_sequences=True),
        ]
    )


@pytest.mark.parametrize(
    ("model", "chunk"),
    [
        (lambda: with_layer(layers.Dropout(0.5)), None),
        (lambda: with_layer(layers.GaussianNoise(1.0)), None),
        (lambda: with_layer(layers.Dropout(0.5), training=True), None),
        (lambda: with_layer(layers.BatchNormalization()), None),
        (lambda: with_layer(layers.LayerNormalization()), None),
        (lambda: with_layer(layers.Rescaling(1 / 255)), np.full((1, 1, FEATURES), 9)),
        (lambda: with_layer(custom_lstm.TimeDistributed(layers.Dense(3))), None),
        (embedding, np.array([[8, 8, 8]])),
        (embedding, np.array([[3, 8, 0], [8, 8, 1]])),
        (lambda: embedding(mask_zero=True), np.array([[3, 8, 0], [0, 0, 0]])),
        (lambda: embedding(mask_zero=True), np.array([[0, 0], [0, 0]])),
        (lambda: embedding(1), np.array([[0.0]], "float32")),
        (lambda: with_layer(layers.Masking()), np.zeros((2, 3, FEATURES), "float32")),
        (lambda: custom_lstm.LSTM(3), np.full((1, 2, 3), np.nan, "float32")),
    ],
)
def test_no_layer_is_refused_that_acts_on_each_step(model, chunk, x):
    stream = Stream(model())
    chunk = x if chunk is None else chunk
    for _ in range(2):
        stream(chunk)


def test_ids_are_tried_when_a_second_one_comes():
    model = embedding()
    model.add(layers.Conv1D(2, 3, padding="same", name="fault"))
    stream = Stream(model)
    stream(np.array([[8, 8]]))
    with pytest.raises(ValueError, match="'fault'"):
        stream(np.array([[2, 8]]))


def test_attention_behind_a_mask_is_refused(x):
    i = keras.Input((None, FEATURES))
    h = custom_lstm.LSTM(4, return_sequences=True)(layers.Masking()(i))
    model = keras.Model(i, layers.Attention(name="fault")([h, h]))
    x[1, 3:] = 0
    with pytest.raises(ValueError, match="'fault'"):
        Stream(model)(x)


@pytest.mark.parametrize(
    ("chunk", "said"),
    [
        (np.ones((2, 4, FEATURES)), r"\(3, steps, 5\).*Received shape: \(2, 4, 5\)"),
        (np.ones((3, 4, 2)), r"\(3, steps, 5\).*Received shape: \(3, 4, 2\)"),
        (np.ones((3, 0, FEATURES)), "at least one step"),
        (np.ones(3), r"Received shape: \(3,\)"),
        ([[1.0]], r"Received shape: \(1, 1\)"),
    ],
)
def test_a_chunk_that_does_not_fit_changes_nothing(chunk, said, x):
    stream = Stream(custom_lstm.LSTM(4))
    stream(x)
    before = stream.states
    with pytest.raises(ValueError, match=said):
        stream(chunk)
    assert list(before) == list(stream.states)
    for name, states in stream.states.items():
        for ours, expected in zip(states, before[name], strict=True):
            np.testing.assert_array_equal(ours, expected)


def test_a_built_layer_says_its_features_at_once():
    layer = layers.LSTM(4)
    layer.build((None, None, 3))
    with pytest.raises(ValueError, match=r"\(streams, steps, 3\)"):
        Stream(layer)(np.ones((2, 4, 5)))


@pytest.mark.parametrize(
    "streams", [[3], [-1], ["0"], [0.5], 0, [True, False, True], np.array([True])]
)
def test_streams_that_are_none_cannot_be_reset(streams, x):
    stream = Stream(custom_lstm.LSTM(4))
    with pytest.raises(ValueError, match="the 0 streams"):
        stream.reset([0])
    stream(x)
    with pytest.raises(ValueError, match="the 3 streams"):
        stream.reset(streams)
