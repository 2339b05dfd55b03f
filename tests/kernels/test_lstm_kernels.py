"""Every LSTM kernel does what the cell does, step by step, and says when it cannot."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

import custom_lstm
from custom_lstm.cells.lstm import LSTMGates, lstm_step, lstm_step_backward
from custom_lstm.checking.runs import automatic_gradients
from custom_lstm.kernels import registry
from custom_lstm.kernels.cudnn import has_gpu, packed
from custom_lstm.kernels.registry import (
    KERNELS,
    NAMES,
    Kernel,
    Request,
    choose,
    supports,
)

BACKEND = keras.backend.backend()
FAST = [k.name for k in KERNELS if BACKEND in (k.backends or ())]
FAST = [name for name in FAST if name != "cudnn"]  # which needs a GPU
BATCH, TIME, FEATURES, UNITS = 5, 7, 4, 3
ONLY_TENSORFLOW = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="about TensorFlow's kernels"
)


def layers_alike(kernel, features=FEATURES, **options):
    """Return a layer that runs `kernel`, and one that steps the cell: equal weights."""
    rng = np.random.default_rng(0)
    fast = custom_lstm.LSTM(UNITS, kernel=kernel, **options)
    slow = custom_lstm.LSTM(UNITS, kernel="reference", **options)
    weights = None
    for layer in (fast, slow):
        layer.build((BATCH, TIME, features))
        weights = weights or [rng.normal(size=w.shape) for w in layer.weights]
        layer.set_weights(weights)
    return fast, slow


def sequences(dtype="float32", batch=BATCH, time=TIME, features=FEATURES):
    x = np.random.default_rng(1).normal(size=(batch, time, features))
    return x.astype(dtype)


def masks():
    lengths = np.array([7, 4, 1, 6, 2])[:, None]
    steps = np.arange(TIME)
    random = np.random.default_rng(2).random((BATCH, TIME)) < 0.6
    return {"right": steps < lengths, "left": steps >= 7 - lengths, "interior": random}


@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize(
    "options",
    [
        {"return_sequences": True},
        {"return_state": True, "go_backwards": True},
        {"return_sequences": True, "use_bias": False, "return_state": True},
        {"return_sequences": True, "learn_initial_state": True},
        {"return_sequences": True, "stateful": True},
    ],
    ids=lambda options: "+".join(options),
)
def test_kernel_equals_the_stepped_cell(kernel, options):
    fast, slow = layers_alike(kernel, **options)
    for _ in range(2):
        found, expected = fast(sequences()), slow(sequences())
        for a, b in zip(*map(keras.tree.flatten, (found, expected)), strict=True):
            a, b = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for layer, expected in ((fast, kernel), (slow, "reference")):
        assert layer.kernel_used == layer.kernel_for(sequences()) == expected


@pytest.mark.parametrize("kernel", [k for k in FAST if k != "torch"])
@pytest.mark.parametrize("kind", masks())
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_masks_hold_the_states(kernel, kind, zeros, backwards):
    fast, slow = layers_alike(
        kernel,
        return_sequences=True,
        return_state=True,
        zero_output_for_mask=zeros,
        go_backwards=backwards,
    )
    found, expected = (layer(sequences(), mask=masks()[kind]) for layer in (fast, slow))
    for a, b in zip(found, expected, strict=True):
        a, b = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@ONLY_TENSORFLOW
@pytest.mark.parametrize("kind", ["none", *masks()])
@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("features", [FEATURES, 4 * UNITS + 1])
def test_backward_pass_equals_autodiff(kernel, kind, shards, features, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(registry, "shares", lambda batch, width: shards)
    sequence = {"return_sequences": True, "return_state": True, "dtype": "float64"}
    pair = layers_alike(kernel, features, **sequence)
    rng = np.random.default_rng(3)
    x = tf.constant(sequences("float64", features=features))
    states = [tf.constant(rng.normal(size=(BATCH, UNITS))) for _ in range(2)]
    above = [rng.normal(size=(BATCH, TIME, UNITS)), *rng.normal(size=(2, BATCH, UNITS))]
    gradients = []
    for layer in pair:
        with tf.GradientTape() as tape:
            tape.watch([x, *states])
            results = layer(x, initial_state=states, mask=masks().get(kind))
            form = sum(
                tf.reduce_sum(y * a) for y, a in zip(results, above, strict=True)
            )
        sources = [x, *states, *(w.value for w in layer.trainable_weights)]
        gradients.append(tape.gradient(form, sources))
    for ours, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)


def test_hand_derived_step_equals_central_differences():
    rng = np.random.default_rng(0)
    z, h_above, c_above = rng.normal(size=(2, 12)), *rng.normal(size=(2, 2, 3))
    c_before = rng.normal(size=(2, 3))

    def forward(z, c):
        """Return the step in NumPy, in float64."""
        i, f, g, o = np.split(z, 4, axis=-1)
        i, f, g, o = *(1 / (1 + np.exp(-v)) for v in (i, f)), np.tanh(g), o
        o = 1 / (1 + np.exp(-o))
        c = f * c + i * g
        return o * np.tanh(c), c, LSTMGates(i, f, g, o)

    def form(z, c):
        h, c, _ = forward(z, c)
        return (h * h_above + c * c_above).sum()

    _, c, gates = forward(z, c_before)
    dz, dc = lstm_step_backward(
        *(ops.convert_to_tensor(v.astype("float32")) for v in (h_above, c_above)),
        LSTMGates(*(ops.convert_to_tensor(v.astype("float32")) for v in gates)),
        *(ops.convert_to_tensor(v.astype("float32")) for v in (c_before, c)),
    )
    step = 1e-6
    for found, at, other in ((dz, z, c_before), (dc, c_before, z)):
        for k in np.ndindex(at.shape):
            moved = np.zeros_like(at)
            moved[k] = step
            ends = [(at + moved, other), (at - moved, other)]
            if at is c_before:
                ends = [end[::-1] for end in ends]
            expected = (form(*ends[0]) - form(*ends[1])) / (2 * step)
            found_k = float(ops.convert_to_numpy(found)[k])
            np.testing.assert_allclose(found_k, expected, rtol=1e-4, atol=1e-5)


def test_hand_derived_step_belongs_to_the_forward_step():
    zeros = ops.zeros((1, 8))
    _, c, gates = lstm_step(zeros, zeros, ops.ones((1, 2)))
    dz, _ = lstm_step_backward(
        ops.zeros((1, 2)), ops.ones((1, 2)), gates, ops.ones((1, 2)), c
    )
    # σ(0) = ½, so that δz_f = c∘f(1 − f) = ¼ and δz_g = i = ½; g = 0 and δh = 0
    np.testing.assert_allclose(
        ops.convert_to_numpy(dz), [[0, 0, 0.25, 0.25, 0.5, 0.5, 0, 0]]
    )


LONG, HUGE = 200, 2000
ROWS = [  # layer's options, batch and time that are known, mask, kernel that runs
    ({}, (32, 6), False, "unrolled"),
    ({}, (None, 6), False, "unrolled"),
    ({}, (None, 6), True, "unrolled"),
    ({}, (None, LONG), False, "loop"),
    ({}, (None, None), False, "loop"),
    ({"units": 64}, (256, LONG), False, "loop"),
    ({"unroll": True}, (None, LONG), False, "unrolled"),
    ({"units": 64}, (1, LONG), False, "xla"),
    ({"units": 64}, (1, LONG), True, "xla"),
    ({"units": 64}, (None, LONG), False, "loop"),
    ({"activation": "relu"}, (32, 6), False, "reference"),
    ({"output_activation": "relu"}, (32, 6), False, "reference"),
    ({"recurrent_activation": "hard_sigmoid"}, (32, 6), False, "reference"),
    ({"dropout": 0.5}, (32, 6), False, "unrolled"),
    ({"dropout": 0.5, "implementation": 1}, (32, 6), False, "reference"),
    ({"recurrent_dropout": 0.5}, (32, 6), False, "reference"),
    ({"kernel": "reference"}, (32, 6), False, "reference"),
    ({"kernel": "loop"}, (32, 6), False, "loop"),
]


@ONLY_TENSORFLOW
@pytest.mark.parametrize(("options", "known", "masked", "expected"), ROWS)
def test_the_rule_chooses(options, known, masked, expected):
    import tensorflow as tf

    layer = custom_lstm.LSTM(**{"units": UNITS, **options})
    signature = [tf.TensorSpec((*known, FEATURES))]
    if masked:
        signature.append(tf.TensorSpec(known, tf.bool))
    call = tf.function(lambda x, mask=None: layer(x, mask=mask, training=True))
    call.get_concrete_function(*signature)
    assert layer.kernel_used == expected
    assert layer.kernel_for(*signature, training=True) == expected


@ONLY_TENSORFLOW
def test_kernel_for_says_what_a_compiled_call_runs_again():
    """`kernel_used` cannot: the first graph runs again without choosing again."""
    import tensorflow as tf

    layer = custom_lstm.LSTM(UNITS)
    call = tf.function(layer)
    short, long = (tf.TensorSpec((None, time, FEATURES)) for time in (6, LONG))
    graphs = [call.get_concrete_function(spec).graph for spec in (short, long, short)]
    assert graphs[0] is graphs[2]
    for spec, graph in zip((short, long), graphs, strict=False):
        loops = any("While" in node.op for node in graph.as_graph_def().node)
        assert layer.kernel_for(spec) == ("loop" if loops else "unrolled")
    assert [layer.kernel_for(spec) for spec in (short, long)] == ["unrolled", "loop"]
    assert layer.kernel_used == "loop"  # the one chosen last


@pytest.mark.parametrize("pays", [True, False])
def test_auto_takes_a_kernel_added_to_the_registry_if_it_pays(pays, monkeypatch):
    request = Request(batch=2, time=5, features=3, units=4, dtype="float32")
    usual = choose("auto", request)
    added = Kernel("added", None, lambda request: None, None, lambda request: pays)
    monkeypatch.setattr(registry, "KERNELS", (added, *KERNELS))
    assert choose("auto", request) is (added if pays else usual)
    assert choose("added", request) is added


def test_a_kernel_pays_unless_it_says_otherwise(monkeypatch):
    request = Request(batch=2, time=5, features=3, units=4, dtype="float32")
    added = Kernel("added", None, lambda request: None, None)
    monkeypatch.setattr(registry, "KERNELS", (added, *KERNELS))
    assert choose("auto", request) is added


@ONLY_TENSORFLOW
def test_dropout_masks_are_the_cells():
    """Dropout before the fast kernel is the one that the stepped cell would apply."""
    fast, slow = layers_alike("unrolled", dropout=0.5, seed=1, return_sequences=True)
    found, expected = (layer(sequences(), training=True) for layer in (fast, slow))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(found, fast(sequences()))


@ONLY_TENSORFLOW
def test_graph_of_the_loop_does_not_grow_with_time():
    import tensorflow as tf

    def nodes(kernel, time):
        layer = custom_lstm.LSTM(UNITS, kernel=kernel)

        @tf.function
        def gradient(x):
            with tf.GradientTape() as tape:
                y = layer(x)
            return tape.gradient(y, layer.trainable_weights)

        spec = tf.TensorSpec((None, time, FEATURES))
        return len(gradient.get_concrete_function(spec).graph.as_graph_def().node)

    assert nodes("loop", 32) == nodes("loop", 256)
    assert nodes("unrolled", 32) > nodes("unrolled", 4)


@ONLY_TENSORFLOW
@pytest.mark.parametrize(
    ("batch", "cores", "gpu", "halves"),
    [(512, 2, False, 2), (511, 2, False, 1), (512, 1, False, 1), (512, 2, True, 1)],
)
def test_two_cores_share_a_step_where_it_pays(batch, cores, gpu, halves, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(registry.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(registry.cudnn, "has_gpu", lambda: gpu)
    layer = custom_lstm.LSTM(2, kernel="unrolled")
    call = tf.function(layer).get_concrete_function(tf.TensorSpec((batch, 5, 3)))
    operations = [node.op for node in call.graph.as_graph_def().node]
    assert sum("PartitionedCall" in kind for kind in operations) == halves * 5


@ONLY_TENSORFLOW
@pytest.mark.parametrize("time", [1, 3, 4, 9])
@pytest.mark.parametrize("known", [False, True])
def test_the_loop_does_every_step_once(time, known):
    """It takes several steps a turn; none of those left over falls out or doubles."""
    import tensorflow as tf

    found = []
    for layer in layers_alike("loop", return_sequences=True, go_backwards=True):

        @tf.function(
            input_signature=[tf.TensorSpec((None, time if known else None, 4))]
        )
        def both(x, layer=layer):
            with tf.GradientTape() as tape:
                y = layer(x)
            return y, tape.gradient(y, layer.trainable_weights)

        found.append(tf.nest.flatten(both(sequences(time=time))))
    for ours, expected in zip(*found, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@ONLY_TENSORFLOW
@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize("kind", ["none", "interior"])
def test_second_derivatives_are_the_cells(kernel, kind):
    import tensorflow as tf

    pair = layers_alike(kernel, dtype="float64")
    x, mask = tf.constant(sequences("float64")), masks().get(kind)

    def twice(layer, form):
        weights = [w.value for w in layer.trainable_weights]
        with tf.GradientTape() as outer:
            outer.watch([x, *weights])
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = form(layer(x, mask=mask))
            first = inner.gradient(y, x)
            penalty = tf.reduce_sum(first**2)
        return outer.gradient(penalty, [x, *weights])

    for form in (tf.reduce_sum, lambda y: tf.reduce_sum(y * y)):
        expected = twice(pair[1], form)
        assert all(np.abs(g).max() > 0 for g in expected)
        for run in (twice, tf.function(twice)):
            for ours, theirs in zip(run(pair[0], form), expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


@ONLY_TENSORFLOW
@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize("kind", ["none", "interior"])
def test_derivatives_in_forward_mode_are_the_cells(kernel, kind):
    """First ones, and those of gradients: forward over backward."""
    import tensorflow as tf

    pair = layers_alike(kernel, dtype="float64", return_sequences=True)
    x, mask = tf.constant(sequences("float64")), masks().get(kind)
    direction = tf.cos(tf.reshape(tf.range(tf.size(x), dtype=x.dtype), x.shape))

    def forward(layer):
        with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = layer(x, mask=mask)
                form = tf.reduce_sum(outputs**2)
            gradient = tape.gradient(form, x)
        return accumulator.jvp([outputs, gradient])

    expected = forward(pair[1])
    assert all(np.abs(derivative).max() > 0.01 for derivative in expected)
    for ours, theirs in zip(forward(pair[0]), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
    with pytest.raises(LookupError, match="forward mode inside a tf.function"):
        tf.function(forward, autograph=False)(pair[0])


@pytest.mark.skipif(BACKEND != "jax", reason="about JAX's kernel")
@pytest.mark.parametrize("kind", [None, *masks()])
def test_products_of_inputs_may_be_taken_step_by_step(kind):
    """The same outputs and gradients as of x·W beforehand."""
    import jax

    from custom_lstm.kernels.jax_lstm import lstm_sequence

    rng = np.random.default_rng(0)
    units, gates = (BATCH, UNITS), 4 * UNITS
    shapes = units, units, (FEATURES, gates), (UNITS, gates), (gates,)
    tensors = [sequences(), *(rng.normal(size=s).astype("float32") for s in shapes)]
    above = rng.normal(size=(BATCH, TIME, UNITS)).astype("float32")

    def form(hoist, *tensors):
        hs, h, c = lstm_sequence(*tensors, masks().get(kind), hoist=hoist)
        return (hs * above).sum() + h.sum() + 2 * c.sum()

    of_tensors = jax.value_and_grad(form, tuple(range(1, 7)))
    results = [of_tensors(hoist, *tensors) for hoist in (False, True)]
    for found, expected in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(BACKEND != "jax", reason="about JAX's kernel")
@pytest.mark.parametrize(
    ("batch", "units", "expected"), [(15, 8, True), (16, 8, False), (16, 4096, True)]
)
def test_products_of_inputs_are_taken_where_it_pays(
    batch, units, expected, monkeypatch
):
    asked = []

    def lstm_sequence(x, h, c, *weights, hoist):
        asked.append(hoist)
        return ops.zeros((*x.shape[:2], units)), h, c

    path = "custom_lstm.kernels.jax_lstm.lstm_sequence"
    monkeypatch.setattr(path, lstm_sequence)
    x = np.zeros((batch, 5, 9), "float32")
    custom_lstm.LSTM(units, recurrent_initializer="zeros")(x)
    assert set(asked) == {expected}


@pytest.mark.skipif(BACKEND != "jax", reason="about JAX's symbolic sizes")
def test_a_batch_of_any_size_can_be_exported():
    import jax

    layer = custom_lstm.LSTM(UNITS)
    expected = ops.convert_to_numpy(layer(sequences()))
    (batch,) = jax.export.symbolic_shape("batch")
    shape = jax.ShapeDtypeStruct((batch, TIME, FEATURES), "float32")
    exported = jax.export.export(jax.jit(lambda x: layer(x)))(shape)
    np.testing.assert_allclose(exported.call(sequences()), expected, rtol=1e-5)


@pytest.mark.skipif(BACKEND != "jax", reason="about JAX's kernel")
def test_second_derivatives_on_jax_are_the_cells():
    import jax

    def twice(layer, x):
        def form(x):
            weights = [w.value for w in layer.trainable_variables]
            fixed = [w.value for w in layer.non_trainable_variables]
            return layer.stateless_call(weights, fixed, x)[0].sum()

        return jax.grad(lambda x: (jax.grad(form)(x) ** 2).sum())(x)

    fast, slow = (twice(layer, sequences()) for layer in layers_alike("scan"))
    np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(BACKEND != "torch", reason="about PyTorch's kernel")
def test_second_derivatives_on_torch_are_the_cells():
    import torch

    def twice(layer):
        x = torch.tensor(sequences(), requires_grad=True)
        (first,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad((first**2).sum(), x)
        return second.numpy()

    fast, slow = map(twice, layers_alike("torch"))
    np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", FAST)
def test_named_kernel_that_cannot_run_says_why(kernel):
    layer = custom_lstm.LSTM(UNITS, kernel=kernel, activation="relu")
    with pytest.raises(ValueError, match=f"'{kernel}' cannot run here.*tanh"):
        layer(sequences())


def test_kernel_of_another_backend_says_so():
    other = next(k for k in KERNELS if BACKEND not in (k.backends or BACKEND))
    layer = custom_lstm.LSTM(UNITS, kernel=other.name)
    with pytest.raises(ValueError, match=f"the backend is {BACKEND}"):
        layer(sequences())


NO_GPU = pytest.mark.skipif(
    BACKEND == "torch" or has_gpu(), reason="about machines without a GPU"
)
ON_GPU = pytest.mark.skipif(
    BACKEND == "torch" or not has_gpu(), reason="needs a GPU and its backend"
)


@NO_GPU
def test_cudnn_says_that_it_needs_a_gpu():
    with pytest.raises(ValueError, match=f"'cudnn' cannot run.*{BACKEND} sees no GPU"):
        custom_lstm.LSTM(UNITS, kernel="cudnn")(sequences())
    with pytest.raises(ValueError, match=f"{BACKEND} sees no GPU.*use_cudnn=True"):
        custom_lstm.LSTM(UNITS, use_cudnn=True)(sequences())


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch calls cuDNN by itself")
@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"cudnn": False}, "use_cudnn"),
        ({"unroll": True}, "unroll"),
        ({"dtype": "float64"}, "float64"),
        ({"masked": True}, "masks"),
        ({"cell": "MyCell"}, "MyCell"),
    ],
)
def test_cudnn_refuses_what_it_does_not_compute(asked, reason, monkeypatch):
    monkeypatch.setattr("custom_lstm.kernels.cudnn.has_gpu", lambda: True)
    request = Request(batch=4, time=4, features=4, units=4, dtype="float32")
    assert supports("cudnn", request) is None
    assert reason in supports("cudnn", dataclasses.replace(request, **asked))


@ONLY_TENSORFLOW
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, False),
        ({"use_cudnn": True, "kernel": "loop"}, False),
        ({"use_cudnn": False}, True),
        ({"kernel": "loop"}, True),
        ({"activation": "relu"}, True),
    ],
)
def test_xla_is_kept_from_what_cudnn_may_run(options, expected, monkeypatch):
    """Keras compiles models of which every layer lets it."""
    assert custom_lstm.LSTM(UNITS, **options).supports_jit
    monkeypatch.setattr("custom_lstm.kernels.cudnn.has_gpu", lambda: True)
    assert custom_lstm.LSTM(UNITS, **options).supports_jit is expected


@pytest.mark.skipif(BACKEND != "jax", reason="JAX reads cuDNN's weights on a CPU too")
def test_packed_weights_are_cudnns():
    """JAX's own reference, from the same vector, gives the cell's outputs."""
    import jax.numpy as jnp
    from jax.experimental import rnn

    layer, _ = layers_alike("reference", return_sequences=True, return_state=True)
    sizes = FEATURES, UNITS, 1
    weights = packed(*(jnp.asarray(w, "float32") for w in layer.get_weights()))
    assert len(weights) == rnn.get_num_params_in_lstm(*sizes, False)
    unpacked = rnn.unpack_lstm_weights(weights, *sizes, False)
    zero, lengths = jnp.zeros((1, BATCH, UNITS)), jnp.full(BATCH, TIME, "int32")
    x = sequences()
    found = rnn.lstm_ref(x, zero, zero, *unpacked, lengths, *sizes, 0.0, False)
    for a, b in zip(found, layer(x), strict=True):
        b = ops.convert_to_numpy(b)
        np.testing.assert_allclose(np.reshape(a, b.shape), b, rtol=1e-5, atol=1e-6)


@ON_GPU
def test_cudnn_equals_the_stepped_cell_on_a_gpu():
    """To the three digits of TF32, in which a GPU may multiply."""
    fast, slow = layers_alike("cudnn", return_sequences=True, return_state=True)
    for a, b in zip(fast(sequences()), slow(sequences()), strict=True):
        a, b = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=5e-3)
    assert fast.kernel_used == "cudnn"


@ON_GPU
@pytest.mark.parametrize("features", [FEATURES, 4 * UNITS + 1])
def test_cudnns_gradients_are_the_stepped_cells_on_a_gpu(features):
    """To TF32's digits, by their norm: single products may cancel."""
    options = {"return_sequences": True, "return_state": True}
    found = []
    for layer in layers_alike("cudnn", features, **options):
        others = [w.value for w in layer.non_trainable_variables]

        def form(tensors, layer=layer, others=others):
            x, *weights = tensors
            outputs, _ = layer.stateless_call(weights, others, x)
            return sum(ops.sum(y**2) for y in outputs)

        arrays = [sequences(features=features), *layer.get_weights()]
        found.append(automatic_gradients(form, arrays))
    for ours, expected in zip(*found, strict=True):
        assert np.linalg.norm(ours - expected) < 5e-3 * np.linalg.norm(expected)


