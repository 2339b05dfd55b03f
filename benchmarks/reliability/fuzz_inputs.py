"""Spoilt files: real ones with bytes flipped, cut, spliced, or with parts exchanged."""

import io
import json
import struct
import zlib

import numpy as np
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from custom_lstm import cli
from custom_lstm.convert import TMVALayer, to_tmva

TASKS = {name: options for name, options in cli.TASKS.items() if name != "compare"}
"""The options of every task that leaves run folders."""


@st.composite
def spoilt(draw, originals, pieces):
    """Return an original, changed a little: bits flipped, parts cut, doubled, added."""
    content = draw(st.sampled_from(originals))
    other = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(content) - 1)))
        stop = start + draw(st.sampled_from([0, 1, 1, 2, 4, 8, 60, 10**9]))
        where = draw(st.integers(0, len(other)))
        flipped = bytes(
            [content[start] ^ 1 << draw(st.integers(0, 7))] if content else []
        )
        piece = draw(
            st.one_of(
                st.just(flipped),
                st.binary(max_size=8),
                st.sampled_from(pieces),
                st.sampled_from([other[where : where + 40], other[where:]]),
            )
        )
        content = content[:start] + piece + content[stop:]
    return content


# --- config.json


def _config(task):
    return {"task": task, "options": TASKS[task]().to_json(), "backend": "tensorflow"}


CONFIGS = [json.dumps(_config(task), indent=2).encode() for task in TASKS]
ODD = st.sampled_from(
    [float("nan"), float("inf"), -float("inf"), 1e308, -0.0, 10**9, -(2**63), 10**400]
    + ["None", "--help", "-1", "", "\0", "\ud800", "٣", "1_0", "nan", "../../x", "best"]
    + [[], [[]], {}, ["--help"], [None], True, None, "True", "1e5", "x" * 10_000]
)
VALUES = st.one_of(
    ODD,
    st.integers(0, 9) | st.floats(0, 1) | st.text("abc", max_size=3),
    st.lists(st.integers(1, 9), max_size=4),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=5,
    ),
)
WORDS = [b"NaN", b"1e999", b"{", b"[" * 200_000, b'{"a":' * 100_000, b"9" * 5000]
WORDS += [b"null", b"true", b"-1", b'"', b"\xff\xfe", b"\\ud800", b"\0", b'"help":1,']


@st.composite
def _exchanged(draw):
    """Return a config with options exchanged, added or left out."""
    config = _config(draw(st.sampled_from(sorted(TASKS))))
    options = config["options"]
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(options)) | st.sampled_from(["help", "x"]))
        match draw(st.sampled_from("=====-+")):
            case "=":
                options[name] = draw(VALUES)
            case "-":
                options.pop(name, None)
            case "+":
                options[draw(st.text(max_size=9))] = draw(VALUES)
    if not draw(st.integers(0, 9)):
        config[draw(st.sampled_from(["task", "options"]))] = draw(VALUES)
    return json.dumps(config).encode()


def configs():
    return _exchanged() | spoilt(CONFIGS, WORDS)


# --- TMVA's XML


def _layers():
    rng = np.random.default_rng(0)
    for gates, rows in ((4, ()), (3, (2,)), (1, ())):
        bias = np.concatenate([rng.normal(size=2 * gates), np.zeros(2 * gates)])
        shape = (*rows, 2 * gates)
        weights = [rng.normal(size=(n, 2 * gates)) for n in (3, 2)]
        yield TMVALayer([*weights, bias[: int(np.prod(shape))].reshape(shape)])


XML = [to_tmva([layer]) for layer in _layers()] + [to_tmva([*_layers()])]
MARKUP = [b"&a;", b"<", b'"', b"nan", b"1e999", b"0", b"-1", b"99999999", b"<![CDATA["]
MARKUP += [b'<!DOCTYPE a [<!ENTITY a "1">]>', b"<a>" * 1000, b"\0", b"\xc3", b"<!--"]
MARKUP += [b'<?xml version="1.0" encoding="utf-16"?>', b'Rows="2"', b"&#0;", b"</a>"]


def documents():
    return spoilt(XML, MARKUP)


# --- images


def _drawn():
    image = Image.new("RGB", (60, 44), "white")
    ImageDraw.Draw(image).line((40, 8, 30, 20, 42, 36), fill="navy", width=5)
    return image


def _saved():
    drawn = _drawn()
    grey = drawn.convert("L")
    deep = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    seen = drawn.convert("RGBA")
    seen.putalpha(grey.point(lambda v: 255 - v))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    for image, kinds in (
        (drawn, ("png", "jpeg", "bmp", "gif", "webp")),
        (grey, ("png", "jpeg", "bmp", "gif")),
        (seen, ("png", "webp", "gif")),
        (deep, ("png",)),
        (grey.convert("1"), ("png", "bmp")),
        (drawn.convert("P"), ("png", "bmp")),
        (grey.convert("LA"), ("png",)),
        (drawn.convert("CMYK"), ("jpeg",)),
    ):
        for kind in kinds:
            file = io.BytesIO()
            more = {"exif": exif} if kind in ("png", "jpeg", "webp") else {}
            image.save(file, kind, **more)
            yield file.getvalue()
    for more in ({"progressive": True}, {"subsampling": 2}):
        file = io.BytesIO()
        drawn.save(file, "jpeg", **more)
        yield file.getvalue()
    file = io.BytesIO()
    drawn.save(file, "gif", save_all=True, append_images=[drawn.rotate(9)] * 2)
    yield file.getvalue()


IMAGES = list(_saved())
PNGS = [content for content in IMAGES if content.startswith(b"\x89PNG")]
BYTES = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"IEND", b"\xff\xd8"]
BYTES += [b"acTL", b"iCCP", b"zTXt", b"Exif\0\0II*\0", b"\0" * 64, b"\xff\xd9", b"eXIf"]
BYTES += [bytes([k]) for k in (0, 1, 2, 3, 4, 6, 8, 16, 32, 127, 255)]


@st.composite
def _chunks(draw):
    """Return a PNG with chunks changed, doubled or left out, and right checksums."""
    content = draw(st.sampled_from(PNGS))
    chunks, place = [], 8
    while place < len(content):
        (size,) = struct.unpack(">I", content[place : place + 4])
        chunks.append(content[place + 4 : place + 8 + size])
        place += 12 + size
    for _ in range(draw(st.integers(1, 3))):
        k = draw(st.integers(0, len(chunks) - 1))
        match draw(st.sampled_from("====-2z")):
            case "=":
                chunks[k] = chunks[k][:4] + draw(spoilt([chunks[k][4:]], BYTES))
            case "2":
                chunks.insert(k, draw(st.sampled_from(chunks)))
            case "z":
                bomb = zlib.compress(bytes(draw(st.sampled_from([10**4, 10**7]))), 1)
                kind = draw(st.sampled_from([b"zTXta\0\0", b"iCCPa\0\0", b"IDAT"]))
                chunks.insert(k, kind + bomb)
            case "-" if len(chunks) > 1:
                del chunks[k]
    return content[:8] + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c))
        for c in chunks
    )


def images():
    return spoilt(IMAGES, BYTES) | spoilt(IMAGES, BYTES) | _chunks()
