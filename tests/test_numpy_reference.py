"""The NumPy reference against Keras, this package's cells and central differences."""

import keras
import numpy as np
import pytest
from helpers import learning_tasks as learning
from helpers.reference_problems import (
    KINDS,
    SHAPES,
    Problem,
    absolute_error,
    relative_error,
)

from custom_lstm import numpy_reference

needs_float64 = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="on JAX and PyTorch, keras.ops.matmul computes in float32",
)
every_kind = pytest.mark.parametrize("kind", KINDS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
SHAPE = (5, 4, 3, 2)


@pytest.fixture(autouse=True)
def fresh_names():
    keras.backend.clear_session()


@needs_float64
@every_shape
@every_kind
def test_forward_matches_keras_and_the_cells(kind, shape):
    problem = Problem(kind, shape)
    _, _, results = problem.run(problem.arrays)
    expected, _ = problem.by_keras()
    assert absolute_error(results, expected) <= 1e-12
    assert absolute_error(results, problem.by_cells()) <= 1e-12


@needs_float64
@every_shape
@every_kind
def test_gradients_match_automatic_differentiation(kind, shape):
    problem = Problem(kind, shape)
    _, expected = problem.by_keras()
    assert relative_error(problem.gradients(), expected) <= 1e-10


@every_shape
@every_kind
def test_gradients_match_central_differences(kind, shape):
    problem = Problem(kind, shape)
    assert relative_error(problem.gradients(), problem.differences()) <= 1e-7


MASK = np.array(
    [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0]], bool
)


@needs_float64
@every_kind
def test_masked_steps_match_keras(kind):
    problem = Problem(kind, SHAPE, mask=MASK)
    _, _, results = problem.run(problem.arrays)
    expected, by_tape = problem.by_keras()
    assert absolute_error(results, expected) <= 1e-12
    assert relative_error(problem.gradients(), by_tape) <= 1e-10


@every_kind
def test_what_a_masked_step_holds_is_not_read(kind):
    problem = Problem(kind, SHAPE, mask=MASK)
    expected = problem.run(problem.arrays)[2], problem.gradients()
    problem.arrays[0][~MASK] = np.nan
    found = problem.run(problem.arrays)[2], problem.gradients()
    for ours, theirs in zip(found, expected, strict=True):
        for array, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(array, other)


def make(kind, shape=SHAPE, **options):
    """Return a layer of random weights, and arrays drawn for it."""
    problem = Problem(kind, shape)
    x, [(states, weights), *_] = problem.split(problem.arrays)
    own = KINDS[kind].options
    return KINDS[kind].reference(*weights, **own, **options), x, states, problem


