"""The short form of benchmarks/reliability/fuzz.py.

Nothing but the reader's one refusal gets out.
"""

import json

import fuzz
import fuzz_inputs
import pytest

from custom_lstm.errors import UserError
from custom_lstm.tasks.digits.options import Config

EXAMPLES = 200


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_spoilt_files_are_read_or_refused(name):
    counts = fuzz.feed(fuzz.TARGETS[name], EXAMPLES)
    assert counts["refused"] + counts["accepted"] == counts["inputs"] >= EXAMPLES
    assert counts["refused"]
    assert counts["accepted"]


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_what_is_spoilt_was_good_before(name, tmp_path):
    originals = {
        "config": fuzz_inputs.CONFIGS,
        "xml": fuzz_inputs.XML,
        "images": fuzz_inputs.IMAGES,
    }
    for content in originals[name]:
        fuzz.TARGETS[name].read(content, tmp_path)


def test_a_value_that_asks_for_help_is_refused(tmp_path, capsys):
    options = {**Config().to_json(), "deterministic": "--help"}
    content = json.dumps({"task": "digits", "options": options}).encode()
    with pytest.raises(UserError):
        fuzz.read_config(content, tmp_path)
    assert capsys.readouterr().out == ""


def test_an_exception_that_is_no_refusal_is_counted(capsys):
    def read(content, _):
        raise (KeyError if content[0] % 2 else ValueError)

    target = fuzz.Target(lambda: fuzz_inputs.st.binary(min_size=1), read, ValueError)
    counts = fuzz.feed(target, 50)
    assert counts["uncaught"] + counts["refused"] == counts["inputs"]
    assert counts["uncaught"]


def test_a_hang_is_counted(monkeypatch, capsys):
    def read(content, _):
        while True:
            pass

    monkeypatch.setattr(fuzz, "SECONDS", 0.3)
    target = fuzz.Target(fuzz_inputs.st.binary, read, ValueError)
    assert fuzz.feed(target, 2)["hangs"] == 2
