"""Seeded showers of two kinds of particles in a simulated calorimeter.

**The calorimeter.** Plates of steel, 3 cm thick, with 1 cm between them for
scintillator tiles: what the CALICE collaboration built (analogue hadron calorimeter,
JINST 5 (2010) P05004), with thicker plates, so that 40 layers hold most of a shower.
Steel and gap are treated as one material; x and y run from the middle, z from the front
face into the depth. Lengths are in cm, energies in GeV.

**Particles.** A photon (kind 0, electromagnetic) converts after an exponential depth,
mean 9/7 X₀, and is one electromagnetic cascade. A charged pion (kind 1, hadronic)
interacts after an exponential depth, mean λ, cut at 4 λ; its π⁰ are three
electromagnetic cascades, one at the start, two from deeper and off the axis, and the
rest is a hadronic cascade.

As in a real calorimeter, a pion's energy is not proportional to the sum of all cells:
that depends on the share of π⁰, and on what leaves the detector at its back and sides.
The sum, calibrated for each kind, misses a photon's energy by 1.6 % on average and a
pion's by 5.7 %. For photons this is the fluctuation of the hits, which no method can
undercut; for pions the shape of the shower tells more (CALICE, JINST 7 (2012) P09017,
went from 58 to 45 %/√E). Every run's table has a row for the sum.

**Cascades** are hits, each of one small energy, drawn at random. t is the depth behind
the start of a cascade in radiation lengths, l in interaction lengths, r the distance
from its axis, E its energy in GeV, y = E/E_c. How many hits there are fluctuates, and
with it the energy that is measured: the "spots" of GFLASH.

*Electromagnetic.* Along the axis the profile of E. Longo and I. Sestili, NIM 128
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

*Hadronic.* A share f_em of a pion's energy goes into π⁰ and so into electromagnetic
cascades, more of it the higher the energy (T. A. Gabriel et al., NIM A 338 (1994) 336);
it fluctuates, here by a beta distribution. What is left is broad, deep and seen in part
only, to h/e; along the axis it follows R. K. Bock et al., NIM 186 (1981) 533:

    ⟨f_em⟩ = 1 − E^(−0.18)                           α + β = 2 ln E
    dE/dl ∝ l^(c−1) e^(−dl)      c = 0.6165 + 0.3183 ln E      d = 0.9099 − 0.0237 ln E
    dE/dr = 2rR²/(r² + R²)²                          R = 0.1 (1 + l) interaction lengths
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "ATOMIC_NUMBER",
    "BATCH",
    "CELLS",
    "CELL_SIZE",
    "CRITICAL_ENERGY",
    "DEEPEST_START",
    "DEPTH",
    "EM_HIT_ENERGY",
    "ENERGIES",
    "ENERGY_PER_COUNT",
    "HADRON_HIT_ENERGY",
    "HADRON_RESPONSE",
    "HADRON_SPREAD",
    "IMPACT",
    "INTERACTION_LENGTH",
    "KINDS",
    "LAYERS",
    "LAYER_PITCH",
    "MOLIERE_RADIUS",
    "NOISE",
    "RADIATION_LENGTH",
    "SLOPE",
    "THRESHOLD",
    "WIDTH",
    "Hits",
    "Showers",
    "electromagnetic_hits",
    "electromagnetic_share",
    "generate",
    "hadronic_hits",
]

Floats = npt.NDArray[np.float64]

LAYERS = 40
"""Slices of an image."""
CELLS = 16
"""Cells of a slice along x, and along y."""
CELL_SIZE = 3.0
"""Side of a cell."""
LAYER_PITCH = 4.0
"""From one layer to the next."""
WIDTH = CELLS * CELL_SIZE
"""Of the whole, along x and along y."""
DEPTH = LAYERS * LAYER_PITCH
"""Of the whole, along z: 68 radiation lengths, 7.3 interaction lengths."""

ATOMIC_NUMBER = 26
"""Z of iron."""
RADIATION_LENGTH = 2.35
"""X₀: iron's 1.76, thinned out by the gap."""
INTERACTION_LENGTH = 22.0
"""λ: iron's 16.8, thinned out by the gap."""
MOLIERE_RADIUS = 2.3
"""R_M: iron's 1.72, thinned out by the gap."""
CRITICAL_ENERGY = 0.0217
"""Energy at which an electron in iron loses as much by ionising as by radiating."""

