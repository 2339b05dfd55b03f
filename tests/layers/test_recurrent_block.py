"""RecurrentBlock: one encoder for all slices of an image, then recurrent layers."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

import custom_lstm
from custom_lstm import LSTMCell, RecurrentBlock

RNG = np.random.default_rng(0)
OUTPUTS = ["vector", "sequence", "aggregate"]
IMAGES = RNG.normal(size=(3, 4, 4, 7)).astype("float32")  # batch, x, y, slices
MASK = np.array([[1] * 7, [1, 0, 1, 1, 0, 1, 0], [0, 0, 1, 1, 1, 1, 1]], bool)
THEIRS = {"simple": layers.SimpleRNN, "gru": layers.GRU, "lstm": layers.LSTM}
VARIANTS = [
    custom_lstm.CoupledLSTMCell,
    custom_lstm.GRUCell,
    custom_lstm.LayerNormLSTMCell,
    custom_lstm.LSTMCell,
    custom_lstm.PeepholeLSTMCell,
    custom_lstm.ProjectedLSTMCell,
    custom_lstm.SimpleRNNCell,
    custom_lstm.ZoneoutLSTMCell,
    layers.GRUCell,
]


@keras.saving.register_keras_serializable(package="test_recurrent_block")
class Leaky(custom_lstm.AbstractRNNCell):
    """A contract cell of a user's."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def get_config(self):
        return {**super().get_config(), "units": self.units}

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="W")

    def project(self, inputs):
        return ops.matmul(inputs, self.kernel)

    def step(self, projected, states):
        h = 0.5 * states[0] + projected
        return h, [h]


def encoder():
    return keras.Sequential([layers.Flatten(), layers.Dense(5)])


def numpy(x):
    return ops.convert_to_numpy(x)


def slices(images):
    """`(batch, x, y, slices)` as `(batch, slices, x, y, 1)`, by NumPy."""
    return np.moveaxis(images, 3, 1)[..., None]


def plain(config):
    """Return a config without what Keras adds to serialised objects that are built."""
    if isinstance(config, list):
        return [plain(value) for value in config]
    if isinstance(config, dict):
        return {k: plain(v) for k, v in config.items() if k != "build_config"}
    return config


def by_hand(block, images, kinds, activations, mask=None):
    """Return outputs at all slices, of Keras's layers with the block's weights."""
    weights = [numpy(w).astype("float64") for w in block.weights]
    W, b = weights[:2]
    x = slices(images).reshape(*images.shape[:1], images.shape[3], -1) @ W + b
    weights = weights[2:]
    for kind, activation in zip(kinds, activations, strict=True):
        units = weights[1].shape[0]
        theirs = THEIRS[kind](units, return_sequences=True)
        theirs.build(x.shape)
        theirs.set_weights(weights[:3])
        h = numpy(theirs(x, mask=mask))
        x = activation(h @ weights[3] + weights[4])
        weights = weights[5:]
    assert not weights
    return x


@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "mask"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_matches_keras_layers_and_numpy(output, mask):
    block = RecurrentBlock(
        encoder(),
        hidden_sizes=[6, 5, 4],
        output_sizes=[4, 3, 2],
        cell=["lstm", "gru", "simple"],
        output_activation=["relu", "tanh", None],
        output=output,
    )
    block(IMAGES)
    rng = np.random.default_rng(1)
    block.set_weights([rng.normal(0, 0.5, w.shape) for w in block.get_weights()])
    said = numpy(block(IMAGES, mask=mask))
    activations = [lambda x: np.maximum(x, 0), np.tanh, lambda x: x]
    expected = by_hand(block, IMAGES, ["lstm", "gru", "simple"], activations, mask)
    if output == "vector":
        expected = expected[:, -1]
    elif output == "aggregate":
        if mask is not None:
            expected = expected * mask[..., None]
        expected = expected.reshape(3, -1)
    np.testing.assert_allclose(said, expected, rtol=1e-5, atol=1e-5)
    assert said.shape == block.compute_output_shape(IMAGES.shape)


def test_both_layouts_of_an_image_are_one():
    block = RecurrentBlock(encoder(), 6)
    np.testing.assert_array_equal(numpy(block(IMAGES)), numpy(block(slices(IMAGES))))


