"""Every cell of the package: against NumPy in float64, and in all that runs cells.

A new cell is tested by one row of `CELLS`.
"""

import inspect
import json
import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import keras
import numpy as np
import pytest
from helpers import cell_oracles as oracle
from helpers import continuous_oracles as continuous
from helpers import gated_oracles as gated
from helpers import layer_gradients
from helpers import memory_oracles as memory
from keras import layers, ops

import custom_lstm
from custom_lstm import (
    CarouselLSTMCell,
    CoupledLSTMCell,
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    SimpleRNNCell,
    ZoneoutLSTMCell,
    cells,
)
from custom_lstm.cells.gru import gru_step
from custom_lstm.cells.lstm import lstm_step
from custom_lstm.cells.validation import names_of_states, state_shape


class Case(NamedTuple):
    make: Callable
    """From units, and arguments that every cell takes, to a cell."""
    step: Callable
    """The same step in NumPy."""
    others: dict = {}
    """Arguments other than the defaults, for `get_config`."""
    output: Callable = lambda states: states[0]
    """What a step gives out, of the new states, unless `step` returns that too."""
    states: Callable = lambda states: states
    """What random states are made of, if not any will do."""
    weights: Callable = lambda weights: weights
    """The same of weights."""

    coarse: float = 2e-2
    """How near bfloat16 comes."""
    largest: float = 1e30
    """The scale of inputs of which outputs are finite."""

    def draw(self, layer, set_random_weights):
        """Give a built layer random weights, and return them in float64."""
        layer.set_weights([self.weights(w) for w in set_random_weights(layer)])
        return [np.float64(w) for w in layer.get_weights()]