EM_HIT_ENERGY = 0.26**2
"""Energy of one hit of an electromagnetic cascade. n hits fluctuate by √n,
so such showers are measured to 26 %/√(E/GeV): CALICE's 22 %, times √(3 cm / 2.1 cm)."""
HADRON_HIT_ENERGY = 0.15
"""The same for the rest of a hadronic cascade."""
HADRON_RESPONSE = 0.77
"""h/e: the share of that rest that is seen; nuclei swallow the other part unseen."""
HADRON_SPREAD = 0.6
"""How much the part seen fluctuates by itself: 60 %/√(E/GeV) of it."""

ENERGY_PER_COUNT = 0.01
"""Energy of one count; a cell holds 0 to 65,535."""
NOISE = 0.008
"""Standard deviation of every cell's noise."""
THRESHOLD = 0.03
"""Cells that hold less are read out as 0."""

KINDS = ("electromagnetic", "hadronic")
ENERGIES = (20.0, 500.0)
"""Least and greatest energy in GeV, uniform between."""
IMPACT = 6.0
"""Greatest |x| and |y| of the impact point in cm, uniform."""
SLOPE = 0.05
"""Greatest |dx/dz| and |dy/dz| of the particle's direction, uniform."""
DEEPEST_START = 4.0
"""Where a pion interacts at the latest, in interaction lengths."""
BATCH = 250
"""Showers simulated at a time; bounds the memory."""

_SHARES = (3.0, 2.0, 1.0)  # Dirichlet weights of a pion's three π⁰ cascades
_LATER = (0.0, 0.7, 1.4)  # mean depth at which they begin, interaction lengths
_ASIDE = (0.0, 0.08, 0.16)  # and how far from the axis
_LEAST_LN_Y = 3.0  # below 0.4 GeV the fits no longer hold