@every_kind
def test_the_last_output_alone_has_the_gradients_of_the_last_step(kind):
    layer, x, states, problem = make(kind)
    run = layer.forward(x, states)
    d_last = problem.weighting[0][:, -1]
    every, *_ = make(kind, return_sequences=True)
    whole = every.forward(x, states)
    np.testing.assert_array_equal(run.outputs, whole.outputs[:, -1])
    d_outputs = np.zeros_like(whole.outputs)
    d_outputs[:, -1] = d_last
    expected = every.backward(whole, d_outputs)
    for ours, theirs in zip(layer.backward(run, d_last), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("cut", [1, 3])
@every_kind
def test_a_remembered_state_carries_outputs_and_gradients_over_a_cut(kind, cut):
    layer, x, states, problem = make(kind, return_sequences=True, remember_state=True)
    d_y, *d_states = problem.weighting
    first = layer.forward(x[:, :cut], states)
    second = layer.forward(x[:, cut:])
    outputs = np.concatenate([first.outputs, second.outputs], axis=1)
    whole = layer.forward(x, states)
    assert (
        absolute_error([outputs, *second.states], [whole.outputs, *whole.states]) == 0
    )
    expected = layer.backward(whole, d_y, d_states)

    later = layer.backward(second, d_y[:, cut:], d_states)
    earlier = layer.backward(first, d_y[:, :cut], d_states=later.states)
    sums = [a + b for a, b in zip(earlier[2:], later[2:], strict=True)]
    assert relative_error(sums, expected[2:]) <= 1e-14
    assert relative_error(earlier.states, expected.states) <= 1e-14
    inputs = np.concatenate([earlier.inputs, later.inputs], axis=1)
    assert relative_error([inputs], [expected.inputs]) <= 1e-14

    forgetful = layer.backward(first, d_y[:, :cut])
    sums = [a + b for a, b in zip(forgetful[2:], later[2:], strict=True)]
    assert relative_error(sums, expected[2:]) > 1e-2


@every_shape
@every_kind
def test_the_gradient_through_a_remembered_state_matches_central_differences(
    kind, shape
):
    """L sees the second run alone: what comes of the first run came by the state."""
    layer, x, states, problem = make(kind, shape, remember_state=True)
    d_last = problem.weighting[0][:, -1]

    def loss():
        layer.forward(x, states)
        return (d_last * layer.forward(-x).outputs).sum()

    first = layer.forward(x, states)
    later = layer.backward(layer.forward(-x), d_last)
    earlier = layer.backward(first, 0 * first.outputs, d_states=later.states)
    for name in ("kernel", "recurrent_kernel", "bias"):
        weights, differences = getattr(layer, name), []
        for place in np.ndindex(weights.shape):
            value = weights[place]
            sides = []
            for moved in (value + 1e-5, value - 1e-5):
                weights[place] = moved
                sides.append(loss())
            weights[place] = value
            differences.append((sides[0] - sides[1]) / 2e-5)
        gradient = getattr(earlier, name) + getattr(later, name)
        assert relative_error([gradient.ravel()], [np.array(differences)]) <= 1e-7
        forgetful = getattr(later, name)
        assert relative_error([forgetful.ravel()], [np.array(differences)]) > 1e-5


def test_states_are_remembered_only_if_asked_and_until_reset():
    layer, x, *_ = make("lstm", remember_state=True)
    fresh = layer.forward(x)
    assert absolute_error(layer.states, fresh.states) == 0
    assert absolute_error([layer.forward(x).outputs], [fresh.outputs]) > 1e-3
    layer.reset_states()
    assert absolute_error([layer.forward(x).outputs], [fresh.outputs]) == 0
    forgetful, *_ = make("lstm")
    forgetful.forward(x)
    assert forgetful.states is None
    assert absolute_error([forgetful.forward(x).outputs], [fresh.outputs]) == 0


@pytest.mark.filterwarnings("error")
@every_kind
def test_saturated_gates_neither_overflow_nor_pass_gradients(kind):
    layer, x, states, _ = make(kind)
    layer.bias += 1e4
    run = layer.forward(x, states)
    gradients = layer.backward(run, np.ones_like(run.outputs))
    assert np.isfinite(run.outputs).all()
    np.testing.assert_array_equal(gradients.kernel, 0)


def test_the_former_path_still_imports():
    from custom_lstm.kernels import reference

    for name in ("GRU", "LSTM", "SimpleRNN", "RecurrentLayer", "Gradients", "Run"):
        assert getattr(reference, name) is getattr(numpy_reference, name)


LSTM_WEIGHTS = [np.ones((2, 12)), np.ones((3, 12)), np.ones(12)]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            [np.ones((2, 12)), np.ones((3, 9))],
            r"`recurrent_kernel`.*\(3, 12\).*\(3, 9\)",
        ),
        ([np.ones((2, 9)), np.ones((3, 12))], r"`kernel`.*\(2, 12\).*\(2, 9\)"),
        ([np.ones(12), np.ones((3, 12))], r"`kernel`.*\(12, 12\).*\(12,\)"),
        ([*LSTM_WEIGHTS[:2], np.ones((2, 12))], r"`bias`.*\(12,\).*\(2, 12\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, message):
    with pytest.raises(ValueError, match=f"LSTM: {message}"):
        numpy_reference.LSTM(*weights)


def test_a_gru_has_the_bias_of_its_reset():
    weights = [np.ones((2, 9)), np.ones((3, 9))]
    for reset_after, wrong in ((True, (9,)), (False, (2, 9))):
        with pytest.raises(ValueError, match="GRU: `bias`"):
            numpy_reference.GRU(*weights, np.ones(wrong), reset_after=reset_after)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([np.ones((4, 5))], r"\(batch, time, 2\).*\(4, 5\)"),
        ([np.ones((4, 5, 3))], r"\(batch, time, 2\).*\(4, 5, 3\)"),
        ([np.ones((4, 0, 2))], r"at least one.*\(4, 0, 2\)"),
        ([np.ones((4, 5, 2)), [np.ones((4, 3))]], r"2 array\(s\).*\(4, 3\): \[h, c\]"),
        ([np.ones((4, 5, 2)), [np.ones((3, 3))] * 2], r"`initial_states`.*\(3, 3\)"),
        ([np.ones((4, 5, 2)), None, np.ones((4, 4))], r"`mask`.*\(4, 5\).*\(4, 4\)"),
    ],
)
def test_data_that_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"LSTM: .*{message}"):
        numpy_reference.LSTM(*LSTM_WEIGHTS).forward(*arguments)


