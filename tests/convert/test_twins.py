"""Weights of torchrecurrent: what is found, and what is refused, and in which words."""

import keras
import numpy as np
import pytest

import custom_lstm
from custom_lstm import RNN, cells, layers
from custom_lstm.convert import from_torchrecurrent, to_torchrecurrent

torch = pytest.importorskip("torch")
torchrecurrent = pytest.importorskip("torchrecurrent")
UNITS, FEATURES = 4, 3
X = np.random.default_rng(0).normal(size=(2, 5, FEATURES)).astype("float32")


def built(cell, features=FEATURES, **options):
    layer = RNN(getattr(cells, cell)(UNITS, **options), return_sequences=True)
    layer.build((None, None, features))
    return layer


def ours(cell="MGUCell", **options):
    return lambda: built(cell, **options)


def theirs(name="MGU", **options):
    return lambda: getattr(torchrecurrent, name)(FEATURES, UNITS, **options)


def stack():
    return [built("UGRNNCell"), built("UGRNNCell", features=UNITS)]


def run(stack, x=X):
    for layer in stack:
        x = layer(x)
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize("prefix", ["", "encoder.", "encoder.rnn"])
@pytest.mark.parametrize("held", ["module", "state_dict", "parallel"])
def test_a_module_of_two_layers_in_a_model(held, prefix):
    net = torch.nn.Module()
    net.encoder, net.head = torch.nn.Module(), torch.nn.Linear(UNITS, 1)
    net.encoder.rnn = module = torchrecurrent.UGRNN(
        FEATURES, UNITS, num_layers=2, batch_first=True
    )
    source = {
        "module": net,
        "state_dict": net.state_dict(),
        "parallel": torch.nn.DataParallel(net),
    }[held]
    pair = stack()
    for layer, own in zip(pair, from_torchrecurrent(source, pair, prefix), strict=True):
        layer.set_weights(own)
    expected = module(torch.tensor(X))[0].detach().numpy()
    np.testing.assert_allclose(run(pair), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("named", [False, True])
def test_stacked_layers_become_a_module_of_theirs(named):
    pair = stack()
    if named:  # a layer that the package makes of the cell
        pair[0] = layers.UGRNN(UNITS, return_sequences=True)
        pair[0].build((None, None, FEATURES))
    module = torchrecurrent.UGRNN(FEATURES, UNITS, num_layers=2, batch_first=True)
    arrays = to_torchrecurrent(pair, "rnn.")
    module.load_state_dict(
        {name.removeprefix("rnn."): torch.tensor(a) for name, a in arrays.items()}
    )
    outputs = module(torch.tensor(X))[0].detach().numpy()
    np.testing.assert_allclose(run(pair), outputs, rtol=1e-5, atol=1e-6)


def test_stacked_cells_give_a_list_each():
    both = RNN([cells.MGUCell(UNITS), cells.MGUCell(UNITS)])
    both.build((None, None, FEATURES))
    weights = from_torchrecurrent(to_torchrecurrent(both), both)
    np.testing.assert_equal([*weights[0], *weights[1]], both.get_weights())


def test_half_precision_arrives_as_it_is():
    module = torchrecurrent.MGUCell(FEATURES, UNITS, dtype=torch.bfloat16)
    [weights] = from_torchrecurrent(module, built("MGUCell"))
    np.testing.assert_array_equal(weights[0].T, module.weight_ih.detach().float())


def changed(name="MGUCell", **arrays):
    def make():
        state = getattr(torchrecurrent, name)(FEATURES, UNITS).state_dict()
        return {k: v for k, v in {**state, **arrays}.items() if v is not None}

    return make


@pytest.mark.parametrize(
    ("source", "layer", "message"),
    [
        (theirs("UGRNN"), ours(), "`layers` must be UGRNNCell, as the module is"),
        (theirs("NBR"), ours(), "must be NBRCell, as the module is. Received: MGU"),
        (theirs("LEM"), ours("LEMCell"), "that name, it has z in the place of z'"),
        (theirs("SCRN"), ours("SCRNCell"), "hands its output on"),
        (theirs("MCLSTM"), ours("MCLSTMCell"), "conserves no mass"),
        (theirs(), ours("LSTMCell"), "do not compute what LSTMCell does"),
        (theirs(nonlinearity="relu"), ours(), "`activation='relu'`.*='tanh'"),
        (
            theirs(gate_nonlinearity="leaky_relu"),
            ours(),
            "`gate_act` of torchrecurrent MGUCell must be one of.*LeakyReLU",
        ),
        (
            theirs(nonlinearity=torch.nn.ELU(2.0)),
            ours(activation="elu"),
            r"must be one of.*Received: ELU\(alpha=2\.0",
        ),
        (theirs("IndRNN"), ours("IndRNNCell"), "`activation='tanh'`.*='relu'"),
        (theirs("FastGRNN"), ours("FastGRNNCell"), "`recurrent_activation='tanh'`"),
        (theirs("UGRNN"), ours("UGRNNCell", activation="relu"), "`activation='tanh'`"),
        (theirs(), ours(variant=1), "`variant=0`. Received: variant=1"),
        (theirs("NAS"), ours("NASCell"), "`additive=True`"),
        (
            theirs("AntisymmetricRNN"),
            ours("AntisymmetricRNNCell"),
            r"`epsilon=1\.0`. Received: epsilon=0\.1",
        ),
        (theirs("JANET", beta=0.5), ours("JANETCell"), r"`beta` is 0\.5.*beta=1\.0"),
        (theirs(num_layers=2), ours(), "holds 2 cells.*Received: 1"),
        (changed(weight_ih=None), ours(), "Missing: weight_ih"),
        (changed(gain=np.ones(2)), ours(), "Unexpected: gain"),
        (changed(weight_ih=np.ones((8, 5))), ours(), r"shape \(8, 3\).*\(8, 5\)"),
        (changed(bias_hh=np.ones(4)), ours(), r"`bias_hh`.*\(8,\).*\(4,\)"),
        (
            changed("CFNCell", bias_ih=np.ones(12)),
            ours("CFNCell"),
            "`bias_ih` must hold zeros where CFNCell.*has no weight",
        ),
        (lambda: 3, ours(), "must be arrays by name. Received: int"),
        (theirs(), lambda: 3, "must be a layer or cell of this package.*int"),
        (theirs(), list, "must hold a layer or cell"),
        (theirs(), lambda: RNN(cells.MGUCell(4)), "build it first"),
    ],
)
def test_what_is_another_cell_or_does_not_fit_is_refused(source, layer, message):
    with pytest.raises(ValueError, match=message):
        from_torchrecurrent(source(), layer())


@pytest.mark.parametrize(
    ("layer", "cell", "message"),
    [
        (ours("LEMCell"), False, "z in the place of z'"),
        (ours("CfCCell"), False, "do not compute what CfCCell does"),
        (ours(variant=2), False, "`variant=0`. Received: variant=2"),
        (lambda: [built("MGUCell"), built("MGUCell")], False, r"`layers\[1\]` must be"),
        (stack, True, "`cell=True` must be for one cell. Received: 2"),
        (
            lambda: custom_lstm.Bidirectional(built("MGUCell")),
            False,
            "in one direction.*Bidirectional",
        ),
    ],
)
def test_what_torchrecurrent_does_not_have_is_refused(layer, cell, message):
    with pytest.raises(ValueError, match=message):
        to_torchrecurrent(layer(), cell=cell)
