"""One step of each gated and minimal cell in NumPy, float64, from the papers.

Every function takes x, the states and the weights in the order of `get_weights`, and
returns the gates by name and the new states.
"""

import numpy as np

from helpers.cell_oracles import normalized, sigmoid


def relu(x):
    return np.maximum(x, 0)


def mgu_step(x, states, weights, variant=0):
    """Zhou et al. 2016, equations 4 to 6; Heck and Salem 2017, equations 9 to 11."""
    (h,) = states
    W, U, b = weights
    n = h.shape[-1]
    W_f, W_g = np.split(W, 2, axis=-1) if variant == 0 else (np.zeros_like(W), W)
    U_f, U_g = np.split(U, 2, axis=-1) if variant != 3 else (np.zeros_like(U), U)
    b_f, b_g = np.split(b, 2) if variant != 2 else (np.zeros(n), b)
    f = sigmoid(x @ W_f + h @ U_f + b_f)
    g = np.tanh(x @ W_g + (f * h) @ U_g + b_g)
    return {"forget": f, "candidate": g}, [(1 - f) * h + f * g]


def ugrnn_step(x, states, weights, inner=np.tanh):
    """Collins et al. 2017; of relu Ravanelli et al. 2018 without normalisation."""
    (h,) = states
    W, U, b = weights
    z_z, z_g = np.split(x @ W + h @ U + b, 2, axis=-1)
    z, g = sigmoid(z_z), inner(z_g)
    return {"update": z, "candidate": g}, [z * h + (1 - z) * g]


def janet_step(x, states, weights, beta=1.0):
    """Van der Westhuizen and Lasenby 2018, equation 8."""
    (c,) = states
    W, U, b = weights
    s, z_g = np.split(x @ W + c @ U + b, 2, axis=-1)
    f, i, g = sigmoid(s), 1 - sigmoid(s - beta), np.tanh(z_g)
    return {"forget": f, "input": i, "candidate": g}, [f * c + i * g]


def star_step(x, states, weights):
    """Turkoglu et al. 2019, equation 9."""
    (h,) = states
    W, U, b = weights
    W_k, W_z = np.split(W, 2, axis=-1)
    b_k, b_z = np.split(b, 2)
    z = np.tanh(x @ W_z + b_z)
    k = sigmoid(x @ W_k + h @ U + b_k)
    return {"update": k, "candidate": z}, [np.tanh((1 - k) * h + k * z)]


def cfn_step(x, states, weights):
    """Laurent and von Brecht 2017, equations 2 and 3; horizontal is forget."""
    (h,) = states
    (W, U, b) = weights
    V_η, V_θ, W = np.split(W, 3, axis=-1)
    U_η, U_θ = np.split(U, 2, axis=-1)
    b_η, b_θ = np.split(b, 2)
    η = sigmoid(h @ U_η + x @ V_η + b_η)
    θ = sigmoid(h @ U_θ + x @ V_θ + b_θ)
    g = np.tanh(x @ W)
    return {"input": η, "forget": θ, "candidate": g}, [θ * np.tanh(h) + η * g]


def atr_step(x, states, weights):
    """Zhang et al. 2018, equations 6 to 10."""
    (h,) = states
    W, U, b = weights
    p, q = x @ W + b, h @ U
    i, f = sigmoid(p + q), sigmoid(p - q)
    return {"input": i, "forget": f}, [i * p + f * h]


def mut_step(x, states, weights, kind, direct=False):
    """Jozefowicz et al. 2015, MUT1 to MUT3; a matrix at every x unless `direct`."""
    (h,) = states
    W, U, b = weights
    n = h.shape[-1]
    blocks = [W[:, k : k + n] for k in range(0, W.shape[1], n)]
    if direct:
        blocks.insert(2 if kind == 1 else 1, np.eye(n))
    x_z, x_r, x_g = (x @ block for block in blocks)
    b_z, b_r, b_g = np.split(b, 3)
    U_r, U_g = U[:, -2 * n : -n], U[:, -n:]
    seen = {1: 0 * h, 2: h, 3: np.tanh(h)}[kind]
    z = sigmoid(x_z + seen @ U[:, :n] + b_z)
    r = sigmoid(x_r + h @ U_r + b_r)
    g = np.tanh((np.tanh(x_g) if kind == 1 else x_g) + (r * h) @ U_g + b_g)
    return {"update": z, "reset": r, "candidate": g}, [g * z + h * (1 - z)]


def original_lstm_step(x, states, weights):
    """Hochreiter and Schmidhuber 1997, with tanh."""
    h, c = states
    W, U, b = weights
    z_i, z_g, z_o = np.split(x @ W + h @ U + b, 3, axis=-1)
    i, g, o = sigmoid(z_i), np.tanh(z_g), sigmoid(z_o)
    c = c + i * g
    return {"input": i, "candidate": g, "output": o}, [o * np.tanh(c), c]


def multiplicative_step(x, states, weights, squash_after=False):
    """Krause et al. 2016, equations 18 to 22."""
    h, c = states
    W, W_mh, b, V = weights
    n = h.shape[-1]
    m = (x @ W[:, 4 * n :]) * (h @ W_mh)
    z_i, z_f, z_g, z_o = np.split(x @ W[:, : 4 * n] + m @ V + b, 4, axis=-1)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
    c = f * c + i * g
    h = np.tanh(o * c) if squash_after else o * np.tanh(c)
    return {"input": i, "forget": f, "candidate": g, "output": o}, [h, c]