CELLS = {
    "lstm": Case(LSTMCell, oracle.lstm_step, {"output_activation": "linear"}),
    "lstm, no bias": Case(partial(LSTMCell, use_bias=False), oracle.lstm_step),
    "lstm, two activations": Case(
        partial(LSTMCell, activation="sigmoid", output_activation="linear"),
        partial(oracle.lstm_step, inner=oracle.sigmoid, outer=lambda x: x),
    ),
    "gru": Case(GRUCell, oracle.gru_step, {"reset_after": False}),
    "gru, reset before": Case(
        partial(GRUCell, reset_after=False),
        partial(oracle.gru_step, reset_after=False),
    ),
    "simple": Case(SimpleRNNCell, oracle.simple_step),
    "peephole": Case(
        PeepholeLSTMCell,
        oracle.peephole_step,
        {"peephole_initializer": "ones", "peephole_regularizer": "l2"},
    ),
    "layer norm": Case(
        LayerNormLSTMCell,
        oracle.layer_norm_step,
        {"gain_initializer": "zeros", "epsilon": 0.5},
    ),
    "layer norm, no bias": Case(
        partial(LayerNormLSTMCell, use_bias=False, epsilon=0.1),
        partial(oracle.layer_norm_step, epsilon=0.1),
    ),
    "projected": Case(
        partial(ProjectedLSTMCell, projection_units=3),
        oracle.projected_step,
        {"projection_units": 2, "projection_constraint": "non_neg"},
    ),
    "zoneout": Case(
        partial(ZoneoutLSTMCell, zoneout_cell=0.3, zoneout_hidden=0.2),
        partial(oracle.zoneout_step, d_c=0.3, d_h=0.2),
        {"zoneout_cell": 0.1, "zoneout_hidden": 0.0},
    ),
    "carousel": Case(
        partial(CarouselLSTMCell, carousels=2),
        oracle.carousel_step,
        {"carousels": 1},
        output=lambda states: states[1][:, :2],
    ),
    "coupled": Case(CoupledLSTMCell, oracle.coupled_step, {"unit_forget_bias": False}),
    "mgu": Case(cells.MGUCell, gated.mgu_step, {"variant": 1}),
    **{
        f"mgu{k}": Case(
            partial(cells.MGUCell, variant=k), partial(gated.mgu_step, variant=k)
        )
        for k in (1, 2, 3)
    },
    "ugrnn": Case(cells.UGRNNCell, gated.ugrnn_step),
    "li gru": Case(cells.LiGRUCell, partial(gated.ugrnn_step, inner=gated.relu)),
    "janet": Case(
        partial(cells.JANETCell, beta=0.5),
        partial(gated.janet_step, beta=0.5),
        {"beta": 0.0},
    ),
    "star": Case(cells.STARCell, gated.star_step),
    "cfn": Case(cells.CFNCell, gated.cfn_step),
    "atr": Case(cells.ATRCell, gated.atr_step),
    "mut1": Case(cells.MUT1Cell, partial(gated.mut_step, kind=1)),
    "mut2": Case(
        cells.MUT2Cell, partial(gated.mut_step, kind=2), {"direct_input": True}
    ),
    "mut3": Case(cells.MUT3Cell, partial(gated.mut_step, kind=3)),
    "original": Case(
        cells.OriginalLSTMCell, gated.original_lstm_step, {"output_activation": "relu"}
    ),
    "multiplicative": Case(
        cells.MultiplicativeLSTMCell,
        gated.multiplicative_step,
        {"squash_after": True, "multiplicative_constraint": "non_neg"},
    ),
    "ran": Case(cells.RANCell, gated.ran_step),
    "nas": Case(
        cells.NASCell, gated.nas_step, {"projection_units": 3, "additive": True}
    ),
    "nas, projected": Case(
        partial(cells.NASCell, projection_units=3, additive=True),
        partial(gated.nas_step, additive=True),
    ),
    "rhn": Case(
        partial(cells.RHNCell, depth=2),
        partial(gated.rhn_step, depth=2),
        {"depth": 4, "coupled": False},
    ),
    "rhn, not coupled": Case(
        partial(cells.RHNCell, depth=2, coupled=False),
        partial(gated.rhn_step, depth=2, coupled=False),
    ),
    "irnn": Case(cells.IRNNCell, gated.irnn_step),
    "ind": Case(
        partial(cells.IndRNNCell, recurrent_limit=0.4),
        partial(gated.indrnn_step, limit=0.4),
        {"recurrent_limit": 2.0},
    ),
    "fast": Case(cells.FastRNNCell, gated.fastrnn_step, {"initial_alpha": 0.0}),
    "fast grnn": Case(cells.FastGRNNCell, gated.fastgrnn_step, {"initial_nu": 1}),
    "scrn": Case(
        partial(cells.SCRNCell, context_units=3),
        gated.scrn_step,
        {"context_units": 2, "alpha": 0.5, "context_regularizer": "l2"},
        output=lambda states: np.concatenate(states, axis=-1),
    ),
    "layer norm simple": Case(
        cells.LayerNormSimpleRNNCell, gated.layer_norm_simple_step, {"epsilon": 0.1}
    ),
    "layer norm gru": Case(
        cells.LayerNormGRUCell, gated.layer_norm_gru_step, {"epsilon": 0.1}
    ),
    "layer norm gru, reset before": Case(
        partial(cells.LayerNormGRUCell, reset_after=False),
        partial(gated.layer_norm_gru_step, reset_after=False),
    ),
    "antisymmetric": Case(
        cells.AntisymmetricRNNCell, continuous.antisymmetric, {"gamma": 0.0}
    ),
    "antisymmetric, gated": Case(
        partial(cells.GatedAntisymmetricRNNCell, epsilon=0.5, gamma=0.2),
        partial(continuous.gated_antisymmetric, epsilon=0.5, gamma=0.2),
    ),
    "cornn": Case(
        partial(cells.CoRNNCell, dt=0.5, gamma=2.7, epsilon=0.7),
        partial(continuous.cornn, dt=0.5, gamma=2.7, epsilon=0.7),
        {"dt": 0.1},
    ),
    "unicornn": Case(
        partial(cells.UnICORNNCell, dt=0.5, alpha=0.3),
        partial(continuous.unicornn, dt=0.5, alpha=0.3),
        {"control_initializer": "zeros"},
    ),
    "lem": Case(
        partial(cells.LEMCell, dt=0.5), partial(continuous.lem, dt=0.5), {"dt": 0.1}
    ),
    "echo state": Case(
        partial(cells.EchoStateCell, leak=0.3),
        partial(continuous.echo_state, leak=0.3),
        {"spectral_radius": 0.5, "connectivity": 1.0},
    ),
    **{
        f"cfc, {mode}": Case(
            partial(cells.CfCCell, backbone_units=3, mode=mode),
            partial(continuous.cfc, mode=mode),
            {"timed": True},
        )
        for mode in ("default", "no_gate", "pure")
    },
    "cfc, timed": Case(
        partial(cells.CfCCell, backbone_units=3, timed=True),
        partial(continuous.cfc, timed=True),
    ),
    "ltc": Case(
        partial(cells.LTCCell, unfolds=2),
        partial(continuous.ltc, unfolds=2),
        {"unfolds": 3, "timed": True},
        weights=np.abs,
    ),
    "phased": Case(
        partial(cells.PhasedLSTMCell, open_ratio=0.5, max_period=4.0),
        partial(continuous.phased, ratio=0.5),
        {"timed": True, "leak": 0.0},
        weights=lambda w: np.abs(w) + 0.1,
        coarse=0.1,
    ),
    "phased, timed": Case(
        partial(cells.PhasedLSTMCell, timed=True, open_ratio=0.9, max_period=4.0),
        partial(continuous.phased, ratio=0.9, timed=True),
        weights=lambda w: np.abs(w) + 0.1,
        coarse=0.1,
    ),
    "min gru": Case(cells.MinGRUCell, continuous.min_gru),
    "min lstm": Case(cells.MinLSTMCell, continuous.min_lstm),
    "sru": Case(cells.SRUCell, continuous.sru, {"highway_scale": 2.0}),
    "sru, peephole": Case(
        partial(cells.SRUCell, peephole=True, activation=None, highway_scale=2.0),
        partial(continuous.sru, peephole=True, inner=lambda c: c, scale=2.0),
    ),
    "slstm": Case(cells.SLSTMCell, memory.slstm, {"heads": 5}, states=np.abs),
    "slstm, heads": Case(
        partial(cells.SLSTMCell, heads=5), partial(memory.slstm, heads=5), states=np.abs
    ),
    "mlstm": Case(
        partial(cells.MLSTMCell, heads=5),
        partial(memory.mlstm, heads=5),
        {"heads": 1, "exponential_forget": True},
        states=np.abs,
        largest=1e4,
    ),
    "lmu": Case(
        partial(cells.LMUCell, memories=2, order=3),
        partial(memory.lmu, memories=2, order=3),
        {"theta": 9.0, "method": "euler"},
    ),
    "lmu, not recurrent": Case(
        partial(cells.LMUCell, order=4, theta=6.0, recurrent=False),
        partial(memory.lmu, order=4, theta=6.0, recurrent=False),
    ),
    "mc lstm": Case(
        partial(cells.MCLSTMCell, masses=2),
        partial(memory.mc_lstm, masses=2),
        {"masses": 1, "initial_output": 0.0},
        states=np.abs,
    ),
    "wmc lstm": Case(
        cells.WMCLSTMCell, memory.wmc_lstm, {"memory_initializer": "zeros"}
    ),
    "nau": Case(cells.NAUCell, memory.nau),
    "ntm": Case(
        partial(cells.NTMCell, slots=4, memory_units=3),
        memory.ntm,
        {"slots": 5, "memory_units": 2},
        states=np.abs,
    ),
}
UNITS, FEATURES = 5, 4
X = np.random.default_rng(1).normal(size=(3, 6, FEATURES)).astype("float32")
MASKS = {
    "none": None,
    "right": np.arange(6) < np.array([[6], [4], [1]]),
    "interior": np.random.default_rng(2).random((3, 6)) < 0.5,
}
# On JAX and PyTorch, keras.ops.matmul computes in float32 whatever it is given.
TOLERANCES = {"float32": {"rtol": 1.3e-6, "atol": 1e-6}, "float64": {"rtol": 1e-12}}
DTYPES = list(TOLERANCES)[: 2 if keras.backend.backend() == "tensorflow" else 1]
every_cell = pytest.mark.parametrize("kind", CELLS)


