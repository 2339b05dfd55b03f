"""The calorimeter in which the showers happen.

Plates of steel, 3 cm thick, with 1 cm between them for scintillator tiles: what the
CALICE collaboration built (analogue hadron calorimeter, JINST 5 (2010) P05004), with
thicker plates, so that 40 layers hold most of a shower. Steel and gap are treated as
one material; x and y run from the middle, z from the front face into the depth.
Lengths are in cm, energies in GeV.
"""

LAYERS = 40
"""Slices of an image."""
CELLS = 16
"""Cells of a slice along x, and along y."""
CELL = 3.0
"""Side of a cell."""
PITCH = 4.0
"""From one layer to the next."""
WIDTH = CELLS * CELL
"""Of the whole, along x and along y."""
DEPTH = LAYERS * PITCH
"""Of the whole, along z: 68 radiation lengths, 7.3 interaction lengths."""

CHARGE = 26
"""Z of iron."""
RADIATION_LENGTH = 2.35
"""X₀: iron's 1.76, thinned out by the gap."""
INTERACTION_LENGTH = 22.0
"""λ: iron's 16.8, thinned out by the gap."""
MOLIERE_RADIUS = 2.3
"""R_M: iron's 1.72, thinned out by the gap."""
CRITICAL_ENERGY = 0.0217
"""Energy at which an electron in iron loses as much by ionising as by radiating."""

EM_SPOT = 0.26**2
"""Energy that one hit of an electromagnetic cascade stands for. n hits fluctuate by √n,
so such showers are measured to 26 %/√(E/GeV): CALICE's 22 %, times √(3 cm / 2.1 cm)."""
HADRON_SPOT = 0.15
"""The same for the rest of a hadronic cascade."""
HADRON_RESPONSE = 0.77
"""h/e: the share of that rest that is seen; nuclei swallow the other part unseen."""
HADRON_SPREAD = 0.6
"""How much the part seen fluctuates by itself: 60 %/√(E/GeV) of it."""

STEP = 0.01
"""Energy of one count; a cell holds 0 to 65,535."""
NOISE = 0.008
"""Standard deviation of every cell's noise."""
THRESHOLD = 0.03
"""Cells that hold less are read out as 0."""
