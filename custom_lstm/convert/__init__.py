"""Weights to and from other libraries: plain functions on arrays and Keras layers.

The common form is Keras's: one list of arrays per layer, as `layer.get_weights()`
gives and `layer.set_weights` takes it. It is the same for `LSTM`, `GRU` and
`SimpleRNN` of Keras and of this package: nothing needs to be converted between the
two. A `keras.layers.Bidirectional` around them has the list of the forward layer
and that of the backward layer, one after the other.

    library           arrays, for F features and u units                  gates
    ----------------  --------------------------------------------------  ----------
    Keras LSTM        kernel (F, 4u), recurrent_kernel (u, 4u),           i, f, g, o
                      bias (4u,)
    PeepholeLSTMCell  the same, and peephole (3, u)                       i, f, o
    ProjectedLSTM-    the same with recurrent_kernel (p, 4u), and
    Cell              projection (u, p)
    Keras GRU         kernel (F, 3u), recurrent_kernel (u, 3u),           z, r, g
                      bias (2, 3u): of x, of h; (3u,) if not reset_after
    Keras SimpleRNN   kernel (F, u), recurrent_kernel (u, u), bias (u,)
    torch.nn.LSTM     weight_ih_l0 (4u, F), weight_hh_l0 (4u, u),         i, f, g, o
                      bias_ih_l0 (4u,), bias_hh_l0 (4u,); layers l1, ...
                      and directions l0_reverse, ... likewise; with
                      proj_size weight_hh_l0 (4u, p), weight_hr_l0 (p, u)
    torch.nn.GRU      the same with 3u; reset_after                       r, z, n
    torch.nn.RNN      the same with u; tanh or relu
    torch.nn.LSTM-    the same, one layer: weight_ih, weight_hh,
    Cell, GRUCell,    bias_ih, bias_hh
    RNNCell
    flax.linen        ii, if, ig, io: {kernel (F, u)},                    by name
    OptimizedLSTM-    hi, hf, hg, ho: {kernel (u, u), bias (u,)};
    Cell, LSTMCell    nnx.LSTMCell the same with if_
    flax.linen        ir, iz, in: {kernel (F, u), bias (u,)}, hr, hz:     by name
    GRUCell           {kernel (u, u)}, hn: {kernel, bias}; reset_after
    flax.linen        i: {kernel (F, u), bias (u,)}, h: {kernel (u, u)}
    SimpleCell
    flax.nnx          dense_i: {kernel (F, 4u)},                          i, f, g, o
    OptimizedLSTM-    dense_h: {kernel (u, 4u), bias (4u,)}
    Cell
    flax.nnx GRUCell  dense_i: {kernel (F, 3u), bias (3u,)},              r, z, n
                      dense_h: {kernel (u, 3u)}; reset_after
    flax.nnx          the same with u
    SimpleCell
    TensorFlow 1      kernel (F + u, 4u): rows of x above those of h,     i, j, f, o
    BasicLSTMCell,    bias (4u,); adds forget_bias to f when it runs;
    LSTMCell          w_i_diag, w_f_diag, w_o_diag (u,) are peepholes;
                      projection/kernel (u, p), kernel (F + p, 4u)
    TensorFlow 1      gates/kernel (F + u, 2u), gates/bias (2u,),         r, z and c
    GRUCell           candidate/kernel (F + u, u), candidate/bias (u,);
                      not reset_after
    TensorFlow 1      kernel (F + u, u), bias (u,)
    BasicRNNCell
    hk.LSTM           linear: {w (F + u, 4u), b (4u,)}; adds 1 to f       i, g, f, o
    hk.GRU            w_i (F, 3u), w_h (u, 3u), b (3u,); z for 1 - z;     z, r, a
                      not reset_after
    hk.VanillaRNN     linear, linear_1: {w, b} of x, of h; relu
    ONNX LSTM         W (d, 4u, F), R (d, 4u, u), B (d, 8u): of x, of h,  i, o, f, c
                      P (d, 3u): peepholes i, o, f; d directions
    ONNX GRU          W, R, B with 3u; linear_before_reset: reset_after   z, r, h
    ONNX RNN          W, R, B with u
    cuDNN,            one buffer: of each layer and direction W, then U,  i, f, g, o
    CudnnLSTM, ...    of each gate (u, F), (u, u); then all biases        r, z, g
    TMVA LSTMLayer,   XML: of each gate (u, F), (u, u), (u, 1), under     i, f, c, o
    GRULayer,         names that mislead: see `tmva`                      r, z, c
    RNNLayer

The candidate is called g, n, j, a, h or c. Every `from_` function takes what its `to_`
function returns, and returns the same numbers; what a library cannot hold is written
there, and what arrays do not tell, such as the sizes in a buffer, is an argument.
Neither torch nor flax nor any other library is imported; their tensors are accepted as
they are. Results are new arrays, of the dtype that came, or float32 if NumPy does not
know it; of text, float64.

**Files of Keras.** `from_keras` reads the weights of stock LSTM, GRU and SimpleRNN
layers out of `.keras`, `.weights.h5` and older files: they fit ours as they are.
`from_keras_model` copies a whole model, with this package's layers in place of Keras's.

**The catalogue's cells.** `from_torchrecurrent`, `from_ncps`, `from_keras_lmu` and
`from_xlstm` take weights of libraries whose cells the catalogue has;
`to_torchrecurrent` and `to_ncps` go the other way. As neither names nor shapes tell
these cells apart, the layer that the weights are for is given too: its class and
arguments are compared.

**Layers, or weights alone.** Every `to_` function takes a layer or cell of Keras or of
this package, and judges it by its class and arguments: what the other library computes
in another way is refused. `CoupledLSTMCell` becomes an LSTM whose forget gate has the
input gate's weights with the other sign, as 1 - σ(z) = σ(-z). Dropout,
`implementation` and the like change nothing in a trained layer. A list of weights tells
nothing of activations; and three gates without the two rows of biases of `reset_after`
may be of a GRU of either kind, or of coupled gates: that has to be said.

**Names.** Where a module is one of several in a model, `prefix` is what its names begin
with; an error lists those that there are. Of a model with one it need not be said.

Example:
    >>> import numpy as np
    >>> weights = [np.ones((3, 8)), np.ones((2, 8)), np.zeros(8)]
    >>> [name for name in to_torch([weights])]
    ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']
    >>> [array.shape for array in from_flax(to_flax(weights))]
    [(3, 8), (2, 8), (8,)]
"""

