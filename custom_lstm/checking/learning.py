"""Checks of what training needs: gradients, dropout, precision, a falling loss."""

from typing import Any

import keras
import numpy as np
from keras import ops

from custom_lstm.checking.arguments import constructor_arguments
from custom_lstm.checking.backends import finest, precision
from custom_lstm.checking.backends import gradients as automatic
from custom_lstm.checking.report import Breach
from custom_lstm.checking.runs import agree, during, initial_states, run, tensor
from custom_lstm.checking.scalars import Total
from custom_lstm.checking.subject import Subject, zero_states

_DIRECTIONS = 3
_DIFFERENCES = {"float64": (1e-5, 1e-3, 1e-5), "float32": (1e-2, 2e-2, 2e-3)}
"""ε of central differences, and rtol and atol of a comparison with them."""
_HALF = 0.5
"""The dropout rate that is tried."""


def gradients(subject: Subject) -> str:
    """Gradients are those of central differences.

    A random weighting of all outputs and last states is differentiated with respect
    to inputs, initial states and weights: automatically, and by
    (L(x + εd) − L(x − εd)) / 2ε along random directions d in each of them: in float64
    on TensorFlow, and coarsely, in float32, on other backends (see `finest`).
    """
    rng = np.random.default_rng(subject.seed)
    epsilon, rtol, atol = _DIFFERENCES[finest()]
    with precision(finest()):
        total = Total(subject, batch=3, time=4, seed=subject.seed)
        found = automatic(total, total.arrays)
        pairs = []
        for k, name in enumerate(total.names):
            for number in range(_DIRECTIONS):
                d = rng.normal(size=total.arrays[k].shape)
                d /= np.sqrt(d.size)
                ends = [total.moved(k, sign * epsilon * d) for sign in (1, -1)]
                slope = (ends[0] - ends[1]) / (2 * epsilon)
                label = f"slope along direction {number} in {name}"
                pairs.append((label, np.sum(found[k] * d), np.float64(slope)))
        _finite_from_the_start(subject)
    seen = agree("automatic = numeric", pairs, rtol, atol)
    return f"{seen} in {finest()}, in {', '.join(total.names)}"


def _finite_from_the_start(subject: Subject) -> None:
    """Raises if gradients are not finite where a sequence begins."""
    cell = subject.cell()
    begin = initial_states(cell, batch=3)
    total = Total(subject, 3, 4, subject.seed, cell=cell, begin=begin)
    found = zip(total.names, automatic(total, total.arrays), strict=True)
    wrong = [name for name, gradient in found if not np.isfinite(gradient).all()]
    if wrong:
        names = ", ".join(wrong)
        raise Breach(
            "finite gradients from the initial state", f"nan or inf in {names}"
        )


def weights_used(subject: Subject) -> str:
    """Every trainable weight acts on outputs or states."""
    total = Total(subject, batch=16, time=4, seed=subject.seed)
    found = automatic(total, total.arrays)[total.first_weight :]
    for name, gradient in zip(total.names[total.first_weight :], found, strict=True):
        columns = (
            gradient.reshape(-1, gradient.shape[-1]) if gradient.ndim else gradient
        )
        idle = np.flatnonzero(~np.any(np.atleast_2d(columns), axis=0))
        if idle.size:
            raise Breach(
                f"a gradient in every column of {name} {gradient.shape}",
                f"none in {idle.size} of {gradient.shape[-1]}: {idle.tolist()}. They "
                "change nothing; does each gate read its own part?",
            )
    return ", ".join(total.names[total.first_weight :]) or "no trainable weights"


def dropout(subject: Subject) -> str:
    """Dropout acts in training, and not at inference."""
    names = [n for n in constructor_arguments(subject.cell_class) if "dropout" in n]
    x = subject.inputs()
    for name in names:
        without = run(subject.cell(**{name: 0.0}), x)
        cell = subject.cell(**{name: _HALF})
        with during(f"{name}={_HALF}, training=False"):
            agree("as without dropout", run(cell, x).pairs(without))
        trained = run(cell, x, training=True)
        if np.array_equal(trained.outputs, without.outputs):
            raise Breach(
                f"other outputs with {name}={_HALF}, training=True", "the same outputs"
            )
    return ", ".join(names) or "no argument with `dropout` in its name"


def mixed_precision(subject: Subject) -> str:
    """Under `mixed_bfloat16` results stay close to float32's."""
    x = subject.inputs(time=4)
    expected = run(subject.cell(), x)
    with precision("mixed_bfloat16"):
        cell = subject.cell()
        output, states = cell(tensor(x[:, 0], cell), zero_states(cell, 3))
        dtypes = [
            keras.backend.standardize_dtype(result.dtype)
            for result in [output, *keras.tree.flatten(states)]
        ]
        if set(dtypes) != {"bfloat16"}:
            raise Breach("output and states in bfloat16", ", ".join(dtypes))
        wide = {
            keras.backend.standardize_dtype(w.dtype) for w in cell.trainable_weights
        }
        if wide - {"float32"}:
            raise Breach("weights in float32", ", ".join(sorted(wide)))
        seen = run(cell, x)
    return agree("as in float32", seen.pairs(expected), rtol=2e-2, atol=2e-2)


def training(subject: Subject) -> str:
    """Training reduces a loss, in a compiled model."""
    x = subject.inputs(batch=32, time=4)
    target = x.mean(axis=(1, 2))[:, None]
    head = keras.layers.Dense(1, kernel_initializer=_fixed_initial_values)
    model = keras.Sequential(
        [keras.Input(x.shape[1:]), keras.layers.RNN(subject.cell()), head]
    )
    model.compile(keras.optimizers.Adam(0.02), "mse")
    losses = [_loss_of_a_step(model, x, target) for _ in range(25)]
    first, last = losses[0], losses[-1]
    if not last < 0.8 * first:
        raise Breach(f"a loss below {0.8 * first:.3g}, 0.8 of the first", f"{last:.3g}")
    return f"loss from {first:.3g} to {last:.3g} in {len(losses)} steps"


def _loss_of_a_step(model: Any, x: np.ndarray, target: np.ndarray) -> float:
    model.reset_metrics()
    return float(model.train_on_batch(x, target))


def _fixed_initial_values(shape: Any, dtype: Any = None) -> Any:
    return ops.cast(np.random.default_rng(0).normal(size=shape) * 0.3, dtype)


CHECKS = (weights_used, dropout, gradients, mixed_precision, training)
