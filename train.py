#!/usr/bin/env python
"""Train an LSTM to add and subtract handwritten digits.

python train.py                                  MNIST if it can be had
python train.py --data digits                    embedded digits, off line
python train.py --loop custom --recurrent keras  own loop, Keras's LSTM
python train.py --resume runs/RUN --lengths 4 8  score a finished run
python train.py --resume runs/RUN --images a.png b.png
python train.py --help                           every option

python train.py compare                          table and curves of all runs
python train.py doctor                           versions and devices, for bug reports

Other tasks, each with its own --help:

python train.py count-ones                       count the ones in strings of bits
python train.py showers                          read showers in a calorimeter
python train.py walk-through                     add each number to the one before

Where the package is installed, `custom-lstm` is the same command anywhere.
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


def main() -> int:
    """Run the command; an installed `custom-lstm` is this function."""
    with _without_keras():
        from custom_lstm.__main__ import main as run
    return run(without_keras=_without_keras)


if __name__ == "__main__":
    sys.exit(main())