def keras_twin(layer):
    """Return Keras's own LSTM with the same weights."""
    twin = keras.layers.LSTM(UNITS, return_sequences=True)
    twin(sequences())
    twin.set_weights(layer.get_weights())
    return twin


def call_of(layer):
    """Return a layer as a function of inputs and kernel, for `jax` and `torch.func`."""
    others = [v.value for v in layer.trainable_variables][1:]

    def call(x, kernel):
        fixed = [v.value for v in layer.non_trainable_variables]
        return layer.stateless_call([kernel, *others], fixed, x)[0]

    return call


def transformed(kind, call, x, kernel):
    """Return what a transformation of `call` gives, of JAX or PyTorch."""
    if BACKEND == "jax":
        import jax as library

        jvp = library.jvp
    else:
        import torch

        library, jvp = torch.func, torch.func.jvp
    many = ops.stack([x, 2 * x])
    loss = lambda x, kernel: ops.sum(ops.sin(call(x, kernel)))  # noqa: E731
    if kind == "jvp":
        return jvp(call, (x, kernel), (ops.sin(x), ops.cos(kernel)))
    if kind == "jvp by the weights":
        return jvp(lambda w: call(x, w), (kernel,), (ops.cos(kernel),))
    if kind == "jvp of a batch":
        both = library.vmap(lambda x: call(x, kernel))
        return jvp(both, (many,), (ops.sin(many),))
    if kind == "jvp of the gradient":
        return jvp(library.grad(loss), (x, kernel), (ops.sin(x), ops.cos(kernel)))
    if kind == "gradient of a jvp":
        return library.grad(
            lambda x: ops.sum(jvp(loss, (x, kernel), (ops.sin(x), kernel))[1])
        )(x)
    if kind == "vmap":
        return library.vmap(lambda x: call(x, kernel))(many)
    assert kind == "vmap of the gradient"
    return library.vmap(lambda x: library.grad(loss)(x, kernel))(many)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # by torch
