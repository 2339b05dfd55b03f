"""What the layers LSTM, GRU and SimpleRNN share: a cell of their own to run."""

import inspect
from operator import attrgetter
from typing import Any

import keras

from custom_lstm.cells.gated import GatedCell
from custom_lstm.cells.validation import check_choice
from custom_lstm.layers.rnn import RNN


class GatedRNN(RNN):
    """Base of layers that make their own cell and take its arguments as theirs.

    A subclass names its `cell_class`, its `cell_name`, which is Keras's and stands in
    the paths of the weights, and hands its constructor's arguments on as `options`.
    The cell's are found in its signature; they can be read as attributes of the
    layer, and they stand in its config in place of the cell.

    Args:
        options: the arguments of the subclass's constructor, by name.
        **kwargs: the other arguments of `RNN`.
    """

    cell_class: type[GatedCell]
    cell_name: str

    def __init_subclass__(cls, **kwargs: Any):
        """Lets every argument of the cell be read as an attribute of the layer."""
        super().__init_subclass__(**kwargs)
        for name in _cell_arguments(cls):
            setattr(cls, name, property(attrgetter(f"cell.{name}")))

    def __init__(self, options: dict[str, Any], **kwargs: Any):
        knows_cudnn = "use_cudnn" in options
        use_cudnn = options.pop("use_cudnn", False)
        check_choice(type(self).__name__, "use_cudnn", use_cudnn, ("auto", True, False))
        of_cell = {name: options.pop(name) for name in _cell_arguments(type(self))}
        cell = self.cell_class(
            **of_cell,
            name=self.cell_name,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
        )
        super().__init__(cell, **options, **kwargs)
        if knows_cudnn:
            self.use_cudnn = use_cudnn
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Builds the cell, and the initial state if it is learned."""
        if getattr(self, "use_cudnn", False) is True and (why := self._why_no_cudnn()):
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: {why}, so that `use_cudnn` must "
                "be 'auto' or False when it is built. Received: use_cudnn=True"
            )
        super().build(sequences_shape, initial_state_shape)

    def _why_no_cudnn(self) -> str | None:
        """Why cuDNN can never run the layer, or None."""
        return "no cuDNN kernel stands behind it"

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        config = super().get_config()
        del config["cell"]
        of_cell = self.cell.get_config()
        config.update({name: of_cell[name] for name in _cell_arguments(type(self))})
        if hasattr(self, "use_cudnn"):
            config["use_cudnn"] = self.use_cudnn
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The layer whose `get_config` this is."""
        return cls(**config)


def _cell_arguments(layer_class: type[GatedRNN]) -> list[str]:
    parameters = inspect.signature(layer_class.cell_class.__init__).parameters
    return [name for name in parameters if name not in ("self", "kwargs")]
