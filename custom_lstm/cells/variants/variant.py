"""What the variants of the LSTM share."""

from typing import Any

from custom_lstm.cells.arguments import read_argument
from custom_lstm.cells.gated import gatewise_matmul
from custom_lstm.cells.lstm import Activation, LSTMCell


class LSTMVariant(LSTMCell):
    """Base of cells that take the arguments of `LSTMCell` and some of their own.

    Args:
        options: the arguments of the subclass's constructor, by name: `units`, and
            its own, which become attributes and part of the config like the others.
        **kwargs: the other arguments of `LSTMCell`.
    """

    def __init__(self, options: dict[str, Any], **kwargs: Any):
        super().__init__(options.pop("units"), **kwargs)
        self._option_names += tuple(options)
        for name, value in options.items():
            setattr(self, name, read_argument(type(self).__name__, name, value))

    @property
    def activations(self) -> tuple[Activation, Activation, Activation]:
        """Those of the candidate, of the gates, and of c' in h'."""
        output_activation = self.output_activation or self.activation
        return self.activation, self.recurrent_activation, output_activation

    def recur(self, h: Any, training: Any) -> Any:
        """`h·U`, h dropped out if it is to be."""
        masks = self.recurrent_masks(training)
        return gatewise_matmul(h, self.recurrent_kernel, masks)
