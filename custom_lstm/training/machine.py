"""What the machine at hand is good at."""

import re
from pathlib import Path

_CPU = Path("/proc/cpuinfo")
_FLAGS = {"avx512_bf16", "amx_bf16"}


def reckons_bfloat16(cpuinfo: Path = _CPU) -> bool:
    """Return whether the CPU has instructions for bfloat16 products.

    Without them bfloat16 is emulated and slower than float32. Linux alone tells;
    elsewhere the answer is no.

    Args:
        cpuinfo: the kernel's description of the processors.

    Example:

    >>> reckons_bfloat16(Path("/nowhere"))
    False
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return bool(found and _FLAGS & set(found[1].split()))
