"""Measure how fast everything is, beside Keras and PyTorch, in one run.

    python benchmarks/speed                       TensorFlow: all parts, two hours
    python benchmarks/speed --short               each part once, small: about 2 min
    python benchmarks/speed --parts layer job     some parts
    python benchmarks/speed --parts cells --cells mgu star        or: --cells all
    python benchmarks/speed --parts layer --shapes looped         one of the shapes
    KERAS_BACKEND=torch python benchmarks/speed --parts layer
    python benchmarks/speed --json F --picture F.png

Candidates take turns, round after round. What is printed is the speedup of custom_lstm
over each, with quartiles: 2.00 says that the other takes twice the time. Needs PyTorch
besides the package (`pip install torch`); cells are measured beside torchrecurrent's if
it is installed. Run nothing else at the same time; `--busy`
runs a process that multiplies matrices on one core meanwhile.
"""

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as train.py does
sys.path.insert(0, str(Path(__file__).parent))
PARTS = (
    "layer",
    "cells",
    "scans",
    "exported",
    "job",
    "determinism",
    "pipeline",
    "time-distributed",
    "growth",
    "start",
    "first",
    "memory",
    "learning",
)


def run(part: str, short: bool, names: list[str], words: list[str]) -> dict:
    """Measure one part.

    Args:
        part: its name.
        short: whether little is measured, seldom.
        names: of cells; none for the usual ones.
        words: names of shapes of layers and cells; none for all.
    """
    if part == "layer":
        import layer

        words = words or list(layer.SHAPES)[: 2 if short else None]
        return {
            f"{name}, {'train' if train else 'infer'}": layer.measure(
                layer.SHAPES[name], train, 5 if short else 30
            )
            for name in words
            for train in (True, False)
        }
    if part == "cells":
        import cells

        names = names or [*cells.FAMILY, *cells.USERS][: 1 if short else None]
        names = list(cells.EVERY) if names == ["all"] else names
        shapes = words or list(cells.SHAPES)[: 1 if short else None]
        return {
            f"{name}; {shape}, {'train' if train else 'infer'}": cells.measure(
                name, shape, train, 5 if short else 20
            )
            for name in names
            for shape in shapes
            for train in (True, False)
        }
    if part == "scans":
        import scans

        shapes = dict(list(scans.SHAPES.items())[1:2]) if short else scans.SHAPES
        return {
            f"{name}; {words}, {'train' if train else 'infer'}": scans.measure(
                name, shape, train, 5 if short else 30
            )
            for name in list(scans.CELLS)[: 1 if short else None]
            for words, shape in shapes.items()
            for train in (True, False)
        }
    if part == "exported":
        import exported

        shapes = dict(list(exported.SHAPES.items())[:1]) if short else exported.SHAPES
        return {
            f"{name}; {words}": exported.measure(name, shape, 5 if short else 30)
            for name in list(exported.KINDS)[: 1 if short else None]
            for words, shape in shapes.items()
        }
    if part == "first":
        import first

        names = names or list(first.KINDS)[: 1 if short else None]
        return {
            f"{name}; {what}": first.measure(name, what, 1 if short else 7)
            for name in names
            for what in list(first.WHAT)[: 2 if short else None]
        }
    import growth
    import job

    if part == "job":
        lengths, runs = ((4,), 5) if short else ((4, 6), 30)
        return {f"length {n}": job.measure_step(n, runs) for n in lengths}
    digits = "digits" if short else "mnist"
    if part == "pipeline":
        return job.measure_pipeline(4, digits, 40 if short else 400)
    if part == "determinism":
        return {digits: job.measure_determinism(digits, 5 if short else 30)}
    measure = {
        "time-distributed": growth.measure_time_distributed,
        "growth": growth.measure_growth,
        "start": growth.measure_start,
        "memory": growth.measure_memory,
        "learning": job.measure_learning,
    }
    return measure[part](short)


BUSY = "import numpy as np\nx = np.ones((300, 300))\nwhile True: x @ x"


@contextlib.contextmanager
def company(wanted: bool) -> Iterator[None]:
    """Compute on one core in another process within the body, if that is wanted."""
    if not wanted:
        yield
        return
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    process = subprocess.Popen([sys.executable, "-c", BUSY], env=os.environ | one)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _machine() -> str:
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    names = ("tensorflow", "keras", "torch")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names)
    return (
        f"{os.cpu_count()} cores, {platform.machine()} up to "
        f"{(simd['baseline'] + simd['found'])[-1]}; {versions}; "
        f"oneDNN {os.environ['TF_ENABLE_ONEDNN_OPTS']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--cells", nargs="+", default=[])
    parser.add_argument("--shapes", nargs="+", default=[])
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    import keras
    import report
    import torch  # noqa: F401 - before TensorFlow: the other order can crash

    found = {"machine": _machine(), "backend": keras.backend.backend()}
    print(found["machine"], found["backend"], sep="; ")
    for part in options.parts:
        with company(options.busy):
            found[part] = run(part, options.short, options.cells, options.shapes)
        print(report.text(part, found[part]), flush=True)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1, default=float) + "\n")
    if options.picture:
        report.draw(found, options.picture)


if __name__ == "__main__":
    main()
