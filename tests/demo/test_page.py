"""The page in a browser: drawn, typed and shuffled digits are read and added up."""

import base64
import re

import numpy as np
import pytest
from demo.strokes import STROKES, draw, read

from custom_lstm.data.images import centre_digit
from custom_lstm.tasks.demo.networks import PAGE, OnnxNetwork, advance, shipped

both = pytest.mark.parametrize("page", ["server", "files"], indirect=True)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Playwright


def totals(page):
    return [
        int(text.replace("−", "-"))
        for text in page.locator(".answer .total").all_inner_texts()
    ]


@both
def test_a_7_and_a_3_that_are_drawn_give_7_and_4(page):
    draw(page, 7, rest=True)
    assert totals(page) == [7, 7]
    draw(page, 3, rest=True)
    assert totals(page) == [4, 4]
    assert page.locator("#tape .read").all_inner_texts() == ["+7", "−3"]
    assert "Read minus 3." in page.locator("#live").inner_text()


def test_strokes_become_the_digit_that_python_makes_of_them(page):
    rng = np.random.default_rng(0)
    made = [STROKES[digit] for digit in STROKES]
    for _ in range(8):
        count = rng.integers(1, 4)
        made.append([rng.uniform(0, 1, (5, 2)).tolist() for _ in range(count)])
    points = [
        [[{"x": x, "y": y} for x, y in stroke] for stroke in strokes]
        for strokes in made
    ]
    sent = page.evaluate(
        """async (every) => {
            const { drawn, centred } = await import('./js/digit.js');
            const text = (numbers) => {
                const bytes = new Uint8Array(numbers.buffer);
                return btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(''));
            };
            return every.map((strokes) => {
                const ink = drawn(strokes);
                return [text(ink.data), text(centred(ink))];
            });
        }""",
        points,
    )
    for ink, digit in sent:
        grey = np.frombuffer(base64.b64decode(ink), "<f8").reshape(140, 140)
        made = np.frombuffer(base64.b64decode(digit), np.uint8).reshape(28, 28)
        assert abs(made - centre_digit(grey).astype(int)).max() <= 1


@both
def test_the_browser_computes_what_onnxruntime_computes(page):
    content = np.frombuffer((PAGE / "samples.bin").read_bytes(), np.uint8)
    images = content[400:].reshape(-1, 28 * 28)[:6]
    for number, about in enumerate(shipped()["networks"]):
        rows = page.evaluate(
            """async ([number, images]) => {
                const network = page.networks[number];
                const given = images.map((image) => Uint8Array.from(image));
                const rows = await network.advance(network.initial, given);
                return rows.map((row) => [...row]);
            }""",
            [number, images.tolist()],
        )
        initial = np.array(about["initial"], "float32")
        np.testing.assert_allclose(
            rows, advance(OnnxNetwork(about), initial, images), atol=2e-4
        )


def test_the_keyboard_alone_draws_and_chooses_digits(page):
    page.locator("#pad").focus()
    for key in ("Space", *["ArrowDown"] * 14, "Space", "Enter"):
        page.keyboard.press(key)
    read(page, 1)
    assert totals(page)[0] == 1
    page.keyboard.press("4")
    read(page, 2)
    assert totals(page)[0] == -3


def test_many_digits_are_read_and_taken_back(page):
    draw(page, 7)
    page.click("#more-100")
    read(page, 101)
    carousels, plain = page.locator(".verdict small").all_inner_texts()
    assert int(carousels.split()[0]) >= 97 > 60 > int(plain.split()[0])
    page.click("#undo")
    read(page, 1)
    draw(page, 3)
    assert totals(page)[0] == 4
    page.click("#restart")
    read(page, 0)
    assert totals(page) == [0, 0]


def test_a_mistake_is_marked_and_so_is_what_it_carries_on(page):
    for digit in (7, 3, 4):
        draw(page, digit)
    page.locator("#tape button").nth(1).click()
    page.locator("#correct-choices button").nth(8).click()
    page.wait_for_selector("#tape .misread")
    kinds = page.locator("#tape button").evaluate_all(
        "all => all.map(x => x.className)"
    )
    assert kinds == ["right", "misread", "carried"]
    assert page.locator(".verdict b").first.inner_text() == "✗ off by 5"


@pytest.mark.parametrize("page", ["broken server"], indirect=True)
def test_a_server_that_is_gone_is_said_and_may_come_back(page):
    page.route("**/advance", lambda route: route.abort())
    page.keyboard.press("4")
    page.wait_for_selector("#trouble:not([hidden])")
    page.unroute("**/advance")
    draw(page, 7)
    assert totals(page) == [7, 7]
    assert page.locator("#trouble").is_hidden()


@pytest.mark.parametrize("page", ["broken server"], indirect=True)
def test_the_page_says_what_ones_own_model_raises(page, tmp_path):
    keras = pytest.importorskip("keras")
    model = keras.Sequential(
        [keras.Input((None, 1)), keras.layers.Reshape((-1, 2)), keras.layers.GRU(3)]
    )
    model.save(tmp_path / "mine.keras")
    page.click("#tab-series")
    page.set_input_files("#model-file", tmp_path / "mine.keras")
    page.locator("#model-about", has_text="mine.keras: 1 column").wait_for()
    page.fill("#csv", "1\n2\n3")
    page.click("#series-form button[type=submit]")
    page.locator("#series-error", has_text="raised").wait_for()
    said = page.locator("#series-error").inner_text()
    assert said.startswith("mine.keras raised ") and "\n" not in said
    page.fill("#csv", "1\n2\n3\n4")
    page.click("#series-form button[type=submit]")
    page.wait_for_selector("#series-shown:not([hidden])")
    assert page.locator("#series-error").inner_text() == ""


def test_strips_grow_by_a_column_a_digit_and_tell_their_numbers(page):
    draw(page, 7)
    strip = page.locator("#inside canvas[tabindex]").first
    assert "18 rows by 1 steps" in strip.get_attribute("aria-label")
    strip.focus()
    page.keyboard.press("ArrowRight")
    said = page.locator("#inside .cursor").inner_text()
    assert re.match(r"step 1 \(\+7\) · Input gates i, carousel \d+ · \d\.\d{3}", said)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_every_control_has_a_name(page, scheme):
    page.set_viewport_size({"width": 360, "height": 780})
    page.emulate_media(color_scheme=scheme)
    draw(page, 7)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360
    nameless = page.locator("button:visible, input:visible").evaluate_all(
        """all => all.filter(x => !(x.textContent.trim() || x.ariaLabel
            || x.labels?.length)).map(x => x.outerHTML)"""
    )
    assert nameless == []


def test_texts_have_the_contrast_that_wcag_asks_for():
    css = (PAGE / "style.css").read_text("utf-8")
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\n *\}", css, re.DOTALL)
    )
    pairs = [
        (text, back) for text in ("ink", "soft", "bad") for back in ("paper", "card")
    ]
    pairs += [("first", "card"), ("second", "card"), ("on-accent", "accent")]
    pairs += [("bad", "bad-soft"), ("soft", "bad-soft"), ("pad-ink", "pad")]
    for colours in (light, light | dark):
        for text, back in pairs:
            assert contrast(colours[text], colours[back]) >= 4.5, (text, back)


def contrast(*colours):
    """Return the contrast ratio of WCAG 2."""
    lights = []
    for colour in colours:
        parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        line = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts
        ]
        lights.append(np.dot(line, [0.2126, 0.7152, 0.0722]))
    return (max(lights) + 0.05) / (min(lights) + 0.05)