def test_a_remembered_state_of_another_batch_size_is_refused():
    layer = numpy_reference.LSTM(*LSTM_WEIGHTS, remember_state=True)
    layer.forward(np.ones((4, 5, 2)))
    with pytest.raises(ValueError, match=r"of shape \(1, 3\).*\(4, 3\)"):
        layer.forward(np.ones((1, 5, 2)))


def test_gradients_that_do_not_fit_are_refused():
    layer = numpy_reference.LSTM(*LSTM_WEIGHTS)
    run = layer.forward(np.ones((4, 5, 2)))
    with pytest.raises(ValueError, match=r"`d_outputs`.*\(4, 3\).*\(4, 5, 3\)"):
        layer.backward(run, np.ones((4, 5, 3)))
    with pytest.raises(ValueError, match=r"`d_states`.*\(4, 3\).*\(4, 2\)"):
        layer.backward(run, np.ones((4, 3)), [np.ones((4, 2))] * 2)


learners = pytest.mark.parametrize("kind", learning.KINDS)
SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
@learners
def test_the_identity_is_learned_in_50_steps(kind, seed):
    losses = learning.learn_identity(kind, seed)
    assert len(losses) == 51
    assert losses[-1] <= 0.05


@pytest.mark.parametrize("seed", SEEDS)
@learners
def test_the_courses_of_two_means_are_told_apart(kind, seed):
    assert learning.learn_class_means(kind, seed) > 0.95


@learners
def test_a_seed_fixes_what_is_learned(kind):
    assert learning.learn_identity(kind, 3) == learning.learn_identity(kind, 3)
    assert learning.learn_identity(kind, 3) != learning.learn_identity(kind, 4)


@learners
def test_gradients_of_the_network_match_central_differences(kind):
    rng = np.random.default_rng(0)
    network = learning.Network(kind, (3, 2), 4, [3, 2], rng)
    x, d_outputs = rng.normal(size=(5, 3, 2)), rng.normal(size=(5, 2))
    network.forward(x)
    gradients = network.backward(d_outputs)
    for w, gradient in zip(network.weights, gradients, strict=True):
        place = tuple(rng.integers(size) for size in w.shape)
        value, sides = w[place], []
        for moved in (value + 1e-5, value - 1e-5):
            w[place] = moved
            sides.append((d_outputs * network.forward(x)).sum())
        w[place] = value
        assert gradient[place] == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-7)


def test_neither_class_can_be_told_by_its_mean_over_time():
    x, classes = learning.class_means(20_000, np.random.default_rng(0))
    means = [x[classes == k].mean(axis=(0, 1)) for k in (0, 1)]
    np.testing.assert_allclose(means[0], means[1], atol=0.05)
    np.testing.assert_allclose(means[0], 4 + np.array([0, 1, 3, 6, 10]), atol=0.05)


@needs_float64
def test_adam_matches_keras():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(3, 4))
    variable = keras.Variable(w, dtype="float64")
    theirs = keras.optimizers.Adam(0.02, epsilon=1e-8)
    ours = learning.Adam([w], rate=0.02)
    for _ in range(5):
        gradient = rng.normal(size=w.shape)
        theirs.apply([keras.ops.convert_to_tensor(gradient, "float64")], [variable])
        ours.step([gradient])
    expected = keras.ops.convert_to_numpy(variable)  # its powers of β are float32
    np.testing.assert_allclose(w, expected, rtol=0, atol=5e-6)