def test_channels_reach_the_encoder():
    images = np.concatenate([slices(IMAGES), -slices(IMAGES)], axis=-1)
    block = RecurrentBlock(encoder(), 6, output="sequence")
    assert block(images).shape == (3, 7, 6)
    assert block.weights[0].shape == (2 * 4 * 4, 5)


@pytest.mark.parametrize(
    ("cell", "output"),
    list(zip(VARIANTS, itertools.cycle(OUTPUTS), strict=False)),
)
def test_every_cell_comes_back_from_a_file(cell, output, tmp_path):
    inputs = keras.Input(IMAGES.shape[1:])
    needs_more = cell is custom_lstm.ProjectedLSTMCell
    block = RecurrentBlock(
        encoder(),
        None if needs_more else 6,
        [None, 2],
        cell=[cell(6, 4), cell(6, 4)] if needs_more else cell,
        output=output,
        output_activation="tanh",
        layer_norm=True,
        dropout=0.2,
        weight_decay=1e-3,
        seed=3,
    )
    model = keras.Model(inputs, block(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        model.predict(IMAGES, verbose=0), again.predict(IMAGES, verbose=0)
    )
    assert [w.name for w in again.weights] == [w.name for w in model.weights]
    assert plain(again.layers[-1].get_config()) == plain(block.get_config())
    ours, theirs = (numpy(sum(each.losses)) for each in (again, model))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("cell", ["simple", "gru", "lstm", Leaky, Leaky(4)])
def test_config_makes_the_same_block(cell):
    hidden = None if isinstance(cell, Leaky) else 4
    block = RecurrentBlock(encoder(), hidden, 3, cell=cell, output_activation="relu")
    block(IMAGES)
    again = RecurrentBlock.from_config(block.get_config())
    again(IMAGES)
    again.set_weights(block.get_weights())
    np.testing.assert_array_equal(numpy(again(IMAGES)), numpy(block(IMAGES)))
    assert plain(again.get_config()) == plain(block.get_config())


def test_one_value_holds_for_all_layers():
    one = RecurrentBlock(encoder(), 6, 2, cell=["gru", "gru"], output_activation="relu")
    each = RecurrentBlock(
        encoder(), (6, 6), (2, 2), cell="gru", output_activation=["relu", "relu"]
    )
    configs = [block.get_config() for block in (one, each)]
    for config in configs:
        del config["name"], config["encoder"]
    assert configs[0] == configs[1]
    assert len(one.stages) == 2


@pytest.mark.parametrize("cell", ["lstm", custom_lstm.PeepholeLSTMCell])
@pytest.mark.parametrize("output", ["vector", "aggregate"])
def test_masked_slices_do_not_count(cell, output):
    block = RecurrentBlock(encoder(), 6, 2, cell=cell, output=output)
    said = numpy(block(IMAGES, mask=MASK))
    other = np.where(MASK[:, None, None], IMAGES, 9.0)
    np.testing.assert_array_equal(numpy(block(other, mask=MASK)), said)
    alone = np.stack([IMAGES[1][..., MASK[1]]])
    short = numpy(block(alone))
    if output == "aggregate":
        said = said.reshape(3, 7, 2)[1][MASK[1]].reshape(1, -1)
        np.testing.assert_allclose(short, said, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_allclose(short, said[1:2], rtol=1e-5, atol=1e-6)


def test_mask_is_an_input_of_a_model_and_goes_on():
    images, mask = keras.Input((4, 4, 7)), keras.Input((7,), dtype="bool")
    block = RecurrentBlock(encoder(), 6, 3, output="sequence")
    last = layers.LSTM(2)(block(images, mask=mask))
    model = keras.Model([images, mask], last)
    said = model.predict([IMAGES, MASK], verbose=0)
    lstm = model.layers[-1]
    expected = numpy(lstm(block(IMAGES, mask=MASK), mask=MASK))
    np.testing.assert_allclose(said, expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(said, numpy(lstm(block(IMAGES, mask=MASK) * 1.0)))


def test_weight_decay_is_on_weights_and_not_on_biases():
    options = {"hidden_sizes": [6, 5], "output_sizes": [None, 2], "layer_norm": True}
    block = RecurrentBlock(encoder(), cell=["gru", "lstm"], weight_decay=0.1, **options)
    block(IMAGES)
    names = {"kernel", "recurrent_kernel"}
    recurrent = [w for stage in block.stages for w in stage.weights]
    decayed = [numpy(w) for w in recurrent if w.name in names]
    assert len(decayed) == 5
    assert any(len(w.shape) == 2 for w in recurrent if w.name == "bias")
    expected = 0.1 * sum((w.astype("float64") ** 2).sum() for w in decayed)
    np.testing.assert_allclose(float(numpy(sum(block.losses))), expected, rtol=1e-5)


def test_weight_decay_leaves_a_regularizer_alone():
    cell = LSTMCell(4, kernel_regularizer=keras.regularizers.L1(2.0))
    block = RecurrentBlock(encoder(), None, cell=cell, weight_decay=0.1)
    block(IMAGES)
    kernel, recurrent = (numpy(w).astype("float64") for w in block.weights[2:4])
    expected = 2 * np.abs(kernel).sum() + 0.1 * (recurrent**2).sum()
    np.testing.assert_allclose(float(numpy(sum(block.losses))), expected, rtol=1e-5)


def test_dropout_drops_the_same_inputs_at_every_slice():
    images = np.ones((50, 1, 8, 7), "float32")
    shown = keras.Sequential([layers.Flatten()])  # 8 features, all 1
    cell = Leaky(8)
    block = RecurrentBlock(
        shown, None, cell=cell, output="sequence", dropout=0.25, seed=1
    )
    block(images)
    cell.set_weights([np.eye(8)])
    decays = 2 - 0.5 ** np.arange(7)  # what 1 at every slice adds up to
    kept = numpy(block(images, training=True)) / decays[:, None]
    np.testing.assert_allclose(kept, np.broadcast_to(kept[:, :1], kept.shape))
    assert set(np.unique(kept.round(4))) == {0.0, 1.3333}
    assert (kept[:, 0] == 0).mean() == pytest.approx(0.25, abs=0.07)
    plain = numpy(block(images)) / decays[:, None]
    np.testing.assert_allclose(plain, 1.0, rtol=1e-6)


def test_layer_norm_normalises_the_hidden_state():
    plain = RecurrentBlock(encoder(), 32, output="sequence")
    h = numpy(plain(IMAGES)).astype("float64")
    block = RecurrentBlock(encoder(), 32, output="sequence", layer_norm=True)
    block(IMAGES)
    block.set_weights([*plain.get_weights(), np.full(32, 2.0), np.full(32, 0.5)])
    spread = np.sqrt(h.var(-1, keepdims=True) + 1e-3)  # Keras's epsilon
    expected = 2 * (h - h.mean(-1, keepdims=True)) / spread + 0.5
    np.testing.assert_allclose(numpy(block(IMAGES)), expected, rtol=1e-4, atol=1e-5)


def test_every_weight_learns():
    inputs = keras.Input(IMAGES.shape[1:])
    block = RecurrentBlock(
        encoder(), [6, 5], [4, 3], cell=["lstm", "gru"], output="aggregate"
    )
    model = keras.Model(inputs, layers.Dense(1)(block(inputs)))
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(IMAGES, np.array([[1.0], [-2.0], [3.0]]), epochs=2, verbose=0)
    for old, new, weight in zip(
        before, model.get_weights(), model.weights, strict=True
    ):
        assert not np.array_equal(old, new), weight.path


def test_any_number_of_slices():
    inputs = keras.Input((None, 4, 4, 1))
    model = keras.Model(inputs, RecurrentBlock(encoder(), 6, output="sequence")(inputs))
    assert model.output_shape == (None, None, 6)
    long = model.predict(slices(IMAGES), verbose=0)
    short = model.predict(slices(IMAGES)[:, :3], verbose=0)
    np.testing.assert_allclose(long[:, :3], short, rtol=1e-5, atol=1e-6)


def test_gates_can_be_traced():
    block = RecurrentBlock(encoder(), [6, 5], cell=["lstm", "gru"])
    traces = custom_lstm.trace(block, IMAGES)
    assert {name: set(trace) for name, trace in traces.items()} == {
        "layer_1_recurrent": {"input", "forget", "candidate", "output", "h", "c"},
        "layer_2_recurrent": {"update", "reset", "candidate", "h"},
    }
    np.testing.assert_allclose(
        traces["layer_2_recurrent"]["h"][:, -1], numpy(block(IMAGES)), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"encoder": "cnn"}, "`encoder` must be a layer"),
        ({"hidden_sizes": 0}, "`hidden_sizes` must be a positive integer.*=0"),
        ({"hidden_sizes": None}, "`hidden_sizes` must be a positive integer.*=None"),
        ({"hidden_sizes": 2.5}, "`hidden_sizes`"),
        ({"hidden_sizes": np.array([3, 4])}, r"`hidden_sizes`.*array\(\[3, 4\]\)"),
        ({"hidden_sizes": []}, "hidden_sizes': 0"),
        ({"hidden_sizes": [3, 4], "output_sizes": [1]}, "hidden_sizes': 2.*sizes': 1"),
        ({"output_sizes": -1}, "`output_sizes` must be a positive integer"),
        ({"cell": "lstmm"}, r"`cell` must be one of \('simple', 'gru', 'lstm'\)"),
        ({"cell": 3}, "`cell` must be a recurrent cell"),
        ({"cell": int}, "`cell` must be a recurrent cell"),
        ({"cell": custom_lstm.ProjectedLSTMCell}, "Give an instance instead"),
        ({"cell": LSTMCell(5)}, r"state size \[5, 5\].*hidden_sizes=4"),
        ({"cell": LSTMCell(4), "hidden_sizes": [4, 4]}, "2 layers need as many cells"),
        ({"output_activation": "rleu"}, "`output_activation` must be 'relu'"),
        ({"output": "last"}, "`output` must be one of"),
        ({"weight_decay": -1e-3}, "`weight_decay` must be a number of at least 0"),
        ({"weight_decay": float("nan")}, "`weight_decay` must be.*weight_decay=nan"),
        ({"seed": "one"}, "RecurrentBlock: `seed` must be.*seed='one'"),
        ({"seed": 1.5}, "RecurrentBlock: `seed` must be.*seed=1.5"),
        ({"unroll": "yes"}, "RecurrentBlock: `unroll` must be.*unroll='yes'"),
        ({"weight_decay": "much"}, "`weight_decay`"),
        ({"dropout": 1.0}, "`dropout` must be a number of at least 0 and below 1"),
        ({"layer_norm": "yes"}, "`layer_norm` must be one of"),
    ],
)
def test_bad_arguments_are_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        RecurrentBlock(**{"encoder": encoder(), "hidden_sizes": 4, **arguments})


