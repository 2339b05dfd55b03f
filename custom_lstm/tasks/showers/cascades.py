"""Cascades of particles as hits, each of one small energy, thrown at random.

t is the depth behind the start of a cascade in radiation lengths, l in interaction
lengths, r the distance from its axis, E its energy in GeV, y = E/E_c. How many hits
there are fluctuates, and with it the energy that is measured: the "spots" of GFLASH.

**Electromagnetic.** Along the axis the profile of E. Longo and I. Sestili, NIM 128
(1975) 283, with maximum T and shape α drawn for each cascade, and around it two rings,
after G. Grindhammer and S. Peters, 1993, https://arxiv.org/abs/hep-ex/0001020, with
τ = t/T and R_C, R_T in Molière radii:

    dE/dt = E b (bt)^(α−1) e^(−bt) / Γ(α)            b = (α−1)/T
    ⟨ln T⟩ = ln(ln y − 0.812)                        σ = 1/(−1.4 + 1.26 ln y)
    ⟨ln α⟩ = ln(0.81 + (0.458 + 2.26/Z) ln y)        σ = 1/(−0.58 + 0.86 ln y)
    correlation 0.705 − 0.023 ln y
    dE/dr = p·2rR_C²/(r² + R_C²)² + (1−p)·2rR_T²/(r² + R_T²)²
    R_C = 0.0251 + 0.00319 ln E + (0.1162 − 0.000381 Z) τ
    R_T = (0.659 − 0.00309 Z)(e^(−2.59(τ−0.645)) + e^((0.3585+0.0421 ln E)(τ−0.645)))
    p = (2.632 − 0.00094 Z) exp(v − e^v)
    v = (0.401 + 0.00187 Z − τ)/(1.313 − 0.0686 ln E)

**Hadronic.** A share f_em of a pion's energy goes into π⁰ and so into electromagnetic
cascades, more of it the higher the energy (T. A. Gabriel et al., NIM A 338 (1994) 336);
it fluctuates, here by a beta distribution. What is left is broad, deep and seen in part
only, to h/e; along the axis it follows R. K. Bock et al., NIM 186 (1981) 533:

    ⟨f_em⟩ = 1 − E^(−0.18)                           α + β = 2 ln E
    dE/dl ∝ l^(c−1) e^(−dl)      c = 0.6165 + 0.3183 ln E      d = 0.9099 − 0.0237 ln E
    dE/dr = 2rR²/(r² + R²)²                          R = 0.1 (1 + l) interaction lengths
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from custom_lstm.tasks.showers import detector

Floats = npt.NDArray[np.float64]

_LEAST_LN_Y = 3.0  # below 0.4 GeV the fits no longer hold


class Hits(NamedTuple):
    """Hits of many cascades.

    Args:
        owner: which cascade each belongs to, `(hits,)`.
        depth: behind the cascade's start in cm, `(hits,)`.
        x, y: from the cascade's axis in cm, `(hits,)` each.
    """

    owner: npt.NDArray[np.intp]
    depth: Floats
    x: Floats
    y: Floats


def electromagnetic(rng: np.random.Generator, energy: Floats) -> Hits:
    """Throw the hits of electromagnetic cascades, each worth `detector.EM_SPOT`.

    Args:
        rng: source of randomness.
        energy: of each cascade in GeV, `(cascades,)`; 0 for none.

    Example:

    >>> hits = electromagnetic(np.random.default_rng(0), np.array([100.0, 0.0]))
    >>> print(round(len(hits.owner) * detector.EM_SPOT), hits.owner.max())
    101 0
    """
    top, shape = _profiles(rng, energy)
    number = rng.poisson(energy / detector.EM_SPOT)
    owner = np.repeat(np.arange(len(energy)), number)
    tau = rng.standard_gamma(shape[owner]) / (shape - 1)[owner]
    core, tail, share = _rings(tau, np.log(np.maximum(energy, 1.0))[owner])
    ring = np.where(rng.random(len(tau)) < share, core, tail)
    depth = tau * top[owner] * detector.RADIATION_LENGTH
    return Hits(owner, depth, *_around(rng, ring * detector.MOLIERE_RADIUS))


def _profiles(rng: np.random.Generator, energy: Floats) -> tuple[Floats, Floats]:
    """Draw T and α of each cascade."""
    least = detector.CRITICAL_ENERGY * np.exp(_LEAST_LN_Y)
    ln_y = np.log(np.maximum(energy, least) / detector.CRITICAL_ENERGY)
    correlation = 0.705 - 0.023 * ln_y
    first, second = rng.standard_normal((2, len(energy)))
    second = correlation * first + np.sqrt(1 - correlation**2) * second
    top = (ln_y - 0.812) * np.exp(first / (-1.4 + 1.26 * ln_y))
    shape = 0.81 + (0.458 + 2.26 / detector.CHARGE) * ln_y
    return top, np.maximum(shape * np.exp(second / (-0.58 + 0.86 * ln_y)), 1.1)


def _rings(tau: Floats, ln_energy: Floats) -> tuple[Floats, Floats, Floats]:
    """Return R_C, R_T and the share p of the inner ring."""
    z = detector.CHARGE
    core = 0.0251 + 0.00319 * ln_energy + (0.1162 - 0.000381 * z) * tau
    tail = (0.659 - 0.00309 * z) * (
        np.exp(-2.59 * (tau - 0.645))
        + np.exp((0.3585 + 0.0421 * ln_energy) * (tau - 0.645))
    )
    v = (0.401 + 0.00187 * z - tau) / (1.313 - 0.0686 * ln_energy)
    return core, tail, (2.632 - 0.00094 * z) * np.exp(v - np.exp(v))


def hadronic(rng: np.random.Generator, energy: Floats, not_em: Floats) -> Hits:
    """Throw the hits of what is no π⁰, each worth `detector.HADRON_SPOT`.

    Args:
        rng: source of randomness.
        energy: of each pion in GeV, `(pions,)`.
        not_em: how much of it did not go into π⁰, `(pions,)`; 0 for none.

    Example:

    >>> E = np.array([100.0])
    >>> hits = hadronic(np.random.default_rng(0), E, 0.4 * E)
    >>> round(len(hits.owner) * detector.HADRON_SPOT)  # seen of the 40 GeV
    30
    """
    spread = detector.HADRON_SPREAD / np.sqrt(np.maximum(not_em, 1.0))
    seen = 1 + spread * rng.standard_normal(len(not_em))
    seen = detector.HADRON_RESPONSE * np.maximum(seen, 0) * not_em
    number = rng.poisson(seen / detector.HADRON_SPOT)
    owner = np.repeat(np.arange(len(energy)), number)
    ln_energy = np.log(energy)
    length = rng.standard_gamma((0.6165 + 0.3183 * ln_energy)[owner])
    length /= (0.9099 - 0.0237 * ln_energy)[owner]
    ring = 0.1 * (1 + length) * detector.INTERACTION_LENGTH
    return Hits(owner, length * detector.INTERACTION_LENGTH, *_around(rng, ring))


def electromagnetic_share(rng: np.random.Generator, energy: Floats) -> Floats:
    """Draw f_em of pions of these energies in GeV, above 1.

    Example:

    >>> share = electromagnetic_share(np.random.default_rng(0), np.full(9999, 100.0))
    >>> print(share.mean().round(2), share.std().round(2))
    0.56 0.15
    """
    mean, both = 1 - energy**-0.18, 2 * np.log(energy)
    return rng.beta(mean * both, (1 - mean) * both)


def _around(rng: np.random.Generator, ring: Floats) -> tuple[Floats, Floats]:
    """Throw points around an axis with dE/dr = 2rR²/(r² + R²)²."""
    u = rng.random(len(ring))
    r = ring * np.sqrt(u / (1 - u))
    angle = 2 * np.pi * rng.random(len(ring))
    return r * np.cos(angle), r * np.sin(angle)
