"""What people hold of torch's modules: prefixes, lists, precisions, rebuilt weights."""

import keras
import numpy as np
import pytest

import custom_lstm
from custom_lstm.convert import from_tf1, from_torch, to_torch

torch = pytest.importorskip("torch")
SIZES = {"input_size": 3, "hidden_size": 4}


class Net(torch.nn.Module):
    """A model with a recurrent module in it."""

    def __init__(self, **recurrent):
        super().__init__()
        self.embedding = torch.nn.Embedding(5, 3)
        self.encoder = torch.nn.Module()
        self.encoder.rnn = torch.nn.LSTM(**SIZES)
        self.head = torch.nn.Linear(4, 2)
        for name, module in recurrent.items():
            setattr(self, name, module)


def compiled(module, around="_orig_mod."):
    """Return the names that `torch.compile` makes."""
    return {around + name: value for name, value in module.state_dict().items()}


HOLDERS = {
    "a model": lambda net: net,
    "a state_dict": lambda net: net.state_dict(),
    "arrays": lambda net: {k: v.numpy() for k, v in net.state_dict().items()},
    "DataParallel": torch.nn.DataParallel,
    "compiled": compiled,
    "compiled in parallel": lambda net: compiled(net, "module._orig_mod."),
    "a checkpoint": lambda net: {
        "epoch": 3,
        "args": None,
        "state_dict": compiled(net),
        "optimizer": {"state": {0: {"step": torch.ones(1)}}, "param_groups": [{}]},
    },
}


@pytest.mark.parametrize("prefix", ["", "encoder", "encoder.rnn", "encoder.rnn."])
@pytest.mark.parametrize("holder", HOLDERS)
def test_a_module_is_found_in_what_holds_it(holder, prefix):
    net = Net()
    expected = from_torch(net.encoder.rnn)
    np.testing.assert_equal(from_torch(HOLDERS[holder](net), prefix), expected)


@pytest.mark.parametrize("holder", HOLDERS)
def test_one_of_several_modules_needs_no_wrappers_prefix(holder):
    net = Net(decoder=torch.nn.GRU(4, 2))
    held = HOLDERS[holder](net)
    np.testing.assert_equal(from_torch(held, "decoder"), from_torch(net.decoder))
    with pytest.raises(ValueError, match=r"names are under '.*encoder\.rnn\.', '.*dec"):
        from_torch(held)


@pytest.mark.parametrize("make", [torch.nn.LSTM, torch.nn.LSTMCell])
def test_lists_of_modules_are_one_above_the_other(make):
    parts = [make(3 + k, 4 + k) for k in range(11)]
    expected = [from_torch(part)[0] for part in parts]
    np.testing.assert_equal(from_torch(parts), expected)
    np.testing.assert_equal(from_torch([p.state_dict() for p in parts]), expected)
    net = Net(stack=torch.nn.ModuleList(parts))
    np.testing.assert_equal(from_torch(net.stack), expected)
    deeper = {f"block1.{name}": a for name, a in net.stack.state_dict().items()}
    np.testing.assert_equal(from_torch(deeper), expected)
    np.testing.assert_equal(from_torch(torch.nn.DataParallel(net), "stack"), expected)


def normalised(module):
    torch.nn.utils.weight_norm(module, "weight_hh_l0")
    torch.nn.utils.parametrizations.weight_norm(module, "weight_ih_l0")


def spectral(module):
    torch.nn.utils.spectral_norm(module, "weight_hh_l0")
    torch.nn.utils.parametrizations.spectral_norm(module, "weight_ih_l0")


def pruned(module):
    from torch.nn.utils import prune

    prune.random_unstructured(module, "weight_hh_l0", 0.5)


