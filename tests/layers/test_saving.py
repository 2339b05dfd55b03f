"""A saved model comes back, in another process too."""

import subprocess
import sys

import keras
import numpy as np
from keras import layers

import custom_lstm
from custom_lstm.cells import Chrono, GatewiseOrthogonal

LOAD = """
import sys
import numpy as np
import custom_lstm
import keras
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[2], model.predict(np.load(sys.argv[3]), verbose=0))
"""


def everything():
    """A model with every layer, cell and initialiser of the package's core."""
    image = keras.Sequential([layers.Flatten(), layers.Dense(5)])
    stack = [custom_lstm.LSTMCell(3), custom_lstm.GRUCell(4, reset_after=False)]
    every_step = {"return_sequences": True}
    return keras.Sequential(
        [
            keras.Input((None, 2, 3)),
            custom_lstm.TimeDistributed(image),
            custom_lstm.LSTM(
                4,
                learn_initial_state=True,
                bias_initializer=Chrono(10, seed=1),
                recurrent_initializer=GatewiseOrthogonal(seed=1),
                dropout=0.5,
                **every_step,
            ),
            layers.Bidirectional(custom_lstm.GRU(4, **every_step)),
            custom_lstm.RNN(stack, learn_initial_state=True, **every_step),
            layers.RNN(custom_lstm.SimpleRNNCell(3), **every_step),
            custom_lstm.SimpleRNN(2),
        ]
    )


def test_loads_in_fresh_process(tmp_path):
    model = everything()
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    x = rng.normal(size=(2, 5, 2, 3)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    model.save(tmp_path / "model.keras")
    arguments = [tmp_path / name for name in ("model.keras", "y.npy", "x.npy")]
    subprocess.run([sys.executable, "-c", LOAD, *map(str, arguments)], check=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "y.npy"), model.predict(x, verbose=0), rtol=1e-6, atol=1e-7
    )
