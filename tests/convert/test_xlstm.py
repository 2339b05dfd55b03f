"""Weights from the modules of xlstm, whose outputs are the oracle."""

import keras
import numpy as np
import pytest

from custom_lstm import RNN, TimeDistributed, cells
from custom_lstm.convert import from_xlstm

torch = pytest.importorskip("torch")
slstm = pytest.importorskip("xlstm.blocks.slstm.layer")
mlstm = pytest.importorskip("xlstm.blocks.mlstm.layer")
UNITS, HEADS, BATCH, TIME = 6, 2, 2, 5
RNG = np.random.default_rng(0)


def random(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.5)
    return module


def slstm_layer(conv1d_kernel_size=0, **options):
    config = slstm.sLSTMLayerConfig(
        embedding_dim=UNITS,
        num_heads=HEADS,
        conv1d_kernel_size=conv1d_kernel_size,
        backend="vanilla",
        dtype="float32",
        **options,
    )
    return random(slstm.sLSTMLayer(config))


def mlstm_layer():
    config = mlstm.mLSTMLayerConfig(
        embedding_dim=4,
        num_heads=HEADS,
        context_length=TIME,
        proj_factor=1.5,
        round_proj_up_to_multiple_of=1,
        qkv_proj_blocksize=2,
    )
    return random(mlstm.mLSTMLayer(config))


def normalisation(**options):
    options = {"groups": HEADS, "epsilon": 1e-5, **options}
    return TimeDistributed(keras.layers.GroupNormalization(**options))


def stack(*layers, features):
    shape = (BATCH, TIME, features)
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return list(layers)


def recurrent(cell, **options):
    cell = cell(UNITS, heads=HEADS, **options)
    return RNN(cell, return_sequences=True)


def assert_equal(module, layers, x, weights):
    with torch.no_grad():
        expected = module.numpy()
    for layer, own in zip(layers, weights, strict=True):
        layer.set_weights(own)
        x = layer(x)
    x = keras.ops.convert_to_numpy(x)
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scaled", [True, False])
def test_an_slstm_layer(scaled):
    module = slstm_layer(group_norm_weight=scaled)
    x = RNG.normal(size=(BATCH, TIME, UNITS)).astype("float32")
    layers = stack(
        recurrent(cells.SLSTMCell), normalisation(center=False), features=UNITS
    )
    assert_equal(module(torch.tensor(x)), layers, x, from_xlstm(module, layers))
    layers = stack(recurrent(cells.SLSTMCell), normalisation(), features=UNITS)
    state = {f"module.blocks.{k}": v for k, v in module.state_dict().items()}
    assert_equal(module(torch.tensor(x)), layers, x, from_xlstm(state, layers))


def test_an_slstm_cell_takes_what_the_gates_see():
    module = slstm_layer().slstm_cell
    z = RNG.normal(size=(BATCH, TIME, 4 * UNITS)).astype("float32")
    layers = stack(recurrent(cells.SLSTMCell), features=4 * UNITS)
    outputs, _ = module(torch.tensor(z))
    outputs = outputs.transpose(1, 2).reshape(BATCH, TIME, UNITS)
    assert_equal(outputs, layers, z, from_xlstm(module, layers[0]))


def test_an_slstm_as_it_is_stored_for_a_gpu():
    module = slstm_layer().slstm_cell
    cell = slstm.sLSTMCellConfig(
        hidden_size=UNITS, num_heads=HEADS, backend="cuda", dtype="float32"
    )
    on_gpu = pytest.importorskip("xlstm.blocks.slstm.cell").sLSTMCell_cuda(
        cell, skip_backend_init=True
    )
    with torch.no_grad():
        R = module._recurrent_kernel_int2ext(module._recurrent_kernel_)
        b = module._bias_int2ext(module._bias_)
        on_gpu._recurrent_kernel_.copy_(on_gpu._recurrent_kernel_ext2int(R))
        on_gpu._bias_.copy_(on_gpu._bias_ext2int(b))
    [layer] = stack(recurrent(cells.SLSTMCell), features=4 * UNITS)
    np.testing.assert_equal(from_xlstm(on_gpu, layer), from_xlstm(module, layer))


def test_an_mlstm_cell_takes_queries_keys_and_values():
    module = mlstm_layer()
    qkv = RNG.normal(size=(BATCH, TIME, 3 * UNITS)).astype("float32")
    layers = stack(recurrent(cells.MLSTMCell), normalisation(), features=3 * UNITS)
    outputs = module.mlstm_cell(*torch.tensor(qkv).chunk(3, dim=-1))
    weights = from_xlstm(module, layers, "mlstm_cell.")
    assert_equal(outputs, layers, qkv, weights)


@pytest.mark.parametrize(
    ("module", "layers", "message"),
    [
        (slstm_layer(4), lambda: recurrent(cells.SLSTMCell), "conv1d_kernel_size=0"),
        (mlstm_layer(), lambda: recurrent(cells.MLSTMCell), "prefix='mlstm_cell.'"),
        (slstm_layer(), lambda: recurrent(cells.SLSTMCell), "normalises its outputs"),
        (
            slstm_layer(),
            lambda: recurrent(cells.SLSTMCell, exponential_forget=True),
            "exponential_forget=False",
        ),
        (slstm_layer(), lambda: RNN(cells.LSTMCell(UNITS)), "must be an SLSTMCell"),
        (
            {"_recurrent_kernel_": np.ones((2, 12, 3)), "_bias_": np.ones(8)},
            lambda: recurrent(cells.SLSTMCell),
            r"`_bias_` must have shape \(24,\).*\(8,\)",
        ),
        (
            slstm_layer().slstm_cell,
            lambda: recurrent(cells.SLSTMCell, use_bias=False),
            "use_bias=True",
        ),
    ],
)
def test_what_is_another_network_is_refused(module, layers, message):
    layers = stack(layers(), features=UNITS)
    with pytest.raises(ValueError, match=message):
        from_xlstm(module, layers)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"epsilon": 1e-3}, "epsilon=0.001"), ({"groups": 3}, "with 3 groups")],
)
def test_another_normalisation_is_refused(options, message):
    layers = stack(recurrent(cells.SLSTMCell), normalisation(**options), features=UNITS)
    with pytest.raises(ValueError, match=message):
        from_xlstm(slstm_layer(), layers)
