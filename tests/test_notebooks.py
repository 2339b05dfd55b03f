"""The notebooks hold what they promise; CI runs them all and asks again of the result.

NOTEBOOKS names the folder to look into, by default that of the checkout.
"""

import ast
import json
import os
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("NOTEBOOKS", ROOT / "notebooks"))
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "urls"
]["Repository"]


class Notebook:
    """A notebook's cells as text, and what they showed."""

    def __init__(self, path):
        self.path = path
        self.cells = json.loads(path.read_text("utf-8"))["cells"]
        self.code = [c for c in self.cells if c["cell_type"] == "code"]
        self.prose = "\n\n".join(
            "".join(c["source"]) for c in self.cells if c["cell_type"] == "markdown"
        )
        self.sources = ["".join(c["source"]) for c in self.code]
        self.outputs = [output for c in self.code for output in c["outputs"]]

    def shown(self):
        """All text that the cells showed."""
        for output in self.outputs:
            yield "".join(output.get("text", []))
            yield "".join(output.get("data", {}).get("text/plain", []))

    def solutions(self):
        """Yield the code blocks that are folded away."""
        for folded in re.findall(r"<details>.*?</details>", self.prose, re.DOTALL):
            yield from re.findall(r"```python\n(.*?)```", folded, re.DOTALL)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return Notebook(request.param)


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_has_a_goal_a_time_and_a_badge_that_opens_it(notebook):
    first = "".join(notebook.cells[0]["source"])
    for part in ("# ", "**Goal.**", "**Time.**", "**You need.**"):
        assert part in first
    colab = REPOSITORY.replace(
        "https://github.com", "https://colab.research.google.com/github"
    )
    assert f"({colab}/blob/main/notebooks/{notebook.path.name})" in first


def test_installs_the_package_only_where_it_is_missing(notebook):
    guard, install = notebook.sources[0].strip().splitlines()[-2:]
    assert guard == 'if importlib.util.find_spec("custom_lstm") is None:'
    assert install == f'    %pip install -q "git+{REPOSITORY}"'


def test_chooses_the_backend_before_the_first_import(notebook):
    _, begin, *_ = notebook.sources
    choice = 'os.environ.setdefault("KERAS_BACKEND", "tensorflow")'
    before, found, _ = begin.partition(choice)
    assert found
    assert before.strip() == "import os"


def test_was_run_from_top_to_bottom(notebook):
    counts = [cell["execution_count"] for cell in notebook.code]
    assert counts == list(range(1, len(counts) + 1))
    assert any("image/png" in output.get("data", {}) for output in notebook.outputs)


def test_no_cell_failed_or_warned(notebook):
    assert not [o for o in notebook.outputs if o["output_type"] == "error"]
    for text in notebook.shown():
        assert not re.search(r"Warning:|WARNING:tensorflow", text), text


def test_is_small_and_names_no_machine(notebook):
    content = notebook.path.read_text("utf-8")
    assert len(content) < 400_000
    text = "\n".join([notebook.prose, *notebook.sources, *notebook.shown()])
    assert not re.search(r"(?<![\w.])/(tmp|home|root|work|usr|Users)/", text)


def test_exercises_have_folded_solutions_that_are_python(notebook):
    assert notebook.prose.count("<details>") == notebook.prose.count("</details>")
    exercises = re.split(r"\*\*(?:Exercise \d|Bug [A-Z])", notebook.prose)[1:]
    assert len(exercises) >= 3
    for exercise in exercises:
        assert "<details>" in exercise, exercise[:60]
    for solution in notebook.solutions():
        ast.parse(solution)


def test_refers_to_files_that_exist(notebook):
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", notebook.prose)
    for link in links:
        assert (ROOT / "notebooks" / link).exists(), link
