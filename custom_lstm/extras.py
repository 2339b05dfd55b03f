"""Optional dependencies: what is missing is named with the extra that installs it."""

import contextlib
import importlib.util
from collections.abc import Iterator

from custom_lstm.errors import UserError

BACKENDS = ("tensorflow", "jax", "torch")
"""What Keras runs on; each is an extra of its own name."""


class MissingExtra(UserError, ModuleNotFoundError):
    """A package that an extra would have installed is not there.

    Args:
        package: what could not be imported.
        extra: the extra that installs it.
        instead: what else helps.

    Example:
        >>> print(MissingExtra("matplotlib", "plots"))
        matplotlib is not installed; run: pip install "custom_lstm[plots]"
    """

    def __init__(self, package: str, extra: str, instead: str = "") -> None:
        super().__init__(
            f'{package} is not installed; run: pip install "custom_lstm[{extra}]"'
            f"{instead}"
        )
        self.name = package


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Within this context, a package that is missing is named with its extra.

    Args:
        name: of the extra, as in `pip install "custom_lstm[NAME]"`.

    Raises:
        MissingExtra: in place of the `ModuleNotFoundError` of a package other than
            this one. It is one, too.

    Example:
        >>> with extra("plots"):
        ...     import no_such_package
        Traceback (most recent call last):
        ...
        custom_lstm.extras.MissingExtra: no_such_package is not installed; run: pip
        install "custom_lstm[plots]"
    """
    try:
        yield
    except MissingExtra:
        raise  # by an import within, which knows better
    except ModuleNotFoundError as error:
        package = _top_level(error)
        if package == "custom_lstm" or _is_installed(package):
            raise
        raise MissingExtra(package, name) from None


@contextlib.contextmanager
def backend() -> Iterator[None]:
    """Within this context, Keras may be imported; the lack of its backend is named.

    Raises:
        MissingExtra: in place of the `ModuleNotFoundError` of a backend.

    Example:
        >>> with backend():
        ...     import keras
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = _top_level(error)
        if package not in BACKENDS or _is_installed(package):
            raise
        others = [f"KERAS_BACKEND={name}" for name in BACKENDS if _is_installed(name)]
        instead = (
            f", or choose an installed one: {' or '.join(others)}" if others else ""
        )
        raise MissingExtra(package, package, instead) from None


def _top_level(error: ModuleNotFoundError) -> str:
    return (error.name or "custom_lstm").partition(".")[0]


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
