"""Options: checked however they are made, as words and as JSON."""

import dataclasses
from typing import Annotated, Literal

import pydantic
import pytest

from custom_lstm import config
from custom_lstm.config import Count, Positive, options
from custom_lstm.errors import UsageError


@options
class Model:
    """What is trained."""

    units: Positive = 8
    """Units of
    the layer."""
    kind: Literal["lstm", "gru"] = "lstm"
    """Cell."""
    sizes: Annotated[tuple[Positive, ...], pydantic.Field(min_length=1)] = (2, 3)
    """Sizes."""
    rate: float | None = None
    """Rate; by default what suits the units."""


@options
class Run:
    """What is done with it."""

    preset: Literal["default", "large"] = "default"
    """Defaults."""
    resume: str | None = None
    """Run to resume."""
    again: Count = 0
    """May change."""


@options
class Options(config.Options):
    """All."""

    model: Model = Model()
    run: Run = Run()

    task = "toy"
    entry = "nowhere:main"
    description = "Play."
    presets = {"default": {}, "large": {"preset": "large", "units": 99}}
    may_change = ("again",)
    renamed = {"width": "units"}
    added = {"again": 5}

    def __post_init__(self):
        if self.model.kind == "gru" and self.model.units > 50:
            raise UsageError("--kind gru needs fewer --units")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unit": 3}, "unknown option --unit; did you mean --units?"),
        ({"units": 0}, "--units must be 1 or more, not 0"),
        ({"units": 10**10}, "--units must be 1000000000|1e\\+09 or less"),
        ({"units": 2.5}, "--units cannot be 2.5"),
        ({"units": True}, "--units cannot be True"),
        ({"kind": "lsmt"}, "--kind must be one of lstm, gru, not lsmt; did you mean"),
        ({"sizes": ()}, "--sizes needs at least one value"),
        ({"sizes": (1, 0)}, "--sizes must be 1 or more, not 0"),
        ({"rate": float("inf")}, "--rate cannot be inf"),
        ({"kind": "gru", "units": 51}, "--kind gru needs fewer --units"),
    ],
)
def test_what_cannot_be_is_refused_however_it_is_made(change, said):
    """By `replace`, from JSON and, within a group, by its class."""
    with pytest.raises(UsageError, match=said):
        Options().replace(**change)
    content = Options().to_json()
    lists = {k: list(v) if isinstance(v, tuple) else v for k, v in change.items()}
    with pytest.raises(UsageError, match=said):
        Options.from_json(content | lists)
    if len(change) == 1 and "unit" not in change:
        with pytest.raises(UsageError, match=said):
            Model(**change)
        with pytest.raises(UsageError, match=said):
            dataclasses.replace(Model(), **change)


def test_replacing_keeps_the_rest():
    changed = Options().replace(units=5, again=2)
    assert changed.model == Model(units=5)
    assert changed.run == Run(again=2)
    assert Options().model.units == 8
    with pytest.raises(UsageError, match="option --width is called --units now"):
        Options().replace(width=3)


def test_options_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().model.units = 3


def test_json_reads_old_names_and_what_runs_did_before():
    content = Options().replace(units=3).to_json()
    assert list(content) == [
        "units", "kind", "sizes", "rate", "preset", "resume", "again",
    ]  # fmt: skip
    content["width"] = content.pop("units")
    del content["again"]
    assert Options.from_json(content) == Options().replace(units=3, again=5)
    del content["rate"]
    with pytest.raises(UsageError, match="options are missing: rate"):
        Options.from_json(content)


@pytest.mark.parametrize("value", ["a\0", "\ud800", [1], {"a": 1}, 10**400, 3.5])
def test_foreign_values_are_refused_in_one_line(value):
    with pytest.raises(UsageError) as caught:
        Options.from_json(Options().to_json() | {"resume": value})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_preset_changes_defaults_and_words_come_after():
    assert Options.parse(["--preset", "large"]).model.units == 99
    assert Options.parse(["--units", "7", "--preset", "large"]).model.units == 7
    with pytest.raises(UsageError, match="did you mean large?"):
        Options.parse(["--preset", "lage"])


def test_what_may_change_on_resume_does_and_nothing_else():
    asked = Options.parse(["--resume", "r", "--again", "3"])
    resumed = Options().replace(units=5).resumed_with(asked)
    assert (resumed.model.units, resumed.run.again, resumed.resume) == (5, 3, "r")
    with pytest.raises(UsageError, match="--units cannot change .*; only --again may"):
        Options.parse(["--resume", "r", "--units", "3"])


def test_help_is_the_docstrings(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit) as stop:
        Options.parse(["--help"])
    assert not stop.value.code
    text = capsys.readouterr().out
    assert "Units of the layer. (default: 8)" in text
    assert "what suits the units." in text
    assert "default: None" not in text


@options
class LongRun(Run):
    """What is done with it."""

    again: Count = 3
    """How often."""
    minutes: Positive = 1
    """How long."""


@options
class LongOptions(Options):
    """All."""

    run: LongRun = LongRun()


def test_groups_are_inherited_with_help_and_checks():
    (run,) = [
        options for name, _, options in config.groups(LongOptions) if name == "run"
    ]
    assert [(name, value) for name, value, _ in run] == [
        ("preset", "default"),
        ("resume", None),
        ("again", 3),
        ("minutes", 1),
    ]
    assert [text for _, _, text in run] == [
        "Defaults.",
        "Run to resume.",
        "How often.",
        "How long.",
    ]
    parsed = LongOptions.parse(["--minutes", "5", "--units", "3"])
    assert (parsed.run.minutes, parsed.model.units) == (5, 3)
    with pytest.raises(UsageError, match="--again must be 0 or more, not -1"):
        LongOptions.parse(["--again", "-1"])


def test_an_option_of_before_is_answered_with_its_new_name():
    with pytest.raises(UsageError, match="option --width is called --units now"):
        Options.parse(["--width=3"])


@options
class Ungrouped(Options):
    """All."""

    pace: float = 1.0
    """Steps a second."""
    run: LongRun = LongRun()


def test_options_without_a_group_come_first():
    (name, about, alone), *others = config.groups(Ungrouped)
    assert (name, about, alone) == ("", "", [("pace", 1.0, "Steps a second.")])
    assert "run" in [name for name, *_ in others]
