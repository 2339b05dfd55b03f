"""What trainings reached: kept in one file, as a table, and ranked."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from numpy.typing import NDArray
from scipy.stats import rankdata

from custom_lstm.errors import UserError
from custom_lstm.plots.style import CROSS
from custom_lstm.tasks.compare_cells.problems import Measure, Problem
from custom_lstm.tasks.tables import text_table
from custom_lstm.training.run_folder import read_json, write_json

Key = tuple[str, str, int]
"""Cell, problem and seed of a training."""
NONE = "–"


@dataclasses.dataclass(frozen=True)
class Result:
    """What one training reached, or why it failed.

    Args:
        cell: name of the cell.
        problem: name of the problem.
        seed: of the training.
        units: of the cell, if it came so far.
        parameters: weights of the network, if it came so far.
        seconds: that it took, compiling aside, if it did not fail.
        loss: of the last step, if it did not fail.
        scores: by the names of the problem's measures, if it did not fail.
        failure: what went wrong, in a line; None if nothing did.
    """

    cell: str
    problem: str
    seed: int
    units: int | None = None
    parameters: int | None = None
    seconds: float | None = None
    loss: float | None = None
    scores: dict[str, float] | None = None
    failure: str | None = None

    @property
    def key(self) -> Key:
        """Cell, problem and seed."""
        return self.cell, self.problem, self.seed


class Results:
    """The results of a run, in a file that is whole at any moment.

    Args:
        path: the file; read if it exists.

    Raises:
        UserError: it is damaged.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "results.json"
        >>> Results(path).add(Result("gru", "copy", 0, failure="no memory"))
        >>> Results(path).by_key["gru", "copy", 0].failure
        'no memory'
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.by_key: dict[Key, Result] = {}
        if path.is_file():
            try:
                listed = _FILE.validate_python(read_json(path).get("results"))
            except pydantic.ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"])) or "results"
                raise UserError(
                    f"{path} holds no results: {where}: {first['msg']}"
                ) from None
            self.by_key = {result.key: result for result in listed}

    def add(self, result: Result) -> None:
        """Add a result, and write the file.

        Raises:
            UserError: it cannot be written.
        """
        self.by_key[result.key] = result
        every = [dataclasses.asdict(result) for result in self.by_key.values()]
        write_json(self._path, {"results": every})


_FILE = pydantic.TypeAdapter(list[Result])


@dataclasses.dataclass(frozen=True)
class Reached:
    """What a cell reached by one measure.

    Args:
        measure: the measure.
        values: of the seeds that did not fail.
        failed: how many seeds failed.
        missing: how many have not been trained yet.

    Example:
        >>> print(Reached(Measure("copy", 12.5), (90.0, 92.0), failed=1))
        91.0 ± 1.4 (1 ✗)
    """

    measure: Measure
    values: tuple[float, ...]
    failed: int = 0
    missing: int = 0

    def __str__(self) -> str:
        """Return mean ± standard deviation, and how many seeds failed."""
        if not self.values:
            return CROSS if self.failed else NONE
        digits = 1 if self.measure.percent else 4
        text = f"{np.mean(self.values):.{digits}f}"
        if len(self.values) > 1:
            text += f" ± {np.std(self.values, ddof=1):.{digits}f}"
        return text + (f" ({self.failed} {CROSS})" if self.failed else "")

    @property
    def skill(self) -> float:
        """From 0, blind, to 1, the best; a seed that failed has 0; NaN if missing."""
        if self.missing:
            return float("nan")
        skills = [self.measure.skill(value) for value in self.values]
        return sum(skills) / (len(skills) + self.failed)

    def to_json(self) -> dict[str, Any]:
        """Return the mean, the standard deviation, the values, and what is lacking."""
        several = len(self.values) > 1
        return {
            "mean": float(np.mean(self.values)) if self.values else None,
            "sd": float(np.std(self.values, ddof=1)) if several else None,
            "values": list(self.values),
            "failed": self.failed,
            "missing": self.missing,
        }


