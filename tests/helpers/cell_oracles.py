"""One time step of each cell in NumPy, float64, written from the papers' equations."""

from functools import partial

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


def peephole_step(x, states, weights):
    """Gers and Schmidhuber 2000."""
    h, c = states
    W, U, b, (p_i, p_f, p_o) = weights
    z_i, z_f, z_g, z_o = np.split(x @ W + h @ U + b, 4, axis=-1)
    i, f, g = sigmoid(z_i + p_i * c), sigmoid(z_f + p_f * c), np.tanh(z_g)
    c = f * c + i * g
    o = sigmoid(z_o + p_o * c)
    return {"input": i, "forget": f, "candidate": g, "output": o}, [o * np.tanh(c), c]


def normalized(a, epsilon):
    deviation = a - a.mean(axis=-1, keepdims=True)
    return deviation / np.sqrt((deviation**2).mean(axis=-1, keepdims=True) + epsilon)


def layer_norm_step(x, states, weights, epsilon=1e-3):
    """Ba et al. 2016, equations 20 to 22."""
    h, c = states
    if len(weights) == 7:
        W, U, b, a_x, a_h, a_c, b_c = weights
    else:
        W, U, a_x, a_h, a_c = weights
        b = b_c = 0
    z = normalized(x @ W, epsilon) * a_x + normalized(h @ U, epsilon) * a_h + b
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=-1)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    c = f * c + i * g
    h = o * np.tanh(normalized(c, epsilon) * a_c + b_c)
    return {"input": i, "forget": f, "candidate": g, "output": o}, [h, c]


def projected_step(x, states, weights):
    """Sak et al. 2014, with the recurrent projection."""
    h, c = states
    W, U, b, P = weights
    z_i, z_f, z_g, z_o = np.split(x @ W + h @ U + b, 4, axis=-1)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    c = f * c + i * g
    m = o * np.tanh(c)
    return {"input": i, "forget": f, "candidate": g, "output": o}, [m @ P, c]


def zoneout_step(x, states, weights, d_c, d_h):
    """Krueger et al. 2017; d_c and d_h are masks, or their expectations."""
    h, c = states
    W, U, b = weights
    z_i, z_f, z_g, z_o = np.split(x @ W + h @ U + b, 4, axis=-1)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    new_c = f * c + i * g
    h = d_h * h + (1 - d_h) * (o * np.tanh(f * c + i * g))
    c = d_c * c + (1 - d_c) * new_c
    return {"input": i, "forget": f, "candidate": g, "output": o}, [h, c]


def coupled_step(x, states, weights):
    """Greff et al. 2017, CIFG."""
    h, c = states
    W, U, b = weights
    z_i, z_g, z_o = np.split(x @ W + h @ U + b, 3, axis=-1)
    i, g, o = sigmoid(z_i), np.tanh(z_g), sigmoid(z_o)
    c = (1 - i) * c + i * g
    gates = {"input": i, "forget": 1 - i, "candidate": g, "output": o}
    return gates, [o * np.tanh(c), c]


def carousel_step(x, states, weights):
    """Hochreiter and Schmidhuber 1997 with a forget gate, by hard sigmoids."""
    h, c = states
    W, U, b = weights
    z = x @ W + h @ U + b
    z_i, z_f, z_g, z_o = np.split(z, 4, axis=-1)
    i, f, o = (np.clip(gate / 6 + 0.5, 0, 1) for gate in (z_i, z_f, z_o))
    g = np.tanh(z_g)
    c = f * c + i * g
    gates = {"input": i, "forget": f, "candidate": g, "output": o}
    return gates, [o * np.tanh(c), c]


def run(step, x, states, mask=None, backwards=False, names=("h", "c")):
    """`step` over all steps: traces `(batch, time, units)` by name, in input order."""
    names = names[: len(states)]
    times = range(x.shape[1])
    steps = [None] * x.shape[1]
    for t in reversed(times) if backwards else times:
        gates, new, *_ = step(x[:, t], states)
        if mask is not None:
            acts = partial(_acts, mask[:, t])
            new = [np.where(acts(n), n, s) for n, s in zip(new, states, strict=True)]
            gates = {name: np.where(acts(g), g, np.nan) for name, g in gates.items()}
        states = new
        steps[t] = {**gates, **dict(zip(names, states, strict=True))}
    return {name: np.stack([s[name] for s in steps], axis=1) for name in steps[0]}


def outputs(step, x, states, case):
    """`step` over all steps: outputs `(batch, time, units)`, and the last states."""
    made = []
    for t in range(x.shape[1]):
        _, states, *given = step(x[:, t], states)
        made.append(given[0] if given else case.output(states))
    return [np.stack(made, axis=1), *states]


def _acts(mask, array):
    return mask.reshape(-1, *[1] * (array.ndim - 1))


def convolve(x, kernel):
    """Convolve images with zeros around them, so that they keep their size."""
    n, m = kernel.shape[:2]
    before = (n - 1) // 2, (m - 1) // 2
    pads = [(b, k - 1 - b) for b, k in zip(before, (n, m), strict=True)]
    padded = np.pad(x, [(0, 0), *pads, (0, 0)])
    rows, columns = x.shape[1:3]
    return sum(
        padded[:, i : i + rows, j : j + columns] @ kernel[i, j]
        for i in range(n)
        for j in range(m)
    )


def conv_gru_step(x, h, weights, reset_after):
    """Ballas et al. 2016, z and 1 - z exchanged, as in Keras's GRU."""
    W, U, b = weights
    b, b_h = b if reset_after else (b, np.zeros_like(b))
    x_z, x_r, x_g = np.split(convolve(x, W) + b, 3, axis=-1)
    U_z, U_r, U_g = np.split(U, 3, axis=-1)
    b_z, b_r, b_g = np.split(b_h, 3)
    z = sigmoid(x_z + convolve(h, U_z) + b_z)
    r = sigmoid(x_r + convolve(h, U_r) + b_r)
    recalled = r * (convolve(h, U_g) + b_g) if reset_after else convolve(r * h, U_g)
    return z * h + (1 - z) * np.tanh(x_g + recalled)
