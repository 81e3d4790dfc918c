"""Free energies of copper (gupta): alchemical paths against whole crystals, and what they cost.

    .venv/bin/python benchmarks/free_energy_cu.py vacancy --cells 3 --temperatures 100,300,900
    .venv/bin/python benchmarks/free_energy_cu.py composition --temperatures 300,600
    .venv/bin/python benchmarks/free_energy_cu.py time

``vacancy``: G of a vacancy in 4 cells³ atoms by removal of an atom, by Frenkel–Ladd paths of both
crystals, and harmonically at the same cell, with the cost of each. ``composition``: Cu → Ni of all
sites and Cu → Au of one in four by transmutation against the difference of Frenkel–Ladd paths.
``time``: wall time of a work in one batch against one replica at a time under ASE's NPT with the
same potential. With OMP_NUM_THREADS=1; a temperature of ``vacancy`` takes about five minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np
from ase import units as ase_units
from ase.build import bulk
from ase.md.nose_hoover_chain import MTKNPT

import softatoms as sa
from claims import Claim, verdict
from softatoms.free_energy.defects import Known, vacancy_from_crystals, vacancy_from_removal
from softatoms.free_energy.einstein import (
    centre_of_mass_free_energy,
    oscillator_free_energies,
    thermal_energy,
)
from softatoms.free_energy.equilibrium import EquilibrationProtocol, Equilibrium, equilibrate
from softatoms.free_energy.estimators import Estimate, bar
from softatoms.free_energy.paths import Path, frenkel_ladd, removal, site_masses, substitution
from softatoms.free_energy.switching import Case, Protocol, Works, switch
from softatoms.potentials.base import Potential
from softatoms.relax import relax_batch

LATTICE = 3.63
MEV = 1000.0


def main() -> int:
    """Run what is asked for and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("vacancy", "composition", "time"))
    parser.add_argument("--cells", type=int, default=3, help="cubic cells along each edge")
    parser.add_argument("--temperatures", default="300", help="in K, separated by commas")
    parser.add_argument("--replicas", type=int, default=8, help="in each direction")
    parser.add_argument("--steps", type=int, default=1500, help="of switching, of 4 fs")
    parser.add_argument("--equilibration", type=int, default=500, help="steps of 4 fs")
    parser.add_argument("--elements", default="Ni,Au", help="of composition")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    temperatures = [float(value) for value in given.temperatures.split(",")]
    protocol = Protocol(
        equilibration_steps=given.equilibration,
        switching_steps=given.steps,
        n_replicas=given.replicas,
        timestep=4.0,
        friction=0.01,
        seed=given.seed,
    )
    if given.what == "vacancy":
        return verdict([c for t in temperatures for c in _vacancy(given.cells, t, protocol)])
    if given.what == "composition":
        elements = given.elements.split(",")
        return verdict(
            [
                claim
                for element in elements
                for t in temperatures
                for claim in _composition(element, given.cells, t, protocol)
            ]
        )
    return verdict(_time(given.cells))


def _copper(cells: int, a: float = LATTICE) -> sa.SoftAtoms:
    return sa.SoftAtoms.from_ase(bulk("Cu", "fcc", a=a, cubic=True) * ((cells,) * 3))


def _equilibrated(
    potential: Potential, soft: sa.SoftAtoms, temperature: float, switching: Protocol
) -> Equilibrium:
    protocol = EquilibrationProtocol(
        equilibration_steps=switching.equilibration_steps,
        sampling_steps=switching.switching_steps,
        n_replicas=switching.n_replicas // 2,
        timestep=4.0,
        barostat_time=200.0,
        seed=switching.seed,
    )
    return equilibrate(potential, [("start", soft, temperature)], protocol)[0]


def _estimated(works: Works) -> Estimate:
    return bar(works.forward, works.backward, temperature=works.case.temperature)


def _switched(
    potential: Potential, paths: dict[str, Path], temperature: float, protocol: Protocol
) -> dict[str, tuple[Known, Works]]:
    """Value of each path with its works, printed on the way."""
    found = {}
    for name, path in paths.items():
        start = time.perf_counter()
        works = switch(potential, [Case(name, path, temperature)], protocol)[0]
        estimate = _estimated(works)
        value = Known(path.value(estimate.value, temperature), estimate.stderr)
        hysteresis = MEV * (works.forward.mean() + works.backward.mean())
        print(
            f"  {name:14s} {value.value:12.5f} ± {value.stderr:.5f} eV   ⟨W_f⟩ + ⟨W_b⟩ "
            f"{hysteresis:7.2f} meV, std {MEV * works.forward.std(ddof=1):6.2f} and "
            f"{MEV * works.backward.std(ddof=1):6.2f} meV   {time.perf_counter() - start:4.0f} s"
            f"   {works.error}",
            flush=True,
        )
        found[name] = (value, works)
    return found


