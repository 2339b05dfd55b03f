"""Every cell that steps vectors has a layer that takes the arguments of both."""

import inspect
import pickle

import keras
import numpy as np
import pytest
from helpers import every_cell
from keras import ops

import custom_lstm
from custom_lstm import AbstractRNNCell, cells, layers
from custom_lstm.layers import catalogue
from custom_lstm.layers.of_cells import layer_class_of

X = np.random.default_rng(1).normal(size=(2, 5, 4)).astype("float32")
NEEDED = {
    cells.get(name).__name__.removesuffix("Cell"): every_cell.NEEDED.get(name, {})
    for name in cells.names()
}
MADE = sorted(set(NEEDED) - {"GRU", "LSTM", "SimpleRNN"})
every_layer = pytest.mark.parametrize("name", MADE)


def numpy(tensors):
    return keras.tree.map_structure(ops.convert_to_numpy, tensors)


def make(kind, *args, **options):
    return getattr(layers, kind)(*args, **NEEDED[kind], **options)


def test_every_vector_cell_has_a_layer_which_type_checkers_know():
    assert set(NEEDED) <= set(layers.__all__)
    lacking = [f"{n}: type[_Layer]" for n in MADE if n not in catalogue.__annotations__]
    assert not lacking, f"add to layers/catalogue.py: {lacking}"
    assert set(catalogue.__annotations__) == set(MADE)


@every_layer
def test_it_computes_what_rnn_around_the_cell_does(name):
    layer = make(name, 5, return_sequences=True, return_state=True)
    cell = layer.cell_class(5, **NEEDED[name])
    reference = custom_lstm.RNN(cell, return_sequences=True, return_state=True)
    found = layer(X)
    reference.build(X.shape)
    reference.set_weights(layer.get_weights())
    for ours, theirs in zip(found, reference(X), strict=True):
        np.testing.assert_array_equal(numpy(ours), numpy(theirs))
    assert [w.name for w in layer.weights] == [w.name for w in reference.weights]
    assert layer.units == 5 and layer.dropout == 0


@every_layer
def test_its_config_is_flat_and_makes_it_again(name):
    options = {"go_backwards": True, "seed": 3, "dropout": 0.2, "name": "own"}
    layer = make(name, 5, dtype="mixed_bfloat16", **options)
    config = layer.get_config()
    assert "cell" not in config and config["seed"] == 3
    assert options.items() <= config.items()
    known = inspect.signature(type(layer)).parameters
    assert set(config) == set(known)
    again = type(layer).from_config(config)
    assert again.get_config() == config
    assert again.compute_dtype == again.cell.compute_dtype == "bfloat16"


def test_a_model_of_all_both_ways_is_saved_loaded_and_pickled(tmp_path):
    """One model of all: to save and trace one of each would take a minute."""
    x = keras.Input((5, 4))
    made = [custom_lstm.Bidirectional(make(name, 3)) for name in MADE]
    model = keras.Model(x, [layer(x) for layer in made])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    kinds = [type(layer.forward_layer) for layer in loaded.layers[1:]]
    assert kinds == [getattr(layers, name) for name in MADE]
    expected = numpy(model(X))
    for copy in (loaded, pickle.loads(pickle.dumps(model))):
        for name, ours, theirs in zip(MADE, numpy(copy(X)), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs, err_msg=name)


@every_layer
def test_it_tells_of_itself(name):
    kind = getattr(layers, name)
    assert pickle.loads(pickle.dumps(kind)) is kind
    assert keras.saving.get_registered_name(kind) == f"custom_lstm>{name}"
    told = kind.__doc__
    first, *_ = inspect.getdoc(kind.cell_class).splitlines()
    assert first in told and "see the cell" not in told
    for argument in inspect.signature(kind).parameters:
        assert f"\n    {argument}: " in told


def test_a_cell_named_as_one_of_ours_does_not_take_its_place_in_files():
    @keras.saving.register_keras_serializable(package="mine_of_cells")
    class GRUCell(custom_lstm.GRUCell):
        """A user's own."""

    made = layer_class_of(GRUCell, __name__)
    assert made.__name__ == "GRU"
    assert keras.saving.get_registered_name(made) == "mine_of_cells>GRU"
    registered = keras.saving.get_registered_object
    assert registered("mine_of_cells>GRU") is made
    assert registered("custom_lstm>GRU") is custom_lstm.GRU


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unit": 3}, "UGRNN has no argument 'unit'. Did you mean 'units'"),
        ({"units": 3, "return_sequence": True}, "Did you mean 'return_sequences'"),
        ({"units": 3, "cell": None}, "UGRNN has no argument 'cell'"),
        ({}, "UGRNN: missing a required argument: 'units'. It takes units, act"),
    ],
)
def test_arguments_that_do_not_exist_or_lack_are_named(arguments, message):
    with pytest.raises(TypeError, match=message):
        layers.UGRNN(**arguments)


def test_arguments_out_of_range_are_named_by_the_cell_and_the_layer():
    with pytest.raises(ValueError, match="MGUCell: `variant` must be one of"):
        layers.MGU(3, variant=4)
    with pytest.raises(ValueError, match="MGU: `unroll` must be True or False"):
        layers.MGU(3, unroll="yes")
    with pytest.raises(TypeError, match="multiple values for argument 'units'"):
        layers.MGU(3, units=4)


def test_arguments_of_tensorflow_2_10_are_taken():
    with pytest.warns(UserWarning, match="Do not pass an `input_shape`"):
        layer = layers.MGU(3, stateful=True, batch_input_shape=(2, None, 4))
    assert tuple(layer(X).shape) == (2, 3)


def test_a_cell_whose_argument_is_something_else_in_a_layer_makes_none():
    class Clashing(AbstractRNNCell):
        def __init__(self, units, states=2, **kwargs):
            super().__init__(**kwargs)

        def step(self, projected, states):
            return projected, states

    with pytest.raises(ValueError, match="Clashing: no layer.*'states'"):
        layer_class_of(Clashing, __name__)


def test_a_layer_of_a_cell_that_takes_constants_takes_them():
    class Shifted(AbstractRNNCell):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = self.state_size = units

        def step(self, projected, states, constants):
            h = projected + states[0] + constants[0]
            return h, [h]

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    layer = layer_class_of(Shifted, __name__)(4)
    output = layer(X, constants=[np.ones((2, 4), "float32")])
    np.testing.assert_allclose(numpy(output), X.sum(axis=1) + 5, rtol=1e-5)
