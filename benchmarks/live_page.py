"""Measure how soon the live page answers, in headless Chromium.

    python benchmarks/live_page.py

From the page's own server and, after `npm ci --prefix docs/live`, from plain files:
until it is ready, and from a drawn digit to the networks' answers: preprocessing and
both networks, for each of 40 digits. Needs `pip install ".[test]"` and a Chromium.
"""

import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from demo.conftest import RUNTIME, served, static  # noqa: E402
from demo.strokes import draw  # noqa: E402

DIGITS = 40


def measure(browser, address: str) -> tuple[float, list[float]]:
    """Return the seconds until the page is ready, and the milliseconds of answers."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    began = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("body[data-ready=true]")
    ready, taken = time.perf_counter() - began, []
    for number in range(DIGITS):
        draw(page, (7, 3)[number % 2])
        taken.append(page.evaluate("page.took"))
    page.close()
    return ready, taken


def main() -> None:
    """Print a line for each way to offer the page."""
    with ExitStack() as stack:
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        stack.callback(browser.close)
        ways = {"server": stack.enter_context(served())}
        if RUNTIME.is_dir():
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            ways["files"] = stack.enter_context(static(Path(folder)))
        for name, address in ways.items():
            ready, taken = measure(browser, address)
            low, middle, high = np.percentile(taken[1:], [25, 50, 75])
            print(
                f"{name}: ready after {ready:.2f} s; first answer {taken[0]:.0f} ms, "
                f"then {middle:.1f} ms ({low:.1f} to {high:.1f}; {DIGITS - 1} digits)"
            )


if __name__ == "__main__":
    main()
