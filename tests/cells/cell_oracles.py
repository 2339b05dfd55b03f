"""One time step of each cell in NumPy, float64, written from the papers' equations."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_step(x, states, weights, inner=np.tanh, outer=None):
    """Gates by name, and [h, c]."""
    h, c = states
    W, U, b = weights if len(weights) == 3 else (*weights, 0.0)
    z_i, z_f, z_g, z_o = np.split(x @ W + h @ U + b, 4, axis=-1)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), inner(z_g), sigmoid(z_o)
    c = f * c + i * g
    h = o * (outer or inner)(c)
    return {"input": i, "forget": f, "candidate": g, "output": o}, [h, c]


def gru_step(x, states, weights, reset_after=True):
    """Gates by name, and [h]."""
    (h,) = states
    W, U, b = weights
    b, b_h = b if reset_after else (b, np.zeros_like(b))
    x_z, x_r, x_g = np.split(x @ W + b, 3, axis=-1)
    U_z, U_r, U_g = np.split(U, 3, axis=-1)
    b_z, b_r, b_g = np.split(b_h, 3)
    z = sigmoid(x_z + h @ U_z + b_z)
    r = sigmoid(x_r + h @ U_r + b_r)
    recalled = r * (h @ U_g + b_g) if reset_after else (r * h) @ U_g
    g = np.tanh(x_g + recalled)
    return {"update": z, "reset": r, "candidate": g}, [z * h + (1 - z) * g]


def simple_step(x, states, weights):
    """No gates, and [h]."""
    W, U, b = weights
    return {}, [np.tanh(x @ W + states[0] @ U + b)]


def run(step, x, states, mask=None, backwards=False):
    """`step` over all steps: traces `(batch, time, units)` by name, in input order."""
    names = ["h", "c"][: len(states)]
    times = range(x.shape[1])
    steps = [None] * x.shape[1]
    for t in reversed(times) if backwards else times:
        gates, new = step(x[:, t], states)
        if mask is not None:
            act = mask[:, t, None]
            new = [np.where(act, n, s) for n, s in zip(new, states, strict=True)]
            gates = {name: np.where(act, gate, np.nan) for name, gate in gates.items()}
        states = new
        steps[t] = {**gates, **dict(zip(names, states, strict=True))}
    return {name: np.stack([s[name] for s in steps], axis=1) for name in steps[0]}