@dataclasses.dataclass(frozen=True, eq=False)
class Showers:
    """Images of showers, and the truth about them.

    Args:
        images: counts `(n, x, y, layers)`, uint16; one is `ENERGY_PER_COUNT` GeV.
        energy: of the particle in GeV, `(n,)`.
        x, y: where it met the front face, in cm from the middle, `(n,)` each.
        z: depth at which the shower started, in cm, `(n,)`.
        kind: index into `KINDS`, `(n,)`.
    """

    images: npt.NDArray[np.uint16]
    energy: Floats
    x: Floats
    y: Floats
    z: Floats
    kind: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of showers."""
        return len(self.images)


class Hits(NamedTuple):
    """Hits of many cascades: the cascade that each belongs to, and where it is, in cm.

    `depth` is counted from the cascade's start, x and y from its axis; `(hits,)` each.
    """

    owner: npt.NDArray[np.intp]
    depth: Floats
    x: Floats
    y: Floats


def generate(count: int, seed: int | Sequence[int]) -> Showers:
    """Simulate showers.

    Args:
        count: number of showers, at least 1.
        seed: one number, or several that are one seed together.

    Returns:
        Showers of both kinds, mixed at random, half of each on average.

    Raises:
        ValueError: `count` is less than 1.

    Example:
        >>> showers = generate(3, seed=1)
        >>> showers.images.shape, showers.images.dtype.name
        ((3, 16, 16, 40), 'uint16')
    """
    if count < 1:
        raise ValueError(f"`count` must be 1 or more. Received: {count}")
    rng = np.random.default_rng(seed)
    sizes = [min(BATCH, count - begun) for begun in range(0, count, BATCH)]
    parts = [vars(_simulate(rng, size)) for size in sizes]
    return Showers(*(np.concatenate([p[name] for p in parts]) for name in parts[0]))


def electromagnetic_hits(rng: np.random.Generator, energy: Floats) -> Hits:
    """Draw the hits of electromagnetic cascades of `energy` GeV, `EM_HIT_ENERGY` each.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> hits = electromagnetic_hits(rng, np.array([100.0, 0.0]))
        >>> print(round(len(hits.owner) * EM_HIT_ENERGY), hits.owner.max())
        101 0
    """
    top, shape = _profiles(rng, energy)
    number = rng.poisson(energy / EM_HIT_ENERGY)
    owner = np.repeat(np.arange(len(energy)), number)
    tau = rng.standard_gamma(shape[owner]) / (shape - 1)[owner]
    core, tail, share = _rings(tau, np.log(np.maximum(energy, 1.0))[owner])
    ring = np.where(rng.random(len(tau)) < share, core, tail)
    depth = tau * top[owner] * RADIATION_LENGTH
    return Hits(owner, depth, *_around(rng, ring * MOLIERE_RADIUS))


def hadronic_hits(rng: np.random.Generator, energy: Floats, not_em: Floats) -> Hits:
    """Draw the hits, `HADRON_HIT_ENERGY` each, of the `not_em` GeV of pions outside π⁰.

    Example:
        >>> E = np.array([100.0])
        >>> hits = hadronic_hits(np.random.default_rng(0), E, 0.4 * E)
        >>> round(len(hits.owner) * HADRON_HIT_ENERGY)  # seen of the 40 GeV
        30
    """
    spread = HADRON_SPREAD / np.sqrt(np.maximum(not_em, 1.0))
    seen = 1 + spread * rng.standard_normal(len(not_em))
    seen = HADRON_RESPONSE * np.maximum(seen, 0) * not_em
    number = rng.poisson(seen / HADRON_HIT_ENERGY)
    owner = np.repeat(np.arange(len(energy)), number)
    ln_energy = np.log(energy)
    length = rng.standard_gamma((0.6165 + 0.3183 * ln_energy)[owner])
    length /= (0.9099 - 0.0237 * ln_energy)[owner]
    ring = 0.1 * (1 + length) * INTERACTION_LENGTH
    return Hits(owner, length * INTERACTION_LENGTH, *_around(rng, ring))


def electromagnetic_share(rng: np.random.Generator, energy: Floats) -> Floats:
    """Draw f_em of pions of these energies in GeV, above 1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> share = electromagnetic_share(rng, np.full(9999, 100.0))
        >>> print(share.mean().round(2), share.std().round(2))
        0.56 0.15
    """
    mean, both = 1 - energy**-0.18, 2 * np.log(energy)
    return rng.beta(mean * both, (1 - mean) * both)


def _simulate(rng: np.random.Generator, count: int) -> Showers:
    kind = rng.integers(0, 2, count)
    energy = rng.uniform(*ENERGIES, count)
    x, y = impact = rng.uniform(-IMPACT, IMPACT, (2, count))
    slope = rng.uniform(-SLOPE, SLOPE, (2, count))
    z = _start(rng, kind)
    share = electromagnetic_share(rng, energy)
    em = np.where(kind == 0, energy, share * energy)
    cells = np.zeros((count, CELLS, CELLS, LAYERS))
    for hits, value in (
        (_electromagnetic_part(rng, kind, em), EM_HIT_ENERGY),
        (hadronic_hits(rng, energy, energy - em), HADRON_HIT_ENERGY),
    ):
        depth = z[hits.owner] + hits.depth
        across, up = impact[:, hits.owner] + slope[:, hits.owner] * depth
        where = hits.owner, across + hits.x, up + hits.y, depth
        cells += value * _count(where, cells.shape)
    return Showers(_read_out(rng, cells), energy, x, y, z, kind)


def _start(rng: np.random.Generator, kind: npt.NDArray[np.int64]) -> Floats:
    """Draw the depth at which each shower starts, in cm."""
    u = rng.random(len(kind))
    photon = -9 / 7 * RADIATION_LENGTH * np.log1p(-u)
    reached = 1 - np.exp(-DEEPEST_START)
    pion = -INTERACTION_LENGTH * np.log1p(-u * reached)
    return np.where(kind == 0, photon, pion)


def _electromagnetic_part(
    rng: np.random.Generator, kind: npt.NDArray[np.int64], energy: Floats
) -> Hits:
    """Draw a photon's one cascade or a pion's three; hits then belong to showers."""
    count, parts, pion = len(kind), len(_SHARES), (kind == 1)[:, None]
    split = np.where(pion, rng.dirichlet(_SHARES, count), np.eye(parts)[0])
    later = pion * _LATER * rng.standard_exponential((count, parts))
    aside = pion * _ASIDE * rng.standard_normal((2, count, parts))
    later, x, y = INTERACTION_LENGTH * np.stack([later, *aside])
    hits = electromagnetic_hits(rng, (energy[:, None] * split).ravel())
    whose = hits.owner
    return Hits(
        whose // parts,
        hits.depth + later.ravel()[whose],
        hits.x + x.ravel()[whose],
        hits.y + y.ravel()[whose],
    )


def _count(
    where: tuple[npt.NDArray[np.intp], Floats, Floats, Floats], shape: tuple[int, ...]
) -> Floats:
    """Count hits, by shower, x, y and z, in every cell; those outside are lost."""
    owner, x, y, z = where
    half = WIDTH / 2
    column = np.floor((x + half) / CELL_SIZE)
    row = np.floor((y + half) / CELL_SIZE)
    layer = np.floor(z / LAYER_PITCH)
    inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[2])
    inside &= layer < shape[3]
    index = ((owner * shape[1] + column) * shape[2] + row) * shape[3] + layer
    index = index[inside].astype(np.intp)
    counts = np.bincount(index, minlength=math.prod(shape))
    return counts.astype(np.float64).reshape(shape)


def _read_out(rng: np.random.Generator, cells: Floats) -> npt.NDArray[np.uint16]:
    """Add noise, drop what is under the threshold, count in steps."""
    noise = rng.standard_normal(cells.shape, np.float32)
    seen = cells + NOISE * noise
    seen[seen < THRESHOLD] = 0
    most = np.iinfo(np.uint16).max
    return np.minimum(np.rint(seen / ENERGY_PER_COUNT), most).astype(np.uint16)


def _profiles(rng: np.random.Generator, energy: Floats) -> tuple[Floats, Floats]:
    """Draw T and α of each cascade."""
    least = CRITICAL_ENERGY * np.exp(_LEAST_LN_Y)
    ln_y = np.log(np.maximum(energy, least) / CRITICAL_ENERGY)
    correlation = 0.705 - 0.023 * ln_y
    first, second = rng.standard_normal((2, len(energy)))
    second = correlation * first + np.sqrt(1 - correlation**2) * second
    top = (ln_y - 0.812) * np.exp(first / (-1.4 + 1.26 * ln_y))
    shape = 0.81 + (0.458 + 2.26 / ATOMIC_NUMBER) * ln_y
    return top, np.maximum(shape * np.exp(second / (-0.58 + 0.86 * ln_y)), 1.1)


def _rings(tau: Floats, ln_energy: Floats) -> tuple[Floats, Floats, Floats]:
    """Return R_C, R_T and the share p of the inner ring."""
    z = ATOMIC_NUMBER
    core = 0.0251 + 0.00319 * ln_energy + (0.1162 - 0.000381 * z) * tau
    tail = (0.659 - 0.00309 * z) * (
        np.exp(-2.59 * (tau - 0.645))
        + np.exp((0.3585 + 0.0421 * ln_energy) * (tau - 0.645))
    )
    v = (0.401 + 0.00187 * z - tau) / (1.313 - 0.0686 * ln_energy)
    return core, tail, (2.632 - 0.00094 * z) * np.exp(v - np.exp(v))


def _around(rng: np.random.Generator, ring: Floats) -> tuple[Floats, Floats]:
    """Draw points around an axis with dE/dr = 2rR²/(r² + R²)²."""
    u = rng.random(len(ring))
    r = ring * np.sqrt(u / (1 - u))
    angle = 2 * np.pi * rng.random(len(ring))
    return r * np.cos(angle), r * np.sin(angle)
