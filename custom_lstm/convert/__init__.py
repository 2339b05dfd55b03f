"""Weights to and from other libraries: plain functions on NumPy arrays.

The common form is Keras's: one list of arrays per layer, as `layer.get_weights()`
gives and `layer.set_weights` takes it. It is the same for `LSTM`, `GRU` and
`SimpleRNN` of Keras and of this package: nothing needs to be converted between the
two. A `keras.layers.Bidirectional` around them has the list of the forward layer
and that of the backward layer, one after the other.

    library           arrays, for F features and u units                  gates
    ----------------  --------------------------------------------------  ----------
    Keras LSTM        kernel (F, 4u), recurrent_kernel (u, 4u),           i, f, g, o
                      bias (4u,)
    Keras GRU         kernel (F, 3u), recurrent_kernel (u, 3u),           z, r, g
                      bias (2, 3u): of x, of h; (3u,) if not reset_after
    Keras SimpleRNN   kernel (F, u), recurrent_kernel (u, u), bias (u,)
    torch.nn.LSTM     weight_ih_l0 (4u, F), weight_hh_l0 (4u, u),         i, f, g, o
                      bias_ih_l0 (4u,), bias_hh_l0 (4u,); layers l1, ...
                      and directions l0_reverse, ... likewise
    torch.nn.GRU      the same with 3u                                    r, z, n
    torch.nn.RNN      the same with u
    flax.linen        ii, if, ig, io: {kernel (F, u)},                    by name
    OptimizedLSTM-    hi, hf, hg, ho: {kernel (u, u), bias (u,)}
    Cell, LSTMCell
    flax.nnx          dense_i: {kernel (F, 4u)},                          i, f, g, o
    OptimizedLSTM-    dense_h: {kernel (u, 4u), bias (4u,)}
    Cell
    TensorFlow 1      kernel (F + u, 4u): rows of x above those of h,     i, j, f, o
    BasicLSTMCell     bias (4u,); adds forget_bias to f when it runs
    TMVA LSTMLayer,   XML: of each gate (u, F), (u, u), (u, 1), under     i, f, c, o
    GRULayer,         names that mislead: see `tmva`                      r, z, c
    RNNLayer

The candidate is called g, n, j or c. Every `from_` function takes what its `to_`
function returns, and returns the same numbers; what a library cannot hold is written
there. Neither torch nor flax is imported; their tensors are accepted as they are.
Results are new arrays, of the dtype that came; of text, float64.

Example:
    >>> import numpy as np
    >>> weights = [np.ones((3, 8)), np.ones((2, 8)), np.zeros(8)]
    >>> [name for name in to_torch([weights])]
    ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']
    >>> [array.shape for array in from_flax(to_flax(weights))]
    [(3, 8), (2, 8), (8,)]
"""

from custom_lstm.convert.flax import from_flax, to_flax
from custom_lstm.convert.pytorch import from_torch, to_torch
from custom_lstm.convert.tensorflow1 import from_tf1, to_tf1
from custom_lstm.convert.tmva import (
    TMVAFormatError,
    TMVALayer,
    from_tmva,
    save_tmva,
    to_tmva,
)

__all__ = [
    "TMVAFormatError",
    "TMVALayer",
    "from_flax",
    "from_tf1",
    "from_tmva",
    "from_torch",
    "save_tmva",
    "to_flax",
    "to_tf1",
    "to_tmva",
    "to_torch",
]
