"""Totals of long sequences, by runs that were trained at short ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from custom_lstm import cells, config, plots
from custom_lstm import data as datasets
from custom_lstm.errors import UsageError, UserError
from custom_lstm.files import writing
from custom_lstm.loading import load_model
from custom_lstm.tasks.digits.evaluate import answer, read_digits
from custom_lstm.tasks.digits.model import head_of
from custom_lstm.tasks.digits.options import POOLS, Config
from custom_lstm.tasks.extrapolate.options import Options
from custom_lstm.tasks.tables import text_table
from custom_lstm.training.run_folder import RunFolder, write_json

Floats = npt.NDArray[np.float64]
_NAMES = {
    "carousel": "LSTM with carousels",
    "cell": "LSTM",
    "layer": "LSTM",
    "keras": "Keras's LSTM",
}
_AT_ONCE = 10_000  # digits
_TOLD = (1, 4, 10, 100, 1000)


def main(
    options: Options, tasks: Mapping[str, type[config.Options]] | None = None
) -> int:
    """Score and draw; return the exit code, 0.

    Raises:
        UsageError: no run is named, or a sequence is longer than there are test digits.
        UserError: a run is not finished, or adds no digits; or a file cannot be
            written.
    """
    if not options.folders:
        raise UsageError("extrapolate needs finished runs: extrapolate RUN [RUN ...]")
    runs = [_Run(RunFolder.open(path), options) for path in options.folders]
    found = {}
    for name, run in zip(_told_apart(runs), runs, strict=True):
        found[name] = run.curves(options, name)
        print(f"{name}: {run.folder.path}", flush=True)
    print(f"\n{_table(found, options)}\n")
    path = options.picture or runs[0].folder.path.parent / "extrapolation.png"
    numbers = path.with_suffix(".json")
    write_json(numbers, {name: _listed(curves) for name, curves in found.items()})
    with writing(path):
        title = "Sums of test digits, one after the other"
        plots.save(plots.extrapolation(found, title, style=options.style), path)
    print(f"{path}\n{numbers}")
    return 0


class _Run:
    """A finished run, its network and the digits it is tested on."""

    def __init__(self, folder: RunFolder, asked: Options) -> None:
        self.folder = folder
        self.config: Config = folder.read_options(Config)
        used = folder.read_config(Config.task).get("data_used")
        if not folder.model.is_file():
            raise UserError(f"{folder.path} is not finished: it has no model.keras yet")
        if used not in POOLS:
            raise UserError(
                f"{folder.path}: its config.json must say which digits the run used, "
                f'"data_used": one of {", ".join(POOLS)}. It says {used!r}'
            )
        data_dir = asked.data_dir or self.config.data.data_dir
        self.test = datasets.load_pools(used, data_dir=data_dir).test
        if asked.longest > len(self.test):
            raise UsageError(
                f"--longest {asked.longest} is longer than the {len(self.test):,} test "
                f"digits of {folder.path}"
            )

    @property
    def kind(self) -> str:
        """What the recurrent layer is called."""
        kind = self.config.model.recurrent
        return _NAMES.get(kind) or cells.get(kind).__name__.removesuffix("Cell")

    def curves(self, asked: Options, name: str) -> dict[str, Any]:
        """Return exact match and error at every position, and p^t."""
        model, head = load_model(self.folder.model), head_of(self.config)
        start = self.config.data.start
        read = read_digits(model, head, self.test.images, start)
        exact, mae = np.empty((2, asked.longest))
        drawn = _rounds(asked.longest, asked.sequences)
        total = sum(length * count for length, count in drawn)
        with tqdm(total=total, desc=name, unit="digit", leave=False) as bar:
            for length, count in drawn:
                error = self._errors(model, head, length, count, asked.seed, bar)
                exact[:length] = (error < 0.5).mean(axis=0)
                mae[:length] = error.mean(axis=0)
        return {
            "trained": self.config.data.length,
            "p": float((read == self.test.labels).mean()),
            "exact": exact,
            "mae": mae,
        }

    def _errors(self, model, head, length, count, seed, bar) -> Floats:
        """Return how far totals are from the true ones, `(count, length)`."""
        rng = np.random.default_rng([seed, length])
        signs = np.asarray(datasets.alternating_signs(length, self.config.data.start))
        errors = []
        while count:
            some = min(count, max(1, _AT_ONCE // length))
            chosen = np.stack(
                [rng.permutation(len(self.test))[:length] for _ in range(some)]
            )
            totals = np.cumsum(signs * self.test.labels[chosen].astype(int), axis=1)
            answers = answer(model, head, self.test.images[chosen][..., None])
            errors.append(np.abs(answers.astype(np.float64) - totals))
            bar.update(totals.size)
            count -= some
        return np.concatenate(errors)


def _rounds(longest: int, sequences: int) -> list[tuple[int, int]]:
    """Return lengths, the longest first, and how many sequences of each are drawn.

    Example:
        >>> _rounds(1000, 20)
        [(1000, 20), (100, 200), (10, 2000)]
    """
    rounds = [(longest, sequences)]
    while rounds[-1][0] >= 100:
        length, count = rounds[-1]
        rounds.append((length // 10, 10 * count))
    return rounds


def _told_apart(runs: Sequence[_Run]) -> list[str]:
    """Return a name for each run: its kind, with a number where two are of one."""
    kinds = [run.kind for run in runs]
    return [
        kind if kinds.count(kind) == 1 else f"{kind} {1 + kinds[:n].count(kind)}"
        for n, kind in enumerate(kinds)
    ]


def _table(found: Mapping[str, Mapping[str, Any]], options: Options) -> str:
    """Return mean exact match up to some lengths, in brackets that of p^t; and MAE."""
    lengths = [n for n in _TOLD if n < options.longest] + [options.longest]
    heads = [f"exact % up to {n} (p^t)" for n in lengths]
    rows = []
    for name, curves in found.items():
        powers = curves["p"] ** np.arange(1, options.longest + 1)
        shares = [
            f"{100 * curves['exact'][:n].mean():.2f} ({100 * powers[:n].mean():.2f})"
            for n in lengths
        ]
        rows.append([name, *shares, f"{curves['mae'][-1]:.3g}"])
    return text_table(["network", *heads, f"MAE at {lengths[-1]}"], rows)


def _listed(curves: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in curves.items()
    }