class Summary:
    """All results of a comparison, cells by measures; the best cell first.

    Cells are ranked in each column in percent, by the mean of their seeds; those that
    cannot be told from a blind answer share a rank. Their order is that of the mean of
    these ranks. A cell of which a training is missing comes last, without a rank.

    Args:
        results: of the trainings, by cell, problem and seed.
        cells: names of the cells.
        problems: the problems.
        seeds: of the trainings.

    Attributes:
        measures: the columns.
        cells: names of the cells, in order.
        ranks: the mean rank of each; NaN where it has none.
        reached: a row for each cell, of all measures.
        failures: what failed, a line each.
    """

    def __init__(
        self,
        results: Mapping[Key, Result],
        cells: Sequence[str],
        problems: Sequence[Problem],
        seeds: Sequence[int],
    ) -> None:
        self.measures = [m for problem in problems for m in problem.measures]
        names = [problem.name for problem in problems]
        keys = list(itertools.product(cells, names, seeds))
        self.results = [results[key] for key in keys if key in results]
        rows = {
            cell: [
                _reached(measure, [results.get((cell, p.name, s)) for s in seeds])
                for p in problems
                for measure in p.measures
            ]
            for cell in cells
        }
        ranks = dict(zip(cells, self._ranks(list(rows.values())), strict=True))
        self.cells = sorted(
            cells, key=lambda cell: (np.isnan(ranks[cell]), ranks[cell])
        )
        self.ranks = [float(ranks[cell]) for cell in self.cells]
        self.reached = [rows[cell] for cell in self.cells]
        self.failures = [
            f"{r.cell} on {r.problem}, seed {r.seed}: {r.failure}"
            for r in self.results
            if r.failure is not None
        ]

    def _ranks(self, rows: Sequence[Sequence[Reached]]) -> NDArray[np.float64]:
        ranked = [k for k, measure in enumerate(self.measures) if measure.percent]
        skills = np.array([[row[k].skill for k in ranked] for row in rows])
        whole = ~np.isnan(skills).any(axis=1)
        ranks = np.full(len(rows), np.nan)
        if whole.any():
            rounded = skills[whole].round(9)
            ranks[whole] = rankdata(-rounded, axis=0).mean(axis=1)
        return ranks

    def text(self) -> str:
        """Return the table, and below it what failed."""
        heads = ["cell", "rank", *(measure.name for measure in self.measures)]
        blind = ["blind answer", "", *(m.text(m.blind) for m in self.measures)]
        rows = [
            [cell, NONE if np.isnan(rank) else f"{rank:.1f}", *map(str, row), seconds]
            for cell, rank, row, seconds in zip(
                self.cells, self.ranks, self.reached, self._seconds(), strict=True
            )
        ]
        lines = [text_table([*heads, "seconds"], [[*blind, ""], *rows])]
        if self.failures:
            lines += [f"\n{len(self.failures)} failed ({CROSS}):", *self.failures]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the content of scores.json."""
        return {
            "measures": {m.name: dataclasses.asdict(m) for m in self.measures},
            "cells": {
                cell: {
                    "rank": None if np.isnan(rank) else rank,
                    "scores": {
                        measure.name: reached.to_json()
                        for measure, reached in zip(self.measures, row, strict=True)
                    },
                }
                for cell, rank, row in zip(
                    self.cells, self.ranks, self.reached, strict=True
                )
            },
            "failures": self.failures,
        }

    def _seconds(self) -> list[str]:
        """Return how long the trainings of each cell took together."""
        took = dict.fromkeys(self.cells, 0.0)
        for result in self.results:
            took[result.cell] += result.seconds or 0
        return [f"{took[cell]:.0f}" for cell in self.cells]


def _reached(measure: Measure, results: Sequence[Result | None]) -> Reached:
    """Return what the seeds of a cell reached."""
    there = [result for result in results if result is not None]
    scores = [result.scores for result in there if result.scores is not None]
    return Reached(
        measure,
        tuple(of[measure.name] for of in scores if measure.name in of),
        failed=len(there) - len(scores),
        missing=len(results) - len(there),
    )