@pytest.mark.skipif(BACKEND == "tensorflow", reason="of JAX and PyTorch")
@pytest.mark.parametrize(
    ("kind", "stepped"),
    [
        ("jvp", True),
        ("jvp by the weights", True),
        ("jvp of a batch", True),
        ("jvp of the gradient", True),
        ("gradient of a jvp", True),
        ("vmap", BACKEND == "torch"),
        ("vmap of the gradient", BACKEND == "torch"),
    ],
)
def test_the_lstm_is_transformed_as_kerass(kind, stepped):
    layer = custom_lstm.LSTM(UNITS, return_sequences=True)
    layer(sequences())
    assert layer.kernel_used == {"jax": "scan", "torch": "torch"}[BACKEND]
    assert layer.kernel_reason is None
    x = ops.convert_to_tensor(sequences())
    kernel = ops.convert_to_tensor(layer.get_weights()[0])
    found, expected = (
        keras.tree.flatten(transformed(kind, call_of(one), x, kernel))
        for one in (layer, keras_twin(layer))
    )
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(ours),
            ops.convert_to_numpy(theirs),
            rtol=1e-4,
            atol=1e-5,
        )
    assert (layer.kernel_used == "reference") is stepped
    assert (layer.kernel_reason is not None) is stepped
    if "jvp" in kind and stepped:
        assert "forward-mode" in layer.kernel_reason or "vmap" in layer.kernel_reason


