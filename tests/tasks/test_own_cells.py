"""Cells of a user's own, by the file that holds them, beside published ones."""

import json
import shlex
import sys

import pytest

from custom_lstm import cells
from custom_lstm.cli import main
from custom_lstm.tasks.own_cells import import_cells

CELL = """
import keras
from keras import ops
from custom_lstm import AbstractRNNCell, LSTMCell
{more}

{decorator}
class {name}(AbstractRNNCell):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.state_size = self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units))

    def call(self, inputs, states, training=None):
        h = 0.9 * states[0] + ops.matmul(inputs, self.kernel)
        return h, [h]
"""
REGISTERED = '@keras.saving.register_keras_serializable("{}")'
SMALL = "compare-cells --problems count-ones --steps 2 --batch-size 4 --parameters 60"


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """Leave modules and paths as they were."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("own_", "mine_")):
            del sys.modules[name]


def write(path, name, package="", more=""):
    decorator = REGISTERED.format(package) if package else ""
    path.write_text(CELL.format(name=name, decorator=decorator, more=more), "utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("package", "of_class", "name"),
    [("", "PlainDriftCell", "plain_drift"), ("mine_a", "SavedDrift", "saved_drift")],
)
def test_an_own_cell_is_a_row_of_the_table(tmp_path, capsys, package, of_class, name):
    path = write(tmp_path / "own_row.py", of_class, package)
    words = [*SMALL.split(), "--own-cells", path, "--cells", "simple", name]
    assert main([*words, "--runs", str(tmp_path / "runs")]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    scores = json.loads((folder / "scores.json").read_text("utf-8"))
    assert set(scores["cells"]) == {"simple", name}
    assert scores["failures"] == []
    # a resumed run needs the option again: a folder's word imports nothing
    del sys.modules["own_row"]
    capsys.readouterr()
    assert main(["compare-cells", "--resume", str(folder)]) == 2
    said = capsys.readouterr().err
    assert f"--own-cells {shlex.quote(path)}; what a run folder names" in said
    assert "own_row" not in sys.modules
    words = ["compare-cells", "--resume", str(folder), "--own-cells", path]
    assert main(words) == 0
    assert name in capsys.readouterr().out


def test_own_cells_join_all_cells_where_none_are_named(tmp_path):
    from custom_lstm.tasks.compare_cells.options import Options
    from custom_lstm.tasks.compare_cells.task import Comparison

    own = import_cells([write(tmp_path / "own_join.py", "JoiningCell")])
    options = Options().replace(problems=("sums",))
    assert list(Comparison(options, own).cells) == [*cells.names(), "joining"]


def test_modules_and_siblings_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_package").mkdir()
    write(tmp_path / "mine_package" / "parts.py", "SiblingCell", "mine_package")
    write(tmp_path / "mine_sibling.py", "OtherSiblingCell")
    more = "from mine_sibling import OtherSiblingCell"
    path = write(tmp_path / "own_main.py", "MainCell", more=more)
    found = import_cells(["mine_package.parts", path])
    assert found == ["sibling", "other_sibling", "main"]
    assert import_cells([path]) == ["other_sibling", "main"]  # imported once


def test_a_published_name_stays_the_published_cell(tmp_path):
    path = write(tmp_path / "own_gru.py", "GRUCell", "mine_gru", "")
    assert import_cells([path]) == ["mine_gru>GRUCell"]
    assert cells.get("gru") is cells.GRUCell
    assert cells.get("mine_gru>GRUCell") is not cells.GRUCell


def test_two_own_cells_of_one_name_must_be_told_apart(tmp_path, capsys):
    first = write(tmp_path / "own_first.py", "TwinnedCell", "mine_first")
    other = write(tmp_path / "own_other.py", "TwinnedCell", "mine_other")
    assert import_cells([first, other]) == [
        "mine_first>TwinnedCell",
        "mine_other>TwinnedCell",
    ]
    assert main([*SMALL.split(), "--cells", "twinned"]) == 2
    said = capsys.readouterr().err
    assert "mine_first>TwinnedCell, mine_other>TwinnedCell are all called so" in said


@pytest.mark.parametrize(
    ("code", "said", "exit_code"),
    [
        (None, "there is no such file", 2),
        ("x = 1\n\nx.none\n", "line 3: AttributeError: 'int' object has no", 1),
        ("x = 1\nx = (\n", "line 2: SyntaxError: '(' was never closed", 1),
        ("import nowhere_at_all\n", "line 1: ModuleNotFoundError: No module named", 1),
        ("import sys\nsys.exit('a\\nb')\n", "line 2: SystemExit: a b", 1),
        ("from custom_lstm import LSTMCell\n", "holds no cell: no class that", 1),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, capsys, code, said, exit_code):
    path = tmp_path / "own_wrong.py"
    if code is not None:
        path.write_text(code, "utf-8")
    runs = tmp_path / "runs"
    words = [*SMALL.split(), "--own-cells", str(path), "--runs", str(runs)]
    assert main(words) == exit_code
    error = capsys.readouterr().err
    assert f"--own-cells {path}" in error
    assert said in error
    assert error.count("\n") == 1
    assert not runs.exists()
    assert "own_wrong" not in sys.modules or code.startswith("from custom_lstm")


@pytest.mark.parametrize("name", ["random.py", "numpy.py"])
def test_a_file_named_as_another_module_is_refused(tmp_path, capsys, name):
    path = write(tmp_path / name, "ShadowCell")
    assert main([*SMALL.split(), "--own-cells", path]) == 2
    assert "another module is called" in capsys.readouterr().err


def test_an_unknown_cell_and_module_are_named(capsys):
    assert main([*SMALL.split(), "--own-cells", "mine_nowhere"]) == 1
    assert "No module named 'mine_nowhere'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="must be registered, by keras"):
        cells.get("no_such_cell_at_all")
