"""Checks over whole sequences: every way through them leads to the same result."""

from typing import Any

import keras
import numpy as np

from custom_lstm.checking.report import Breach
from custom_lstm.checking.runs import (
    Run,
    agree,
    array,
    call,
    during,
    initial_states,
    run,
    walk,
)
from custom_lstm.checking.subject import Subject
from custom_lstm.layers.rnn import RNN

_LAYERS = {"keras.layers.RNN": keras.layers.RNN, "custom_lstm.RNN": RNN}

_MASKS = np.array(
    [[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1], [1, 0, 1, 0, 1, 1]], dtype=bool
)
"""Padding on the right, on the left, and gaps: 4 steps of 6 each."""


def repeatable(subject: Subject) -> str:
    """Equal inputs give equal outputs, whatever ran between."""
    cell = subject.cell()
    first = run(cell, subject.inputs())
    run(cell, subject.inputs(draw=1))
    again = run(cell, subject.inputs())
    return agree(
        "the same as in the first call: nothing random at inference, and no memory "
        "but the states",
        again.pairs(first),
    )


def batch_independence(subject: Subject) -> str:
    """A sequence's results do not depend on its neighbours."""
    cell = subject.cell()
    x = subject.inputs()
    alone = run(cell, x)
    for row in range(len(x)):
        others = subject.inputs(draw=1)
        others[row] = x[row]
        seen = run(cell, others)
        agree(
            f"row {row} as before, when the other rows change",
            Run(seen.outputs[row], [s[row] for s in seen.states]).pairs(
                Run(alone.outputs[row], [s[row] for s in alone.states])
            ),
        )
    return f"{len(x)} rows, each among others"


def loops(subject: Subject) -> str:
    """Unrolled, looped and step by step are the same."""
    cell = subject.cell()
    x = subject.inputs()
    with during("step by step"):
        stepped = walk(cell, x)
    with during("looped"):
        looped = run(cell, x, unroll=False)
        seen = agree("as step by step", looped.pairs(stepped))
    with during("unrolled"):
        agree("as step by step", run(cell, x, unroll=True).pairs(stepped))
    return seen


def hoisted(subject: Subject) -> str:
    """`custom_lstm.RNN` gives what `keras.layers.RNN` gives."""
    cell = subject.cell()
    for time in (1, 5):
        x = subject.inputs(time=time)
        with during(f"{time} step(s)"):
            stock = run(cell, x, unroll=False)
            ours = run(cell, x, layer=RNN, unroll=False)
            seen = agree("as keras.layers.RNN", ours.pairs(stock))
    how = "projected at once" if getattr(cell, "splits", False) else "not split"
    return f"{seen}; inputs {how}"


def masks(subject: Subject) -> str:
    """A masked step leaves the states as they are."""
    cell = subject.cell()
    valid = subject.inputs(time=4)
    x = np.full((3, 6, subject.features), 3.0, dtype="float32")
    x[_MASKS] = valid.reshape(-1, subject.features)
    expected = run(cell, valid)
    for name, layer in _LAYERS.items():
        for unroll in (False, True):
            with during(f"{name}, unroll={unroll}"):
                seen = run(cell, x, layer=layer, mask=_MASKS, unroll=unroll)
                outputs = seen.outputs[_MASKS].reshape(3, 4, -1)
                text = agree(
                    "as of the same sequences without their masked steps",
                    Run(outputs, seen.states).pairs(expected),
                )
    with during("all steps masked"):
        held = run(cell, valid, mask=np.zeros((3, 4), dtype=bool))
        initial = Run(held.outputs, initial_states(cell, batch=3))
        agree("the initial states", held.pairs(initial))
    return text


def go_backwards(subject: Subject) -> str:
    """`go_backwards` is the same as reversed inputs."""
    cell = subject.cell()
    x = subject.inputs()
    expected = run(cell, x[:, ::-1].copy())
    for name, layer in _LAYERS.items():
        with during(name):
            seen = run(cell, x, layer=layer, go_backwards=True, unroll=False)
            text = agree("as of reversed inputs", seen.pairs(expected))
    return text


def stateful(subject: Subject) -> str:
    """Two halves, stateful, are the same as the whole."""
    cell = subject.cell()
    x = subject.inputs(time=6)
    whole = run(cell, x)
    for name, layer in _LAYERS.items():
        options = {"return_sequences": True, "return_state": True, "stateful": True}
        rnn = layer(cell, **options)
        halves = [call(rnn, half) for half in np.split(x, 2, axis=1)]
        outputs = np.concatenate([half.outputs for half in halves], axis=1)
        with during(name):
            text = agree(
                "as of the whole sequence",
                Run(outputs, halves[1].states).pairs(whole),
            )
    return text


class _Traced(keras.layers.Layer):
    """Runs a layer and promises no shape, so that Keras finds it by tracing the run."""

    def __init__(self, layer: Any):
        super().__init__()
        self.layer = layer

    def call(self, inputs: Any) -> Any:
        return self.layer(inputs)


def dynamic_shapes(subject: Subject) -> str:
    """Batch size and number of steps may be unknown."""
    cell = subject.cell()
    for name, layer in _LAYERS.items():
        with during(f"{name} on keras.Input((None, {subject.features}))"):
            inputs = keras.Input((None, subject.features))
            rnn = layer(cell, return_sequences=True)
            model = keras.Model(inputs, rnn(inputs))
            traced = _Traced(rnn)(inputs)
            if traced.shape[-1] != model.output_shape[-1]:
                raise Breach(f"output shape {model.output_shape}", f"{traced.shape}")
        for batch, time in ((3, 5), (1, 2), (5, 1)):
            x = subject.inputs(batch=batch, time=time)
            with during(f"{name} on {x.shape}"):
                pairs = [("outputs", array(model(x)), run(cell, x).outputs)]
                agree("as of a layer called directly", pairs)
    return "models of (None, None, features) on (3, 5), (1, 2) and (5, 1)"


CHECKS = (
    repeatable,
    batch_independence,
    loops,
    hoisted,
    masks,
    go_backwards,
    stateful,
    dynamic_shapes,
)
