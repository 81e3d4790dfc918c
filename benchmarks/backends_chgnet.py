"""CHGNet here against the chgnet package: evaluations and relaxations in one run."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from pymatgen.io.ase import AseAtomsAdaptor

import softatoms as sa
from claims import Claim, Stopwatch
from softatoms.potentials.base import Potential

ALL = ("energy", "forces", "stress")
FMAX = 0.001
"""Largest force in eV/Å that both relaxers leave."""

OXIDES: dict[str, dict[str, Any]] = {
    "MgO": {
        "symbols": ["Mg", "O"],
        "group": 225,
        "cell": [4.21],
        "sites": [(0, 0, 0), (0.5, 0, 0)],
    },
    "CaO": {
        "symbols": ["Ca", "O"],
        "group": 225,
        "cell": [4.81],
        "sites": [(0, 0, 0), (0.5, 0, 0)],
    },
    "SrO": {
        "symbols": ["Sr", "O"],
        "group": 225,
        "cell": [5.16],
        "sites": [(0, 0, 0), (0.5, 0, 0)],
    },
    "BaO": {
        "symbols": ["Ba", "O"],
        "group": 225,
        "cell": [5.54],
        "sites": [(0, 0, 0), (0.5, 0, 0)],
    },
    "NiO": {
        "symbols": ["Ni", "O"],
        "group": 225,
        "cell": [4.18],
        "sites": [(0, 0, 0), (0.5, 0, 0)],
    },
    "MnO": {
        "symbols": ["Mn", "O"],
        "group": 225,
        "cell": [4.44],
        "sites": [(0, 0, 0), (0.5, 0, 0)],
    },
    "Li2O": {
        "symbols": ["Li", "O"],
        "group": 225,
        "cell": [4.62],
        "sites": [(0.25, 0.25, 0.25), (0, 0, 0)],
    },
    "Na2O": {
        "symbols": ["Na", "O"],
        "group": 225,
        "cell": [5.55],
        "sites": [(0.25, 0.25, 0.25), (0, 0, 0)],
    },
    "CeO2": {
        "symbols": ["Ce", "O"],
        "group": 225,
        "cell": [5.41],
        "sites": [(0, 0, 0), (0.25, 0.25, 0.25)],
    },
    "ZrO2": {
        "symbols": ["Zr", "O"],
        "group": 225,
        "cell": [5.09],
        "sites": [(0, 0, 0), (0.25, 0.25, 0.25)],
    },
    "Cu2O": {
        "symbols": ["Cu", "O"],
        "group": 224,
        "cell": [4.27],
        "sites": [(0.25, 0.25, 0.25), (0, 0, 0)],
    },
    "TiO2": {
        "symbols": ["Ti", "O"],
        "group": 136,
        "cell": [4.59, 4.59, 2.96],
        "sites": [(0, 0, 0), (0.305, 0.305, 0)],
    },
    "SnO2": {
        "symbols": ["Sn", "O"],
        "group": 136,
        "cell": [4.74, 4.74, 3.19],
        "sites": [(0, 0, 0), (0.306, 0.306, 0)],
    },
    "RuO2": {
        "symbols": ["Ru", "O"],
        "group": 136,
        "cell": [4.49, 4.49, 3.11],
        "sites": [(0, 0, 0), (0.306, 0.306, 0)],
    },
    "SrTiO3": {
        "symbols": ["Sr", "Ti", "O"],
        "group": 221,
        "cell": [3.91],
        "sites": [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)],
    },
    "BaZrO3": {
        "symbols": ["Ba", "Zr", "O"],
        "group": 221,
        "cell": [4.19],
        "sites": [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)],
    },
    "ZnO": {
        "symbols": ["Zn", "O"],
        "group": 186,
        "cell": [3.25, 3.25, 5.21, 90, 90, 120],
        "sites": [(1 / 3, 2 / 3, 0), (1 / 3, 2 / 3, 0.382)],
    },
    "BeO": {
        "symbols": ["Be", "O"],
        "group": 186,
        "cell": [2.70, 2.70, 4.38, 90, 90, 120],
        "sites": [(1 / 3, 2 / 3, 0), (1 / 3, 2 / 3, 0.378)],
    },
    "Al2O3": {
        "symbols": ["Al", "O"],
        "group": 167,
        "cell": [4.76, 4.76, 12.99, 90, 90, 120],
        "sites": [(0, 0, 0.352), (0.306, 0, 0.25)],
    },
    "Cr2O3": {
        "symbols": ["Cr", "O"],
        "group": 167,
        "cell": [4.96, 4.96, 13.59, 90, 90, 120],
        "sites": [(0, 0, 0.348), (0.306, 0, 0.25)],
    },
}
"""Twenty oxides near their measured structures, as primitive cells of 2 to 10 atoms."""


MANY_MINIMA = ("Cu2O", "SrTiO3")
"""Here CHGNet has several minima within 1 meV, with volumes 0.2 % apart. From a start without
symmetry two relaxers end in different ones, so these start as crystals that are only too large."""


def oxides() -> dict[str, Atoms]:
    """The oxides, strained by some per cent and with sites off their places."""
    rng = np.random.default_rng(0)
    structures = {}
    for name, made in OXIDES.items():
        cell = made["cell"] * 3 if len(made["cell"]) == 1 else made["cell"]
        atoms = crystal(
            made["symbols"],
            made["sites"],
            spacegroup=made["group"],
            cellpar=[*cell, 90, 90, 90][:6],
            primitive_cell=True,
        )
        disorder = 0.0 if name in MANY_MINIMA else 1.0
        strain = np.eye(3) * 1.02 + disorder * 0.01 * rng.normal(size=(3, 3))
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        atoms.positions += disorder * 0.04 * rng.normal(size=atoms.positions.shape)
        structures[name] = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
    return structures


def metal() -> Atoms:
    """108 atoms of a copper-nickel alloy."""
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True) * (3, 3, 3)
    atoms.symbols[::3] = "Ni"
    atoms.rattle(0.05, seed=0)
    return atoms


def oxide() -> Atoms:
    """80 atoms of strontium titanate."""
    atoms = crystal(
        ["Sr", "Ti", "O"],
        [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)],
        spacegroup=221,
        cellpar=[3.94] * 3 + [90] * 3,
    ) * (4, 2, 2)
    atoms = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
    atoms.rattle(0.05, seed=0)
    return atoms


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """The package prints and warns."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def driven(atoms: Atoms, calculator: Any) -> Any:
    """A function that moves an atom a little and asks the calculator for everything."""
    moved = atoms.copy()
    moved.calc = calculator

    def step() -> None:
        moved.positions[0, 0] += 1e-5
        moved.get_potential_energy()
        moved.get_forces()
        moved.get_stress()

    return step


