"""What is right, though unusual, is no failure; what is wrong is named once."""

import keras
import numpy as np
import pytest
from helpers import wrong_cells as wrong
from keras import ops

from custom_lstm import AbstractRNNCell, LSTMCell
from custom_lstm.checking import CellCheckError, cell_checks, check_cell

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="others compute in float32"
)


class OfFloat32(wrong.Leaky):
    """Multiplies by weights in float32, which TensorFlow refuses in float64."""

    def project(self, inputs):
        import tensorflow as tf

        return tf.matmul(inputs, tf.cast(self.kernel, "float32"))


class WithinInFloat32(wrong.Leaky):
    """Computes in float32, and gives back what it was given."""

    def project(self, inputs):
        kernel = ops.convert_to_tensor(self.kernel)
        made = ops.matmul(ops.cast(inputs, "float32"), ops.cast(kernel, "float32"))
        return ops.cast(made, inputs.dtype)


class StopsGradientInFloat32(WithinInFloat32):
    def step(self, projected, states):
        return super().step(ops.stop_gradient(projected), states)


class NeedsTraining(AbstractRNNCell):
    """A cell whose `training` has no default."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="W")

    def call(self, inputs, states, training):
        h = ops.tanh(ops.matmul(inputs, self.kernel) + 0.9 * states[0])
        return h, [h]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class ScalarWeight(wrong.Leaky):
    def build(self, input_shape):
        super().build(input_shape)
        self.leak = self.add_weight(shape=(), initializer="ones", name="leak")

    def step(self, projected, states):
        h = ops.tanh(projected + self.leak * states[0])
        return h, [h]


class IdleScalar(ScalarWeight):
    step = wrong.Leaky.step


class Threshold(wrong.Leaky):
    """Has a weight that acts from 4 on."""

    def build(self, input_shape):
        super().build(input_shape)
        self.bias = self.add_weight((self.units,), initializer="zeros", name="bias")

    def step(self, projected, states):
        h, states = super().step(projected, states)
        h = h + ops.relu(self.bias - 4)
        return h, [h]


class Spikes(wrong.Leaky):
    """Gives out integers, on purpose."""

    def step(self, projected, states):
        h, states = super().step(projected, states)
        return ops.cast(h > 0, "int32"), states


class Broken(AbstractRNNCell):
    """Raises in every step, with a number that is another each time."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units
        self.inner = keras.layers.Dense(units)

    def build(self, input_shape):
        self.inner.build(input_shape)

    def call(self, inputs, states):
        raise ZeroDivisionError(f"in {self.inner.name}")

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def result(cell, check):
    return check_cell(cell, checks=[check], verbose=False)[check]


def failure(cell, check):
    with pytest.raises(CellCheckError) as caught:
        check_cell(cell, checks=[check], verbose=False)
    return caught.value.report[check]


@on_tensorflow
def test_a_cell_of_float32_is_compared_in_float32():
    for cell in (OfFloat32, WithinInFloat32):
        seen = result(cell, "gradients").seen
        assert "in float32, as" in seen
    assert "in float64 it raises" in result(OfFloat32, "gradients").seen
    assert "less than float64" in result(WithinInFloat32, "gradients").seen
    assert result(wrong.Leaky, "gradients").seen.endswith("in float64")


def test_a_wrong_gradient_is_found_in_float32_too():
    assert failure(StopsGradientInFloat32, "gradients").verdict == "FAILED"


@on_tensorflow
def test_a_reference_may_compute_in_float32():
    report = check_cell(
        WithinInFloat32,
        reference=wrong.Leaky(),
        checks=["reference_outputs", "reference_gradients"],
        verbose=False,
    )
    assert "in float32, as" in report["reference_outputs"].seen


def test_training_may_have_no_default():
    names = [check.name for check in cell_checks() if check.name != "saving"]
    report = check_cell(NeedsTraining, checks=names, verbose=False)
    assert {result.verdict for result in report.results} == {"passed"}


def test_weights_may_be_scalars():
    assert result(ScalarWeight, "weights_used").seen == "W, leak"
    assert "leak () to act" in failure(IdleScalar, "weights_used").expected


def test_a_weight_may_act_beyond_a_threshold():
    seen = result(Threshold, "weights_used").seen
    assert seen == "W, bias; no gradient here, but act when changed: bias [0, 1, 2, 3]"


def test_an_output_may_be_of_integers():
    assert result(Spikes, "mixed_precision").verdict == "passed"


def test_an_error_in_the_fresh_process_is_shown(monkeypatch):
    monkeypatch.setattr(wrong.NeedsTable, "table", np.ones(4))
    assert failure(wrong.NeedsTable, "saving").seen == "ValueError: there is no table"


def test_a_slow_learner_learns_and_the_first_loss_is_told():
    report = check_cell(wrong.NoGradientAtZero, checks=["states"], verbose=False)
    assert report
    assert "0.95 of the first, " in failure(wrong.NoGradientAtZero, "training").expected


