"""`check_cell` in full, every check for every cell of the package: minutes.

    python benchmarks/reliability/every_cell.py [NAME ...]

Exits with 1 if a cell breaks a clause. The tests run all but two checks of each cell.
"""

import functools
import sys
import time
from pathlib import Path

import keras

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from helpers import every_cell  # noqa: E402

from custom_lstm import cells  # noqa: E402
from custom_lstm.checking import CellCheckError, check_cell  # noqa: E402


def main(names):
    failed = []
    for name in names or cells.names():
        keras.backend.clear_session(free_memory=False)
        start = time.perf_counter()
        try:
            cell = functools.partial(every_cell.make, name, 4)
            told = check_cell(cell, verbose=False).summary()
        except CellCheckError as error:
            failed.append(name)
            told = str(error)
        print(f"{name:20} {time.perf_counter() - start:5.1f} s  {told}", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
