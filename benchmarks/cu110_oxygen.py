"""Oxygen on Cu(110) with CHGNet: the added row found along existences, its curves and its window.

    .venv/bin/python benchmarks/cu110_oxygen.py [curves] [order] [search] [phases]

The p(2×1) added row (copper in every second hollow row of Cu(110), oxygen between its atoms along
[001]) is the structure that CHGNet likes best at Δμ(O) = −2.3 eV. Its parts:

``curves``  energy while the O, the added Cu or both of the added row appear, against the structures
            without them and the integral of dE/dq.
``order``   energies of formation on the thin slab of the search in single precision, against a
            thicker one in double precision.
``search``  the clean slab, a layer above it, copper from the bulk and oxygen at Δμ; numbers and
            places unknown. The search along existences and controls with the same relaxation and
            the same counter; what part of the starts finds the added row, and how fast.
``phases``  explicit structures of several coverages and the oxide Cu2O: windows of Δμ(O).

Prints figures; asserts that curves agree with their ends, that the order of structures is that of
the thicker slab, and that the search needs fewer evaluations per hit than each control. Run it with
OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

import softatoms as sa
from softatoms.figures.style import SEQUENCE, apply_style, grid_of_panels
from softatoms.physics.crystals import DEFAULT, rest
from softatoms.potentials.base import Potential
from softatoms.surface.controls import BasinHopping, RandomSearch
from softatoms.surface.driver import Method, SearchOptions, run_search
from softatoms.surface.fingerprint import is_same
from softatoms.surface.free_energy import existence_curve
from softatoms.surface.gradient import GradientSearch
from softatoms.surface.phase_diagram import Line, stable_windows
from softatoms.surface.problem import Problem, Reservoir
from softatoms.surface.region import Layer
from softatoms.surface.slabs import Slab, make_slab
from softatoms.surface.thermochemistry import formation_limit
from softatoms.surface.walkers import Found, SearchResult, Start

DELTA_MU = -2.3
"""Δμ(O) of the search in eV, inside the window of the added row."""

TOLERANCE = 5e-3
"""A structure counts as the added row up to so many eV beside it."""

Added = Sequence[tuple[str, np.ndarray]]


@dataclass(frozen=True)
class References:
    """What the reservoirs consist of.

    Attributes:
        a: Lattice parameter of Cu in Å.
        copper: Energy of bulk Cu in eV per atom.
        oxygen: Energy of the molecule O2 in eV.
        oxide: Energy of Cu2O in eV per formula unit.
    """

    a: float
    copper: float
    oxygen: float
    oxide: float

    def formation(self, energy: float, clean: float, added: Added) -> float:
        """Energy of formation in eV from the clean slab, bulk Cu and ½ O2."""
        names = [name for name, _ in added]
        atoms = names.count("Cu") * self.copper + names.count("O") * 0.5 * self.oxygen
        return energy - clean - atoms


@cache
def potential() -> Potential:
    """CHGNet, loaded once."""
    return sa.load_potential("chgnet")


@cache
def references() -> References:
    """Reservoirs at rest, in double precision."""
    copper = rest(potential(), bulk("Cu"), DEFAULT)
    a = float((4.0 * copper.soft.to_ase().get_volume()) ** (1.0 / 3.0))
    quarters = [(1, 1, 1), (3, 3, 1), (3, 1, 3), (1, 3, 3), (0, 0, 0), (2, 2, 2)]
    cuprite = Atoms(
        "Cu4O2", scaled_positions=0.25 * np.array(quarters), cell=4.27 * np.eye(3), pbc=True
    )
    oxide = rest(potential(), cuprite, DEFAULT)
    dimer = sa.SoftAtoms.from_ase(Atoms("O2", positions=[(0.0, 0.0, 0.0), (0.0, 0.0, 1.22)]))
    (molecule,) = sa.relax_batch(potential(), [dimer], fmax=5e-3)
    n_oxygen = int((oxide.soft.site_number == 8).sum())
    return References(a, copper.energy, molecule.energy, oxide.energy / n_oxygen)


def slab_of(planes: int, rows: int) -> Slab:
    """Cu(110) with two planes held, so many rows of atoms wide."""
    return make_slab(
        bulk("Cu", a=references().a),
        (1, 1, 0),
        planes=planes,
        repeat=((rows, 0), (0, 1)),
        frozen=2,
    )


def places(slab: Slab) -> dict[str, np.ndarray]:
    """Sites of the bare surface in the plane of its top, and the way to the next row, in Å."""
    heights = slab.soft.positions[:, 2]
    corner = slab.soft.positions[heights > slab.top - 0.1][0]
    along, across = slab.primitive_vectors
    return {
        "short bridge": corner + 0.5 * along,
        "long bridge": corner + 0.5 * across,
        "hollow": corner + 0.5 * (along + across),
        "row": along,
    }


def added_row(slab: Slab, rows: Sequence[int]) -> Added:
    """Rows of Cu in hollows, O between them along [001]."""
    at = places(slab)
    spacing = references().a / 2.0**1.5
    atoms: list[tuple[str, np.ndarray]] = []
    for row in rows:
        up = np.array([0.0, 0.0, spacing]) + row * at["row"]
        atoms.append(("Cu", at["hollow"] + up))
        atoms.append(("O", at["short bridge"] + up + np.array([0.0, 0.0, 0.2])))
    return atoms


def single(slab: Slab, site: str, height: float, name: str = "O") -> Added:
    """One atom above a site."""
    return [(name, places(slab)[site] + np.array([0.0, 0.0, height]))]


def relaxed(
    slab: Slab, variants: Sequence[Added], *, fmax: float, dtype: str
) -> list[tuple[sa.SoftAtoms, float]]:
    """The slab with each set of added atoms at rest, and its energy in eV."""
    structures = []
    for added in variants:
        atoms = slab.soft.to_ase()
        for name, position in added:
            atoms += Atoms(name, positions=[position])
        structures.append(sa.SoftAtoms.from_ase(atoms))
    done = sa.relax_batch(
        potential(),
        structures,
        fixed_sites=[np.flatnonzero(slab.fixed)] * len(structures),
        fmax=fmax,
        max_steps=300,
        dtype=dtype,
    )
    for one in done:
        assert one.status == "ok", one.error
    return [(one.soft, one.energy) for one in done]


KINDS = (
    "clean",
    "added row",
    "O on a long bridge",
    "O in a hollow",
    "O on a short bridge",
    "Cu in a hollow",
)


def kinds_of(slab: Slab) -> list[Added]:
    """Added atoms of each of KINDS, in a cell two rows wide."""
    return [
        [],
        added_row(slab, [0]),
        single(slab, "long bridge", 0.6),
        single(slab, "hollow", 0.6),
        single(slab, "short bridge", 1.2),
        single(slab, "hollow", references().a / 2.0**1.5, "Cu"),
    ]


def order_of_structures(planes: int, dtype: str, fmax: float) -> dict[str, float]:
    """Energies of formation of KINDS in eV; prints them."""
    slab = slab_of(planes, 2)
    variants = kinds_of(slab)
    done = relaxed(slab, variants, fmax=fmax, dtype=dtype)
    found = {
        kind: references().formation(energy, done[0][1], added)
        for kind, added, (_, energy) in zip(KINDS, variants, done, strict=True)
    }
    print(f"  {planes} planes, {dtype}: " + ", ".join(f"{k} {v:+.3f}" for k, v in found.items()))
    return found


def curves(figure_file: Path | None) -> None:
    """Energy while atoms of the added row appear; its ends and its integral."""
    slab = slab_of(5, 2)
    ((row, _),) = relaxed(slab, [added_row(slab, [0])], fmax=0.01, dtype="float64")
    copper, oxygen = len(row) - 2, len(row) - 1
    nodes, factors = np.polynomial.legendre.leggauss(32)
    grid = np.linspace(0.0, 1.0, 51)
    values = np.concatenate([grid, 0.5 * (nodes + 1.0)])
    shift = {"O": 0.5 * references().oxygen + DELTA_MU, "Cu": references().copper}
    drawn = []
    for name, sites, potential_ev in (
        ("O", [oxygen], shift["O"]),
        ("added Cu", [copper], shift["Cu"]),
        ("both", [copper, oxygen], shift["O"] + shift["Cu"]),
    ):
        curve = existence_curve(potential(), row, sites, values)
        energies, slopes = curve.energies[:51], curve.slopes[:51]
        integral = 0.5 * float(factors @ curve.slopes[51:])
        ends = abs(energies[0] - curve.without), abs(energies[-1] - curve.whole)
        off = integral - (curve.whole - curve.without)
        omega = energies - energies[0] - grid * potential_ev
        high, low = omega.argmax(), omega.argmin()
        print(
            f"  {name}: E(1) − E(0) {curve.whole - curve.without:.4f} eV, ends off by "
            f"{max(ends):.1e}, integral of dE/dq by {off:+.1e}\n"
            f"    dΩ/dq from {slopes[0] - potential_ev:+.3f} to {slopes[-1] - potential_ev:+.3f}; "
            f"Ω(1) − Ω(0) {omega[-1]:+.3f}, highest {omega[high]:+.3f} at q = {grid[high]:.2f}, "
            f"lowest {omega[low]:+.3f} at q = {grid[low]:.2f}",
            flush=True,
        )
        assert max(ends) < 1e-9
        assert abs(off) < 2e-3
        drawn.append((name, omega, slopes - potential_ev))
    if figure_file is not None:
        draw_curves(grid, drawn, figure_file)


def draw_curves(
    grid: np.ndarray, drawn: Sequence[tuple[str, np.ndarray, np.ndarray]], file: Path
) -> None:
    """Ω(q) and its slope, one line per set of atoms."""
    apply_style()
    figure, panels = grid_of_panels(2)
    for (name, omega, slopes), colour in zip(drawn, SEQUENCE[1::2], strict=False):
        panels[0][0].plot(grid, omega, color=colour, label=name)
        panels[1][0].plot(grid, slopes, color=colour, label=name)
    for (axes,), label in zip(panels, ("Ω(q) − Ω(0) (eV)", "dΩ/dq (eV)"), strict=True):
        axes.axhline(0.0, color="#7F7F7F", linewidth=0.8)
        axes.set_xlabel("existence q")
        axes.set_ylabel(label)
    panels[0][0].legend()
    figure.savefig(file, dpi=150)


def problem_of(height: float) -> tuple[Problem, Found]:
    """The problem of the search on four planes in single precision, and its answer."""
    slab = slab_of(4, 2)
    (bare, clean), (row, energy) = relaxed(
        slab, [[], added_row(slab, [0])], fmax=0.01, dtype="float32"
    )
    top = float(bare.positions[:, 2].max())
    problem = Problem(
        potential=potential(),
        substrate=bare,
        region=Layer(bare.cell, low=top + 0.4, high=top + height),
        species=("Cu", "O"),
        fixed=slab.fixed,
        reference=clean,
        dtype="float32",
    )
    species = np.array([0, 1])
    omega = problem.omega(energy, np.array([1, 1]), reservoir())
    return problem, Found(row.positions, species, energy, omega, 0.01, 0)


def reservoir() -> Reservoir:
    """Bulk copper and oxygen at DELTA_MU."""
    known = references()
    return Reservoir({"Cu": known.copper, "O": 0.5 * known.oxygen + DELTA_MU})


def evaluations_to_row(
    problem: Problem, result: SearchResult, answer: Found
) -> tuple[int | None, str]:
    """Evaluations until the added row was known, and what it came as."""
    for found in sorted(result.found, key=lambda one: one.evaluations):
        if is_same(problem, found, answer, TOLERANCE):
            return found.evaluations, "row"
        counts = found.counts(problem)
        # Two more copper atoms are a whole layer: the same surface on a thicker slab.
        thicker = counts["O"] == 1 and counts["Cu"] % 2 == 1 and counts["Cu"] > 1
        if thicker and abs(found.omega - answer.omega) < 4.0 * TOLERANCE:
            return found.evaluations, "row on a whole layer"
    return None, ""


METHODS: dict[str, Method] = {
    # Eight sites fill the layer. Rounds are short and given up early: filled with a whole layer of
    # copper or empty they are hard to leave, and a new one costs no more than two exchanges.
    "gradient": GradientSearch(
        pool_sites=8,
        fresh_steps=30,
        fresh_cold=0.2,
        more_ghosts=4,
        settle_steps=6,
        exchange_steps=12,
        patience=2,
    ),
    "random": RandomSearch(most=4),
    "basin_hopping": BasinHopping(step=1.0, temperature=0.3, patience=8, most=4),
}
"""What is compared; both controls draw up to four atoms of either element."""


def search(
    names: Sequence[str], *, seeds: range, budget: int, height: float, folder: Path | None
) -> dict[str, float]:
    """Evaluations per hit of each method; prints what part of the starts finds the added row."""
    problem, answer = problem_of(height)
    print(f"  answer Ω = {answer.omega:.4f} eV, region of {height - 0.4:.1f} Å", flush=True)
    options = SearchOptions(
        max_evaluations=budget, stop_at=answer.omega + TOLERANCE, fmax=0.02, max_steps=80
    )
    starts = [Start(seed, reservoir()) for seed in seeds]
    per_hit = {}
    for name in names:
        began = time.perf_counter()
        results = run_search(
            problem,
            starts,
            METHODS[name],
            options=options,
            checkpoint=None if folder is None else folder / f"{name}.checkpoint",
        )
        seconds = time.perf_counter() - began
        hits = [evaluations_to_row(problem, one, answer) for one in results]
        found = [count for count, _ in hits if count is not None]
        thick = sum(kind.endswith("layer") for _, kind in hits)
        spent = sum(one.evaluations for one in results)
        sites = sum(one.site_evaluations for one in results) / spent
        per_hit[name] = spent / len(found) if found else float("inf")
        lowest = min((one.best for one in results if one.found), key=lambda one: one.omega)
        print(
            f"  {name:14s} found {len(found)} of {len(seeds)} ({thick} on a whole layer), "
            f"median to first hit {np.median(found) if found else float('nan'):.0f}, "
            f"evaluations per hit {per_hit[name]:.0f}, sites per evaluation {sites:.1f}; "
            f"lowest Ω {lowest.omega:.4f} eV with {lowest.counts(problem)}; {seconds:.0f} s",
            flush=True,
        )
        for (count, _), one in zip(hits, results, strict=True):
            if count is None:
                best = one.best if one.found else None
                what = f"{best.omega:.3f} eV, {best.counts(problem)}" if best else one.error
                print(f"    seed {one.start.seed} ended with {what}")
    return per_hit


def phases() -> None:
    """Windows of stability of explicit structures between the clean surface and the oxide."""
    known = references()
    lines: list[Line] = []
    cells: dict[int, list[tuple[str, Callable[[Slab], Added]]]] = {
        2: [
            ("p(2×1) added row", lambda s: added_row(s, [0])),
            ("p(1×1) added rows", lambda s: added_row(s, [0, 1])),
            ("p(2×1) O on long bridges", lambda s: single(s, "long bridge", 0.6)),
        ],
        3: [
            ("p(3×1) added row", lambda s: added_row(s, [0])),
            ("p(3×1) two added rows", lambda s: added_row(s, [0, 1])),
        ],
    }
    for rows, named in cells.items():
        slab = slab_of(5, rows)
        variants = [[], *(make(slab) for _, make in named)]
        done = relaxed(slab, variants, fmax=0.01, dtype="float64")
        names = ["clean", *(name for name, _ in named)]
        for name, added, (_, energy) in zip(names, variants, done, strict=True):
            if name == "clean" and lines:
                continue
            formed = known.formation(energy, done[0][1], added)
            n_oxygen = sum(kind == "O" for kind, _ in added)
            lines.append(Line(name, formed / slab.area, n_oxygen / slab.area))
            print(f"  {name:26s} {formed / max(n_oxygen, 1):+.4f} eV per O")
    limit = formation_limit(known.oxide, 2.0 * known.copper, 1, known.oxygen)
    print(f"  Cu2O forms above {limit:+.4f} eV")
    for window in stable_windows(lines, -3.2, limit):
        print(f"  {window.name:26s} from {window.low:+.3f} to {window.high:+.3f} eV")


def main(arguments: Sequence[str]) -> None:
    """Run the chosen parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "parts", nargs="*", default=[], help="curves, order, search, phases; all if none"
    )
    parser.add_argument("--figure", type=Path, help="file for the existence curves")
    parser.add_argument("--method", action="append", choices=list(METHODS))
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--first", type=int, default=100, help="first of the seeds")
    parser.add_argument("--budget", type=int, default=400)
    parser.add_argument("--height", type=float, default=2.2, help="of the layer above the top in Å")
    parser.add_argument("--checkpoints", type=Path, help="existing folder to go on from")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    parts = options.parts or ["curves", "order", "search", "phases"]
    known = references()
    print(
        f"a {known.a:.4f} Å, E(Cu) {known.copper:.5f}, E(O2) {known.oxygen:.5f}, "
        f"E(Cu2O) {known.oxide:.5f} eV"
    )
    if "curves" in parts:
        print("existence curves of the added row, Ω at Δμ(O) = −2.3 eV and bulk Cu")
        curves(options.figure)
    if "order" in parts:
        print("energies of formation in eV")
        thick = order_of_structures(5, "float64", 0.01)
        thin = order_of_structures(4, "float32", 0.02)
        same = sorted(thick, key=thick.__getitem__) == sorted(thin, key=thin.__getitem__)
        assert same, "four planes change the order of the structures"
    if "search" in parts:
        print("search on four planes")
        chosen = options.method or list(METHODS)
        per_hit = search(
            chosen,
            seeds=range(options.first, options.first + options.seeds),
            budget=options.budget,
            height=options.height,
            folder=options.checkpoints,
        )
        for name in chosen:
            if name != "gradient" and "gradient" in per_hit:
                ratio = per_hit[name] / per_hit["gradient"]
                print(f"  evaluations per hit, {name} / gradient: {ratio:.2f}")
                assert ratio > 1.0
    if "phases" in parts:
        print("windows of Δμ(O)")
        phases()


if __name__ == "__main__":
    main(sys.argv[1:])
