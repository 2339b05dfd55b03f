"""What a bug report needs: versions, backend, devices, data, kernels.

It needs none of the extras, names what they lack, and also answers where Keras cannot
be imported.
"""

import argparse
import os
import platform
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from custom_lstm import program
from custom_lstm.errors import DataError
from custom_lstm.extras import MissingExtra, backend
from custom_lstm.version import __version__

_BASE = ("keras", "numpy", "h5py", "tensorflow", "jax", "torch")


def main(words: Sequence[str]) -> int:
    """Print the report, one fact a line.

    Args:
        words: what was typed behind `doctor`: nothing, or `--help`.

    Returns:
        0; 1 where Keras cannot be imported.
    """
    parser = argparse.ArgumentParser(f"{program.name()} doctor", description=__doc__)
    parser.parse_args(words)
    for line in environment():
        print(line)
    try:
        with program.quiet(), backend():
            import keras
    except ImportError as error:
        print(f"backend      none: {error}")
        return 1
    print(f"backend      {keras.backend.backend()} ({_chosen_by()})")
    print(f"devices      {', '.join(devices())}")
    for line in (*kernels(), *data()):
        print(line)
    return 0


def environment() -> Iterator[str]:
    """Yield the versions of Python, of this package, and of what it runs on.

    Example:
        >>> next(environment())
        'custom_lstm  0... in ...'
    """
    yield f"custom_lstm  {__version__} in {Path(__file__).parent}"
    yield f"Python       {platform.python_version()} on {platform.platform()}"
    for name in _BASE:
        yield f"{name:<12} {_version(name) or '-'}"
    for extra, requirements in extras().items():
        lacking = dict.fromkeys(x for one in requirements for x in _lacking(one))
        said = "complete"
        if lacking:
            command = f'pip install "custom_lstm[{extra}]"'
            said = f"lacks {', '.join(lacking)}; run: {command}"
        yield f"[{extra}]".ljust(13) + said


def extras() -> dict[str, list[Requirement]]:
    """Return what each extra asks for; nothing if the package is not installed.

    Example:
        >>> asked = extras().get("gpu", [Requirement("tensorflow[and-cuda]")])
        >>> asked[0].name
        'tensorflow'
    """
    try:
        own = metadata.metadata("custom_lstm")
    except metadata.PackageNotFoundError:  # run from a checkout
        return {}
    names = own.get_all("Provides-Extra") or []
    return {name: _asked("custom_lstm", name) for name in names}


def _asked(distribution: str, extra: str) -> list[Requirement]:
    """Return what an extra of an installed distribution asks for on this system."""
    every = map(Requirement, metadata.requires(distribution) or ())
    return [
        one
        for one in every
        if one.marker
        and one.marker.evaluate({"extra": extra})
        and not one.marker.evaluate({"extra": ""})
    ]


def _lacking(requirement: Requirement, seen: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield what a requirement lacks: distributions, and versions that are too old.

    The extras that it names are looked into, as `and-cuda` is of TensorFlow.
    """
    name, wanted = requirement.name, requirement.specifier
    version = _version(name)
    if version is None:
        yield name
        return
    if not wanted.contains(version, prereleases=True):
        yield f"{name}{wanted} ({version} is installed)"
    for extra in sorted(requirement.extras):
        inner = f"{name}[{extra}]"
        for one in _asked(name, extra) if inner not in seen else ():
            yield from _lacking(one, (*seen, inner))


def devices() -> list[str]:
    """Return the devices that the backend sees; of PyTorch, the one that Keras uses.

    Example:
        >>> len(devices()) > 0
        True
    """
    import keras

    if keras.backend.backend() == "torch":  # for which Keras lists none
        return [str(keras.ops.zeros(()).device)]
    return keras.distribution.list_devices()


def kernels() -> Iterator[str]:
    """Yield a line for each kernel of LSTM layers: that it can run, or why it cannot.

    Example:
        >>> [line.split()[-2:] for line in kernels()][-1]
        ['reference', 'runs']
    """
    from custom_lstm.kernels.registry import NAMES, Request, supports

    usual = Request(batch=32, time=20, features=8, units=32, dtype="float32")
    for name in NAMES[1:]:
        reason = supports(name, usual)
        yield f"kernel       {name} " + (f"cannot run: {reason}" if reason else "runs")


def data() -> Iterator[str]:
    """Yield whether MNIST is prepared, and where it was looked for."""
    try:
        from custom_lstm.data.mnist import data_root, prepared_folder

        folder = prepared_folder(data_root())
    except (MissingExtra, DataError) as error:
        yield f"data         none: {error}"
        return
    there = "is" if folder.is_dir() else "is not"
    yield f"data         MNIST {there} prepared in {folder}"


def _chosen_by() -> str:
    """Return what named the backend."""
    if "KERAS_BACKEND" in os.environ:
        return "named by KERAS_BACKEND"
    folder = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    path = folder / "keras.json"
    return f"named in {path}" if path.is_file() else "as nothing names another"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
