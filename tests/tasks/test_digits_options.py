"""The options of the digits: what is accepted, what refused and in which words."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from custom_lstm.config import flat, groups
from custom_lstm.errors import UsageError
from custom_lstm.tasks.digits.options import (
    CAROUSELS,
    CLASSIFIER,
    EPOCHS,
    SYMBOLS,
    WITHOUT_SYMBOLS,
    Config,
)

TRAIN = Path(__file__).parents[2] / "train.py"
parse = Config.parse


def test_no_words_give_the_defaults():
    assert parse([]) == Config()


@pytest.mark.parametrize("preset", Config.presets)
def test_options_survive_json(preset):
    words = ["--preset", preset, "--lengths", "4", "8", "--name=-odd name"]
    config = parse([*words, "--no-augment", "--filters", "8"])
    restored = Config.from_json(json.loads(json.dumps(config.to_json())))
    assert restored == config


def test_options_override_the_preset():
    assert parse(["--preset", "best", "--units", "7"]).model.units == 7


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--lenght 3", "did you mean --length?"),
        ("--data mnits", "digits, not mnits; did you mean mnist?"),
        ("--head total", "did you mean totals?"),
        ("--preset bets", "did you mean best?"),
        ("--loop customm", "did you mean custom?"),
        ("--length x", "--length takes a whole number, not x"),
        ("--length=1.5", "--length takes a whole number, not 1.5"),
        ("--epochs few", "--epochs takes a whole number or None, not few"),
        ("--learning-rate high", "--learning-rate takes a number or None, not high"),
        ("--shift far", "--shift takes a number, not far"),
        ("--lengths 4 --length=x", "--length takes a whole number, not x"),
        ("--batch_size x", "--batch-size takes a whole number or None, not x"),
        ("--units x --units y", "--units takes a whole number or None, not y"),
        ("--filters 3 x --units 3", "--filters takes whole numbers, not 3 x"),
        ("--length 0", "--length must be 1 or more, not 0"),
        ("--lengths 4 0", "--lengths must be 1 or more, not 0"),
        ("--start 2", "--start"),
        ("--batch-size -1", "--batch-size must be 1 or more, not -1"),
        ("--epochs 0", "--epochs must be 1 or more, not 0"),
        ("--filters", "--filters needs at least one value"),
        ("--filters 8 0", "--filters must be 1 or more, not 0"),
        ("--dropout 1", "--dropout must be 0.99 or less, not 1.0"),
        ("--learning-rate nan", "--learning-rate cannot be nan"),
        ("--seed -1", "--seed"),
        ("--images a.png", "--images needs --resume RUN"),
        ("--resume r --units 3", "--units cannot change on --resume"),
        ("stray", "unexpected word stray"),
        ("--length 4 5", "unexpected word 5: --length takes one value"),
        ("--no-augment yes", "unexpected word yes: --no-augment takes no value"),
        ("--no-augmnt", "did you mean --no-augment?"),
        ("--hlep", "did you mean --help?"),
        ("--vesion", "did you mean --version?"),
        ("--lenght=6", "unknown option --lenght; did you mean --length?"),
        ("--members 2", "option --members is called --ensemble-size now"),
        ("--settle=0.3", "option --settle is called --augment-decay now"),
        ("--name", "--name needs a value"),
        ("--preset", "--preset needs one of default, best"),
    ],
)
def test_mistakes_get_one_line_that_names_the_remedy(words, said):
    with pytest.raises(UsageError) as caught:
        parse(words.split())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"lenght": 4}, "unknown option"), ({"units": "many"}, "units")],
)
def test_foreign_json_is_refused(change, said):
    with pytest.raises(UsageError, match=said):
        Config.from_json(Config().to_json() | change)


def test_incomplete_json_is_refused():
    options = Config().to_json()
    del options["units"]
    with pytest.raises(UsageError, match="missing: units"):
        Config.from_json(options)
    with pytest.raises(UsageError, match="missing: augment, batch_size, .* more$"):
        Config.from_json({})


def test_an_older_runs_names_and_lacks_are_understood():
    config = Config().replace(length=6, augment_decay=0.25, ensemble_size=3)
    options = config.to_json()
    options["members"] = options.pop("ensemble_size")
    options["settle"] = options.pop("augment_decay")
    assert Config.from_json(options) == config
    del options["settle"]
    assert Config.from_json(options) == config.replace(augment_decay=0.0)


def test_a_run_can_follow_data_that_moved():
    asked = parse(["--resume", "r", "--data-dir", "there"])
    config = Config().replace(units=5, data_dir=Path("here"), lengths=(3,))
    resumed = config.resumed_with(asked)
    assert resumed.data.data_dir == Path("there")
    assert (resumed.model.units, resumed.run.lengths) == (5, (3,))


def test_devices_are_named_again_on_resume():
    mirrored = Config().replace(strategy="mirrored", devices=2)
    resumed = mirrored.resumed_with(parse(["--resume", "r"]))
    assert resumed.parallel == Config().parallel


def test_help_says_what_is_chosen_where_nothing_is_given():
    helps = {name: text for *_, group in groups(Config) for name, _, text in group}
    mnist, embedded = EPOCHS["mnist"].values(), EPOCHS["digits"].values()
    numbers = [n for pair in zip(mnist, embedded, strict=True) for n in pair]
    assert re.findall(r"\d+", helps["epochs"]) == [str(n) for n in numbers]
    assert f"default {SYMBOLS}." in helps["symbols"]
    for name in ("features", "units", "learning_rate", "warmup", "weight_decay"):
        for usual in (CAROUSELS, WITHOUT_SYMBOLS, CLASSIFIER):
            assert f"{usual[name]:g}" in helps[name]
    for data, number in (("MNIST", 64), ("the embedded digits", 16)):
        name = "mnist" if data == "MNIST" else "digits"
        resolved = Config().resolve_defaults(name).optimisation.batch_size
        assert resolved == number
        assert str(number) in helps["batch_size"]


def _train(*words):
    return subprocess.run(
        [sys.executable, "-X", "importtime", TRAIN, *words],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["--lenght", "3"], 2),
        (["--resume", "nowhere"], 1),
        (["count-ones", "--help"], 0),
        (["count-ones", "--length", "0"], 2),
        (["walk-through", "--stepz", "3"], 2),
        (["count-zeros"], 2),
    ],
)
def test_help_and_mistakes_answer_without_importing_keras(words, code):
    done = _train(*words)
    assert done.returncode == code
    imported = [line for line in done.stderr.splitlines() if "import time:" in line]
    assert not [line for line in imported if line.split()[-1] in {"keras", "tyro_"}]
    said = [line for line in done.stderr.splitlines() if "import time:" not in line]
    assert len(said) == (1 if code else 0)
    assert "Traceback" not in done.stderr


def test_help_shows_every_option():
    text = _train("--help").stdout
    for name in flat(Config()):
        assert f"--{name.replace('_', '-')}" in text


def test_each_network_sees_as_much_as_one_alone():
    one, five = (
        Config().replace(ensemble_size=m).resolve_defaults("mnist") for m in (1, 5)
    )
    assert five.optimisation.batch_size == 5 * one.optimisation.batch_size
    assert five.optimisation.epochs == one.optimisation.epochs
    asked = (
        Config()
        .replace(ensemble_size=5, epochs=3, batch_size=10)
        .resolve_defaults("mnist")
    )
    assert (asked.optimisation.epochs, asked.optimisation.batch_size) == (3, 10)


def test_longer_sequences_take_more_steps():
    def sequences(length, data="mnist"):
        config = Config().replace(length=length).resolve_defaults(data)
        return config.optimisation.batch_size

    assert [sequences(n) for n in (1, 4, 6, 10, 20)] == [256, 64, 42, 16, 4]
    assert [sequences(n, "digits") for n in (4, 10, 1000)] == [16, 4, 1]


@pytest.mark.parametrize(
    ("words", "data", "expected"),
    [
        ("", "mnist", CAROUSELS | {"symbols": SYMBOLS}),
        ("", "digits", CAROUSELS | {"symbols": SYMBOLS, "epochs": 40}),
        ("--symbols 0", "mnist", WITHOUT_SYMBOLS | {"symbols": 0}),
        ("--symbols 12", "digits", {"symbols": 12, "units": CAROUSELS["units"]}),
        ("--ensemble-size 2", "mnist", CAROUSELS | {"symbols": SYMBOLS}),
        ("--recurrent cell", "mnist", CLASSIFIER | {"symbols": 0, "epochs": 28}),
        ("--recurrent keras --head value", "mnist", CLASSIFIER | {"head": "value"}),
        ("--preset best", "mnist", CAROUSELS | {"ensemble_size": 6, "views": 9}),
        ("--units 7 --learning-rate 0.02", "mnist", {"units": 7, "features": 128}),
        ("--features 0 --weight-decay 0", "mnist", {"features": 0, "units": 24}),
    ],
)
def test_what_is_not_given_follows_core_and_digits(words, data, expected):
    found = flat(parse(words.split()).resolve_defaults(data))
    assert None not in {name: found[name] for name in CAROUSELS}.values()
    assert {name: found[name] for name in expected} == expected


def test_resolving_twice_changes_nothing():
    once = parse([]).resolve_defaults("mnist")
    assert once.resolve_defaults("mnist") == once


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "--head totals",
            "--head totals needs another --recurrent than carousel, such as cell",
        ),
        ("--recurrent cell --loss cauchy", "--loss cauchy needs --head value"),
        ("--recurrent layer --symbols 4", "--symbols needs --recurrent carousel"),
    ],
)
def test_options_that_exclude_each_other_say_so(words, said):
    with pytest.raises(UsageError) as caught:
        parse(words.split())
    assert str(caught.value).startswith(said)


def test_a_run_of_the_old_preset_is_one_of_the_default():
    config = Config().resolve_defaults("digits")
    old = config.to_json() | {"preset": "any-length"}
    assert Config.from_json(old) == config