def test_one_mistake_is_told_once_and_ends_the_checks():
    with pytest.raises(CellCheckError) as caught:
        check_cell(Broken, verbose=False)
    report = caught.value.report
    assert [result.name for result in report.failures] == ["one_step"]
    assert report["masks"].verdict == "not run"
    assert str(report).count("ZeroDivisionError") == 1
    assert "1 passed, 1 failed (one_step), 20 not run" in report.summary()


def test_it_says_whether_inputs_are_projected_at_once():
    assert "projected at once" in result(LSTMCell, "hoisted").seen
    assert "not split" in result(NeedsTraining, "hoisted").seen


def test_instances_are_not_told_apart():
    with pytest.raises(CellCheckError) as caught:
        check_cell(Broken, checks=["states", "loops", "masks"], verbose=False)
    assert str(caught.value).count("ZeroDivisionError") == 1
    assert str(caught.value).count("the same as in `states`") == 2


@on_tensorflow
def test_a_tf_function_is_named():
    import tensorflow as tf

    class Compiled(LSTMCell):
        call = tf.function(LSTMCell.call)

    assert "tf.function" in result(Compiled, "one_step").seen


class TwoInputs(wrong.Leaky):
    def build(self, input_shape):
        super().build(input_shape[0])

    def project(self, inputs):
        x, elapsed = inputs
        return elapsed * super().project(x)


class BeginsWithOnes(wrong.Leaky):
    """Has an initializer that is ones by default."""

    def __init__(self, units=4, gamma_initializer="ones", **kwargs):
        super().__init__(units, **kwargs)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)

    def get_config(self):
        gamma = keras.initializers.serialize(self.gamma_initializer)
        return {**super().get_config(), "gamma_initializer": gamma}


class LosesInitializer(BeginsWithOnes):
    def get_config(self):
        ones = keras.initializers.serialize(keras.initializers.Ones())
        return {**super().get_config(), "gamma_initializer": ones}


class Sparse(wrong.Leaky):
    """Has a fixed recurrent kernel that chance may make zero: here, the first two."""

    made = 0

    def build(self, input_shape):
        super().build(input_shape)
        type(self).made += 1
        scale = 0.0 if self.made < 3 else 0.5
        self.fixed = self.add_weight(
            shape=(self.units, self.units),
            initializer=keras.initializers.Constant(scale),
            trainable=False,
            name="fixed",
        )

    def step(self, projected, states):
        h = ops.tanh(projected + ops.matmul(states[0], self.fixed))
        return h, [h]


class Steep(wrong.Leaky):
    """Multiplies what rounding does to its inputs."""

    def step(self, projected, states):
        h = 3.0 * ops.tanh(4.0 * projected) - states[0]
        return h, [h]


class Activated(wrong.Leaky):
    """Is given a function that Keras knows by name."""

    def __init__(self, units=4, activation=None, **kwargs):
        super().__init__(units, **kwargs)
        self.activation = keras.activations.get(activation)

    def get_config(self):
        name = keras.activations.serialize(self.activation)
        return {**super().get_config(), "activation": name}


def relu(x):
    return ops.maximum(x, 0)


def test_several_inputs_may_be_given_in_a_list():
    names = ["one_step", "loops", "masks", "dynamic_shapes", "training"]
    report = check_cell(TwoInputs, features=[3, 1], checks=names, verbose=False)
    assert "inputs ((3,), (1,))" in report.subject


def test_an_initializer_may_be_ones_by_default():
    assert result(BeginsWithOnes, "config").verdict == "passed"
    assert "gamma_initializer" in failure(LosesInitializer, "config").expected


def test_a_state_may_be_read_with_some_weights_only():
    assert result(Sparse, "states_used").verdict == "passed"


def test_rounding_of_inputs_is_no_fault_of_the_cell():
    assert result(Steep, "mixed_precision").verdict == "passed"


def test_a_function_of_the_same_name_is_no_other():
    by_name = Activated(activation="relu")
    by_name.activation = relu
    assert result(by_name, "config").verdict == "passed"


class LearnsItsBeginning(wrong.Leaky):
    """Has a weight that acts before the first step alone."""

    def build(self, input_shape):
        super().build(input_shape)
        self.first = self.add_weight((1, self.units), name="first")

    def get_initial_state(self, batch_size=None):
        return [ops.repeat(self.first, batch_size, axis=0)]


class OfTimeConstant(wrong.Leaky):
    """Divides by a small positive weight."""

    def build(self, input_shape):
        super().build(input_shape)
        constant = keras.initializers.Constant(0.1)
        self.tau = self.add_weight((self.units,), initializer=constant, name="tau")

    def step(self, projected, states):
        keep = ops.exp(-0.01 / self.tau)
        h = keep * states[0] + (1 - keep) * projected
        return h, [h]


def test_a_weight_may_act_on_the_initial_state_alone():
    assert result(LearnsItsBeginning, "weights_used").seen == "W, first" + (
        "; no gradient here, but act when changed: first [0, 1, 2, 3]"
    )


def test_a_small_positive_weight_stays_one():
    for check in ("gradients", "mixed_precision"):
        assert result(OfTimeConstant, check).verdict == "passed"
