"""Film the live page for the README: docs/pictures/hero.webp and hero-dark.webp.

    npm ci --prefix docs/live
    python docs/live/hero.py

Draws three digits, takes six that somebody wrote, then a hundred more.
Needs `pip install ".[test]"` and a Chromium on the PATH.
"""

import functools
import http.server
import io
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from custom_lstm.tasks.demo.task import write

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from demo.strokes import STROKES  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
LARGEST = 1_500_000
"""Bytes of a picture."""
WIDTH, HEIGHT, SCALE = 1080, 1056, 0.8
QUALITY = 70
DRAWN, TAKEN = (7, 3, 4), (9, 2, 8, 5, 1, 6)
STYLE = """
    .top, .lead, footer, .write .help, .write .check { display: none }
    body { padding: 14px; max-width: none }
    .desk { grid-template-columns: 324px minmax(0, 1fr) }
    .inside { margin-top: 14px } .desk, .results { gap: 14px }
    .inside figcaption p, .cursor, .pan { display: none }
    .strip:nth-child(even) { display: none }
    .chart { min-height: 200px }
"""

Film = list[tuple[Image.Image, int]]
"""Pictures, and for how many milliseconds each is shown."""


def main() -> None:
    """Write both pictures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write(Path(folder), runtime=ROOT / "docs/live/node_modules/onnxruntime-web")
        handler = functools.partial(_Quiet, directory=folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            path = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(
                executable_path=path, args=["--no-sandbox"]
            )
            url = f"http://127.0.0.1:{server.server_port}/?seed=2"
            for scheme, name in (("light", "hero.webp"), ("dark", "hero-dark.webp")):
                save(film(browser, url, scheme), PICTURES / name)
            browser.close()
            server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def film(browser: Browser, url: str, scheme: str) -> Film:
    """Run the page and take its pictures."""
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("body[data-ready=true]")
    page.add_style_tag(content=STYLE)
    made: Film = [(shot(page), 700)]
    for digit in DRAWN:
        made += drawing(page, digit)
    for digit in TAKEN:
        page.keyboard.press(str(digit))
        made.append((after(page), 420))
    made[-1] = (made[-1][0], 1100)
    made += growing(page, many=100, pieces=10)
    made[-1] = (made[-1][0], 3200)
    context.close()
    return made


def drawing(page: Page, digit: int) -> Film:
    """Draw a digit and have it read."""
    strokes = [smooth(np.array(stroke)) for stroke in STROKES[digit]]
    total, made = sum(map(len, strokes)), []
    for share in (0.25, 0.5, 0.75, 1.0):
        left, shown = round(share * total), []
        for stroke in strokes:
            part = stroke[: max(0, left)]
            left -= len(stroke)
            if len(part):
                shown.append([{"x": x, "y": y} for x, y in part.tolist()])
        page.evaluate("strokes => page.pad.set(strokes)", shown)
        made.append((shot(page), 110 if share < 1 else 380))
    page.evaluate("page.read()")
    return [*made, (after(page), 900)]


def growing(page: Page, many: int, pieces: int) -> Film:
    """Take many digits, and a picture after each piece of them."""
    made = []
    for _ in range(pieces):
        count = many // pieces
        page.evaluate(
            "n => page.take(Array.from({ length: n }, "
            "() => page.samples.next(page.random)))",
            count,
        )
        made.append((after(page), 260))
    return made


def after(page: Page) -> Image.Image:
    """Return a picture when what was asked for is read."""
    page.evaluate("page.queue")
    page.wait_for_timeout(60)
    return shot(page)


def smooth(points: np.ndarray, between: int = 6) -> np.ndarray:
    """Return more points on a smooth curve through points (Catmull and Rom)."""
    p = np.concatenate([points[:1], points, points[-1:]])
    t = np.arange(between)[:, None] / between
    pieces = [
        0.5
        * (
            2 * b
            + (c - a) * t
            + (2 * a - 5 * b + 4 * c - d) * t**2
            + (3 * b - a - 3 * c + d) * t**3
        )
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate([*pieces, points[-1:]])


def shot(page: Page) -> Image.Image:
    """Take a picture of the page."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    size = (round(image.width * SCALE), round(image.height * SCALE))
    return image.resize(size, Image.Resampling.LANCZOS)


def save(frames: Film, path: Path) -> None:
    """Write an animated picture."""
    (first, _), *others = frames
    path.parent.mkdir(exist_ok=True)
    first.save(
        path,
        save_all=True,
        append_images=[image for image, _ in others],
        duration=[milliseconds for _, milliseconds in frames],
        loop=0,
        quality=QUALITY,
        method=6,
    )
    size = path.stat().st_size
    print(f"{path.name}: {len(frames)} pictures, {first.size}, {size:,} bytes")
    if size > LARGEST:
        raise SystemExit(f"{path} has {size:,} bytes, more than {LARGEST:,}")


if __name__ == "__main__":
    main()
