"""The command line of `count-ones`: what it accepts, what it refuses."""

import json

import pytest

from custom_lstm.errors import UsageError
from custom_lstm.options import to_json
from custom_lstm.tasks.counting.options import (
    ADDING,
    PRESETS,
    Options,
    from_json,
    parse,
)


def test_no_words_give_the_defaults():
    assert parse([]) == Options()


@pytest.mark.parametrize("preset", PRESETS)
def test_options_survive_json(preset):
    options = parse(["--preset", preset, "--units", "7", "--lengths", "5", "9"])
    settled = options.of_cell("gru")
    assert from_json(json.loads(json.dumps(to_json(settled)))) == settled


def test_longer_strings_are_scored_too():
    assert Options().lengths == (40, 100)
    assert parse(["--length", "15", "--lengths", "7"]).lengths == (7,)


def test_the_guide_is_a_preset():
    options = parse(["--preset", "original"])
    assert (options.data.length, options.data.strings) == (20, 10_000)
    assert (options.model.cell, options.model.units) == ("lstm", 24)
    assert (options.model.head, options.model.read) == ("totals", "output")
    assert options.optimisation.epochs == 5000
    assert options.optimisation.batch_size == 1000


@pytest.mark.parametrize("cell", ["lstm", "peephole", "gru", "zoneout"])
def test_memories_that_add_hardly_forget(cell):
    model = Options().of_cell(cell).model
    assert (model.forget_bias > 1, model.sparsity > 0) == 2 * (cell in ADDING,)
    asked = parse(["--forget-bias", "2", "--sparsity", "0"]).of_cell(cell).model
    assert (asked.forget_bias, asked.sparsity) == (2, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--length 0", "--length must be 1 to 62, not 0"),
        ("--length 63", "--length must be 1 to 62, not 63"),
        ("--length 10", "--strings 10000 leaves none of the 1,024 strings of --length"),
        ("--strings 0", "--strings must be 1 or more"),
        ("--batch-size 10001", "--batch-size 10001 is larger than --strings 10000"),
        ("--cell lstn", "did you mean lstm?"),
        ("--cells gru gru", "--cells must be different ones"),
        ("--sparsity -1", "--sparsity must be 0 to 100"),
        ("--lengths 0", "--lengths must be 1 to 100000, not 0"),
        ("--preset orignal", "did you mean original?"),
        ("--predict 01 2", "--predict takes strings of 0 and 1, not 2"),
        ("--resume r --predict 012", "--predict takes strings of 0 and 1, not 012"),
        ("--resume r --epochs 3", "--epochs cannot change on --resume"),
        ("--epoch 3", "did you mean --epochs?"),
    ],
)
def test_mistakes_get_one_line_that_names_the_remedy(words, said):
    with pytest.raises(UsageError) as caught:
        parse(words.split())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
