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
            setattr(self, name, read_argument(name, value))

    @property
    def activations(self) -> tuple[Activation, Activation, Activation]:
        """Those of the candidate, of the gates, and of c' in h'."""
        output_activation = self.output_activation or self.activation
        return self.activation, self.recurrent_activation, output_activation

    def recur(self, h: Any, training: Any) -> Any:
        """`h·U`, h dropped out if it is to be."""
        masks = self.recurrent_masks(training)
        return gatewise_matmul(h, self.recurrent_kernel, masks)


def check_positive(owner: str, name: str, value: Any, whole: bool = False) -> Any:
    """`value` as a number above 0, an integer if `whole`; or a `ValueError`.

    Example:

    >>> check_positive("Cell", "epsilon", 1)
    1.0
    """
    convert = getattr(value, "__index__" if whole else "__float__", None)
    if isinstance(value, bool) or convert is None or not 0 < convert() < float("inf"):
        raise ValueError(
            f"{owner}: `{name}` must be a positive {'integer' if whole else 'number'}. "
            f"Received: {name}={value!r}"
        )
    return convert()
