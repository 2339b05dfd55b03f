"""What the layers LSTM, GRU and SimpleRNN share: a cell of their own to run."""

import inspect
from operator import attrgetter
from typing import Any

import keras

from custom_lstm.cells.gated import GatedCell
from custom_lstm.layers.rnn import RNN


class GatedRNN(RNN):
    """Base of layers that make their own cell and take its arguments as theirs.

    A subclass names its `cell_class` and hands its constructor's arguments on as
    `options`. The cell's are found in its signature; they can be read as attributes
    of the layer, and they stand in its config in place of the cell.

    Args:
        options: the arguments of the subclass's constructor, by name.
        **kwargs: the other arguments of `RNN`.
    """

    cell_class: type[GatedCell]
    use_cudnn: bool | str | None = None

    def __init_subclass__(cls, **kwargs: Any):
        """Lets every argument of the cell be read as an attribute of the layer."""
        super().__init_subclass__(**kwargs)
        for name in _cell_arguments(cls):
            setattr(cls, name, property(attrgetter(f"cell.{name}")))

    def __init__(self, options: dict[str, Any], **kwargs: Any):
        use_cudnn = options.pop("use_cudnn", None)
        if use_cudnn not in ("auto", False, None):
            raise ValueError(
                f"{type(self).__name__}: `use_cudnn` must be 'auto' or False, as no "
                f"cuDNN kernel stands behind it. Received: use_cudnn={use_cudnn!r}"
            )
        of_cell = {name: options.pop(name) for name in _cell_arguments(type(self))}
        cell = self.cell_class(
            **of_cell,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
        )
        super().__init__(cell, **options, **kwargs)
        self.use_cudnn = use_cudnn
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        config = super().get_config()
        del config["cell"]
        of_cell = self.cell.get_config()
        config.update({name: of_cell[name] for name in _cell_arguments(type(self))})
        if self.use_cudnn is not None:
            config["use_cudnn"] = self.use_cudnn
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The layer whose `get_config` this is."""
        return cls(**config)


def _cell_arguments(layer_class: type[GatedRNN]) -> list[str]:
    parameters = inspect.signature(layer_class.cell_class.__init__).parameters
    return [name for name in parameters if name not in ("self", "kwargs")]
