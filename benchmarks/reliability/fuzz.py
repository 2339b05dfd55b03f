"""What reads files from elsewhere is fed spoilt ones: it reads them or refuses them.

    python benchmarks/reliability/fuzz.py --examples 10000

feeds so many to each of the readers of run folders' config.json, TMVA's XML and images,
and prints how many were refused, how many accepted, how many ended in an exception that
is no refusal, and how many took over 10 s of processor time. The last two must be 0;
else the exit code is 1. `--only images` feeds one of them.
"""

import argparse
import collections
import contextlib
import json
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import fuzz_inputs as inputs
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from custom_lstm.convert import TMVAFormatError, from_tmva
from custom_lstm.data import ImageError, read_digit_images
from custom_lstm.errors import UserError
from custom_lstm.training.run_folder import RunFolder

SECONDS = 10.0


class Hang(BaseException):
    """An input took too long."""


class Target(NamedTuple):
    """A reader: `read(content, folder)` raises `refusal` or is content."""

    inputs: Callable[[], SearchStrategy[bytes]]
    read: Callable[[bytes, Path], object]
    refusal: type[Exception]


def read_config(content: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(content)
    for options in inputs.TASKS.values():
        with contextlib.suppress(UserError):
            RunFolder.open(folder).read_options(options)
            return
    raise UserError


def read_image(content: bytes, folder: Path) -> None:
    (folder / "image").write_bytes(content)
    digits = read_digit_images(folder / "image")
    assert digits.shape == (1, 28, 28)
    assert digits.dtype == "uint8"


TARGETS = {
    "config": Target(inputs.configs, read_config, UserError),
    "xml": Target(inputs.documents, lambda xml, _: from_tmva(xml), TMVAFormatError),
    "images": Target(inputs.images, read_image, ImageError),
}


def feed(target: Target, examples: int, number: int = 0) -> collections.Counter:
    """Feed a reader; return how often it did what. Failures are shown."""
    counts: collections.Counter = collections.Counter()
    folder = Path(tempfile.mkdtemp())

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs())
    def one(content: bytes) -> None:
        counts["inputs"] += 1
        try:
            with limited(SECONDS):
                target.read(content, folder)
            counts["accepted"] += 1
        except target.refusal:
            counts["refused"] += 1
        except Hang:
            counts["hangs"] += 1
            keep(content)
        except (Exception, SystemExit):  # noqa: BLE001 - this is what is looked for
            counts["uncaught"] += 1
            keep(content)
            traceback.print_exc()

    one()
    return counts


@contextlib.contextmanager
def limited(seconds: float):
    """Raise Hang after so much processor time, and again should that get lost.

    What a signal raises is dropped if it comes in the midst of a collection of garbage.
    """

    def stop(*_):
        raise Hang

    former = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, former)


def keep(content: bytes) -> None:
    with tempfile.NamedTemporaryFile(prefix="fuzz-", delete=False) as file:
        file.write(content)
    print(f"kept as {file.name}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--only", choices=TARGETS, action="append")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    columns = ("inputs", "refused", "accepted", "uncaught", "hangs")
    print(f"{'':8}{''.join(f'{name:>10}' for name in columns)}{'CPU s':>10}")
    bad = 0
    for name in asked.only or TARGETS:
        began = time.process_time()
        counts = feed(TARGETS[name], asked.examples, asked.seed)
        took = time.process_time() - began
        row = "".join(f"{counts[column]:10,}" for column in columns)
        print(f"{name:8}{row}{took:10.0f}", flush=True)
        bad += counts["uncaught"] + counts["hangs"]
    print(json.dumps({"bad": bad}))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