def evaluations(watch: Stopwatch) -> list[Claim]:
    """One structure at a time through ASE calculators, graphs included."""
    with quietly():
        from chgnet.model.dynamics import CHGNetCalculator

        reference = CHGNetCalculator(use_device="cpu")
    potential = sa.load_potential("chgnet")
    claims = []
    for name, atoms in (("108-atom metal", metal()), ("80-atom oxide", oxide())):
        # Without a margin the list is searched at every step, as the package does.
        calculator = sa.SoftCalculator(
            potential, sa.SoftAtoms.from_ase(atoms), dtype="float32", skin=0.0
        )
        with quietly():
            ours, theirs = watch.pair(driven(atoms, calculator), driven(atoms, reference))
        print(f"  chgnet, {name}: {1e3 * ours:.0f} ms, package {1e3 * theirs:.0f} ms")
        claims.append(Claim(f"chgnet, {name}: ours / package", ours / theirs, 0.7))
    return claims


def soft_sites(watch: Stopwatch, potential: Potential, name: str) -> None:
    """What candidates cost: every site with 1 to 3 candidates, gradient by weights included."""
    atoms = bulk("Cu", "fcc", a=3.65, cubic=True) * (2, 2, 2)
    atoms.rattle(0.05, seed=0)
    plain = sa.SoftAtoms.from_ase(atoms)
    wanted = (*ALL, "weight_gradient")
    base = watch(lambda: sa.evaluate(potential, plain, properties=ALL, dtype="float32"))
    for count, weights in (
        (1, {"Cu": 0.9}),
        (2, {"Cu": 0.5, "Au": 0.5}),
        (3, {"Cu": 0.4, "Au": 0.3, "Ni": 0.3}),
    ):
        soft = plain.with_candidates(range(len(plain)), weights, tie="alloy")
        seconds = watch(
            lambda soft=soft: sa.evaluate(potential, soft, properties=wanted, dtype="float32")
        )
        print(f"  {name}, 32 sites of {count} candidates: {seconds / base:.2f} × plain")


