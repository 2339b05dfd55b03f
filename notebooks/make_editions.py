"""Make the students' edition of every notebook from the teacher's.

The notebooks beside this script are the teacher's: exercises, solutions and outputs.
Those in `student/` are made from them, without solutions and outputs:

    python notebooks/make_editions.py

Exercises are marked as nbgrader marks them, so that its commands work here too. In a
cell of code a solution is what lies between two lines; the first tells what to write:

    def double(x):
        ### BEGIN SOLUTION two times x
        return 2 * x
        ### END SOLUTION

The student finds `# TODO: two times x` there, and an error that names the function.
A cell of prose that is a solution is replaced as a whole. A cell tagged `teacher` is
left out.
"""

import argparse
import copy
import json
import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
STUDENT = "student"
ANSWER = "*Your answer:*"
INTRODUCTION = (
    "This is the students' edition. You write what a cell marked `# TODO` asks for, in "
    "place of the line that raises an error; the cell below it checks what you wrote. "
    "[How to work with it](../README.md)."
)
_BEGIN, _END = "### BEGIN SOLUTION", "### END SOLUTION"
_NAME = re.compile(r"^(\s*)(?:def|class) (\w+)")


def is_solution(cell: dict) -> bool:
    """Return whether nbgrader's metadata call the cell a solution."""
    return cell["metadata"].get("nbgrader", {}).get("solution", False)


def unsolved(source: str) -> str:
    """Return a cell's code with every solution replaced by an error that names it.

    Raises:
        ValueError: a solution does not begin or does not end, or has no task.

    Example:
        >>> code = "def f(x):\\n    ### BEGIN SOLUTION twice\\n    return 2 * x\\n"
        >>> print(unsolved(code + "    ### END SOLUTION"))
        def f(x):
            # TODO: twice
            raise NotImplementedError("TODO: write f")
    """
    lines, within, names = [], False, []
    for line in source.split("\n"):
        text = line.strip()
        if text.startswith((_BEGIN, _END)):
            if text.startswith(_BEGIN) == within or text == _BEGIN:
                raise ValueError(f"unexpected {text!r} in\n{source}")
            within = not within
            if within:
                lines += _todo(line, text, names)
        elif not within:
            lines.append(line)
            if found := _NAME.match(line):
                indent = len(found[1])
                names = [n for n in names if n[0] < indent] + [(indent, found[2])]
    if within:
        raise ValueError(f"no {_END!r} in\n{source}")
    return "\n".join(lines)


def _todo(line: str, text: str, names: list[tuple[int, str]]) -> list[str]:
    """Return the lines that stand for a solution that begins with `line`."""
    indent = len(line) - len(line.lstrip())
    name = ".".join(name for depth, name in names if depth < indent)
    task = text.removeprefix(_BEGIN).strip()
    return [
        f"{' ' * indent}# TODO: {task}",
        f'{" " * indent}raise NotImplementedError("TODO: write {name or task}")',
    ]


def tidied(notebook: dict) -> dict:
    """Return a notebook without what depends on when and where it ran."""
    notebook = copy.deepcopy(notebook)
    notebook["metadata"]["language_info"] = {"name": "python"}
    for cell in notebook["cells"]:
        cell["metadata"].pop("execution", None)
        if "outputs" in cell:
            cell["outputs"] = _joined(cell["outputs"])
    return notebook


def _joined(outputs: list[dict]) -> list[dict]:
    """Return outputs with texts joined that were printed one after the other."""
    joined: list[dict] = []
    for output in outputs:
        stream = output.get("name") if output["output_type"] == "stream" else None
        if stream and joined and joined[-1].get("name") == stream:
            text = "".join([*joined[-1]["text"], *output["text"]])
            joined[-1]["text"] = text.splitlines(keepends=True)
        else:
            joined.append(output)
    return joined


def student_edition(notebook: dict, name: str) -> dict:
    """Return the students' edition of the teacher's notebook of this file name."""
    notebook = copy.deepcopy(notebook)
    kept = []
    for cell in notebook["cells"]:
        if "teacher" in cell["metadata"].get("tags", []):
            continue
        source, code = "".join(cell["source"]), cell["cell_type"] == "code"
        if code:
            cell |= {"outputs": [], "execution_count": None}
            source = unsolved(source)
        elif is_solution(cell):
            source = ANSWER
        else:
            source = _moved(source, name)
            if not kept:
                source = f"{source}\n\n{INTRODUCTION}"
        cell["source"] = source.splitlines(keepends=True)
        kept.append(cell)
    return {**notebook, "cells": kept}


def _moved(prose: str, name: str) -> str:
    """Return prose whose links hold one folder further down."""
    prose = prose.replace(f"/notebooks/{name}", f"/notebooks/{STUDENT}/{name}")
    return re.sub(r"\]\((\.\./[^)]+|README\.md[^)]*)\)", r"](../\1)", prose)


def text_of(notebook: dict) -> str:
    """Return a notebook as its file holds it."""
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def main() -> int:
    """Write what is out of date, or with --check say it; return an exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    (FOLDER / STUDENT).mkdir(exist_ok=True)
    outdated = 0
    for path in sorted(FOLDER.glob("*.ipynb")):
        teacher = tidied(json.loads(path.read_text("utf-8")))
        student = student_edition(teacher, path.name)
        editions = {path: teacher, FOLDER / STUDENT / path.name: student}
        for target, notebook in editions.items():
            made = text_of(notebook)
            if target.exists() and target.read_text("utf-8") == made:
                continue
            outdated += 1
            print(f"{target.relative_to(FOLDER)} is out of date")
            if not check:
                target.write_text(made, "utf-8")
    return int(check and outdated > 0)


if __name__ == "__main__":
    sys.exit(main())
