"""What fails is explained by what in the cell makes it fail."""

import re

import keras
import pytest
from helpers import plain_cells as plain
from helpers import wrong_cells as wrong
from keras import ops

from custom_lstm import AbstractRNNCell
from custom_lstm.checking import CellCheckError, check_cell

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="others compute otherwise"
)


class KeepsSlice(wrong.Leaky):
    """Computes in `build` what it multiplies by."""

    def build(self, input_shape):
        super().build(input_shape)
        self.half = 0.5 * ops.convert_to_tensor(self.kernel)

    def project(self, inputs):
        return ops.matmul(inputs, self.half)


class BeginsAtRandom(wrong.Leaky):
    def get_initial_state(self, batch_size=None):
        return [keras.random.normal((batch_size, self.units))]


class NestsNewStates(keras.layers.Layer):
    """Promises [h, c] and returns [h, [c]]."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units, self.state_size = units, [units, units]

    def call(self, inputs, states):
        h, c = (keras.tree.flatten(state)[0] for state in states)
        c = c + ops.sum(inputs, axis=-1, keepdims=True)
        return ops.tanh(h + c), [0.5 * h + c, [c]]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class NestedSizes(plain.OnDense):
    """Promises [[h]] and begins with [h]."""

    def __init__(self, units=4, **kwargs):
        super().__init__(units, **kwargs)
        self.state_size = [[units]]

    def get_initial_state(self, batch_size=None):
        return [ops.zeros((batch_size, self.units))]


class GivesSeedAway(keras.layers.SimpleRNNCell):
    """Has no name in its config, and cannot be made of it for another reason."""

    def __init__(self, units, **kwargs):
        if "seed" in kwargs:
            raise TypeError("Exception encountered: no seed is known here")
        super().__init__(units, **kwargs)

    def get_config(self):
        config = super().get_config()
        del config["name"]
        return config


class KeepsName(AbstractRNNCell):
    """Does not pass its keyword arguments on."""

    def __init__(self, units=4, **kwargs):
        super().__init__()
        self.units = self.state_size = units

    def call(self, inputs, states):
        h = ops.tanh(ops.sum(inputs, axis=-1, keepdims=True) + 0.5 * states[0])
        return h, [h]


class OldDropout(keras.layers.SimpleRNNCell):
    """Asks for a mask as in Keras 2."""

    def call(self, sequence, states, training=False):
        if training and self.dropout:
            mask = self.get_dropout_mask_for_cell(sequence, training, count=1)
            sequence = sequence * mask
        return super().call(sequence, states)


def failures(cell, *checks, **options):
    with pytest.raises(CellCheckError) as caught:
        check_cell(cell, checks=checks, verbose=False, **options)
    return caught.value.report


@pytest.mark.parametrize("cell", [plain.OnDense, plain.MakesDense])
def test_weights_of_the_first_step_are_named_with_what_to_write(cell):
    seen = failures(cell, "saving")["saving"].seen
    assert seen.startswith("2 weights are made by the first step only, in self.dense.")
    assert "write in `build`: self.dense.build((None, 7))." in seen
    assert "custom_lstm.RNN loads the model as it is" in seen


def test_a_cell_that_follows_the_advice_passes():
    class Advised(plain.OnDense):
        def build(self, input_shape):
            self.dense.build((None, 7))

    report = check_cell(Advised, checks=["saving"], verbose=False)
    assert "first step" not in report["saving"].seen


def test_a_model_that_loads_in_spite_of_late_weights_passes_with_a_word_on_them():
    report = check_cell(
        plain.OnDense, features=[3, 1], checks=["saving"], verbose=False
    )
    seen = report["saving"].seen
    assert "in a fresh process" in seen
    assert "self.dense.build((None, 8))" in seen


@on_tensorflow
def test_what_build_computes_from_weights_is_named_once():
    report = failures(KeepsSlice, "weights_used", "saving")
    assert report["weights_used"].seen.startswith("self.half: computed from weights")
    assert "the same as in `weights_used`" in str(report)


@on_tensorflow
def test_a_tf_function_is_why_a_loaded_model_differs():
    import tensorflow as tf

    class Compiled(plain.OnDense, AbstractRNNCell):
        call = tf.function(plain.OnDense.call)

    seen = failures(Compiled, "saving")["saving"].seen
    assert "Compiled.call is a tf.function" in seen
    assert "custom_lstm.RNN loads the model" in seen


def test_an_object_that_is_lost_in_a_file_is_named():
    seen = failures(plain.HasTable, "saving")["saving"].seen
    assert seen == (
        "`table` is a Table, and a dict when it is loaded: let `from_config` make it "
        "of that"
    )


def test_a_random_beginning_is_told_once():
    report = failures(BeginsAtRandom, "initial_state", "repeatable", "loops", "masks")
    text = " ".join(str(report).split())
    assert text.count("draws others each time") == 1
    assert text.count("the same as in `initial_state`") == 3


@on_tensorflow
def test_new_states_in_another_nest_are_why_a_mask_fails():
    result = failures(NestsNewStates, "masks")["masks"]
    assert result.expected == "states in the nest of `state_size`, [h, h]"
    assert "[h, [h]]" in result.seen


def test_first_states_in_another_nest_are_why_a_step_fails():
    result = failures(NestedSizes, "one_step")["one_step"]
    assert result.expected == "states in the nest of `state_size`, [[h]]"
    assert result.seen.startswith("[h]; ")


def test_what_prevents_a_copy_weighs_more_than_a_name():
    report = failures(GivesSeedAway, "config", "saving")
    assert report["config"].seen == "TypeError: no seed is known here"
    assert "the same as in `config`" in str(report)


def test_arguments_that_are_not_passed_on_are_named():
    seen = failures(KeepsName, "config")["config"].seen
    assert "does `__init__` pass **kwargs on" in seen


def test_dropout_of_keras_2_gets_a_hint():
    seen = failures(lambda: OldDropout(4), "dropout")["dropout"].seen
    assert seen.startswith("dropout=0.5, training=True: ValueError: OldDropout")
    assert "write `self.get_dropout_mask(inputs)`" in seen


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="others always know the batch"
)
def test_what_keras_writes_around_an_error_is_left_out():
    class Broken(wrong.Leaky):
        def step(self, projected, states):
            if projected.shape[0] is None:
                raise TypeError("it is this")
            return super().step(projected, states)

    seen = failures(Broken, "dynamic_shapes")["dynamic_shapes"].seen
    assert re.search("Input of 3 features: TypeError: it is this$", seen)


def test_a_shape_that_is_no_tuple_gets_a_hint():
    class OfWidth(plain.OnDense):
        def build(self, input_shape):
            self.bias = self.add_weight(shape=(self.units), name="bias")

    seen = failures(OfWidth, "one_step")["one_step"].seen
    assert "write `shape=(units,)`" in seen


def test_a_function_that_keras_has_nowhere_is_not_recommended():
    class OldPhase(OldDropout):
        def call(self, sequence, states, training=False):
            if training and self.dropout:
                sequence = keras.backend.in_train_phase(0 * sequence, sequence)
            return super(OldDropout, self).call(sequence, states)

    seen = failures(lambda: OldPhase(4), "dropout")["dropout"].seen
    assert "write `x if training else alternative`" in seen


def test_a_first_state_that_cannot_be_had_does_not_hide_what_a_step_raises():
    class Both(plain.OnDense):
        def build(self, input_shape):
            self.dense.build((None, 7))

        def get_initial_state(self, inputs):
            return inputs

        def call(self, inputs, states):
            raise ZeroDivisionError("in the step")

    seen = failures(Both, "one_step")["one_step"].seen
    assert seen == "ZeroDivisionError: in the step"
