"""A layer for every cell that steps vectors and has no hand-written one.

All are made here, by `layer_class_of`; the annotations are for type checkers and
editors.
"""

from custom_lstm import cells as _cells
from custom_lstm.layers.of_cells import CellRNN as _Layer
from custom_lstm.layers.of_cells import layer_class_of as _layer_class_of

_HAND_WRITTEN = (_cells.GRUCell, _cells.LSTMCell, _cells.SimpleRNNCell)
_MADE = {
    layer.__name__: layer
    for cell in map(_cells.get, _cells.names())
    if cell not in _HAND_WRITTEN
    for layer in [_layer_class_of(cell, "custom_lstm.layers")]
}
globals().update(_MADE)

ATR: type[_Layer]
AntisymmetricRNN: type[_Layer]
CFN: type[_Layer]
CarouselLSTM: type[_Layer]
CfC: type[_Layer]
CoRNN: type[_Layer]
CoupledLSTM: type[_Layer]
EchoState: type[_Layer]
FastGRNN: type[_Layer]
FastRNN: type[_Layer]
GatedAntisymmetricRNN: type[_Layer]
IRNN: type[_Layer]
IndRNN: type[_Layer]
JANET: type[_Layer]
LEM: type[_Layer]
LMU: type[_Layer]
LTC: type[_Layer]
LayerNormGRU: type[_Layer]
LayerNormLSTM: type[_Layer]
LayerNormSimpleRNN: type[_Layer]
LiGRU: type[_Layer]
MCLSTM: type[_Layer]
MGU: type[_Layer]
MLSTM: type[_Layer]
MUT1: type[_Layer]
MUT2: type[_Layer]
MUT3: type[_Layer]
MinGRU: type[_Layer]
MinLSTM: type[_Layer]
MultiplicativeLSTM: type[_Layer]
NAS: type[_Layer]
NAU: type[_Layer]
NTM: type[_Layer]
OriginalLSTM: type[_Layer]
PeepholeLSTM: type[_Layer]
PhasedLSTM: type[_Layer]
ProjectedLSTM: type[_Layer]
RAN: type[_Layer]
RHN: type[_Layer]
SCRN: type[_Layer]
SLSTM: type[_Layer]
SRU: type[_Layer]
STAR: type[_Layer]
UGRNN: type[_Layer]
UnICORNN: type[_Layer]
WMCLSTM: type[_Layer]
ZoneoutLSTM: type[_Layer]