def _vacancy(cells: int, temperature: float, protocol: Protocol) -> list[Claim]:
    potential = sa.load_potential("gupta", elements=["Cu"])
    state = _equilibrated(potential, _copper(cells), temperature, protocol)
    crystal, count = state.soft, len(state.soft)
    spring, volume = float(state.stiffness[0]), state.volume / count
    print(
        f"\n{count} atoms, {temperature:g} K: a = {(4 * volume) ** (1 / 3):.4f} Å, "
        f"k = {spring:.3f} eV/Å²",
        flush=True,
    )
    found = _switched(
        potential,
        {
            "removal": removal(crystal, 0, spring),
            "perfect": frenkel_ladd(crystal, spring, cell_volume=volume),
            "defective": frenkel_ladd(crystal.select(range(1, count)), spring, cell_volume=volume),
        },
        temperature,
        protocol,
    )
    perfect, defective = found["perfect"][0], found["defective"][0]
    alchemical = vacancy_from_removal(found["removal"][0], perfect, count)
    whole = vacancy_from_crystals(defective, perfect, count)
    harmonic, static = _harmonic_vacancy(potential, crystal, temperature, volume)
    print(f"  G alchemical   {alchemical.value:9.5f} ± {alchemical.stderr:.5f} eV")
    print(f"  G Frenkel-Ladd {whole.value:9.5f} ± {whole.stderr:.5f} eV")
    print(f"  G harmonic     {harmonic:9.5f} eV, static {static:.5f} eV", flush=True)
    gap = alchemical - whole
    # Paths of one length and as many replicas each: removal and F(N)/N are two, so are the others.
    # The removal alone is one, and is what is run again at every defect.
    ratio = found["removal"][0].stderr / (whole.stderr * np.sqrt(2.0))
    at = f"{count} atoms, {temperature:g} K: "
    claims = [
        Claim(at + "|removal − whole crystals| / error", abs(gap.value) / gap.stderr, 2.0),
        Claim(at + "error of removal / whole, equal cost", ratio, 0.25),
        Claim(at + "error with F(N)/N / whole", alchemical.stderr / whole.stderr, 0.25),
    ]
    if temperature <= 100.0:
        claims.append(
            Claim(at + "|removal − harmonic| (meV)", MEV * abs(alchemical.value - harmonic), 5.0)
        )
    return claims


def _harmonic_vacancy(
    potential: Potential, crystal: sa.SoftAtoms, temperature: float, volume: float
) -> tuple[float, float]:
    """G of a vacancy from force constants by differences of forces, and its static part, in eV."""
    count = len(crystal)
    relaxed = relax_batch(
        potential, [crystal, crystal.select(range(1, count))], fmax=1e-4, max_steps=1000
    )
    energies = [float(one.energy) for one in relaxed]
    totals = [
        energy + _vibrations(potential, one.soft, temperature, volume)
        for energy, one in zip(energies, relaxed, strict=True)
    ]
    part = (count - 1) / count
    return totals[1] - part * totals[0], energies[1] - part * energies[0]


def _vibrations(
    potential: Potential, soft: sa.SoftAtoms, temperature: float, volume: float
) -> float:
    """Classical free energy of 3N − 3 modes and of the centre of mass in eV."""
    step, moved = 1e-3, []
    for index in range(3 * len(soft)):
        for sign in (1.0, -1.0):
            positions = soft.positions.copy()
            positions.ravel()[index] += sign * step
            moved.append(soft.with_positions(positions))
    rows = []
    for first in range(0, len(moved), 24):
        part = sa.evaluate_batch(potential, moved[first : first + 24], properties=("forces",))
        rows += [one.forces.numpy().ravel() for one in part]  # type: ignore[union-attr]
    forces = np.stack(rows)
    hessian = (forces[1::2] - forces[0::2]) / (2.0 * step)
    masses = site_masses(soft)
    roots = np.sqrt(np.repeat(masses, 3))
    squares = np.linalg.eigvalsh(0.5 * (hessian + hessian.T) / np.outer(roots, roots))[3:]
    # A mode of ω² = k/m is a third of an oscillator in space.
    modes = oscillator_free_energies(squares, 1.0, temperature).sum() / 3.0
    return float(modes) + centre_of_mass_free_energy(float(masses.sum()), volume, temperature)


