"""Recorded strokes: points on the pad, 0 to 1, of each stroke."""

STROKES = {
    3: [
        [
            (0.30, 0.25), (0.42, 0.16), (0.58, 0.17), (0.66, 0.28), (0.60, 0.40),
            (0.45, 0.47), (0.60, 0.50), (0.70, 0.62), (0.66, 0.78), (0.50, 0.86),
            (0.36, 0.82), (0.28, 0.74),
        ],
    ],
    4: [
        [(0.35, 0.15), (0.30, 0.35), (0.27, 0.52), (0.50, 0.53), (0.75, 0.50)],
        [(0.62, 0.20), (0.60, 0.50), (0.58, 0.85)],
    ],
    7: [
        [
            (0.25, 0.22), (0.40, 0.21), (0.60, 0.21), (0.75, 0.20), (0.70, 0.35),
            (0.60, 0.55), (0.52, 0.70), (0.46, 0.85),
        ],
    ],
}  # fmt: skip


def draw(page, digit, rest=False):
    """Draw a digit with the mouse, and wait until it was read.

    Args:
        page: Playwright's.
        digit: one of `STROKES`.
        rest: whether the pen rests until it is read; else a button is clicked.
    """
    before = int(page.locator("body").get_attribute("data-digits"))
    box = page.locator("#pad").bounding_box()
    for stroke in STROKES[digit]:
        for k, (x, y) in enumerate(stroke):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            if k == 0:
                page.mouse.down()
        page.mouse.up()
    if not rest:
        page.click("#read")
    read(page, before + 1)


def read(page, count):
    """Wait until so many digits were read."""
    page.wait_for_selector(f'body[data-digits="{count}"]')