def skip_what_keras_cannot(kind, layer_class, mask):
    """At masked steps Keras's JAX loop takes the first state for the output before."""
    cell = make(kind)
    first, *others = sizes(cell)
    other = cell.output_size != first or not all(isinstance(n, int) for n in others)
    of_keras = layer_class is layers.RNN and mask != "none"
    if keras.backend.backend() == "jax" and of_keras and other:
        pytest.skip("Keras's loop on JAX wants outputs as wide as all states")


def make(kind, **options):
    """Return a cell, made with those of the options that it takes."""
    maker = CELLS[kind].make
    known = arguments_of(getattr(maker, "func", maker)) | {"name", "dtype"}
    return maker(UNITS, **{k: v for k, v in options.items() if k in known})


def arguments_of(cls):
    return {
        name
        for owner in cls.__mro__
        if owner.__module__.startswith("custom_lstm.cells.")
        for name in inspect.signature(owner.__init__).parameters
    }


def sizes(cell):
    return keras.tree.flatten(cell.state_size)


def numpy(tensors):
    return keras.tree.map_structure(ops.convert_to_numpy, tensors)


def assert_close(ours, theirs, rtol=1e-5, atol=1e-5):
    keras.tree.map_structure(
        partial(np.testing.assert_allclose, rtol=rtol, atol=atol), ours, theirs
    )


