"""On JAX a partitioned loop has every derivative that the steps, one by one, have."""

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops

import custom_lstm
from custom_lstm import AbstractRNNCell

jax = pytest.importorskip("jax")
if keras.backend.backend() != "jax":
    pytest.skip("about JAX's loop", allow_module_level=True)
from custom_lstm.kernels import jax_loop  # noqa: E402

jnp = jax.numpy
BATCH, TIME, FEATURES, UNITS = 4, 6, 3, 5


class Leaky(AbstractRNNCell):
    """A step of a few operations, to be changed; its output is no state."""

    def __init__(self, change=lambda h: h, **kwargs):
        super().__init__(**kwargs)
        self.state_size, self.change = UNITS, change
        self.dense = layers.Dense(UNITS)

    def call(self, inputs, states):
        h = ops.tanh(self.dense(ops.concatenate([inputs, states[0]], axis=-1)))
        h = 0.5 * states[0] + self.change(h)
        return ops.sin(h), [h]


class Counting(Leaky):
    """Its second state counts the steps, and divides."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.state_size = [UNITS, 1]

    def get_initial_state(self, batch_size):
        return [jnp.zeros((batch_size, UNITS)), jnp.zeros((batch_size, 1), "int32")]

    def call(self, inputs, states):
        h, count = states
        output, (h,) = super().call(inputs, [h])
        h = h / ops.cast(count + 1, h.dtype)
        return output, [h, count + 1]


def numbers(*shape, seed=3):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def layer_of(cell):
    layer = custom_lstm.RNN(cell, return_sequences=True, return_state=True)
    layer(numbers(BATCH, TIME, FEATURES))
    return layer


def weights_of(layer):
    return [w.value for w in layer.trainable_variables]


def form(results):
    """One number of all that floats among results."""
    real = [r for r in jax.tree.leaves(results) if jnp.issubdtype(r.dtype, jnp.inexact)]
    return sum(jnp.sum(jnp.sin(r.astype("float32"))) for r in real)


def by_layer(layer, weights, x, states=None):
    fixed = [w.value for w in layer.non_trainable_variables]
    kwargs = {} if states is None else {"initial_state": list(states)}
    results, _ = layer.stateless_call(weights, fixed, x, **kwargs)
    return results


def by_hand(layer, weights, x, states=None):
    """The same, each step called in turn."""
    cell, made = layer.cell, []
    if states is None:
        states = cell.get_initial_state(x.shape[0])
    mapping = list(zip(layer.trainable_variables, weights, strict=True))
    with keras.StatelessScope(state_mapping=mapping):
        for t in range(x.shape[1]):
            output, states = cell(x[:, t], states)
            made.append(output)
    return [jnp.stack(made, 1), *states]


def assert_close(found, expected, tolerance=1e-5):
    found, expected = jax.tree.leaves(found), jax.tree.leaves(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        scale = max(1, np.abs(other).max(initial=0))
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)


CELLS = {
    "gru": lambda: custom_lstm.GRUCell(UNITS),
    "output beside h": Leaky,
    "lstm": lambda: custom_lstm.LSTMCell(UNITS),
    "counting": Counting,
    "relu": lambda: Leaky(ops.relu),
    "softplus": lambda: Leaky(ops.softplus),
    "constant output": lambda: Leaky(lambda h: 0 * h + 1),
}
MODES = {
    "value": lambda f: f,
    "gradient": lambda f: jax.grad(f, (0, 1, 2)),
    "gradient by the states": lambda f: jax.grad(f, 2),
    "gradient by one weight": lambda f: (
        lambda w, x, s: jax.grad(lambda one: f([one, *w[1:]], x, s))(w[0])
    ),
    "forward mode": lambda f: (
        lambda *sources: jax.jvp(f, sources, jax.tree.map(jnp.cos, sources))
    ),
    "forward over reverse": lambda f: (
        lambda w, x, s: jax.jvp(
            lambda x: jax.grad(f, (0, 1))(w, x, s), (x,), (jnp.cos(x),)
        )
    ),
    "reverse over reverse": lambda f: jax.grad(
        lambda w, x, s: form(jax.grad(f, (0, 1, 2))(w, x, s)), (0, 1, 2)
    ),
    "reverse over forward": lambda f: jax.grad(
        lambda w, x, s: form(jax.jvp(lambda x: f(w, x, s), (x,), (jnp.cos(x),))), (0, 1)
    ),
    "checkpointed": lambda f: jax.grad(jax.checkpoint(f), (0, 1, 2)),
    "mapped": lambda f: (
        lambda w, x, s: jax.vmap(jax.grad(f, (0, 1, 2)), (None, 0, None))(
            w, jnp.stack([x, jnp.sin(x)]), s
        )
    ),
}
FEW = ("value", "gradient", "reverse over reverse")
FIRST = [mode for mode in MODES if " over " not in mode]


@pytest.mark.parametrize(
    ("cell", "mode"),
    [
        (c, m)
        for c in CELLS
        for m in MODES
        if c in ("gru", "output beside h") or m in FEW
    ],
)
def test_every_derivative_is_that_of_the_steps(cell, mode):
    layer = layer_of(CELLS[cell]())
    x, h = numbers(BATCH, TIME, FEATURES), numbers(BATCH, UNITS, seed=4)
    rest = layer.cell.get_initial_state(BATCH)[1:]

    def loss(by, weights, x, h):
        return form(by(layer, weights, x, [h, *rest])[:2])  # Keras casts the counter

    found, expected = (
        jax.jit(MODES[mode](functools.partial(loss, by)))(weights_of(layer), x, h)
        for by in (by_layer, by_hand)
    )
    assert layer.loop_used == "partitioned", layer.loop_reason
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected)) > 1e-3
    assert_close(found, expected, 1e-5 if mode in FIRST else 1e-4)


@pytest.mark.parametrize(("batch", "time"), [(0, TIME), (1, TIME), (BATCH, 1)])
def test_few_rows_or_steps(batch, time):
    layer = layer_of(Counting())
    x = numbers(batch, time, FEATURES)

    def run(by, weights, x):
        gradient = jax.grad(lambda w, x: form(by(layer, w, x)), (0, 1))(weights, x)
        return by(layer, weights, x), gradient

    found, expected = (
        jax.jit(functools.partial(run, by))(weights_of(layer), x)
        for by in (by_layer, by_hand)
    )
    assert layer.loop_used == "partitioned", layer.loop_reason
    assert_close(found, expected)


def test_states_and_outputs_that_are_no_floats_have_no_tangent():
    def step(inputs, states, constants, weights):
        (x,), (h, count), (W,) = inputs, states, weights
        h = jnp.tanh(x @ W + h / (count + 1))
        return [h, count > 2], [h, count + 1]

    def loss(loop, options, x, h, W):
        count = jnp.zeros((BATCH, 1), "int32")
        made = loop(step, [x], [h, count], [], [W], unroll=False, **options)
        return form(made), made

    given = numbers(BATCH, TIME, FEATURES), numbers(BATCH, UNITS), numbers(3, UNITS)
    (found, made), (expected, like) = (
        jax.jit(jax.grad(functools.partial(loss, *loop), (0, 1, 2), has_aux=True))(
            *given
        )
        for loop in ((jax_loop.partitioned, {"training": True}), (jax_loop.plain, {}))
    )
    assert_close(found, expected)
    for one, other in zip(*map(jax.tree.leaves, (made, like)), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert made[1][1].dtype == "int32"


@jax.custom_vjp
def doubled(h):
    return 2 * h


doubled.defvjp(lambda h: (2 * h, None), lambda _, above: (2 * above,))


def called_back(h):
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(h.shape, h.dtype), h)


def printed(h):
    jax.debug.callback(lambda h: None, h)
    return h


def by_while(h):
    return jax.lax.fori_loop(0, jnp.int32(h.sum()) * 0 + 3, lambda _, h: h / 2, h)


@pytest.mark.parametrize(
    ("change", "named", "differentiates"),
    [
        (doubled, "custom_vjp", True),
        (called_back, "pure_callback", False),
        (printed, "side effects", True),
        (by_while, "while", False),
        (lambda h: jnp.linalg.svd(h, False)[0][:, :1] * h, "svd", True),
    ],
)
def test_a_step_with_unknown_operations_runs_in_the_plain_loop(
    change, named, differentiates
):
    layer = layer_of(Leaky(change))
    x = numbers(BATCH, TIME, FEATURES)

    def run(by, weights, x):
        if not differentiates:
            return by(layer, weights, x)
        return jax.grad(lambda w, x: form(by(layer, w, x)), (0, 1))(weights, x)

    found, expected = (
        jax.jit(functools.partial(run, by))(weights_of(layer), x)
        for by in (by_layer, by_hand)
    )
    assert layer.loop_used == "plain"
    assert named in layer.loop_reason
    assert_close(found, expected, 1e-4)


def test_what_a_step_reads_from_outside_gets_its_gradient():
    x = numbers(BATCH, TIME, FEATURES)
    cell = Leaky()
    layer = layer_of(cell)

    def loss(by, outside):
        cell.change = lambda h: h * outside
        return form(by(layer, weights_of(layer), x))

    outside = numbers(BATCH, UNITS)
    found, expected = (
        jax.jit(jax.grad(functools.partial(loss, by)))(outside)
        for by in (by_layer, by_hand)
    )
    assert layer.loop_used == "partitioned", layer.loop_reason
    assert np.abs(expected).max() > 1e-2
    assert_close(found, expected)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_every_precision_is_that_of_the_steps(policy):
    layer = custom_lstm.RNN(
        custom_lstm.GRUCell(
            UNITS, recurrent_initializer="glorot_uniform", dtype=policy
        ),
        return_sequences=True,
        dtype=policy,
    )
    x = numbers(BATCH, TIME, FEATURES)
    layer(x)
    dtype = layer.compute_dtype

    def run(by, weights, x):
        outputs = jax.tree.leaves(by(layer, weights, x.astype(dtype)))[0]
        return form(outputs), outputs

    results = [
        jax.jit(jax.grad(functools.partial(run, by), (0, 1), has_aux=True))(
            weights_of(layer), x
        )
        for by in (by_layer, by_hand)
    ]
    assert layer.loop_used == "partitioned", layer.loop_reason
    (found, outputs), (expected, _) = results
    assert outputs.dtype == dtype
    for one, other in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert one.dtype == other.dtype
        scale = np.abs(np.float32(other)).max()
        np.testing.assert_allclose(
            np.float32(one), np.float32(other), atol=0.05 * scale
        )


def test_eager_answers_do_not_trace_anything():
    layer = layer_of(custom_lstm.GRUCell(UNITS))
    assert (layer.loop_used, layer.loop_reason) == ("plain", "JAX runs eagerly")


def compiled_while(run):
    """Return how often JAX compiles while something runs."""
    events = []

    def listen(event, seconds, **_):
        events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        run()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return sum("backend_compile" in event for event in events)


@pytest.mark.parametrize(
    "make",
    [
        lambda: custom_lstm.GRU(UNITS),
        lambda: custom_lstm.RNN(Leaky(layers.ReLU())),
        lambda: custom_lstm.RNN([custom_lstm.GRUCell(4), Leaky()], return_state=True),
    ],
)
def test_a_second_eager_call_compiles_nothing(make):
    """Nor does that of another layer with the same operations."""
    layer, twin, x = make(), make(), numbers(3, 7, FEATURES)
    twin(x)
    layer(x)
    assert compiled_while(lambda: layer(x)) == 0
    assert compiled_while(lambda: twin(x)) == 0
    assert compiled_while(lambda: layer(numbers(3, 8, FEATURES))) > 0


def test_what_an_operation_holds_tells_loops_apart():
    """Arrays within jitted functions, and Python called back, are not in its text."""

    def change(weights):
        held = np.asarray(weights, "float32")
        return jax.jit(lambda h: h * held)

    def called_back(factor):
        like = jax.ShapeDtypeStruct((BATCH, UNITS), "float32")
        return lambda h: jax.pure_callback(lambda h: factor * np.asarray(h), like, h)

    x = numbers(BATCH, TIME, FEATURES)
    for make, some in (
        (change, (np.ones(UNITS), np.arange(UNITS))),
        (called_back, (1, 2)),
    ):
        first, second = (custom_lstm.RNN(Leaky(make(one))) for one in some)
        first(x), second(x)
        second.set_weights(first.get_weights())
        with jax.disable_jit():
            expected = [np.asarray(layer(x)) for layer in (first, second)]
        assert np.abs(expected[0] - expected[1]).max() > 1e-3
        for layer, right in zip((first, second), expected, strict=True):
            np.testing.assert_allclose(
                np.asarray(layer(x)), right, rtol=1e-5, atol=1e-6
            )
