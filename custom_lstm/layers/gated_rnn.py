"""Layers that make a cell of their own."""

import inspect
from typing import Any, Self

import keras

from custom_lstm.cells.base import AbstractRNNCell
from custom_lstm.cells.gated import GatedCell
from custom_lstm.cells.validation import check_choice
from custom_lstm.layers.rnn import RNN
from custom_lstm.typing import Config, Nest


class GatedRNN(RNN):
    """Base of layers that make their own cell and take its arguments as theirs.

    A subclass names its `cell_class`, and its `cell_name`, which is Keras's and part of
    the paths of the weights, and hands its constructor's arguments on as `options`.
    Those of the cell are found by `arguments_of`. They can be read as attributes of the
    layer, and its config holds them in place of the cell.

    Args:
        options: the arguments of the subclass's constructor, by name.
        **kwargs: the other arguments of `RNN`.
    """

    cell_class: type[AbstractRNNCell]
    cell_name: str
    _of_cell: tuple[str, ...]

    def __init_subclass__(cls, **kwargs: Any):
        """Make every argument of the cell readable as an attribute of the layer."""
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, "cell_class"):
            return
        cls._of_cell = tuple(arguments_of(cls.cell_class))
        for name in cls._of_cell:
            setattr(cls, name, _read_from_cell(name))

    def __init__(self, options: dict[str, Any], **kwargs: Any):
        knows_cudnn = "use_cudnn" in options
        use_cudnn = options.pop("use_cudnn", False)
        check_choice(type(self).__name__, "use_cudnn", use_cudnn, ("auto", True, False))
        cell = self.cell_class(
            **{name: options.pop(name) for name in self._of_cell if name in options},
            name=self.cell_name,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
        )
        super().__init__(cell, **options, **kwargs)
        if knows_cudnn:
            self.use_cudnn = use_cudnn
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(
        self,
        sequences_shape: Nest,
        initial_state_shape: Nest = None,
        constants_shape: Nest = None,
    ) -> None:
        """Build the cell, and the initial state if it is learned."""
        if getattr(self, "use_cudnn", False) is True and (why := self._why_no_cudnn()):
            raise ValueError(
                f"{self._who}: {why}, so that `use_cudnn` must be 'auto' or False when "
                "it is built. Received: use_cudnn=True"
            )
        super().build(sequences_shape, initial_state_shape, constants_shape)

    def _why_no_cudnn(self) -> str | None:
        """Return why cuDNN can never run the layer, or None."""
        return "it has no cuDNN kernel"

    def get_config(self) -> Config:
        """Return every constructor argument."""
        config = super().get_config()
        del config["cell"]
        of_cell = self.cell.get_config()
        config.update({name: of_cell[name] for name in self._of_cell})
        if hasattr(self, "use_cudnn"):
            config["use_cudnn"] = self.use_cudnn
        return config

    @classmethod
    def from_config(
        cls, config: Config, custom_objects: dict[str, Any] | None = None
    ) -> Self:
        """Return the layer whose `get_config` this is."""
        return cls(**config)


def arguments_of(cell_class: type[AbstractRNNCell]) -> dict[str, inspect.Parameter]:
    """Return the arguments of a cell's constructor, by name.

    Where it hands `**kwargs` on to its base class, those of that follow, by keyword.
    Those that every layer has are left out: `name`, `dtype`, `trainable`.

    Args:
        cell_class: a class of cells.

    Example:
        >>> from custom_lstm.cells import PeepholeLSTMCell
        >>> list(arguments_of(PeepholeLSTMCell))[:3]
        ['units', 'peephole_initializer', 'peephole_regularizer']
    """
    found: dict[str, inspect.Parameter] = {}
    for cls in cell_class.__mro__:
        if cls in (GatedCell, AbstractRNNCell):
            break
        if (own := vars(cls).get("__init__")) is None:
            continue
        _, *parameters = inspect.signature(own).parameters.values()
        inherited, hands_on = bool(found), False
        for one in parameters:
            if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
                hands_on |= one.kind is one.VAR_KEYWORD
            elif one.name not in ("name", "dtype", "trainable", "dynamic"):
                by_name = one.replace(kind=one.KEYWORD_ONLY)
                found.setdefault(one.name, by_name if inherited else one)
        if not hands_on:
            break
    return found


def _read_from_cell(name: str) -> property:
    return property(lambda self: getattr(self.cell, name), doc=f"The cell's `{name}`.")