def test_every_exported_cell_is_in_the_table():
    exported = {cells.get(name) for name in cells.names()}
    assert {type(make(kind)) for kind in CELLS} == exported
    assert len(exported) == len(cells.names())


@pytest.mark.parametrize("dtype", DTYPES)
@every_cell
def test_step_matches_numpy(kind, dtype, rng, set_random_weights):
    cell = make(kind, dtype=dtype)
    cell.build((None, FEATURES))
    case = CELLS[kind]
    weights = case.draw(cell, set_random_weights)
    shapes = [state_shape(size, 4) for size in (FEATURES, *sizes(cell))]
    x, *states = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    states = [case.states(state) for state in states]
    output, new_states = numpy(cell(x, states))
    states = [np.float64(state) for state in states]
    _, expected, *given = case.step(np.float64(x), states, weights)
    if given:
        np.testing.assert_allclose(output, given[0], **TOLERANCES[dtype])
    else:
        np.testing.assert_array_equal(output, case.output(new_states))
    for ours, theirs in zip(new_states, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, **TOLERANCES[dtype])


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("layer_class", [custom_lstm.RNN, layers.RNN])
@every_cell
def test_every_state_and_gate_of_a_sequence_matches_numpy(
    kind, layer_class, mask, backwards, set_random_weights
):
    skip_what_keras_cannot(kind, layer_class, mask)
    layer = layer_class(make(kind), go_backwards=backwards)
    layer.build(X.shape)
    weights = CELLS[kind].draw(layer, set_random_weights)
    step = partial(CELLS[kind].step, weights=weights)
    states = [np.float64(numpy(s)) for s in layer.cell.get_initial_state(3)]
    names = names_of_states(layer.cell)
    expected = oracle.run(step, X, states, MASKS[mask], backwards, names)
    assert_close(custom_lstm.trace(layer, X, MASKS[mask]), expected)


@pytest.mark.parametrize("mask", ["none", "interior"])
@every_cell
def test_every_loop_computes_the_same(kind, mask, set_random_weights):
    skip_what_keras_cannot(kind, layers.RNN, mask)
    mask = MASKS[mask]
    cell = make(kind)
    reference = layers.RNN(cell, return_sequences=True, return_state=True)
    reference.build(X.shape)
    weights = CELLS[kind].draw(reference, set_random_weights)
    expected = numpy(reference(X, mask=mask))
    for layer_class in (layers.RNN, custom_lstm.RNN):
        for unroll in (False, True):
            layer = layer_class.from_config(
                {**reference.get_config(), "unroll": unroll}
            )
            layer.build(X.shape)
            layer.set_weights(weights)
            assert_close(numpy(layer(X, mask=mask)), expected)
    both = layers.Bidirectional(custom_lstm.RNN(cell))
    both.build(X.shape)
    both.forward_layer.set_weights(weights)
    last = expected[0][:, -1]
    assert_close(numpy(both(X, mask=mask))[:, : cell.output_size], last)


@every_cell
def test_gradients_of_a_sequence_match_numpy(kind, set_random_weights):
    """Along a random direction, against central differences in float64."""
    case = CELLS[kind]
    layer = custom_lstm.RNN(make(kind), return_sequences=True, return_state=True)
    layer.build(X.shape)
    weights = case.draw(layer, set_random_weights)
    trainable = [weight.trainable for weight in layer.weights]
    _, gradients = layer_gradients.run(layer, X)
    rng = np.random.default_rng(6)
    points = [np.float64(X), *weights]
    moves = [rng.normal(size=point.shape) for point in points]
    moves[1:] = [d * free for d, free in zip(moves[1:], trainable, strict=True)]
    first = [np.float64(numpy(s)) for s in layer.cell.get_initial_state(3)]

    def form(step):
        x, *weights = (p + step * d for p, d in zip(points, moves, strict=True))
        made = oracle.outputs(partial(case.step, weights=weights), x, first, case)
        return sum((y * layer_gradients.cotangent(y.shape)).sum() for y in made)

    free = [d for d, is_free in zip(moves, [True, *trainable], strict=True) if is_free]
    found = sum((g * d).sum() for g, d in zip(gradients, free, strict=True))
    expected = (form(1e-5) - form(-1e-5)) / 2e-5
    size = sum(abs(g * d).sum() for g, d in zip(gradients, free, strict=True))
    assert abs(found - expected) <= 1e-5 * size


