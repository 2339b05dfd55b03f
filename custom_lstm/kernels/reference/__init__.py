"""Recurrent layers in NumPy, float64, to be read: every equation, and every derivative.

The kernels beside this package are fast; these here are what they are tested against.
Nothing is differentiated by a library: the backward passes are written out by hand, and
proved by central differences and by automatic differentiation.

Read `LSTM.cell_forward` and `LSTM.cell_backward` (one step, there and back) and then
`RecurrentLayer` (the loop over the steps, there and back). Names, orders and shapes are
Keras's; arrays are `(batch, time, features)`.

Example: one step of gradient descent, w ← w − η·dL/dw, on L = ½·Σ(y − 1)².

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> weights = [rng.normal(size=shape) for shape in ((3, 8), (2, 8), (8,))]
>>> layer = LSTM(*weights, return_sequences=True)
>>> run = layer.forward(rng.normal(size=(4, 5, 3)))
>>> gradients = layer.backward(run, d_outputs=run.outputs - 1)
>>> layer.kernel -= 0.1 * gradients.kernel
>>> [gradient.shape for gradient in gradients[2:]]
[(3, 8), (2, 8), (8,)]
"""

from custom_lstm.kernels.reference.gru import GRU
from custom_lstm.kernels.reference.lstm import LSTM
from custom_lstm.kernels.reference.results import Gradients, Run
from custom_lstm.kernels.reference.sequence import RecurrentLayer
from custom_lstm.kernels.reference.simple import SimpleRNN

__all__ = ["GRU", "LSTM", "Gradients", "RecurrentLayer", "Run", "SimpleRNN"]
