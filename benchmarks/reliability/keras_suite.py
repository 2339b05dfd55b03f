"""Keras's own tests of recurrent layers, run on the classes of this package.

    python benchmarks/reliability/keras_suite.py

The tests are those that the installed Keras brings with it. They run as they are,
except that in their modules `layers.LSTM` is `custom_lstm.LSTM`, and so on for `OURS`.
Every layer constructed is counted: a case passes only if classes of `OURS` were among
them, and none of those whose place they took.
"""

import collections
import contextlib
import importlib
import inspect
import io
import sys
import types
import unittest
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

import keras

import custom_lstm

OURS = {
    name: getattr(custom_lstm, name)
    for name in (
        "GRU",
        "GRUCell",
        "LSTM",
        "LSTMCell",
        "RNN",
        "SimpleRNN",
        "SimpleRNNCell",
        "TimeDistributed",
    )
}
MODULES = [
    "keras.src.layers.rnn.lstm_test",
    "keras.src.layers.rnn.stacked_rnn_cells_test",
    "keras.src.layers.rnn.bidirectional_test",
    "keras.src.layers.rnn.time_distributed_test",
    "keras.src.layers.rnn.rnn_test",
    "keras.src.layers.rnn.dropout_rnn_cell_test",
    "keras.src.layers.rnn.gru_test",
    "keras.src.layers.rnn.simple_rnn_test",
    "keras.src.layers.core.masking_test",
    "keras.src.models.functional_test",
    "keras.src.models.sequential_test",
    "keras.src.saving.saving_lib_test",
    "keras.src.legacy.saving.legacy_h5_format_test",
]
BIDIRECTIONAL = "bidirectional_test.SimpleRNNTest"
CUDNN = "asks whether Keras's own kernel for PyTorch calls cuDNN, on a GPU"
FUSED = "asks a private method of Bidirectional whether it holds Keras's own class"
NOT_APPLICABLE = {
    f"{BIDIRECTIONAL}.test_fused_lstm_eligibility": FUSED,
    f"{BIDIRECTIONAL}.test_fused_gru_eligibility": FUSED,
    f"{BIDIRECTIONAL}.test_torch_cudnn_bidirectional_gru_dispatch_fires": CUDNN,
    "gru_test.GRUTest.test_torch_cudnn_dispatch_fires": CUDNN,
}


@dataclass(frozen=True)
class Case:
    """One test of Keras: a method of a `unittest.TestCase`."""

    owner: type[unittest.TestCase]
    method: str

    @property
    def module(self) -> types.ModuleType:
        return sys.modules[self.owner.__module__]

    @property
    def name(self) -> str:
        module = self.module.__name__.rpartition(".")[2]
        return f"{module}.{self.owner.__name__}.{self.method}"

    @property
    def why_not(self) -> str | None:
        """Why it cannot apply, or None if it does."""
        for marked in (self.owner, getattr(self.owner, self.method)):
            for mark in getattr(marked, "pytestmark", []):
                if mark.name == "skipif" and mark.args[0]:
                    return mark.kwargs["reason"]
        return NOT_APPLICABLE.get(self.name)


def cases() -> Iterator[Case]:
    """Every case of `MODULES` that names one of the classes that `OURS` replaces."""
    for name in MODULES:
        module = importlib.import_module(name)
        for owner in vars(module).values():
            if isinstance(owner, type) and owner.__module__ == name:
                for method in unittest.TestLoader().getTestCaseNames(owner):
                    test = inspect.unwrap(getattr(owner, method))
                    if names_in(test.__code__) & set(OURS):
                        yield Case(owner, method)


def names_in(code: types.CodeType) -> set[str]:
    """Return the names that a function mentions, and those defined in it."""
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return {*code.co_names}.union(*map(names_in, inner))


def with_ours(module: types.ModuleType) -> types.ModuleType:
    """Return a module like `module`, a `layers` or what holds one, with our classes."""
    twin = types.ModuleType(module.__name__)
    vars(twin).update(vars(module))
    if hasattr(module, "LSTM"):
        vars(twin).update(OURS)
    else:
        twin.layers = with_ours(module.layers)
    return twin


@contextlib.contextmanager
def traceback_filtering_kept() -> Iterator[None]:
    """Undoes what Keras's `setUp` does to the whole process."""
    filtering = keras.config.is_traceback_filtering_enabled()
    try:
        yield
    finally:
        if filtering:
            keras.config.enable_traceback_filtering()


def run(case: Case) -> tuple[str, dict[str, int]]:
    """Run a case on our classes.

    Returns:
        What failed, "" if nothing did; and how many of `OURS` it constructed, by name.
    """
    made: collections.Counter[type] = collections.Counter()
    construct = keras.layers.Layer.__new__

    def count(cls, *args, **kwargs):
        made[cls] += 1
        return construct(cls, *args, **kwargs)

    replaced = {
        name: with_ours(vars(case.module)[name])
        for name in ("layers", "keras")
        if name in vars(case.module)
    }
    result = unittest.TestResult()
    with (
        traceback_filtering_kept(),
        mock.patch.multiple(case.module, **replaced),
        mock.patch.object(keras.layers.Layer, "__new__", staticmethod(count)),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        case.owner(case.method).run(result)
    ours = {name: made[cls] for name, cls in OURS.items() if made[cls]}
    theirs = [name for name in OURS if made[getattr(keras.layers, name)]]
    said = [text for _, text in result.failures + result.errors + result.skipped]
    if theirs:
        said.append(f"constructed Keras's own {theirs}")
    if not ours:
        said.append("constructed no class of custom_lstm")
    return "\n".join(said), ours


def main() -> int:
    """Print a line for each case, and how many passed; 1 if one did not."""
    applicable = passed = 0
    for case in cases():
        if case.why_not:
            print(f"{case.name}: not applicable: {case.why_not}")
            continue
        failure, ours = run(case)
        counts = ", ".join(f"{count} {name}" for name, count in ours.items())
        verdict = "FAILED" if failure else "passed"
        print(
            f"{case.name}: {verdict} ({counts})", failure, sep="\n" if failure else ""
        )
        applicable += 1
        passed += not failure
    print(f"{passed} of {applicable}")
    return int(passed < applicable)


if __name__ == "__main__":
    sys.exit(main())
