"""A user's own image files, read as MNIST would hold them."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage
from sklearn.datasets import load_digits

from custom_lstm.data import ImageError, read_digit_images
from custom_lstm.data.images import MAX_PIXELS
from custom_lstm.errors import UserError

SMALL = load_digits().images / 16.0
INK, PAPER = 0.1, 0.95


def drawn(index=0, side=160):
    """How much ink there is, 0 to 1, in a large picture of a handwritten digit."""
    small = Image.fromarray(SMALL[index].astype(np.float32))
    large = small.resize((side, side), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(large, float), 0, 1)


def on_paper(ink, height=300, width=400, top=60, left=90):
    field = np.zeros((height, width))
    field[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return PAPER + (INK - PAPER) * field


@pytest.fixture
def read(tmp_path):
    """Write one picture, an array of 0 to 1 or Pillow's, and read it back."""

    def write_and_read(picture, name="digit.png", **options):
        if isinstance(picture, np.ndarray):
            picture = Image.fromarray(np.uint8(np.rint(255 * np.clip(picture, 0, 1))))
        picture.save(tmp_path / name, **options)
        return read_digit_images([tmp_path / name])[0]

    return write_and_read


def difference(a, b):
    """Mean absolute difference as a share of the ink, up to one pixel of shift.

    A centre of mass half-way between two pixels may go either way.
    """
    shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    moved = [np.roll(b.astype(float), shift, axis=(0, 1)) for shift in shifts]
    return min(np.abs(a - picture).sum() for picture in moved) / a.sum()


def extent(digit):
    rows, columns = np.nonzero(digit)
    return np.ptp(rows) + 1, np.ptp(columns) + 1


@pytest.mark.parametrize("index", range(20))
def test_form_is_mnists(read, index):
    digit = read(on_paper(drawn(index)))
    assert (digit.shape, digit.dtype) == ((28, 28), np.uint8)
    assert max(extent(digit)) == 20
    assert digit.max() == 255
    assert ndimage.center_of_mass(digit) == pytest.approx((14, 14), abs=0.51)
    assert 0.05 < digit.mean() / 255 < 0.3, "MNIST's lie between 0.05 and 0.27"


@pytest.mark.parametrize("index", range(5))
def test_strokes_stay_where_they_were_drawn(read, index):
    """Against areas averaged by another library."""
    ink = drawn(index)
    rows, columns = np.nonzero(ink > 0.25)
    crop = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    zoom = 20 / max(crop.shape)
    blurred = ndimage.uniform_filter(crop, 1 / zoom, mode="constant")
    small = ndimage.zoom(blurred, zoom, order=1, grid_mode=True, mode="grid-constant")
    expected = np.zeros((28, 28))
    top, left = (np.array([28, 28]) - small.shape) // 2
    expected[top : top + small.shape[0], left : left + small.shape[1]] = small
    digit = read(on_paper(ink)) / 255
    shifts = [(dy, dx) for dy in range(-4, 5) for dx in range(-4, 5)]
    moved = [np.roll(expected, shift, (0, 1)).ravel() for shift in shifts]
    assert max(np.corrcoef(digit.ravel(), there)[0, 1] for there in moved) > 0.95


def test_a_digit_in_mnists_form_stays_as_it_is(read):
    digit = read(on_paper(drawn(5)))
    assert difference(digit, read(digit / 255)) < 0.05


def test_polarity_does_not_matter(read):
    picture = on_paper(drawn(2))
    assert difference(read(picture), read(1 - picture)) < 0.01


@pytest.mark.parametrize("size", [(30, 40), (150, 200), (900, 1200)])
def test_size_does_not_matter(read, size):
    picture = on_paper(drawn(2))
    resized = Image.fromarray(np.uint8(255 * picture)).resize(
        size[::-1], Image.Resampling.BOX if size[0] < 300 else Image.Resampling.BICUBIC
    )
    assert difference(read(picture), read(resized)) < (0.25 if size[0] < 99 else 0.1)


@pytest.mark.parametrize(("top", "left"), [(2, 2), (2, 230), (138, 2), (138, 238)])
def test_place_does_not_matter(read, top, left):
    ink = drawn(2)
    moved = on_paper(ink, top=top, left=left)
    assert difference(read(on_paper(ink)), read(moved)) < 0.01


def grey16(picture):
    return Image.fromarray(np.uint16(65535 * picture))


def eight(mode):
    return lambda picture: Image.fromarray(np.uint8(255 * picture)).convert(mode)