@every_cell
def test_stacked_cells_compute_what_stacked_layers_do(kind):
    stack = [make(kind, name=f"cell_{k}") for k in range(2)]
    stacked = custom_lstm.RNN(layers.StackedRNNCells(stack))
    expected = numpy(stacked(X))
    first = custom_lstm.RNN(stack[0], return_sequences=True)
    assert_close(numpy(custom_lstm.RNN(stack[1])(first(X))), expected)


@every_cell
def test_config_gives_the_same_cell_again(kind):
    others = CELLS[kind].others
    cell = make(kind, activation="relu", dropout=0.1, seed=3, **others)
    config = json.loads(json.dumps(cell.get_config()))
    arguments = arguments_of(type(cell))
    assert arguments - {"self", "kwargs", "options", "dynamic"} <= config.keys()
    assert type(cell).from_config(config).get_config() == cell.get_config()


@every_cell
def test_a_saved_model_computes_the_same(kind, tmp_path):
    model = keras.Sequential(
        [keras.Input((None, FEATURES)), custom_lstm.RNN(make(kind)), layers.Dense(1)]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_close(numpy(loaded(X)), numpy(model(X)), rtol=0, atol=0)


@every_cell
def test_training_moves_every_weight_in_both_layers(kind):
    first, second = (
        make(kind, dropout=0.2, recurrent_dropout=0.2, seed=seed) for seed in (1, 2)
    )
    model = keras.Sequential(
        [
            layers.RNN(first, return_sequences=True),
            custom_lstm.RNN(second),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    model.build(X.shape)
    before = [weight.copy() for weight in model.get_weights()]
    model.fit(X, np.ones((3, 1), "float32"), epochs=2, verbose=0)
    for weight, old, new in zip(
        model.weights, before, model.get_weights(), strict=True
    ):
        assert not weight.trainable or np.isfinite(new).all() and (old != new).any(), (
            weight.path
        )


@every_cell
def test_bfloat16_is_near_float32(kind, set_random_weights):
    layer = custom_lstm.RNN(make(kind))
    layer.build(X.shape)
    weights = CELLS[kind].draw(layer, set_random_weights)
    cell = make(kind, dtype="mixed_bfloat16")
    mixed = custom_lstm.RNN(cell, return_state=True, dtype="mixed_bfloat16")
    mixed.build(X.shape)
    mixed.set_weights(weights)
    output, *states = mixed(X)
    for tensor in (output, *states):
        assert keras.backend.standardize_dtype(tensor.dtype) == "bfloat16"
    ours, theirs = numpy(ops.cast(output, "float32")), numpy(layer(X))
    np.testing.assert_allclose(
        ours, theirs, atol=CELLS[kind].coarse * max(1, abs(theirs).max())
    )
    assert np.isfinite(numpy(ops.cast(mixed(X, training=True)[0], "float32"))).all()


@every_cell
@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_large_inputs_give_finite_outputs(kind, scale):
    scale = min(scale, CELLS[kind].largest)
    assert np.isfinite(numpy(custom_lstm.RNN(make(kind))(scale * X))).all()


@every_cell
def test_what_does_not_fit_is_named_with_its_shape(kind):
    cell = make(kind)
    cell.build((None, FEATURES))
    states = cell.get_initial_state(3)
    owner, count = type(cell).__name__, len(states)
    with pytest.raises(ValueError, match=rf"{owner}.*4 features.*\(3, 2\)"):
        cell(X[:, 0, :2], states)
    received = rf"Received {count + 1}: \(3,"
    with pytest.raises(ValueError, match=rf"{owner}.*{count} tensor.*{received}"):
        cell(X[:, 0], [*states, states[0]])
    last = re.escape(str(tuple(states[-1].shape)))
    with pytest.raises(ValueError, match=rf"{owner}.*{last}.*\(3, 7\)"):
        cell(X[:, 0], [*states[:-1], np.ones((3, 7))])


def test_lstm_step_holds_the_equations_without_a_cell(rng):
    xW, hU = rng.normal(size=(2, 3, 8)).astype("float32")
    c = rng.normal(size=(3, 2)).astype("float32")
    h, c_new, gates = lstm_step(*map(ops.convert_to_tensor, (xW, hU, c)))
    eye = [np.eye(8), np.eye(8)]
    expected, (h_expected, c_expected) = oracle.lstm_step(
        xW.astype("float64"), [hU.astype("float64"), c], eye
    )
    np.testing.assert_allclose(numpy(h), h_expected, rtol=1e-5)
    np.testing.assert_allclose(numpy(c_new), c_expected, rtol=1e-5)
    assert list(gates._fields) == list(expected)


def test_gru_keeps_its_state_where_the_update_gate_is_open():
    xW = np.concatenate([np.full((1, 2), 50.0), np.zeros((1, 4))], axis=1)
    h = np.array([[0.3, -0.7]])
    new, _ = gru_step(
        *map(ops.convert_to_tensor, (xW, np.zeros((1, 4)), h)), lambda r: 0 * r
    )
    np.testing.assert_allclose(numpy(new), h, rtol=1e-6)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (LSTMCell, layers.LSTMCell, {}),
        (LSTMCell, layers.LSTMCell, {"unit_forget_bias": False}),
        (LSTMCell, layers.LSTMCell, {"bias_initializer": "random_normal"}),
        (LSTMCell, layers.LSTMCell, {"use_bias": False}),
        (GRUCell, layers.GRUCell, {}),
        (GRUCell, layers.GRUCell, {"reset_after": False}),
        (GRUCell, layers.GRUCell, {"bias_initializer": "random_normal"}),
        (SimpleRNNCell, layers.SimpleRNNCell, {}),
    ],
)
def test_equal_seeds_give_the_initial_weights_of_keras(ours, theirs, options):
    pair = []
    for cell_class in (ours, theirs):
        keras.utils.set_random_seed(1)
        cell = cell_class(4, **options)
        cell.build((None, 3))
        pair.append(cell)
    assert [w.name for w in pair[0].weights] == [w.name for w in pair[1].weights]
    for mine, other in zip(*(cell.get_weights() for cell in pair), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("cell_class", [GRUCell, SimpleRNNCell])
def test_a_bare_state_is_taken_and_given_back_bare(cell_class, rng):
    cell = cell_class(4)
    x, h = rng.normal(size=(2, 3)), rng.normal(size=(2, 4))
    _, bare = cell(x, ops.convert_to_tensor(h, "float32"))
    _, (listed,) = cell(x, [h])
    np.testing.assert_array_equal(numpy(bare), numpy(listed))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lstm", LSTMCell),
        ("LSTMCell", LSTMCell),
        ("custom_lstm>LSTMCell", LSTMCell),
        ("simple", SimpleRNNCell),
        ("simple_rnn", SimpleRNNCell),
        ("layer_norm", LayerNormLSTMCell),
        ("LayerNormLSTMCell", LayerNormLSTMCell),
        ("layer-norm-lstm", LayerNormLSTMCell),
        *((name, cells.get(name)) for name in cells.names()),
    ],
)
def test_a_cell_is_found_by_its_name(name, expected):
    assert cells.get(name) is expected


def test_the_names_of_cells_are_those_of_count_ones():
    of_count_ones = "lstm gru simple peephole layer_norm projected coupled zoneout"
    assert set(cells.names()) >= set(of_count_ones.split())


def test_a_cell_registered_elsewhere_is_found_by_its_registered_name():
    @keras.saving.register_keras_serializable(package="test_cells")
    class Own(LSTMCell):
        pass

    assert cells.get("test_cells>Own") is Own


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("peehole", "no cell 'peehole'. Did you mean 'peephole'?"),
        ("LSTMCells", "Did you mean 'lstm'?"),
        ("fuzzy", "no cell 'fuzzy'.*coupled, .*gru, .*lstm"),
        ("Chrono", "no cell 'Chrono'"),
        ("AbstractRNNCell", "no cell 'AbstractRNNCell'"),
        ("custom_lstm>Chrono", "no cell"),
        ("", "no cell ''"),
        (None, "no cell None"),
    ],
)
def test_an_unknown_cell_is_refused_by_naming_the_nearest(name, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        cells.get(name)
