#!/usr/bin/env python
"""Train an LSTM to add and subtract handwritten digits.

python train.py                                  MNIST if it can be had
python train.py --data digits                    embedded digits, off line
python train.py --loop custom --recurrent keras  own loop, Keras's LSTM
python train.py --resume runs/RUN --lengths 4 8  score a finished run
python train.py --resume runs/RUN --images a.png b.png
python train.py --help                           every option

python train.py compare                          table and curves of all runs

Other tasks, each with its own --help:

python train.py count-ones                       count the ones in strings of bits
python train.py showers                          read showers in a calorimeter
python train.py walk-through                     add each number to the one before
"""

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator


@contextlib.contextmanager
def _without_keras() -> Iterator[None]:
    """Let modules of `custom_lstm` be imported that need no Keras (seconds).

    A stand-in package with the same folder takes the place of `custom_lstm`,
    whose own import brings Keras; the real one finds what was imported.
    """
    spec = importlib.util.find_spec("custom_lstm")
    if spec is None or spec.submodule_search_locations is None:
        sys.exit("custom_lstm is not installed: run `pip install .` in its folder")
    stand_in = types.ModuleType("custom_lstm")
    stand_in.__path__ = list(spec.submodule_search_locations)
    sys.modules["custom_lstm"] = stand_in
    yield
    del sys.modules["custom_lstm"]


if __name__ == "__main__":
    with _without_keras():
        from custom_lstm.cli import main
    sys.exit(main(without_keras=_without_keras))
