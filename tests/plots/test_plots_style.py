"""The visual language: contrast, colour blindness, settings, saving."""

import io
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from custom_lstm import plots
from custom_lstm.plots.style import THEMES, new_figure

# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB.
COLOUR_BLIND = {
    "none": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour):
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def luminance(colour):
    return linear(colour) @ [0.2126, 0.7152, 0.0722]


def lab(rgb):
    to_xyz = [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ]
    xyz = np.clip(np.array(to_xyz) @ rgb / [0.9505, 1, 1.089], 1e-6, None)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize(
    ("role", "ratio"), [("ink", 12), ("muted", 4.5), ("model", 4.5), ("wrong", 4.5)]
)
def test_text_contrasts_with_its_background(style, role, ratio):
    theme = THEMES[style]
    levels = sorted(map(luminance, (getattr(theme, role), theme.background)))
    assert (levels[1] + 0.05) / (levels[0] + 0.05) >= ratio


@pytest.mark.parametrize("sight", COLOUR_BLIND)
def test_colour_blind_readers_tell_model_and_mistake_apart(style, sight):
    theme = THEMES[style]
    seen = [
        lab(np.clip(np.array(COLOUR_BLIND[sight]) @ linear(colour), 0, 1))
        for colour in (theme.model, theme.wrong)
    ]
    assert np.linalg.norm(seen[0] - seen[1]) > 25


@pytest.mark.parametrize("sight", COLOUR_BLIND)
def test_gate_colours_grow_evenly_from_closed_to_open(style, sight):
    values = THEMES[style].gate(np.linspace(0, 1, 9))[:, :3]
    seen = [lab(np.clip(COLOUR_BLIND[sight] @ linear(v), 0, 1))[0] for v in values]
    steps = np.diff(seen) if style == "dark" else -np.diff(seen)
    assert (steps > 3).all()


@pytest.mark.parametrize("sight", COLOUR_BLIND)
def test_state_colours_separate_the_signs(style, sight):
    values = THEMES[style].state([0.2, 0.8])[:, :3]
    seen = [lab(np.clip(COLOUR_BLIND[sight] @ linear(v), 0, 1)) for v in values]
    assert np.linalg.norm(seen[0] - seen[1]) > 25


def test_state_colours_have_zero_near_the_background(style):
    theme = THEMES[style]
    away = [
        abs(luminance(v[:3]) - luminance(theme.background))
        for v in theme.state([0, 0.5, 1.0])
    ]
    assert away[1] < 0.1 < min(away[0], away[2])


def test_unknown_style_is_named():
    with pytest.raises(ValueError, match='"light" or "dark", got \'blue\''):
        plots.curves({"loss": [1.0]}, style="blue")


def test_a_users_settings_are_neither_used_nor_changed(pixels):
    plain = pixels(plots.curves({"loss": [3.0, 2.0]}, "a title"))
    with matplotlib.rc_context(
        {"font.size": 40, "axes.facecolor": "red", "xtick.top": True}
    ):
        before = dict(matplotlib.rcParams)
        changed = pixels(plots.curves({"loss": [3.0, 2.0]}, "a title"))
        assert dict(matplotlib.rcParams) == before
    np.testing.assert_array_equal(plain, changed)


def test_a_cut_off_picture_is_noticed(complete):
    with new_figure("light", (4, 3), layout=None) as (figure, _):
        figure.subplots().plot([1, 2])
        figure.text(0.9, 0.5, "far too long to fit")
    with pytest.raises(AssertionError, match="edge|cut off"):
        complete(figure)


def test_an_empty_panel_is_noticed(complete):
    with new_figure("light", (4, 3)) as (figure, _):
        figure.subplots(1, 2)[0].plot([1, 2])
        figure.axes[1].grid(False)
    with pytest.raises(AssertionError, match="empty"):
        complete(figure)


def test_pictures_leave_no_figure_open():
    from matplotlib import pyplot

    plots.curves({"loss": [1.0]})
    assert pyplot.get_fignums() == []


def test_a_notebook_gets_a_png():
    shown = Image.open(io.BytesIO(plots.curves({"loss": [1.0]})._repr_png_()))
    assert (shown.format, shown.mode) == ("PNG", "P")


def test_importing_the_package_imports_no_plots():
    probe = "import sys, custom_lstm; print('custom_lstm.plots' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True
    )
    assert ended.stdout.split()[-1] == "False"


class TestSave:
    def test_writes_a_png_of_the_figures_size(self, tmp_path):
        path = plots.save(plots.curves({"loss": [1.0]}), tmp_path / "curves.png")
        with Image.open(path) as image:
            assert (image.format, image.size) == ("PNG", (1920, 750))

    def test_replaces_an_older_picture(self, tmp_path):
        path = tmp_path / "curves.png"
        path.write_bytes(b"old")
        plots.save(Figure(), str(path))
        assert path.read_bytes().startswith(b"\x89PNG")

    def test_keeps_the_older_picture_when_drawing_fails(self, tmp_path, monkeypatch):
        def fail(self, path, **_):
            Path(path).write_bytes(b"half")
            raise RuntimeError("no ink")

        monkeypatch.setattr(Figure, "savefig", fail)
        path = tmp_path / "curves.png"
        path.write_bytes(b"old")
        with pytest.raises(RuntimeError, match="no ink"):
            plots.save(Figure(), path)
        assert [entry.name for entry in tmp_path.iterdir()] == ["curves.png"]
        assert path.read_bytes() == b"old"

    def test_other_formats_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match=r"must end in \.png"):
            plots.save(Figure(), tmp_path / "curves.pdf")

    def test_missing_folder_is_an_os_error(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            plots.save(Figure(), tmp_path / "nowhere" / "curves.png")
