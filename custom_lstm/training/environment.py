"""What a run depends on besides its options."""

import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any


def environment() -> dict[str, Any]:
    """Return versions, backend and commit, for config.json."""
    import keras

    packages = ("custom_lstm", "keras", "tensorflow", "numpy", "tensorflow-datasets")
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # run from a checkout
            versions[package] = "not installed"
    return {
        "versions": versions,
        "backend": keras.backend.backend(),
        "platform": platform.platform(),
        "commit": _commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _commit() -> str | None:
    """Return the commit of the checkout that this file lies in, if any."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
