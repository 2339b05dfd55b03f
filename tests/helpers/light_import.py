"""Programs that import single modules of the package, without Keras, hence quickly."""

import textwrap
from pathlib import Path

import custom_lstm

_PACKAGES = """\
import sys, types
from pathlib import Path
for name in ("custom_lstm", "custom_lstm.data"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [str(Path({root!r}, *name.split(".")))]
"""


def light_program(text):
    """Return a program in which importing a module runs no package's `__init__`."""
    root = str(Path(custom_lstm.__file__).parents[1])
    return _PACKAGES.format(root=root) + textwrap.dedent(text)
