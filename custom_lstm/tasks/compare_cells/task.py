"""The task: every cell on every problem with every seed, and a table of it all."""

import contextlib
import functools
import gc
import itertools
import shlex
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from custom_lstm import config, plots
from custom_lstm.cells import names
from custom_lstm.data import load_pools
from custom_lstm.errors import UsageError, UserError, in_a_line
from custom_lstm.files import atomic_write, writing
from custom_lstm.plots.style import CROSS
from custom_lstm.tasks.cell_names import cell_class
from custom_lstm.tasks.compare_cells.options import Options
from custom_lstm.tasks.compare_cells.problems import PROBLEMS, Problem, Rows
from custom_lstm.tasks.compare_cells.results import Key, Result, Results, Summary
from custom_lstm.tasks.compare_cells.training import (
    Cell,
    Diverged,
    Trainer,
    check_budget,
    largest_units,
    parameters,
)
from custom_lstm.tasks.own_cells import import_cells
from custom_lstm.training.run_folder import RunFolder, resume_command, write_json
from custom_lstm.training.signals import Stopped, Stopping, Terminated

COMPILING, TIME_STEP = 2.0, 0.3e-3
"""Seconds on two quiet cores, means of all cells, from `ltc`, which takes 50 times as
long as the median, to `echo_state`: to compile a network, and for each time step of a
batch, its share of the scoring included."""


def main(
    asked: Options, tasks: Mapping[str, type[config.Options]] | None = None
) -> int:
    """Compare cells, or go on with it; return the exit code.

    Args:
        asked: all options; `resume` is a run folder or None.
        tasks: all subcommands, of which this one needs none.

    Returns:
        0, or 130 if Ctrl-C cut it short.

    Raises:
        Terminated: SIGTERM ended it; what was finished is kept.
        UserError: a folder or file cannot be read or written, cells of one's own
            cannot be imported, there are no data, or the backend is another than
            TensorFlow.
        UsageError: a cell is unknown, or does not fit the budget.
    """
    if (backend := keras.backend.backend()) != "tensorflow":
        raise UserError(
            f"{asked.task} needs the TensorFlow backend, not {backend}: set "
            "KERAS_BACKEND=tensorflow"
        )
    own = import_cells(asked.compared.own_cells)
    if asked.resume is None:
        comparison = Comparison(asked, own)
        run = comparison.options.run
        folder = RunFolder.create(run.runs, run.name or asked.task, parts=())
        folder.write_config(asked.task, comparison.options.to_json())
    else:
        folder = RunFolder.open(asked.resume)
        options = folder.read_options(Options).resumed_with(asked)
        if options.compared.own_cells and not asked.compared.own_cells:
            raise UsageError(
                f"{folder.path} compares cells of your own: name them again, as in "
                f"{' '.join(own_words(options))}; what a run folder names is not "
                "imported"
            )
        comparison = Comparison(options)
    with folder.claimed():
        return comparison.run(folder)


