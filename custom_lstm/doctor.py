"""What a bug report needs: versions, backend, devices, data, kernels.

It needs none of the extras, names what they lack, and also answers where Keras cannot
be imported.
"""

import argparse
import os
import platform
import re
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from custom_lstm import program
from custom_lstm.errors import DataError
from custom_lstm.extras import MissingExtra, backend
from custom_lstm.version import __version__

_BASE = ("keras", "numpy", "h5py", "tensorflow", "jax", "torch")
_REQUIREMENT = re.compile(r"([\w.-]+).*?(?:;.*extra == ['\"]([\w-]+)['\"])?$")


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
    for extra, names in extras().items():
        missing = [name for name in names if not _version(name)]
        if missing:
            command = f'pip install "custom_lstm[{extra}]"'
            yield f"[{extra}]".ljust(13) + f"lacks {', '.join(missing)}; run: {command}"
        else:
            yield f"[{extra}]".ljust(13) + "complete"


def extras() -> dict[str, list[str]]:
    """Return the distributions that each extra installs; none if nothing is installed.

    Example:
        >>> "matplotlib" in extras().get("plots", ["matplotlib"])
        True
    """
    found: dict[str, list[str]] = {}
    try:
        requirements = metadata.requires("custom_lstm") or []
    except metadata.PackageNotFoundError:  # run from a checkout
        return found
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match and match[2] and match[1].replace("-", "_") != "custom_lstm":
            found.setdefault(match[2], []).append(match[1])
    return found


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