def heat_flux(watch: Stopwatch, potential: Potential, name: str) -> list[Claim]:
    """Heat flux against a force call."""
    atoms = metal()
    rates = 0.01 * np.random.default_rng(0).normal(size=atoms.positions.shape)
    soft = sa.SoftAtoms.from_ase(atoms).with_velocities(rates)
    flux, force = watch.pair(
        lambda: sa.evaluate(potential, soft, properties=("heat_flux",), dtype="float32"),
        lambda: sa.evaluate(potential, soft, properties=("forces",), dtype="float32"),
    )
    print(f"  {name}, 108 atoms: heat flux {1e3 * flux:.0f} ms, forces {1e3 * force:.0f} ms")
    return [Claim(f"{name}: heat flux / force call", flux / force, 4.0)]


def batches(watch: Stopwatch, potential: Potential, systems: list[Atoms], name: str) -> None:
    """16 structures at once against one by one."""
    soft = [sa.SoftAtoms.from_ase(atoms) for atoms in systems[:16]]

    def singly() -> None:
        for system in soft:
            sa.evaluate(potential, system, properties=ALL, dtype="float32")

    together, single = watch.pair(
        lambda: sa.evaluate_batch(potential, soft, properties=ALL, dtype="float32"), singly
    )
    sizes = f"{min(map(len, soft))} to {max(map(len, soft))} atoms"
    print(f"  {name}, 16 structures of {sizes}: {single / together:.2f} × faster in a batch")


def relaxations() -> list[Claim]:
    """Twenty oxides by both relaxers, positions and cells, to the same largest force."""
    with quietly():
        from chgnet.model import StructOptimizer

        relaxer = StructOptimizer(use_device="cpu")
    structures = oxides()
    start = time.perf_counter()
    theirs = []
    for atoms in structures.values():
        with quietly():
            done = relaxer.relax(
                AseAtomsAdaptor.get_structure(atoms),
                fmax=FMAX,
                steps=1000,
                verbose=False,
                assign_magmoms=False,
            )
        theirs.append((done["final_structure"].volume, len(done["trajectory"].energies)))
    package = time.perf_counter() - start
    start = time.perf_counter()
    ours = sa.relax_batch(
        sa.load_potential("chgnet"),
        [sa.SoftAtoms.from_ase(atoms) for atoms in structures.values()],
        dtype="float32",
        cell="full",
        fmax=FMAX,
        smax=None,
        max_steps=1000,
    )
    own = time.perf_counter() - start
    worst = 0.0
    for name, done, (volume, steps) in zip(structures, ours, theirs, strict=True):
        assert done.converged, f"{name}: {done.status}: {done.error}"
        off = abs(abs(np.linalg.det(done.soft.cell)) / volume - 1.0)
        worst = max(worst, off)
        print(
            f"  {name:7s} {len(done.soft):3d} atoms: {volume:8.3f} Å³, off by {off:.1e}; "
            f"{done.evaluations} evaluations, package {steps}"
        )
    print(f"  20 oxides: {own:.1f} s, package {package:.1f} s")
    return [
        Claim("chgnet: relaxation of 20 oxides, ours / package", own / package, 0.5),
        Claim("chgnet: largest deviation of volumes in per cent", 100 * worst, 0.1),
    ]
