"""The widget of `explore` in a browser, with a stand-in for the notebook."""

import base64
from pathlib import Path

import numpy as np
import pytest

import custom_lstm

SCRIPT = Path(custom_lstm.__file__).parent / "plots" / "explorer.js"
GATE = np.linspace(0, 1, 12, dtype="<f4").reshape(4, 3)  # (steps, units)
STATE = np.array([[-2, 0, 2]] * 3 + [[np.nan] * 3], "<f4")
SHOW = """async ([script, bytes]) => {
    const { default: widget } = await import(script);
    const values = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
    const model = {
        names: ["gate", "c"], units: [3, 3], steps: 4, labels: ["a", "b", "c", "d"],
        values: new DataView(values.buffer),
    };
    widget.render({ model: { get: (name) => model[name] }, el: document.body });
}"""
PIXELS = """(canvas) => [canvas.width, canvas.height,
    ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""


@pytest.fixture
def page(chromium):
    page, wrong = chromium.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    script = base64.b64encode(SCRIPT.read_bytes()).decode()
    values = base64.b64encode(GATE.tobytes() + STATE.tobytes()).decode()
    page.evaluate(SHOW, [f"data:text/javascript;base64,{script}", values])
    yield page
    assert not wrong
    page.close()


def test_every_value_is_a_pixel(page):
    gate, state = (canvas.evaluate(PIXELS) for canvas in page.locator("canvas").all())
    assert gate[:2] == state[:2] == [4, 3]
    gate, state = (np.reshape(pixels[2:], (3, 4, 4)) for pixels in (gate, state))
    assert (np.diff(gate[..., 0].T.ravel()) <= 0).all(), "darker step by step"
    assert gate[0, 0].tolist() == [247, 247, 247, 255]
    assert gate[2, 3].tolist() == [0, 64, 47, 255]
    assert state[:, 0].tolist() == [
        [0, 63, 102, 255],
        [247, 247, 247, 255],
        [122, 50, 0, 255],
    ]
    assert not state[:, 3].any(), "what a mask left out is empty"


def test_pointing_reads_a_value_and_marks_it_in_all_maps(page):
    box = page.locator("canvas").first.bounding_box()
    at = {"x": box["width"] * 2.5 / 4, "y": box["height"] * 1.5 / 3}
    page.locator("canvas").first.hover(position=at)
    read = page.locator("output")
    assert read.inner_text() == f"gate, unit 1, step 3 (c): {GATE[2, 1]:.4f}"
    marked = page.locator("canvas + div").all()
    assert [mark.is_visible() for mark in marked] == [True, True]
    assert all(path.get_attribute("d") for path in page.locator("path").all())


def test_arrow_keys_read_and_stay_within(page):
    state = page.locator("canvas").last
    read = page.locator("output")
    state.press("ArrowDown")
    assert read.inner_text() == "c, unit 1, step 1 (a): 0.000"
    for _ in range(5):
        state.press("ArrowUp")
        state.press("ArrowRight")
    assert read.inner_text() == "c, unit 0, step 4 (d): left out"
    state.press("ArrowLeft")
    assert read.inner_text() == "c, unit 0, step 3 (c): -2.000"