class Comparison:
    """All trainings of a comparison.

    Args:
        options: all options.
        own: names of cells that are compared, too, where `options` name none.

    Attributes:
        options: the same, in which all cells are named, and the digits used.
        cells: classes of the cells by their names.
        problems: the problems.
        notice: which digits are used; None if no problem needs any.

    Raises:
        DataError: the digits are missing or damaged.
        UsageError: a cell is unknown, or does not fit the budget.
    """

    def __init__(self, options: Options, own: Sequence[str] = ()) -> None:
        compared, self.notice = options.compared, None
        self.cells: dict[str, Cell] = {
            name: cell_class("--cells", name)
            for name in compared.cells or (*names(), *own)
        }
        options = options.replace(cells=tuple(self.cells))
        classes = [PROBLEMS[name] for name in compared.problems]
        digits: tuple[Any, ...] = ()
        if any(issubclass(cls, Rows) for cls in classes):
            pools = load_pools(options.data.data, data_dir=options.data.data_dir)
            digits, self.notice = (pools,), pools.notice
            options = options.replace(data=pools.name)
        self.problems: list[Problem] = [
            cls(*digits) if issubclass(cls, Rows) else cls() for cls in classes
        ]
        self.options = options
        for cell, problem in itertools.product(self.cells.values(), self.problems):
            with _failures_aside():
                check_budget(cell, problem, compared.parameters)

    def run(self, folder: RunFolder) -> int:
        """Train what is missing, and show all; return the exit code."""
        results = Results(folder.path / "results.json")
        left = [key for key in self._keys() if key not in results.by_key]
        print(self.budget(len(left)), flush=True)
        with Stopping() as stopping, contextlib.suppress(Stopped):
            self._train(results, left, stopping)
        summary = Summary(
            results.by_key,
            list(self.cells),
            self.problems,
            self.options.compared.seeds,
        )
        self._show(folder, summary)
        if stopping.requested is None:
            return 0
        left = [key for key in left if key not in results.by_key]
        words = [resume_command(folder), *own_words(self.options)]
        said = f"{len(left):,} trainings are left; go on with\n  {' '.join(words)}"
        if stopping.requested is not signal.SIGINT:
            raise Terminated(f"terminated; {said}")
        print(f"\nStopped early: {said}")
        return 130

    def budget(self, left: int) -> str:
        """Return what is going to be done, and about how long it takes."""
        how, compared = self.options.optimisation, self.options.compared
        count, seeds = len(self._keys()), len(compared.seeds)
        steps = np.mean([problem.length for problem in self.problems])
        seconds = left * (COMPILING / seeds + TIME_STEP * how.steps * steps)
        lines = [
            f"BUDGET: {len(self.cells)} cells × {len(self.problems)} problems × "
            f"{seeds} seeds = {count:,} trainings of {how.steps:,} steps of "
            f"{how.batch_size} sequences; at most {compared.parameters:,} weights.",
            "This is small: it tells what a cell learns soon, not what it can learn.",
        ]
        if left < count:
            lines.append(f"{count - left:,} of them are done.")
        if left:
            lines.append(
                f"Estimate: {max(1, round(seconds / 60))} min on two quiet cores, if "
                "these are cells of average cost."
            )
        return "\n".join(filter(None, [self.notice, *lines]))

    def _keys(self) -> list[Key]:
        problems = [problem.name for problem in self.problems]
        return list(
            itertools.product(self.cells, problems, self.options.compared.seeds)
        )

    def _train(self, results: Results, left: list[Key], stopping: Stopping) -> None:
        """Train what is left, one network for all seeds of a cell and problem."""
        problems = {problem.name: problem for problem in self.problems}
        steps, done = self.options.optimisation.steps, 0
        total = steps * len(self._keys())
        begun = total - steps * len(left)
        with tqdm(
            total=total,
            initial=begun,
            unit="step",
            disable=None,
            ncols=shutil.get_terminal_size().columns - 1,
            nrows=2,  # a terminal that does not tell its size has none
            smoothing=0,
        ) as bar:

            def after_step() -> None:
                bar.update()
                if stopping.requested is not None:
                    raise Stopped

            for (cell, name), keys in itertools.groupby(left, key=lambda key: key[:2]):
                make = functools.cache(
                    functools.partial(self._trainer, cell, problems[name])
                )
                for key in keys:
                    bar.set_description(f"{cell} on {name}, seed {key[2]}")
                    result = trained(key, make, after_step)
                    results.add(result)
                    done += 1
                    bar.update(max(0, begun + done * steps - bar.n))
                    if bar.disable:
                        print(_line(result), flush=True)
                keras.utils.clear_session()
                gc.collect()

    def _trainer(self, cell: str, problem: Problem) -> tuple[Trainer, int, int]:
        """Return a trainer, the units of its cell, and its weights."""
        made, budget = self.cells[cell], self.options.compared.parameters
        units = largest_units(made, problem, budget)
        trainer = Trainer(made, units, problem, self.options.optimisation)
        return trainer, units, parameters(made, units, problem)

    def _show(self, folder: RunFolder, summary: Summary) -> None:
        """Print the table; write it, the scores and the picture into the folder."""
        text, table = summary.text(), folder.path / "table.txt"
        write_json(folder.scores, summary.to_json())
        with writing(table), atomic_write(table) as part:
            part.write_text(text + "\n", encoding="utf-8")
        plots.save(summary_figure(summary, self.options), folder.picture("cells"))
        print(f"\n{text}\n\nThe table and a picture, cells.png, are in {folder.path}.")


def own_words(options: Options) -> list[str]:
    """Return the words of the option that imports cells, if it was given.

    Example:
        >>> own_words(Options().replace(own_cells=("my cells.py",)))
        ['--own-cells', "'my cells.py'"]
    """
    own = options.compared.own_cells
    return ["--own-cells", *map(shlex.quote, own)] if own else []


def trained(
    key: Key,
    make: Callable[[], tuple[Trainer, int, int]],
    after_step: Callable[[], object],
) -> Result:
    """Train a network, and return what it reached; or why it failed.

    Args:
        key: cell, problem and seed.
        make: returns the trainer, the units and the weights.
        after_step: called after every step.

    Raises:
        Stopped: `after_step` raised it.
    """
    about: dict[str, Any] = dict(zip(("cell", "problem", "seed"), key, strict=True))
    try:
        trainer, about["units"], about["parameters"] = make()
        return Result(**about, **trainer.train(key[2], after_step))
    except Stopped:
        raise
    except Diverged as error:
        return Result(**about, failure=str(error))
    except Exception as error:  # noqa: BLE001 - whatever a cell raises is its result
        return Result(**about, failure=in_a_line(error))


def summary_figure(summary: Summary, options: Options) -> Figure:
    """Return the picture of a comparison."""
    compared, how = options.compared, options.optimisation
    measures = summary.measures
    return plots.score_table(
        [[reached.skill for reached in row] for row in summary.reached],
        [[str(reached) for reached in row] for row in summary.reached],
        rows=[
            cell if np.isnan(rank) else f"{cell}  {rank:.1f}"
            for cell, rank in zip(summary.cells, summary.ranks, strict=True)
        ],
        columns=[f"{m.name}\nblind {m.text(m.blind)}" for m in measures],
        title=f"{how.steps:,} steps, up to {compared.parameters:,} weights, "
        f"{len(compared.seeds)} seeds; best mean rank first",
    )


@contextlib.contextmanager
def _failures_aside():
    """Let a UsageError pass, and leave others to the training, which records them."""
    try:
        yield
    except UsageError:
        raise
    except Exception:  # noqa: BLE001, S110 - a cell of the user's
        pass


def _line(result: Result) -> str:
    """Return a line about a training, for where there is no bar."""
    where = f"{result.cell} on {result.problem}, seed {result.seed}"
    if result.scores is None:
        return f"{where}: {CROSS} {result.failure}"
    scores = ", ".join(f"{name} {value:.4g}" for name, value in result.scores.items())
    return f"{where}: {scores} ({result.seconds:.1f} s)"
