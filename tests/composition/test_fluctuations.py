"""What separates a random alloy from its mean field, against a formula worked out by hand.

With E = repulsion − √ρ per atom, the repulsion of a random alloy is that of the mean field exactly,
and to second order the band energy is higher by Var(ρ) / (8 ρ^{3/2}), because the square root is
concave. Var(ρ) follows from independent occupation of the neighbours.
"""

from __future__ import annotations

import numpy as np
import pytest

import softatoms as sa
from softatoms.composition.prototypes import PROTOTYPES
from softatoms.composition.sqs import decorate, shell_counts
from softatoms.composition.structures import explicit_crystal, soft_crystal, supercell
from softatoms.potentials.gupta import CLERI_ROSATO

FCC = PROTOTYPES["fcc"]
SHELLS = ((12, 0.5), (6, 1.0), (24, 1.5), (12, 2.0), (24, 2.5))
"""Neighbours and squared distance in units of the lattice parameter."""


def density(first: str, second: str, distance: float) -> float:
    """Contribution of a neighbour to ρ of an atom in eV²."""
    one, other = CLERI_ROSATO[first], CLERI_ROSATO[second]
    stretch = distance / (0.5 * (one.r0 + other.r0))
    if stretch > 2.28:  # behind the range of the potential
        return 0.0
    return one.xi * other.xi * float(np.exp(-(one.q + other.q) * (stretch - 1.0)))


def fluctuation_energy(fractions: dict[str, float], a: float) -> float:
    """Σ x Var(ρ) / (8 ρ^{3/2}) in eV per atom."""
    energy = 0.0
    for element, fraction in fractions.items():
        mean = variance = 0.0
        for count, square in SHELLS:
            seen = np.array([density(element, other, a * square**0.5) for other in fractions])
            x = np.array(list(fractions.values()))
            average = x @ seen
            mean += count * average
            variance += count * (x @ (seen - average) ** 2)
        energy += fraction * variance / (8.0 * mean**1.5)
    return energy


@pytest.mark.parametrize(("x", "a"), [(0.25, 3.72), (0.5, 3.84), (0.75, 3.95)])
def test_supercells_lie_above_the_mean_field_by_the_fluctuation_energy(x, a):
    pair = ("Cu", "Au")
    potential = sa.load_potential("gupta", elements=list(pair))
    fractions = {pair[0]: 1.0 - x, pair[1]: x}
    soft = soft_crystal(FCC, a, {"site": fractions})
    mean_field = float(sa.evaluate(potential, soft).energy)
    empty = supercell(FCC, [4, 4, 4])
    counts = shell_counts(empty, 4)
    energies = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        cell = decorate(empty, FCC, {"site": fractions}, counts, swaps=1500, rng=rng)
        crystal = explicit_crystal(empty, a, cell.symbols)
        energies.append(float(sa.evaluate(potential, crystal).energy) / len(crystal))
    above = np.mean(energies) - mean_field
    scatter = np.std(energies, ddof=1) / len(energies) ** 0.5
    assert scatter < 0.3e-3
    assert above > 4e-3
    assert above == pytest.approx(fluctuation_energy(fractions, a), abs=0.5e-3)