from custom_lstm.convert.cudnn import from_cudnn, to_cudnn
from custom_lstm.convert.flax import from_flax, to_flax
from custom_lstm.convert.haiku import from_haiku, to_haiku
from custom_lstm.convert.keras_files import from_keras
from custom_lstm.convert.keras_lmu import from_keras_lmu
from custom_lstm.convert.keras_models import from_keras_model
from custom_lstm.convert.ncps import from_ncps, to_ncps
from custom_lstm.convert.onnx import from_onnx, to_onnx
from custom_lstm.convert.pytorch import from_torch, to_torch
from custom_lstm.convert.tensorflow1 import from_tf1, to_tf1
from custom_lstm.convert.tmva import (
    TMVAFormatError,
    from_tmva,
    save_tmva,
    to_tmva,
)
from custom_lstm.convert.tmva_layer import TMVALayer
from custom_lstm.convert.torchrecurrent import from_torchrecurrent, to_torchrecurrent
from custom_lstm.convert.xlstm import from_xlstm

__all__ = [
    "TMVAFormatError",
    "TMVALayer",
    "from_cudnn",
    "from_flax",
    "from_haiku",
    "from_keras",
    "from_keras_lmu",
    "from_keras_model",
    "from_ncps",
    "from_onnx",
    "from_tf1",
    "from_tmva",
    "from_torch",
    "from_torchrecurrent",
    "from_xlstm",
    "save_tmva",
    "to_cudnn",
    "to_flax",
    "to_haiku",
    "to_ncps",
    "to_onnx",
    "to_tf1",
    "to_tmva",
    "to_torch",
    "to_torchrecurrent",
]