def _composition(element: str, cells: int, temperature: float, protocol: Protocol) -> list[Claim]:
    """A transmutation at one cell, whose ends are whole crystals by Frenkel–Ladd paths.

    Nickel takes all sites, gold one in four, a sublattice of L1_2.
    """
    share, a = {"Ni": (1, 3.58), "Au": (4, 3.75)}[element]
    potential = sa.load_potential("gupta", elements=["Cu", element])
    before = _copper(cells, a)
    sites, volume = list(range(0, len(before), share)), a**3 / 4.0
    after = before.to_ase()
    for site in sites:
        after.symbols[site] = element
    ends = [before, sa.SoftAtoms.from_ase(after)]
    springs = [_springs(potential, soft, temperature, protocol.seed) for soft in ends]
    print(
        f"\nCu to {element} on {len(sites)} of {len(before)} sites, {temperature:g} K, a = {a} Å",
        flush=True,
    )
    found = _switched(
        potential,
        {
            "transmutation": substitution(before, dict.fromkeys(sites, element)),
            "before": frenkel_ladd(before, springs[0], cell_volume=volume),
            "after": frenkel_ladd(ends[1], springs[1], cell_volume=volume),
        },
        temperature,
        protocol,
    )
    closure = found["before"][0] + found["transmutation"][0] - found["after"][0]
    print(f"  closure {MEV * closure.value:.2f} ± {MEV * closure.stderr:.2f} meV")
    lost = found["transmutation"][1].dissipation / (thermal_energy(temperature) * len(sites))
    at = f"Cu → {element}, {temperature:g} K: "
    return [
        Claim(at + "|closure| / error", abs(closure.value) / closure.stderr, 2.0),
        Claim(at + "work lost per run over kT and site", lost, 0.5),
    ]


def _springs(
    potential: Potential, soft: sa.SoftAtoms, temperature: float, seed: int
) -> Sequence[float]:
    protocol = EquilibrationProtocol(
        cell="static",
        equilibration_steps=300,
        sampling_steps=700,
        n_replicas=4,
        timestep=4.0,
        seed=seed,
    )
    state = equilibrate(potential, [("springs", soft, temperature)], protocol)[0]
    return [float(value) for value in state.stiffness]


def _time(cells: int) -> list[Claim]:
    """One forward and one backward work of 100 steps: 32 replicas at once, or ASE one by one."""
    potential = sa.load_potential("gupta", elements=["Cu"])
    crystal, replicas, steps = _copper(cells), 16, 100
    path = removal(crystal, 0, 2.0)
    protocol = Protocol(
        equilibration_steps=1, switching_steps=steps, n_replicas=replicas, timestep=4.0
    )
    ratios = []
    for _ in range(3):
        start = time.perf_counter()
        switch(potential, [Case("time", path, 300.0)], protocol)
        ours = (time.perf_counter() - start) / (2 * replicas * (steps + 1))
        # ASE knows no switching: the same fading system at constant pressure is what it would move.
        atoms = path.soft.to_ase()
        atoms.calc = sa.SoftCalculator(potential, path.soft)
        spread = np.sqrt(ase_units.kB * 300.0 * atoms.get_masses())[:, None]
        atoms.set_momenta(spread * np.random.default_rng(0).standard_normal((len(atoms), 3)))
        npt = MTKNPT(
            atoms,
            timestep=4.0 * ase_units.fs,
            temperature_K=300.0,
            pressure_au=0.0,
            tdamp=100.0 * ase_units.fs,
            pdamp=1000.0 * ase_units.fs,
        )
        npt.run(5)
        start = time.perf_counter()
        npt.run(steps)
        theirs = (time.perf_counter() - start) / steps
        ratios.append(theirs / ours)
        print(f"  {MEV * ours:.2f} ms against {MEV * theirs:.2f} ms per step of a replica")
    return [
        Claim(
            f"{len(crystal)} atoms: ASE one by one / one batch",
            float(np.median(ratios)),
            8.0,
            at_most=False,
        )
    ]


if __name__ == "__main__":
    sys.exit(main())