def ran_step(x, states, weights):
    """Lee et al. 2017, equation 1."""
    h, c = states
    W, U, b = weights
    n = h.shape[-1]
    i, f = np.split(sigmoid(x @ W[:, : 2 * n] + h @ U + b), 2, axis=-1)
    g = x @ W[:, 2 * n :]
    c = i * g + f * c
    return {"input": i, "forget": f, "candidate": g}, [np.tanh(c), c]


def nas_step(x, states, weights, additive=False):
    """Zoph and Le 2017, figure 8, left; TensorFlow Addons' formulas."""
    h, c = states
    W, U, b, *P = weights
    a = np.split(x @ W, 8, axis=-1)
    m = np.split(h @ U + b, 8, axis=-1)
    fourth = a[3] + m[3] if additive else a[3] * m[3]
    n = [
        sigmoid(a[0] + m[0]),
        relu(a[1] + m[1]),
        sigmoid(a[2] + m[2]),
        relu(fourth),
        np.tanh(a[4] + m[4]),
        sigmoid(a[5] + m[5]),
        np.tanh(a[6] + m[6]),
        sigmoid(a[7] + m[7]),
    ]
    layer = [np.tanh(n[0] * n[1]), np.tanh(n[2] + n[3]), np.tanh(n[4] * n[5])]
    c = np.tanh(layer[0] + c) * layer[1]
    h = np.tanh(c * np.tanh(layer[2] + sigmoid(n[6] + n[7])))
    gates = {f"node_{k}": node for k, node in enumerate(n, 1)}
    return gates, [h @ P[0] if P else h, c]


def rhn_step(x, states, weights, depth, coupled=True):
    """Zilly et al. 2017, equations 6 to 9."""
    (s,) = states
    W, U, b = weights
    count = 2 if coupled else 3
    gates = {}
    for k, (U_k, b_k) in enumerate(
        zip(np.split(U, depth, axis=-1), np.split(b, depth), strict=True), 1
    ):
        z = s @ U_k + b_k + (x @ W if k == 1 else 0)
        z_g, *rest = np.split(z, count, axis=-1)
        g, (t, *r) = np.tanh(z_g), map(sigmoid, rest)
        s = g * t + s * (1 - t if coupled else r[0])
        gates |= {f"candidate_{k}": g, f"transform_{k}": t}
        gates |= {} if coupled else {f"carry_{k}": r[0]}
        gates |= {f"s_{k}": s} if k < depth else {}
    return gates, [s]


def irnn_step(x, states, weights):
    """Le et al. 2015."""
    W, U, b = weights
    return {}, [relu(x @ W + states[0] @ U + b)]


def indrnn_step(x, states, weights, limit=np.inf, outer=relu):
    """Li et al. 2018, equation 4."""
    W, u, b = weights
    return {}, [outer(x @ W + np.clip(u, -limit, limit) * states[0] + b)]


def fastrnn_step(x, states, weights):
    """Kusupati et al. 2018, equation 2."""
    (h,) = states
    W, U, b, α, β = weights
    g = np.tanh(x @ W + h @ U + b)
    return {"candidate": g}, [sigmoid(α) * g + sigmoid(β) * h]


def fastgrnn_step(x, states, weights):
    """Kusupati et al. 2018, equation 3."""
    (h,) = states
    W, U, b, ζ, ν = weights
    b_z, b_h = np.split(b, 2)
    z = sigmoid(x @ W + h @ U + b_z)
    g = np.tanh(x @ W + h @ U + b_h)
    h = (sigmoid(ζ) * (1 - z) + sigmoid(ν)) * g + z * h
    return {"update": z, "candidate": g}, [h]


def scrn_step(x, states, weights, alpha=0.95):
    """Mikolov et al. 2014, equations 5 and 6, with a bias; U is R above P."""
    h, s = states
    A, U, b, B = weights
    s = (1 - alpha) * (x @ B) + alpha * s
    n = h.shape[-1]
    return {}, [sigmoid(s @ U[n:] + x @ A + h @ U[:n] + b), s]


def layer_norm_simple_step(x, states, weights, epsilon=1e-3):
    """Ba et al. 2016, equation 4."""
    W, U, b, gain = weights
    return {}, [np.tanh(normalized(x @ W + states[0] @ U, epsilon) * gain + b)]


def layer_norm_gru_step(x, states, weights, reset_after=True, epsilon=1e-3):
    """Ba et al. 2016, appendix, z and 1 - z exchanged, as in Keras's GRU."""
    (h,) = states
    W, U, b, α_x, α_h = weights
    n = h.shape[-1]
    b, b_h = b if reset_after else (b, np.zeros_like(b))

    def norm(a, gain):
        return normalized(a, epsilon) * gain

    of_x = norm(x @ W[:, : 2 * n], α_x[: 2 * n]) + b[: 2 * n]
    of_h = norm(h @ U[:, : 2 * n], α_h[: 2 * n]) + b_h[: 2 * n]
    z, r = np.split(sigmoid(of_x + of_h), 2, axis=-1)
    U_g, α_g = U[:, 2 * n :], α_h[2 * n :]
    if reset_after:
        recalled = r * (norm(h @ U_g, α_g) + b_h[2 * n :])
    else:
        recalled = norm((r * h) @ U_g, α_g)
    g = np.tanh(norm(x @ W[:, 2 * n :], α_x[2 * n :]) + b[2 * n :] + recalled)
    return {"update": z, "reset": r, "candidate": g}, [z * h + (1 - z) * g]