@pytest.mark.parametrize(
    ("shape", "mask_shape", "options", "said"),
    [
        ((3, 4, 7), None, {}, r"images must be \(batch, x, y, slices\).*\(3, 4, 7\)"),
        ((3, 1, 4, 4, 7, 1), None, {}, r"\(3, 1, 4, 4, 7, 1\)"),
        ((3, 4, 4, 7), (3, 4), {}, r"`mask` must be .* = \(3, 7\).*\(3, 4\)"),
        ((3, 4, 4, 7), (7,), {}, r"`mask` must be .* = \(3, 7\).*\(7,\)"),
    ],
)
def test_bad_images_and_masks_are_named(shape, mask_shape, options, said):
    block = RecurrentBlock(encoder(), 4, **options)
    mask = None if mask_shape is None else np.ones(mask_shape, bool)
    with pytest.raises(ValueError, match=said):
        block(np.zeros(shape, "float32"), mask=mask)


@pytest.mark.parametrize(
    ("images", "mask", "said"),
    [
        (None, None, "images must be a tensor of real numbers.*NoneType"),
        ([IMAGES, IMAGES], None, "images must be a tensor of real numbers.*list"),
        (IMAGES.astype("complex64"), None, "images must be .* real numbers.*complex64"),
        (IMAGES, "right", "`mask` must be a tensor of booleans.*str"),
        (IMAGES, [True] * 7, "`mask` must be a tensor of booleans.*list"),
    ],
)
def test_what_is_no_tensor_of_numbers_is_named(images, mask, said):
    block = RecurrentBlock(encoder(), 4)
    if images is None:
        with pytest.raises(ValueError, match="images must be"):
            block(images)
    block(IMAGES)
    with pytest.raises(ValueError, match=said):
        block(images, mask=mask)


def test_an_aggregate_of_unknown_length_is_refused():
    inputs = keras.Input((None, 4, 4, 1))
    with pytest.raises(ValueError, match="number of slices that is known"):
        RecurrentBlock(encoder(), 4, output="aggregate")(inputs)


def test_an_encoder_that_makes_no_vectors_is_refused():
    with pytest.raises(ValueError, match=r"\(batch, 4, 4, 1\).*\(batch, 2, 2, 3\)"):
        RecurrentBlock(layers.Conv2D(3, 3), 4)(IMAGES)