def transparent(colour, mode="RGBA"):
    """Ink of one colour on nothing."""

    def paint(picture):
        alpha = np.uint8(255 * (PAPER - picture) / (PAPER - INK))
        image = Image.new("RGBA", alpha.shape[::-1], colour)
        image.putalpha(Image.fromarray(alpha))
        return image.quantize() if mode == "P" else image.convert(mode)

    return paint


def coloured(ink, paper):
    def paint(picture):
        share = ((PAPER - picture) / (PAPER - INK))[..., None]
        return Image.fromarray(np.uint8(share * ink + (1 - share) * np.array(paper)))

    return paint


@pytest.mark.parametrize(
    ("paint", "name"),
    [
        (eight("1"), "digit.png"),
        (eight("L"), "digit.jpg"),
        (eight("LA"), "digit.png"),
        (eight("P"), "digit.png"),
        (eight("P"), "digit.gif"),
        (eight("RGB"), "digit.jpg"),
        (eight("RGB"), "digit.bmp"),
        (eight("RGB"), "digit.webp"),
        (eight("CMYK"), "digit.jpg"),
        (grey16, "digit.png"),
        (transparent("black"), "digit.png"),
        (transparent("white"), "digit.png"),
        (transparent("black", "LA"), "digit.png"),
        (transparent("black", "P"), "digit.png"),
        (coloured((255, 0, 0), (0, 130, 0)), "red-on-green.png"),
        (coloured((255, 255, 0), (255, 255, 255)), "yellow-on-white.png"),
        (coloured((0, 0, 255), (0, 0, 0)), "blue-on-black.png"),
    ],
)
def test_mode_and_colour_do_not_matter(read, paint, name):
    picture = on_paper(drawn(2))
    assert difference(read(picture), read(paint(picture), name)) < 0.12


def test_a_mark_on_paper_with_transparent_corners_is_read(read):
    picture = on_paper(drawn(2))
    image = eight("RGBA")(picture)
    alpha = Image.new("L", image.size, 0)
    ImageDraw.Draw(alpha).rounded_rectangle((0, 0, 399, 299), 40, fill=255)
    image.putalpha(alpha)
    assert difference(read(picture), read(image)) < 0.01


def plane(height, width):
    return 0.35 + 0.5 * np.linspace(0, 1, width) * np.linspace(1, 0.6, height)[:, None]


def lamp(height, width):
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return 0.9 - 0.2 * ((x - 0.3) ** 2 + (y + 0.2) ** 2)


@pytest.mark.parametrize("light", [plane, lamp])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_light_and_noise_do_not_matter(read, light, noise):
    picture = on_paper(drawn(2))
    photo = picture * light(*picture.shape)
    photo += np.random.default_rng(0).normal(0, noise, photo.shape)
    assert difference(read(picture), read(photo, "photo.jpg")) < 0.15


def test_faint_pencil_is_read(read):
    picture = on_paper(drawn(2))
    faint = 0.7 + 0.15 * picture
    assert difference(read(picture), read(faint)) < 0.05


def test_specks_and_the_papers_edge_are_left_out(read):
    picture = on_paper(drawn(2), left=150)
    littered = picture.copy()
    littered[:, :40] = 0.3  # the table
    for y, x in np.random.default_rng(0).integers(10, 290, (12, 2)):
        littered[y : y + 3, 100 + x : 103 + x] = 0.2
    littered[60:220, 150:310] = picture[60:220, 150:310]
    assert difference(read(picture), read(littered)) < 0.05


def test_a_digit_cropped_to_its_ink_is_read(read):
    ink = drawn(2)
    rows, columns = np.nonzero(ink > 0.3)
    tight = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert difference(read(on_paper(ink)), read(1 - tight)) < 0.15


def test_detached_strokes_stay(read):
    image = Image.new("L", (200, 200), 255)
    draw = ImageDraw.Draw(image)
    draw.line((60, 60, 60, 150), fill=0, width=12)
    draw.line((110, 60, 110, 150), fill=0, width=12)
    digit = read(image)
    assert np.count_nonzero(np.diff(digit[14] > 128)) == 4


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        ((50, 50, 149, 89), (8, 20)),
        ((20, 30, 59, 189), (20, 5)),
        ((9, 9, 108, 108), (20, 20)),
    ],
)
def test_aspect_is_kept(read, box, shape):
    image = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(image).rectangle(box, fill=0)
    assert extent(read(image)) == shape


def test_thin_strokes_become_as_thick_as_mnists_thinnest(read):
    image = Image.new("L", (600, 600), 255)
    ImageDraw.Draw(image).line((300, 100, 300, 500), fill=0, width=2)
    digit = read(image) / 255
    assert 1.5 < digit[14].sum() < 3