@pytest.mark.skipif(BACKEND != "torch", reason="about PyTorch")
def test_the_lstm_runs_under_autocast_as_kerass():
    import torch

    layer = custom_lstm.LSTM(UNITS, return_sequences=True)
    layer(sequences())
    twin = keras_twin(layer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, expected = layer(sequences()), twin(sequences())
    np.testing.assert_allclose(
        *(ops.convert_to_numpy(y) for y in (found.float(), expected.float())),
        atol=2e-2,
    )
    assert layer.kernel_used == "reference"
    assert "autocast" in layer.kernel_reason


def test_a_stepped_cell_says_why():
    layer = custom_lstm.LSTM(UNITS, activation="relu")
    layer(sequences())
    assert layer.kernel_used == "reference"
    assert "activations" in layer.kernel_reason


def test_unknown_kernel_is_refused_at_once():
    with pytest.raises(ValueError, match="`kernel` must be one of"):
        custom_lstm.LSTM(UNITS, kernel="fastest")
    with pytest.raises(ValueError, match="`kernel` must be one of"):
        choose("fastest", Request(1, 1, 1, 1, "float32"))


@pytest.mark.parametrize("kernel", NAMES)
def test_kernel_survives_the_config(kernel):
    config = custom_lstm.LSTM(UNITS, kernel=kernel).get_config()
    assert custom_lstm.LSTM.from_config(config).kernel == kernel


def test_a_cell_of_ones_own_is_stepped():
    class Doubled(custom_lstm.LSTMCell):
        def step(self, projected, states, training=False):
            output, states = super().step(projected, states, training)
            return 2 * output, states

    class OwnLSTM(custom_lstm.LSTM):
        cell_class = Doubled

    own, plain = OwnLSTM(UNITS), custom_lstm.LSTM(UNITS)
    own(sequences()), plain(sequences())
    own.set_weights(plain.get_weights())
    np.testing.assert_allclose(
        ops.convert_to_numpy(own(sequences())),
        2 * ops.convert_to_numpy(plain(sequences())),
        rtol=1e-5,
    )
    assert own.kernel_used == "reference"


@pytest.mark.skipif(BACKEND != "jax", reason="about JAX's kernel")
def test_a_second_call_outside_of_jit_compiles_nothing():
    import jax

    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(event)
    )
    layer = custom_lstm.LSTM(UNITS + 2)  # of which no other test has a kernel
    layer(sequences())
    assert any("backend_compile" in event for event in compiled)
    compiled.clear()
    layer(sequences())
    assert not [event for event in compiled if "backend_compile" in event]
