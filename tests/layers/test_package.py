"""What `import custom_lstm` brings with it, and what it does not."""

import subprocess
import sys

import custom_lstm

LOOK = """
import sys
import keras
before = set(sys.modules)
import custom_lstm
names = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(names - set(sys.stdlib_module_names)))
"""


def test_import_brings_nothing_but_itself_beyond_keras():
    run = [sys.executable, "-c", LOOK]
    found = subprocess.run(run, check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["custom_lstm"]


def test_all_that_is_promised_is_there():
    for name in custom_lstm.__all__:
        assert getattr(custom_lstm, name) is not None
    assert {"convert", "data", "models", "plots", "training"} <= set(dir(custom_lstm))
