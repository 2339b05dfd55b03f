"""What the command decides for TensorFlow before it is imported."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = Path(__file__).parents[1] / "train.py"
RUN = f"""
import contextlib, runpy
with contextlib.suppress(SystemExit):
    runpy.run_path({str(TRAIN)!r}, run_name="__main__")
from tensorflow.python.util import _pywrap_util_port as port
print(port.IsMklEnabled())
"""


@pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="oneDNN is for x86"
)
@pytest.mark.parametrize(("given", "used"), [(None, "True"), ("0", "False")])
def test_convolutions_run_on_onednn_unless_the_user_decided(tmp_path, given, used):
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    if given is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = given
    words = "count-ones --length 6 --strings 40 --batch-size 20 --epochs 1 --units 3"
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words.split(), "--runs", tmp_path / "runs"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == used
