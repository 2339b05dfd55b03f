"""Which CPUs get bfloat16."""

import pytest

from custom_lstm.training.config import Config
from custom_lstm.training.machine import reckons_bfloat16


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("fpu avx512f avx512_bf16 fsrm", True),
        ("fpu amx_bf16", True),
        ("fpu avx2 avx512f", False),
        ("fpu avx512_bf16x", False),
    ],
)
def test_flags_decide(tmp_path, flags, has):
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: none\n")
    assert reckons_bfloat16(file) is has


def test_no_description_means_no(tmp_path):
    assert not reckons_bfloat16(tmp_path / "none")


@pytest.mark.parametrize("data", ["mnist", "digits"])
def test_settled_options_leave_nothing_open(data):
    settled = Config().settled(data)
    assert settled.data.data == data
    assert settled.model.precision in {"float32", "bfloat16"}
    assert settled.optimisation.epochs
    assert settled.optimisation.batch_size
    assert settled.settled(data) == settled
    chosen = Config().replace(precision="float32", epochs=3, batch_size=5)
    assert chosen.settled(data) == chosen.replace(data=data)
