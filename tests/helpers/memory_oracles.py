"""Steps of cells with a structured memory, from the papers' equations.

Like those of `cell_oracles`: gates by name, new states, and the output where it is
not the first of them.
"""

import numpy as np
from scipy.linalg import expm

from helpers.cell_oracles import sigmoid


def softmax(a):
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def slstm(x, states, weights, heads=1):
    """Beck et al. 2024, equations 8 to 17."""
    h, c, n, m = states
    W, U, b = weights
    batch, units = h.shape
    d = units // heads
    hU = np.stack([h[:, k * d : k * d + d] @ U[k] for k in range(heads)], axis=1)
    hU = hU.reshape(batch, heads, 4, d).swapaxes(1, 2).reshape(batch, 4 * units)
    z_i, z_f, z_g, z_o = np.split(x @ W + hU + b, 4, axis=-1)
    log_f = -np.log1p(np.exp(-z_f))
    new_m = np.where(n == 0, z_i, np.maximum(log_f + m, z_i))
    i, f = np.exp(z_i - new_m), np.exp(log_f + m - new_m)
    g, o = np.tanh(z_g), sigmoid(z_o)
    f = np.where(n == 0, np.minimum(f, 1), f)  # times 0
    c, n = f * c + i * g, f * n + i
    gates = {"input": i, "forget": f, "candidate": g, "output": o}
    return gates, [o * c / n, c, n, new_m]


def mlstm(x, states, weights, heads=1):
    """Beck et al. 2024, equations 19 to 27."""
    C, n, m = states
    W, b = weights
    batch, units = len(x), (W.shape[1] - 2 * heads) // 4
    d = units // heads
    q, k, v, o, z_i, z_f = np.split(
        x @ W + b, [units, 2 * units, 3 * units, 4 * units, 4 * units + heads], axis=-1
    )
    q, k, v = (part.reshape(batch, heads, d) for part in (q, k / np.sqrt(d), v))
    log_f = -np.log1p(np.exp(-z_f))
    empty = (n == 0).all(axis=-1)
    new_m = np.where(empty, z_i, np.maximum(log_f + m, z_i))
    i, f = np.exp(z_i - new_m), np.minimum(np.exp(log_f + m - new_m), 1)
    C, n = C.copy(), n.copy()
    h = np.empty((batch, heads, d))
    for row in range(batch):
        for j in range(heads):
            outer = np.outer(k[row, j], v[row, j])
            C[row, j] = f[row, j] * C[row, j] + i[row, j] * outer
            n[row, j] = f[row, j] * n[row, j] + i[row, j] * k[row, j]
            size = max(abs(q[row, j] @ n[row, j]), np.exp(-new_m[row, j]))
            h[row, j] = q[row, j] @ C[row, j] / (size + 1e-6)
    o = sigmoid(o)
    gates = {"input": i, "forget": f, "output": o}
    return gates, [C, n, new_m], o * h.reshape(batch, units)


def legendre(order, theta):
    """Voelker et al. 2019, equation 2, held for a step by SciPy's exponential."""
    both = np.zeros((order + 1, order + 1))
    for i in range(order):
        for j in range(order):
            both[i, j] = (2 * i + 1) * (-1.0 if i < j else (-1.0) ** (i - j + 1))
        both[i, order] = (2 * i + 1) * (-1.0) ** i
    both = expm(both / theta)
    return both[:order, :order], both[:order, order]


def lmu(x, states, weights, memories=1, order=8, theta=32.0, recurrent=True):
    """Voelker et al. 2019, equations 7 to 9."""
    *before, m = states
    W, *others = weights
    units = W.shape[1] - memories
    z, u = x @ W[:, :units], x @ W[:, units:]
    if recurrent:
        U, b, V, e_m = others
        (h,) = before
        z, u = z + h @ U[:, :units], u + h @ U[:, units:] + m @ e_m
    else:
        b, V = others
    A, B = legendre(order, theta)
    windows = [
        part @ A.T + u[:, k : k + 1] * B
        for k, part in enumerate(np.split(m, memories, axis=-1))
    ]
    m = np.concatenate(windows, axis=-1)
    h = np.tanh(z + m @ V + b)
    return {"signal": u}, [h, m] if recurrent else [m], h


