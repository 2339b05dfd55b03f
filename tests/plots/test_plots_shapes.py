"""The picture of shapes on their way through a network."""

import pytest

from custom_lstm import plots

STAGES = [
    ("image", (28, 28, 1)),
    ("convolution", (24, 24, 16)),
    ("pooling", (12, 12, 16)),
    ("convolution", (12, 12, 32)),
    ("pooling", (6, 6, 32)),
    ("dense", (128,)),
]


@pytest.mark.parametrize("title", [None, "What the encoder makes of one digit"])
@pytest.mark.parametrize("stages", [STAGES, STAGES[:1], STAGES[-1:], STAGES + STAGES])
def test_is_whole(stages, title, style, whole):
    whole(plots.shapes(stages, title, style=style))


def test_every_stage_has_its_name_and_shape():
    texts = [text.get_text() for text in plots.shapes(STAGES).axes[0].texts]
    assert [text for text in texts if text] == [
        "image", "28×28×1", "convolution", "24×24×16", "pooling", "12×12×16",
        "convolution", "12×12×32", "pooling", "6×6×32", "dense", "128",
    ]  # fmt: skip


def test_sides_are_to_scale():
    sheets = plots.shapes([("a", (28, 28, 1)), ("b", (7, 14, 1))]).axes[0].patches
    large, small = sheets
    assert small.get_height() == pytest.approx(large.get_height() / 4)
    assert small.get_width() == pytest.approx(large.get_width() / 2)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "at least one shape, got none"),
        ([("a", (28, 28))], r"shape of 'a' must be .*, got \(28, 28\)"),
        ([("a", (0,))], r"all positive, got \(0,\)"),
    ],
)
def test_bad_shapes_are_named(stages, message):
    with pytest.raises(ValueError, match=message):
        plots.shapes(stages)