@pytest.mark.parametrize(("orientation", "turn"), [(3, 180), (6, 90), (8, 270)])
def test_camera_orientation_is_respected(read, orientation, turn):
    upright = Image.fromarray(np.uint8(255 * on_paper(drawn(7))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    held = upright.rotate(turn, expand=True)
    assert difference(read(upright), read(held, "photo.jpg", exif=exif)) < 0.05


def test_files_are_read_in_their_order(tmp_path):
    names = []
    for index in (4, 1, 7):
        names.append(tmp_path / f"{index}.png")
        Image.fromarray(np.uint8(255 * on_paper(drawn(index)))).save(names[-1])
    together = read_digit_images(iter(names))
    assert together.shape == (3, 28, 28)
    for name, digit in zip(names, together, strict=True):
        np.testing.assert_array_equal(read_digit_images(str(name))[0], digit)


def header_of(width, height):
    """Return a PNG that promises so many pixels and holds none."""
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    end = b"IEND"
    chunks = [
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
        for part in (ihdr, b"IDAT" + zlib.compress(b""), end)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


class TestErrors:
    @pytest.fixture
    def complaint(self, tmp_path):
        def provoke(content=None, name="digit.png"):
            path = tmp_path / name
            if content is not None:
                path.write_bytes(content)
            with pytest.raises(ImageError) as caught:
                read_digit_images([path])
            message = str(caught.value)
            assert str(path) in message
            assert "\n" not in message
            return message

        return provoke

    def test_is_a_users_error_and_a_value_error(self):
        assert issubclass(ImageError, UserError)
        assert issubclass(ImageError, ValueError)

    def test_missing_file(self, complaint):
        assert "there is no file" in complaint()

    def test_folder(self, complaint, tmp_path):
        (tmp_path / "digits").mkdir()
        assert "is a folder" in complaint(name="digits")

    @pytest.mark.parametrize("content", [b"", b"not an image", b"%PDF-1.7 ..."])
    def test_no_image(self, complaint, content):
        assert "no image of a known kind (PNG, JPEG" in complaint(content)

    @pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp", "bmp"])
    @pytest.mark.parametrize("share", [0.5, 0.9])
    def test_cut_short(self, complaint, tmp_path, kind, share):
        rng = np.random.default_rng(0)
        noisy = on_paper(drawn(2)) + rng.normal(0, 0.05, (300, 400))
        whole = tmp_path / f"whole.{kind}"
        Image.fromarray(np.uint8(255 * np.clip(noisy, 0, 1))).save(whole)
        content = whole.read_bytes()
        cut = content[: int(share * len(content))]
        assert "is damaged: " in complaint(cut, f"cut.{kind}")

    @pytest.mark.parametrize("level", [0, 128, 255])
    @pytest.mark.parametrize("noise", [0, 8])
    def test_blank(self, complaint, tmp_path, level, noise):
        blank = np.random.default_rng(0).normal(level, noise, (240, 320))
        name = f"{level}-{noise}.png"
        Image.fromarray(np.uint8(np.clip(blank, 0, 255))).save(tmp_path / name)
        assert "is blank" in complaint(name=name)

    @pytest.mark.parametrize("size", [(1, 1), (1, 500), (7, 2)])
    def test_blank_and_tiny(self, complaint, tmp_path, size):
        Image.new("L", size, 200).save(tmp_path / "tiny.png")
        assert "is blank" in complaint(name="tiny.png")

    def test_wholly_transparent(self, complaint, tmp_path):
        Image.new("RGBA", (50, 50), (9, 9, 9, 0)).save(tmp_path / "glass.png")
        assert "is blank" in complaint(name="glass.png")

    @pytest.mark.parametrize("size", [(8000, 8001), (12000, 9000), (10**5, 10**5)])
    def test_too_many_pixels_are_refused_before_decoding(self, complaint, size):
        assert size[0] * size[1] > MAX_PIXELS
        assert "too many pixels: over 64 million" in complaint(header_of(*size))

    def test_no_file_at_all(self):
        with pytest.raises(ImageError, match="no image file was named"):
            read_digit_images([])

    def test_the_bad_file_among_good_ones_is_named(self, tmp_path):
        good, bad = tmp_path / "good.png", tmp_path / "bad.png"
        Image.fromarray(np.uint8(255 * on_paper(drawn(0)))).save(good)
        bad.write_bytes(b"bad")
        with pytest.raises(ImageError, match=r"bad\.png is no image"):
            read_digit_images([good, bad])
