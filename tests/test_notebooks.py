"""The notebooks hold what they promise; CI runs them all and asks again of the result.

NOTEBOOKS names the folder to look into, by default that of the checkout.
"""

import ast
import doctest
import importlib.util
import json
import linecache
import os
import re
import tomllib
from pathlib import Path

import pytest

from custom_lstm.checking import CellCheckError

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("NOTEBOOKS", ROOT / "notebooks"))
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
STUDENTS = sorted((FOLDER / "student").glob("*.ipynb"))
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "urls"
]["Repository"]
PUBLIC_MODULES = (
    "checking",
    "convert",
    "numpy_reference",
    "tasks.showers",
    "tasks.showers.simulation",
)


def _module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_editions = _module(ROOT / "notebooks" / "make_editions.py")


class Cell:
    """A cell of code, its text and what nbgrader is told of it."""

    def __init__(self, cell):
        self.id, self.source = cell["id"], "".join(cell["source"])
        self.marks = cell["metadata"].get("nbgrader", {})
        self.tags = cell["metadata"].get("tags", [])
        self.count, self.outputs = cell["execution_count"], cell["outputs"]

    @property
    def is_check(self):
        return self.marks.get("grade", False)

    def run(self, namespace, source=None):
        """Run the cell, or another text of it, whose lines inspection can find."""
        source = source or self.source
        name = f"<{self.id}, {hash(source)}>"
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        exec(compile(source, name, "exec"), namespace)


class Notebook:
    """A notebook's cells as text, and what they showed."""

    def __init__(self, path):
        self.path = path
        self.json = json.loads(path.read_text("utf-8"))
        self.cells = self.json["cells"]
        self.prose = "\n\n".join(
            "".join(c["source"]) for c in self.cells if c["cell_type"] == "markdown"
        )
        self.code = [Cell(c) for c in self.cells if c["cell_type"] == "code"]
        self.sources = [cell.source for cell in self.code]
        self.outputs = [output for cell in self.code for output in cell.outputs]

    def shown(self):
        """All text that the cells showed."""
        for output in self.outputs:
            yield "".join(output.get("text", []))
            yield "".join(output.get("data", {}).get("text/plain", []))

    def exercises(self):
        """Yield each cell to be written, with the next cell, which checks it."""
        for cell, after in zip(self.code, [*self.code[1:], None], strict=True):
            if make_editions.is_solution({"metadata": {"nbgrader": cell.marks}}):
                yield cell, after


def _title(path):
    return f"{path.parent.name}-{path.stem}"


@pytest.fixture(params=NOTEBOOKS, ids=_title)
def notebook(request):
    return Notebook(request.param)


@pytest.fixture(params=STUDENTS, ids=_title)
def student(request):
    return Notebook(request.param)


@pytest.fixture(params=[*NOTEBOOKS, *STUDENTS], ids=_title)
def either(request):
    return Notebook(request.param)


def test_there_are_notebooks_in_two_editions():
    assert NOTEBOOKS
    assert [path.name for path in STUDENTS] == [path.name for path in NOTEBOOKS]


def test_has_a_goal_a_time_and_a_badge_that_opens_it(either):
    first = "".join(either.cells[0]["source"])
    for part in ("# ", "**Goal.**", "**Time.**", "**You need.**"):
        assert part in first
    colab = REPOSITORY.replace(
        "https://github.com", "https://colab.research.google.com/github"
    )
    place = either.path.relative_to(FOLDER).as_posix()
    assert f"({colab}/blob/main/notebooks/{place})" in first


def test_installs_the_package_only_where_it_is_missing_and_nothing_else_of_the_host(
    either,
):
    guard, package, small = either.sources[0].strip().splitlines()[-3:]
    assert guard.startswith('if importlib.util.find_spec("custom_lstm") is None:')
    assert package == f'    %pip install -q --no-deps "git+{REPOSITORY}"'
    assert not re.search("keras|tensorflow|numpy", small)


def test_chooses_the_backend_before_the_first_import(either):
    _, begin, *_ = either.sources
    choice = 'os.environ.setdefault("KERAS_BACKEND", "tensorflow")'
    before, found, _ = begin.partition(choice)
    assert found
    assert before.strip() == "import os"


def test_uses_public_names_alone(either):
    code = "\n".join(either.sources[1:])
    used = re.findall(r"^(?:from|import) (custom_lstm\S*)", code, re.MULTILINE)
    allowed = {"custom_lstm", *(f"custom_lstm.{name}" for name in PUBLIC_MODULES)}
    assert set(used) <= allowed
    assert not re.search(r"from custom_lstm\S* import [^\n]*\b_\w", code)
    assert not re.search(r"\.src\b", code)


def test_was_run_from_top_to_bottom(notebook):
    counts = [cell.count for cell in notebook.code]
    assert counts == list(range(1, len(counts) + 1))
    assert any("image/png" in output.get("data", {}) for output in notebook.outputs)


