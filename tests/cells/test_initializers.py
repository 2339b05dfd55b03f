"""Initial weights made for gates."""

import keras
import numpy as np
import pytest
from keras import ops

from custom_lstm import GRU, LSTM, CoupledLSTMCell, LSTMCell
from custom_lstm.cells import Chrono, ForgetBias, GatewiseOrthogonal


def draw(initializer, shape):
    return ops.convert_to_numpy(initializer(shape))


@pytest.mark.parametrize("gates", [1, 3, 4])
def test_every_gate_has_an_orthogonal_matrix_of_its_own(gates):
    kernel = draw(GatewiseOrthogonal(gain=2.0, seed=1), (6, gates * 6))
    matrices = np.split(kernel / 2, gates, axis=1)
    for matrix in matrices:
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(6), atol=1e-5)
    assert len({round(float(matrix[0, 0]), 5) for matrix in matrices}) == gates


def test_orthogonal_matrices_are_not_all_alike_in_sign():
    diagonals = [
        np.sign(draw(GatewiseOrthogonal(seed=seed), (1, 1)))[0, 0] for seed in range(20)
    ]
    assert set(diagonals) == {-1.0, 1.0}


def test_chrono_spreads_memories_over_all_lengths():
    bias = draw(Chrono(max_steps=1000, seed=2), (4 * 4000,))
    b_i, b_f, b_g, b_o = np.split(bias, 4)
    lengths = np.exp(b_f)
    assert lengths.min() >= 1
    assert lengths.max() <= 999
    np.testing.assert_allclose(np.quantile(lengths, [0.25, 0.75]), [250, 750], rtol=0.1)
    np.testing.assert_array_equal(b_i, -b_f)
    assert not b_g.any()
    assert not b_o.any()


def test_chrono_of_a_gru_sets_the_update_gate_of_the_inputs_row():
    bias = draw(Chrono(max_steps=50, seed=2, cell="gru"), (2, 12))
    assert (bias[0, :4] > 0).all()
    assert not bias[0, 4:].any()
    assert not bias[1].any()


def test_chrono_makes_the_whole_bias_of_a_layer():
    layer = LSTM(3, bias_initializer=Chrono(20, seed=3))
    layer.build((None, 5, 2))
    np.testing.assert_array_equal(
        layer.cell.bias.numpy(), draw(Chrono(20, seed=3), (12,))
    )
    gru = GRU(3, bias_initializer=Chrono(20, seed=3, cell="gru"))
    gru.build((None, 5, 2))
    assert gru.cell.bias.shape == (2, 9)


def test_a_forget_bias_makes_the_whole_bias_of_a_layer():
    layer = LSTM(3, bias_initializer=ForgetBias(7))
    layer.build((None, 5, 2))
    expected = [0, 0, 0, 7, 7, 7, 0, 0, 0, 0, 0, 0]
    np.testing.assert_array_equal(layer.cell.bias.numpy(), expected)
    coupled = CoupledLSTMCell(2, bias_initializer=ForgetBias(7))
    coupled.build((None, 2))
    np.testing.assert_array_equal(coupled.bias.numpy(), [-7, -7, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("initializer", "shape"),
    [
        (GatewiseOrthogonal(gain=0.5, seed=4), (4, 16)),
        (Chrono(9, seed=5), (4, 16)),
        (ForgetBias(2.5), (16,)),
    ],
)
def test_initializers_round_trip_with_equal_values(initializer, shape):
    config = keras.saving.serialize_keras_object(initializer)
    again = keras.saving.deserialize_keras_object(config)
    np.testing.assert_array_equal(draw(initializer, shape), draw(again, shape))
    cell = LSTMCell(4, recurrent_initializer=initializer, use_bias=False)
    copy = LSTMCell.from_config(cell.get_config())
    assert type(copy.recurrent_initializer) is type(initializer)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GatewiseOrthogonal()((3, 10)), r"\(3, 10\)"),
        (lambda: GatewiseOrthogonal()((3,)), r"\(3,\)"),
        (lambda: GatewiseOrthogonal(gain="large"), "`gain`.*gain='large'"),
        (lambda: GatewiseOrthogonal(seed="one"), "`seed`.*seed='one'"),
        (lambda: GatewiseOrthogonal()((0, 4)), r"\(0, 4\)"),
        (lambda: Chrono(2), "max_steps=2"),
        (lambda: Chrono(float("inf")), "max_steps=inf"),
        (lambda: Chrono(9, seed=0.5), "`seed`.*seed=0.5"),
        (lambda: Chrono(9)(()), r"\(\)"),
        (lambda: ForgetBias("large"), "`value`.*value='large'"),
        (lambda: ForgetBias(float("nan")), "`value`.*value=nan"),
        (lambda: Chrono("long"), "max_steps='long'"),
        (lambda: Chrono(9, cell="rnn"), "cell='rnn'"),
        (lambda: Chrono(9)((10,)), r"\(10,\)"),
        (lambda: ForgetBias(1)((10,)), r"\(10,\)"),
        (lambda: ForgetBias(1)((2, 8)), r"\(2, 8\)"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
