"""What to write where a cell asks for something that Keras 3 does not have."""

import contextlib
import re
from collections.abc import Iterator

import keras

_HINTS = {
    r"get_initial_state\(\) (got an unexpected keyword argument '(inputs|dtype)'|"
    r"takes from 1 to 2 positional arguments)": (
        "Keras 3's own cells take `get_initial_state(batch_size=batch_size)` alone; "
        "write that, or use the cells of custom_lstm, which take `inputs` and `dtype` "
        "too"
    ),
    r"no attribute 'get_(recurrent_)?dropout_mask_for_cell'": (
        "in Keras 3 write `self.get_dropout_mask(inputs)` for "
        "`get_dropout_mask_for_cell(inputs, training, count)`, and "
        "`self.get_recurrent_dropout_mask(h)` likewise, if `training` is true"
    ),
    r"Cannot convert '\d+' to a shape": (
        "in Keras 3 a shape is a tuple; write `shape=(units,)` in `add_weight`, with "
        "the comma"
    ),
    r"no attribute 'learning_phase'": (
        "Keras 3 has no learning phase; give `call` an argument `training`, which the "
        "layer fills in"
    ),
    r"got an unexpected keyword argument 'constants'": (
        "Keras 3's cells and `StackedRNNCells.call` do not take `constants`; leave the "
        "argument out where the cell is called"
    ),
    r"no attribute 'add_update'": (
        "in Keras 3 write `variable.assign(value)` for `self.add_update(...)`"
    ),
    r"no attribute '_(non_)?trainable_weights'": (
        "in Keras 3 `self.add_weight(...)` alone adds to the weights; leave out "
        "`self._trainable_weights`"
    ),
    r"module '[\w.]*keras[\w.]*backend' has no attribute '(?P<name>\w+)'": (
        "Keras 3's backend has no `{name}`; write {instead}"
    ),
}
"""What to write, by what an error of Keras 3 says."""
_RENAMED = {
    "in_train_phase": "x if training else alternative",
    "in_test_phase": "alternative if training else x",
    "dot": "keras.ops.matmul",
    "batch_dot": "keras.ops.einsum",
    "bias_add": "x + bias",
    "int_shape": "x.shape",
    "random_normal": "keras.random.normal",
    "random_uniform": "keras.random.uniform",
    "dropout": "keras.random.dropout",
}
"""What Keras 3 calls functions of the old backend, other than `keras.ops.<name>`."""


@contextlib.contextmanager
def hints(owner: str) -> Iterator[None]:
    """While it lasts, errors of what Keras 3 lacks say what to write instead.

    Args:
        owner: the layer, for the error.

    Raises:
        ValueError: in place of such an error, which is its cause.
    """
    try:
        yield
    except (AttributeError, TypeError, ValueError) as error:
        if (hint := _hint(str(error))) is None:
            raise
        raise ValueError(f"{owner}: {hint}. Keras said: {_told(error)}") from error


def _hint(text: str) -> str | None:
    for pattern, hint in _HINTS.items():
        if found := re.search(pattern, text):
            name = found.groupdict().get("name") or ""
            own = f"keras.ops.{name}" if hasattr(keras.ops, name) else "keras.ops.…"
            instead = _RENAMED.get(name, own)
            return hint.format(name=name, instead=f"`{instead}`")
    return None


def _told(error: Exception) -> str:
    """Return the line of an error that the hint explains."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if _hint(line)), lines[0])
