"""Steps of cells that discretise differential equations, from the papers' equations.

Like those of `cell_oracles`: gates by name, new states, and the output where it is
not the first of them.
"""

import numpy as np

from helpers.cell_oracles import sigmoid


def antisymmetric(x, states, weights, epsilon=0.1, gamma=0.01):
    """Chang et al. 2019, equation 9."""
    (h,) = states
    W, U, b = weights
    A = U - U.T - gamma * np.eye(len(U))
    return {}, [h + epsilon * np.tanh(x @ W + h @ A + b)]


def gated_antisymmetric(x, states, weights, epsilon=0.1, gamma=0.01):
    """Chang et al. 2019, equations 12 and 13."""
    (h,) = states
    W, U, b = weights
    A = U - U.T - gamma * np.eye(len(U))
    x_z, x_g = np.split(x @ W + b, 2, axis=-1)
    z, g = sigmoid(x_z + h @ A), np.tanh(x_g + h @ A)
    return {"update": z, "candidate": g}, [h + epsilon * z * g]


def cornn(x, states, weights, dt=0.1, gamma=1.0, epsilon=1.0):
    """Rusch and Mishra 2021."""
    h, z = states
    W, U, b = weights
    U_h, U_z = np.split(U, 2)
    force = np.tanh(x @ W + h @ U_h + z @ U_z + b)
    z = z + dt * force - dt * gamma * h - dt * epsilon * z
    return {"force": force}, [h + dt * z, z]


def unicornn(x, states, weights, dt=0.1, alpha=0.0):
    """Rusch and Mishra 2021."""
    h, z = states
    W, u, b, c = weights
    force = np.tanh(u * h + x @ W + b)
    z = z - dt * sigmoid(c) * (force + alpha * h)
    return {"force": force}, [h + dt * sigmoid(c) * z, z]


def lem(x, states, weights, dt=1.0):
    """Rusch et al. 2022."""
    h, z = states
    x_1, x_2, x_z, x_h = np.split(x @ weights[0] + weights[2], 4, axis=-1)
    U_1, U_2, U_z, U_h = np.split(weights[1], 4, axis=-1)
    fast, slow = dt * sigmoid(x_1 + h @ U_1), dt * sigmoid(x_2 + h @ U_2)
    c = np.tanh(x_z + h @ U_z)
    z = (1 - slow) * z + slow * c
    g = np.tanh(x_h + z @ U_h)
    gates = {"step": fast, "slow_step": slow, "slow_candidate": c, "candidate": g}
    return gates, [(1 - fast) * h + fast * g, z]


def echo_state(x, states, weights, leak=1.0):
    """Jaeger et al. 2007."""
    (h,) = states
    W, U, b = weights
    return {}, [(1 - leak) * h + leak * np.tanh(x @ W + h @ U + b)]


def cfc(x, states, weights, mode="default", timed=False):
    """Hasani et al. 2022, as in ncps."""
    (h,) = states
    x, dt = (x[:, :-1], x[:, -1:]) if timed else (x, 1.0)
    W, U, b, V, d, *others = weights
    heads = 1.7159 * np.tanh(0.666 * (x @ W + h @ U + b)) @ V + d
    if mode == "pure":
        w, A = others
        return {}, [A - A * np.exp(-dt * (abs(w) + abs(heads))) * heads]
    g, k, a, b = np.split(heads, 4, axis=-1)
    g, k, s = np.tanh(g), np.tanh(k), sigmoid(a * dt + b)
    gates = {"candidate": g, "target": k, "gate": s}
    return gates, [g + s * k if mode == "no_gate" else g * (1 - s) + s * k]


def ltc(x, states, weights, unfolds=6, timed=False):
    """Hasani et al. 2021, algorithm 1, with the synapses of ncps."""
    (v,) = states
    x, dt = (x[:, :-1], x[:, -1:]) if timed else (x, 1.0)
    scale, shift, leak, rest, c, *synapses = weights

    def currents(before, w, slope, centre, reversal):
        conductance = w * sigmoid(slope * (before[:, :, None] - centre))
        return (conductance * reversal).sum(axis=1), conductance.sum(axis=1)

    of_inputs = currents(scale * x + shift, *synapses[:4])
    for _ in range(unfolds):
        of_units = currents(v, *synapses[4:])
        per_step = c / (dt / unfolds)
        above = per_step * v + leak * rest + of_inputs[0] + of_units[0]
        v = above / (per_step + leak + of_inputs[1] + of_units[1] + 1e-8)
    return {}, [v]


def phased(x, states, weights, ratio=0.05, leak=0.001, timed=False):
    """Neil et al. 2016, equations 6 to 10, without peepholes."""
    x, t = (x[:, :-1], x[:, -1:]) if timed else (x, states[2])
    h, c = states[:2]
    W, U, b, period, shift = weights
    phase = np.mod(t - shift, period) / period
    k = np.where(phase < ratio / 2, 2 * phase / ratio, 2 - 2 * phase / ratio)
    k = np.where(phase < ratio, k, leak * phase)
    z_i, z_f, z_g, z_o = np.split(x @ W + h @ U + b, 4, axis=-1)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    new = f * c + i * g
    h, c = k * o * np.tanh(new) + (1 - k) * h, k * new + (1 - k) * c
    gates = {"input": i, "forget": f, "candidate": g, "output": o, "openness": k}
    return gates, [h, c] if timed else [h, c, t + 1]


def gamma(a):
    """Feng et al. 2024, appendix B.2.2: g."""
    return np.where(a >= 0, a + 0.5, sigmoid(a))


def min_gru(x, states, weights, inner=gamma):
    """Feng et al. 2024, section 3.1."""
    z, g = np.split(x @ weights[0] + weights[1], 2, axis=-1)
    z, g = sigmoid(z), inner(g)
    return {"update": z, "candidate": g}, [(1 - z) * states[0] + z * g]


def min_lstm(x, states, weights, inner=gamma):
    """Feng et al. 2024, section 3.2."""
    f, i, g = np.split(x @ weights[0] + weights[1], 3, axis=-1)
    f, i, g = sigmoid(f), sigmoid(i), inner(g)
    f, i = f / (f + i), i / (f + i)
    gates = {"forget": f, "input": i, "candidate": g}
    return gates, [f * states[0] + i * g]


def sru(x, states, weights, peephole=False, inner=np.tanh, scale=1.0):
    """Lei et al. 2017; with peepholes Lei et al. 2018."""
    (c,) = states
    W, b, *others = weights
    v_f, v_r = others.pop(0) if peephole else (0.0, 0.0)
    g, x_f, x_r = np.split(x @ W, 3, axis=-1)
    b_f, b_r = np.split(b, 2)
    f, r = sigmoid(x_f + b_f + v_f * c), sigmoid(x_r + b_r + v_r * c)
    new = f * c + (1 - f) * g
    wide = x @ others[0] if others else x
    h = r * inner(new) + (1 - r) * scale * wide
    return {"candidate": g, "forget": f, "reset": r}, [new], h
