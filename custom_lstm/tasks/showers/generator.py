"""Seeded showers of two kinds of particles in the calorimeter of `detector`.

A photon (kind 0, electromagnetic) converts after an exponential depth, mean 9/7 X₀,
and is one electromagnetic cascade. A charged pion (kind 1, hadronic) interacts after an
exponential depth, mean λ, cut at 4 λ; its π⁰ are three electromagnetic cascades, one at
the start, two from deeper and off the axis, and the rest is a hadronic cascade.
`cascades` has the formulas and their sources.

As in a real calorimeter, a pion's energy is not proportional to the sum of all cells:
that depends on the share of π⁰, and on what leaves the detector at its back and sides.
The sum, calibrated for each kind, misses a photon's energy by 1.6 % on average and a
pion's by 5.7 %. For photons this is the fluctuation of the hits, and nobody can do
better; for pions the shape of the shower tells more (CALICE, JINST 7 (2012) P09017,
went from 58 to 45 %/√E). Every run's table has a row for the sum.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from custom_lstm.tasks.showers import cascades, detector
from custom_lstm.tasks.showers.cascades import Floats

KINDS = ("electromagnetic", "hadronic")
ENERGIES = (20.0, 500.0)
"""Least and greatest energy in GeV, uniform between."""
IMPACT = 6.0
"""Greatest |x| and |y| of the impact point in cm, uniform."""
SLOPE = 0.05
"""Greatest |dx/dz| and |dy/dz| of the particle's direction, uniform."""
DEEPEST_START = 4.0
"""Where a pion interacts at the latest, in interaction lengths."""
AT_ONCE = 250
"""Showers thrown at a time; bounds the memory."""

_SHARES = (3.0, 2.0, 1.0)  # Dirichlet weights of a pion's three π⁰ cascades
_LATER = (0.0, 0.7, 1.4)  # mean depth at which they begin, interaction lengths
_ASIDE = (0.0, 0.08, 0.16)  # and how far from the axis


@dataclasses.dataclass(frozen=True, eq=False)
class Showers:
    """Images of showers, and the truth about them.

    Args:
        images: counts `(n, x, y, layers)`, uint16; one is `detector.STEP` GeV.
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
        """How many showers these are."""
        return len(self.images)


def generate(count: int, seed: int | Sequence[int]) -> Showers:
    """Throw showers.

    Args:
        count: how many, at least 1.
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
    sizes = [min(AT_ONCE, count - begun) for begun in range(0, count, AT_ONCE)]
    parts = [vars(_throw(rng, size)) for size in sizes]
    return Showers(*(np.concatenate([p[name] for p in parts]) for name in parts[0]))


def _throw(rng: np.random.Generator, count: int) -> Showers:
    kind = rng.integers(0, 2, count)
    energy = rng.uniform(*ENERGIES, count)
    x, y = impact = rng.uniform(-IMPACT, IMPACT, (2, count))
    slope = rng.uniform(-SLOPE, SLOPE, (2, count))
    z = _start(rng, kind)
    share = cascades.electromagnetic_share(rng, energy)
    em = np.where(kind == 0, energy, share * energy)
    cells = np.zeros((count, detector.CELLS, detector.CELLS, detector.LAYERS))
    for hits, value in (
        (_electromagnetic_part(rng, kind, em), detector.EM_SPOT),
        (cascades.hadronic(rng, energy, energy - em), detector.HADRON_SPOT),
    ):
        depth = z[hits.owner] + hits.depth
        across, up = impact[:, hits.owner] + slope[:, hits.owner] * depth
        where = hits.owner, across + hits.x, up + hits.y, depth
        cells += value * _count(where, cells.shape)
    return Showers(_read_out(rng, cells), energy, x, y, z, kind)


def _start(rng: np.random.Generator, kind: npt.NDArray[np.int64]) -> Floats:
    """Draw the depth at which each shower starts, in cm."""
    u = rng.random(len(kind))
    photon = -9 / 7 * detector.RADIATION_LENGTH * np.log1p(-u)
    reached = 1 - np.exp(-DEEPEST_START)
    pion = -detector.INTERACTION_LENGTH * np.log1p(-u * reached)
    return np.where(kind == 0, photon, pion)


def _electromagnetic_part(
    rng: np.random.Generator, kind: npt.NDArray[np.int64], energy: Floats
) -> cascades.Hits:
    """Throw a photon's one cascade or a pion's three; hits then belong to showers."""
    count, parts, pion = len(kind), len(_SHARES), (kind == 1)[:, None]
    split = np.where(pion, rng.dirichlet(_SHARES, count), np.eye(parts)[0])
    later = pion * _LATER * rng.standard_exponential((count, parts))
    aside = pion * _ASIDE * rng.standard_normal((2, count, parts))
    later, x, y = detector.INTERACTION_LENGTH * np.stack([later, *aside])
    hits = cascades.electromagnetic(rng, (energy[:, None] * split).ravel())
    whose = hits.owner
    return cascades.Hits(
        whose // parts,
        hits.depth + later.ravel()[whose],
        hits.x + x.ravel()[whose],
        hits.y + y.ravel()[whose],
    )


def _count(
    where: tuple[npt.NDArray[np.intp], Floats, Floats, Floats], shape: tuple[int, ...]
) -> Floats:
    """Count the hits in every cell; those outside the detector are lost.

    Args:
        where: shower, x, y and z of each hit.
        shape: `(showers, x, y, layers)`.
    """
    owner, x, y, z = where
    half = detector.WIDTH / 2
    column = np.floor((x + half) / detector.CELL)
    row = np.floor((y + half) / detector.CELL)
    layer = np.floor(z / detector.PITCH)
    inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[2])
    inside &= layer < shape[3]
    index = ((owner * shape[1] + column) * shape[2] + row) * shape[3] + layer
    index = index[inside].astype(np.intp)
    counts = np.bincount(index, minlength=math.prod(shape))
    return counts.astype(np.float64).reshape(shape)


def _read_out(rng: np.random.Generator, cells: Floats) -> npt.NDArray[np.uint16]:
    """Add noise, drop what is under the threshold, count in steps."""
    noise = rng.standard_normal(cells.shape, np.float32)
    seen = cells + detector.NOISE * noise
    seen[seen < detector.THRESHOLD] = 0
    most = np.iinfo(np.uint16).max
    return np.minimum(np.rint(seen / detector.STEP), most).astype(np.uint16)