def test_no_cell_failed_or_warned(notebook):
    assert not [o for o in notebook.outputs if o["output_type"] == "error"]
    for text in notebook.shown():
        assert not re.search(r"Warning:|WARNING:tensorflow", text), text


def test_is_small_and_names_no_machine(either):
    content = either.path.read_text("utf-8")
    assert len(content) < 400_000
    text = "\n".join([either.prose, *either.sources, *either.shown()])
    assert not re.search(r"(?<![\w.])/(tmp|home|root|work|usr|Users)/", text)


def test_refers_to_files_that_exist(either):
    folder = ROOT / "notebooks" / either.path.relative_to(FOLDER).parent
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", either.prose)
    for link in links:
        assert (folder / link).exists(), link


def test_every_exercise_in_code_is_checked_by_the_next_cell(notebook):
    exercises = list(notebook.exercises())
    assert len(exercises) >= 3
    for cell, check in exercises:
        assert "### BEGIN SOLUTION" in cell.source
        assert check.is_check, cell.id
        assert re.search(r"\bassert|\bcheck_cell\(", check.source), cell.id
    ids = [cell.marks["grade_id"] for cell in notebook.code if cell.marks]
    assert len(ids) == len(set(ids))


def test_exercises_are_numbered_from_1(notebook):
    numbers = re.findall(r"\*\*Exercise (\d+)\.\*\*", notebook.prose)
    assert numbers == [str(k + 1) for k in range(len(numbers))]


def test_the_students_edition_is_what_the_command_makes_of_the_teachers(notebook):
    tidy = make_editions.tidied(notebook.json)
    student = make_editions.student_edition(tidy, notebook.path.name)
    kept = ROOT / "notebooks" / "student" / notebook.path.name
    assert kept.read_text("utf-8") == make_editions.text_of(student)


def test_the_students_edition_holds_no_solution_and_no_output(notebook):
    student = Notebook(ROOT / "notebooks" / "student" / notebook.path.name)
    everything = "\n".join([student.prose, *student.sources])
    for cell, _ in notebook.exercises():
        for solution in re.findall(
            r"### BEGIN SOLUTION[^\n]*\n(.*?)### END SOLUTION", cell.source, re.DOTALL
        ):
            assert solution not in everything, cell.id
    answers = [c for c in notebook.cells if c["cell_type"] == "markdown"]
    for answer in filter(make_editions.is_solution, answers):
        assert "".join(answer["source"]) not in everything
    assert "SOLUTION" not in everything and "<details>" not in everything
    assert not student.outputs and {cell.count for cell in student.code} == {None}


def test_the_students_cells_are_python(student):
    for source in student.sources[1:]:
        ast.parse(source)


def test_each_exercise_fails_with_its_name_until_it_is_written(notebook, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    namespace = {"__name__": "notebook"}
    solved = {cell.id: check for cell, check in notebook.exercises()}
    for cell in notebook.code[1:]:  # the first installs the package
        if "slow" in cell.tags:
            continue
        if check := solved.get(cell.id):
            names = re.findall(r"^(?:def|class) (\w+)", cell.source, re.MULTILINE)
            with pytest.raises((NotImplementedError, CellCheckError)) as told:
                unwritten = dict(namespace)
                cell.run(unwritten, make_editions.unsolved(cell.source))
                check.run(unwritten)
            assert re.search(r"TODO: write \w", str(told.value))
            assert any(name in str(told.value) for name in names), str(told.value)
        cell.run(namespace)


def test_solutions_that_do_not_end_or_have_no_task_are_refused():
    for source in (
        "### BEGIN SOLUTION a\n1",
        "### END SOLUTION",
        "### BEGIN SOLUTION\n1\n### END SOLUTION",
        "### BEGIN SOLUTION a\n### BEGIN SOLUTION b\n### END SOLUTION",
    ):
        with pytest.raises(ValueError, match="SOLUTION"):
            make_editions.unsolved(source)


def test_the_example_of_make_editions_runs():
    assert doctest.testmod(make_editions).failed == 0


def test_the_command_writes_the_editions_and_says_when_one_is_out_of_date(
    tmp_path, monkeypatch
):
    script = tmp_path / "make_editions.py"
    script.write_text(Path(make_editions.__file__).read_text("utf-8"), "utf-8")
    teacher = tmp_path / NOTEBOOKS[0].name
    teacher.write_text(NOTEBOOKS[0].read_text("utf-8"), "utf-8")
    command = _module(script)

    def status(*arguments):
        monkeypatch.setattr("sys.argv", [script.name, *arguments])
        return command.main()

    assert status("--check") == 1 and not (tmp_path / "student" / teacher.name).exists()
    assert status() == 0 and status("--check") == 0
    teacher.write_text(teacher.read_text("utf-8").replace("Exercise 1", "Task 1"))
    assert status("--check") == 1