def dropped(module):
    """Do what AWD-LSTM does: keep a weight as `_raw`, and drop some of it."""
    raw = module.weight_hh_l0
    module.register_parameter("weight_hh_l0_raw", torch.nn.Parameter(raw.detach()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", [normalised, spectral, pruned, dropped])
def test_weights_that_are_kept_in_parts_are_rebuilt(change):
    module = torch.nn.LSTM(**SIZES, bias=False)
    change(module)
    module.eval()
    x = torch.randn(2, 5, 3)
    expected = module(x.transpose(0, 1))[0].transpose(0, 1).detach().numpy()
    layer = custom_lstm.LSTM(4, use_bias=False, return_sequences=True)
    layer.build((None, None, 3))
    net = Net()
    net.encoder.rnn = module
    [weights] = from_torch(net)
    layer.set_weights(weights)
    outputs = keras.ops.convert_to_numpy(layer(x.numpy()))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_module_is_refused_by_the_names_that_it_has():
    quantised = torch.ao.quantization.quantize_dynamic(Net(), {torch.nn.LSTM})
    with pytest.raises(ValueError, match=r"Unexpected: .*rnn\._all_weight_values"):
        from_torch(quantised)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float64, "float64"),
        (torch.float16, "float16"),
        (torch.bfloat16, "float32"),
    ],
)
def test_precisions_are_kept_where_numpy_has_them(dtype, expected):
    module = torch.nn.LSTM(**SIZES, proj_size=2).to(dtype)
    [weights] = from_torch(module)
    assert {array.dtype.name for array in weights} == {expected}
    np.testing.assert_array_equal(weights[0].T, module.weight_ih_l0.detach().double())


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
@pytest.mark.parametrize("library", [keras.layers, custom_lstm])
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_layers_of_other_precisions_go_to_torch(dtype, library):
    layer = library.LSTM(4, dtype=dtype, recurrent_initializer="glorot_uniform")
    layer.build((None, None, 3))
    for source in (layer, [layer.get_weights()]):
        state = {name: torch.tensor(a) for name, a in to_torch(source).items()}
        kept = layer.get_weights()[0].dtype.name  # JAX makes float32 of float64
        expected = {"bfloat16": torch.float32}.get(kept) or getattr(torch, kept)
        assert {t.dtype for t in state.values()} == {expected}
        torch.nn.LSTM(**SIZES).load_state_dict(state)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_a_projected_module_becomes_a_projected_cell():
    module = torch.nn.LSTM(**SIZES, num_layers=2, proj_size=2, batch_first=True)
    x = torch.randn(2, 5, 3)
    output = x.numpy()
    for weights in from_torch(torch.nn.DataParallel(module)):
        cell = custom_lstm.ProjectedLSTMCell(4, 2)
        layer = custom_lstm.RNN(cell, return_sequences=True)
        layer.build(output.shape)
        layer.set_weights(weights)
        output = keras.ops.convert_to_numpy(layer(output))
    with torch.no_grad():
        np.testing.assert_allclose(output, module(x)[0].numpy(), rtol=1e-5, atol=1e-6)


def test_a_model_is_told_to_give_its_layers():
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4)])
    with pytest.raises(ValueError, match="its `layers` that are recurrent.*Sequential"):
        to_torch(model)
    assert list(to_torch(model.layers)) == list(torch.nn.LSTM(3, 4).state_dict())


def test_a_cell_of_tensorflow_1_becomes_a_torch_module():
    """Its kernel is of x above h, its gates i, j, f, o, and it adds 1 to f."""
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(7, 16)), rng.normal(size=16)
    x = rng.normal(size=(5, 3))
    h = c = np.zeros(4)
    for step in x:
        i, j, f, o = np.split(np.concatenate([step, h]) @ kernel + bias, 4)
        i, f, o = (1 / (1 + np.exp(-z)) for z in (i, f + 1, o))
        c = f * c + i * np.tanh(j)
        h = o * np.tanh(c)
    variables = {"rnn/lstm_fused_cell/kernel:0": kernel}
    variables |= {"rnn/lstm_fused_cell/bias:0": bias, "rnn/fc/scale:0": np.ones(1)}
    state = to_torch([from_tf1(variables)])
    module = torch.nn.LSTM(**SIZES).double()
    module.load_state_dict({name: torch.tensor(a) for name, a in state.items()})
    outputs = module(torch.tensor(x))[0][-1].detach().numpy()
    np.testing.assert_allclose(outputs, h, rtol=1e-10)


@pytest.mark.parametrize(("prefix", "count"), [("layers.1.rnn_x", 1), ("layers", 0)])
def test_numbered_blocks_of_two_modules_each_need_the_whole_prefix(prefix, count):
    block = [
        {"rnn_x": torch.nn.LSTM(3, 2, bidirectional=True), "rnn_y": torch.nn.LSTM(3, 2)}
        for _ in range(2)
    ]
    net = Net(layers=torch.nn.ModuleList(map(torch.nn.ModuleDict, block)))
    del net.encoder
    source = torch.nn.DataParallel(net)
    if count:
        expected = from_torch(block[1]["rnn_x"])
        np.testing.assert_equal(from_torch(source, prefix), expected)
        return
    with pytest.raises(ValueError, match=r"under 'module\.layers\.0\.rnn_x\.', "):
        from_torch(source, prefix)