def mc_lstm(x, states, weights, masses=1):
    """Hoedt et al. 2021, equations 2 to 7."""
    (c,) = states
    W, b, U = weights
    n = c.shape[1]
    total = c.sum(axis=-1, keepdims=True)
    z = x[:, masses:] @ W + c / np.where(total == 0, 1, total) @ U + b
    i = softmax(z[:, : masses * n].reshape(-1, masses, n))
    r = softmax(z[:, masses * n : -n].reshape(-1, n, n))
    o = sigmoid(z[:, -n:])
    m = np.stack([c[k] @ r[k] + x[k, :masses] @ i[k] for k in range(len(x))])
    return {"output": o}, [(1 - o) * m], o * m


def wmc_lstm(x, states, weights):
    """Landi et al. 2021."""
    h, c = states
    W, U, b, V, d = weights
    z_i, z_f, z_g, z_o = np.split(x @ W + h @ U + b, 4, axis=-1)
    (V_i, V_f, V_o), (d_i, d_f, d_o) = np.split(V, 3, axis=-1), np.split(d, 3)
    i = sigmoid(z_i + np.tanh(c @ V_i + d_i))
    f = sigmoid(z_f + np.tanh(c @ V_f + d_f))
    g = np.tanh(z_g)
    c = f * c + i * g
    o = sigmoid(z_o + np.tanh(c @ V_o + d_o))
    gates = {"input": i, "forget": f, "candidate": g, "output": o}
    return gates, [o * np.tanh(c), c]


def nau(x, states, weights):
    """Madsen and Johansen 2020, equation 6, of inputs and sum side by side."""
    both = np.clip(np.concatenate(weights), -1, 1)
    return {}, [np.concatenate([x, states[0]], axis=-1) @ both]


def ntm(x, states, weights):
    """Graves et al. 2014, section 3."""
    h, r, w_r, w_w, M = states
    W, U, b, V, d = weights
    h = np.tanh(x @ W + np.concatenate([h, r], axis=-1) @ U + b)
    m = M.shape[2]
    heads = h @ V + d
    writing, reading, erase, add = np.split(heads, [m + 6, 2 * m + 12, 3 * m + 12], 1)
    w_w = _turned(writing, w_w, M)
    erase, add = sigmoid(erase), np.tanh(add)
    M = np.stack(
        [
            M[k] * (1 - np.outer(w_w[k], erase[k])) + np.outer(w_w[k], add[k])
            for k in range(len(M))
        ]
    )
    w_r = _turned(reading, w_r, M)
    r = np.stack([w_r[k] @ M[k] for k in range(len(M))])
    return {}, [h, r, w_r, w_w, M]


def _turned(head, w, M):
    m = M.shape[2]
    key, strength, gate = np.tanh(head[:, :m]), head[:, m], sigmoid(head[:, m + 1])
    strength, power = np.log1p(np.exp(strength)), 1 + np.log1p(np.exp(head[:, m + 5]))
    shifts = softmax(head[:, m + 2 : m + 5])
    made = []
    for k in range(len(M)):
        sizes = np.linalg.norm(key[k]) * np.linalg.norm(M[k], axis=-1)
        found = softmax(strength[k] * (M[k] @ key[k]) / sizes)
        mixed = gate[k] * found + (1 - gate[k]) * w[k]
        slots = len(mixed)
        turned = [
            sum(shifts[k, s + 1] * mixed[(j - s) % slots] for s in (-1, 0, 1))
            for j in range(slots)
        ]
        sharp = np.array(turned) ** power[k]
        made.append(sharp / sharp.sum())
    return np.array(made)


def attentive(x, states, weights, memory, general=False):
    """Bahdanau et al. 2015, section 3.1, with an LSTM; or the score of Luong et al."""
    h, c = states
    W, U, b, Q, *others = weights
    V = others[-1]
    if general:
        scores = np.einsum("bu,um,blm->bl", h, Q, memory)
    else:
        K, s = others[:2]
        scores = np.tanh((h @ Q)[:, None] + memory @ K) @ s.reshape(-1)
    weights = softmax(scores)
    context = np.einsum("bl,blm->bm", weights, memory)
    z_i, z_f, z_g, z_o = np.split(x @ W + context @ V + h @ U + b, 4, axis=-1)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    c = f * c + i * g
    gates = {"input": i, "forget": f, "candidate": g, "output": o, "attention": weights}
    return gates, [o * np.tanh(c), c]
