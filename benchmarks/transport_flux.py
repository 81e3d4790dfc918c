"""The heat flux: against analytic derivatives, along trajectories, and what it costs.

    .venv/bin/python benchmarks/transport_flux.py [--only table|trajectories|cost|memory]

*table*: energy, forces, stress and heat flux of Lennard-Jones argon by differentiation against sums
over pairs written out by hand (compare M. F. Langer, M. Frank, F. Knoop, arXiv 2305.01401).
*trajectories*: time average, rate of the energy barycentre of a cluster, and invariance under the
choice of cell, for networks with random parameters and the pretrained CHGNet.
*cost*: sampling the flux at every step against plain dynamics, and against the unfolded form of the
tests. *memory*: time and peak memory against the number of atoms.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

import softatoms as sa
from backends_mace import models
from claims import Claim, verdict
from softatoms import units
from softatoms.dynamics import Observer, Settings, run_dynamics
from softatoms.potentials.base import Potential
from softatoms.runtime import keep_freed_memory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from flux_references import home_energies, unfold

Array = NDArray[np.float64]

ARGON = {"epsilon": 0.01042, "sigma": 3.405, "cutoff": 10.5, "onset": 9.0}


def by_hand(soft: sa.SoftAtoms, velocities: Array) -> tuple[dict[str, Array], dict[str, float]]:
    """Energy, forces, stress and heat flux of argon from sums over pairs, and their scales.

    The scale of the stress is the sum of what pairs push and pull: the stress itself may vanish.
    """
    atoms = soft.to_ase()
    epsilon, sigma, cutoff, onset = ARGON.values()
    i, j, r, d = neighbor_list("ijdD", atoms, cutoff)
    six = (sigma / r) ** 6
    energy, slope = 4 * epsilon * (six**2 - six), 4 * epsilon * (-12 * six**2 + 6 * six) / r
    gap = (cutoff**2 - onset**2) ** 3
    switch = (cutoff**2 - r**2) ** 2 * (cutoff**2 + 2 * r**2 - 3 * onset**2) / gap
    bend = 12 * r * (cutoff**2 - r**2) * (onset**2 - r**2) / gap
    inside = r < onset
    switch, bend = np.where(inside, 1.0, switch), np.where(inside, 0.0, bend)
    slope = slope * switch + energy * bend
    energy = energy * switch
    pull = slope[:, None] * d / r[:, None]
    forces = np.zeros_like(atoms.positions)
    np.add.at(forces, i, pull)
    own = 0.5 * np.bincount(i, energy, minlength=len(atoms))
    power = (pull * (velocities[i] + velocities[j])).sum(axis=1)
    masses = atoms.get_masses()
    kinetic = 0.5 * units.EV_PER_AMU_ANG2_FS2 * masses * (velocities**2).sum(axis=1)
    flux = ((own + kinetic)[:, None] * velocities).sum(axis=0) - 0.25 * power @ d
    volume = abs(np.linalg.det(soft.cell))
    found = {
        "energy": np.array([own.sum()]),
        "forces": forces,
        "stress": 0.5 * pull.T @ d / volume,
        "heat_flux": flux,
    }
    scales = {name: float(np.abs(value).max()) for name, value in found.items()}
    scales["stress"] = float(np.abs(slope) @ r / (6.0 * volume))
    return found, scales


def table() -> list[Claim]:
    """Errors by differentiation, for 3 cells × 3 temperatures, in both precisions."""
    potential = sa.load_potential("lj", **ARGON)
    cases = [(cells, kelvin) for cells in (2, 3, 4) for kelvin in (10.0, 40.0, 80.0)]
    systems = [
        sa.SoftAtoms.from_ase(bulk("Ar", "fcc", a=5.3, cubic=True) * (cells, cells, cells))
        for cells, _ in cases
    ]
    settings = [
        Settings(timestep=4.0, temperature=kelvin, thermostat="langevin", seed=seed)
        for seed, (_, kelvin) in enumerate(cases)
    ]
    ends = run_dynamics(potential, systems, settings, n_steps=250)
    print("largest error relative to the scale: energy, forces, stress, heat flux")
    worst: dict[str, float] = {}
    for (cells, kelvin), end in zip(cases, ends, strict=True):
        velocities = end.soft.velocities
        assert velocities is not None
        expected, scales = by_hand(end.soft, velocities)
        for dtype in ("float32", "float64"):
            out = sa.evaluate(potential, end.soft, properties=tuple(expected), dtype=dtype)
            errors = []
            for name, value in expected.items():
                found = np.atleast_1d(getattr(out, name).numpy())
                errors.append(float(np.abs(found - value).max()) / scales[name])
                key = f"{name}, {dtype}"
                worst[key] = max(worst.get(key, 0.0), errors[-1])
            shown = "  ".join(f"{error:.1e}" for error in errors)
            print(f"  {4 * cells**3:4d} atoms, {kelvin:3.0f} K, {dtype}: {shown}")
    limits = {"float32": 1e-5, "float64": 1e-12}
    return [
        Claim(f"{name}, error over {limits[name[-7:]]:g}", value / limits[name[-7:]], 1.0)
        for name, value in worst.items()
    ]


def potentials(folder: Path) -> dict[str, tuple[Potential, sa.SoftAtoms, float]]:
    """Networks with a crystal each and a time step in fs."""
    copper = bulk("Cu", "fcc", a=3.65, cubic=True) * (2, 2, 2)
    mixed = copper.copy()
    mixed.symbols[::4] = "Au"
    salt = bulk("MgO", "rocksalt", a=4.25, cubic=True) * (2, 1, 1)
    mace = models(folder)["64x0e + 64x1o"]
    return {
        "painn": (
            sa.load_potential("painn", elements=["Cu", "Au"], n_features=64),
            sa.SoftAtoms.from_ase(mixed),
            1.0,
        ),
        "chgnet": (sa.load_potential("chgnet"), sa.SoftAtoms.from_ase(salt), 1.0),
        "mace": (
            sa.load_potential("mace", path=str(mace), trust=True),
            sa.SoftAtoms.from_ase(bulk("Cu", "fcc", a=3.65, cubic=True) * (2, 1, 1)),
            1.0,
        ),
    }


def trajectories() -> list[Claim]:
    """What has to hold of the flux along real trajectories."""
    claims = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (potential, soft, timestep) in potentials(Path(folder)).items():
            claims += time_average(name, potential, soft, timestep)
            claims += choice_of_cell(name, potential, soft)
            claims += barycentre(name, potential, soft)
    return claims


def time_average(
    name: str, potential: Potential, soft: sa.SoftAtoms, timestep: float
) -> list[Claim]:
    """The mean of J over runs at constant energy against its spread over replicas."""
    warm = [
        Settings(timestep=timestep, temperature=300.0, thermostat="langevin", seed=seed)
        for seed in range(4)
    ]
    ends = run_dynamics(potential, [soft] * 4, warm, n_steps=200)
    runs = run_dynamics(
        potential,
        [end.soft for end in ends],
        [Settings(timestep=timestep) for _ in ends],
        n_steps=1200,
        observers=Observer("flux", ("heat_flux", "conserved"), 4),
    )
    samples = [run.samples["flux"].to_pandas() for run in runs]
    flux = np.array(
        [one[[f"heat_flux_{axis}_ev_ang_per_fs" for axis in "xyz"]].to_numpy() for one in samples]
    )
    drift = max(float(np.ptp(one["conserved_ev"])) for one in samples) / len(soft)
    # Replicas are independent; stretches of one are not where atoms hardly interact.
    means = flux[:, 1:].mean(axis=1)
    chance = float(ttest_1samp(means, 0.0, axis=0).pvalue.min())
    size = float(np.abs(flux).mean())
    print(
        f"{name}: mean flux {np.abs(means.mean(axis=0)).max():.1e} eV Å/fs, typical flux "
        f"{size:.1e}, smallest p of its components {chance:.2f}; energy within {drift:.0e} eV per "
        "atom"
    )
    return [Claim(f"{name}: mean flux is zero, smallest p", chance, 1e-3, at_most=False)]


def choice_of_cell(name: str, potential: Potential, soft: sa.SoftAtoms) -> list[Claim]:
    """The flux per volume in other cells of the same crystal, with atoms at other images."""
    rng = np.random.default_rng(3)
    soft = soft.with_positions(soft.positions + 0.05 * rng.normal(size=soft.positions.shape))
    moving = soft.with_velocities(0.01 * rng.normal(size=soft.positions.shape))
    turned = np.array([[1, 0, 0], [1, 1, 0], [-1, 0, 1]]) @ soft.cell
    shifts = rng.integers(-2, 3, size=(len(soft), 3)) @ soft.cell
    others = [
        moving.repeat((2, 1, 1)),
        moving.with_positions(moving.positions, turned),
        moving.with_positions(moving.positions + shifts),
    ]
    found = [
        out.heat_flux.numpy() * len(soft) / len(one)
        for one, out in zip(
            [moving, *others],
            sa.evaluate_batch(potential, [moving, *others], properties=("heat_flux",)),
            strict=True,
        )
        if out.heat_flux is not None
    ]
    worst = max(float(np.abs(one - found[0]).max() / np.abs(found[0]).max()) for one in found[1:])
    print(f"{name}: supercell, skew cell and other images change the flux by {worst:.1e}")
    return [Claim(f"{name}: change with the cell, in 1e-9", 1e9 * worst, 1.0)]


def barycentre(name: str, potential: Potential, soft: sa.SoftAtoms) -> list[Claim]:
    """J against the rate of Σ r (ε + ½ m v²) of a cluster along a run at constant energy.

    Velocity Verlet moves the barycentre with an error ∝ dt², so halving dt divides the difference
    by four.
    """
    atoms = soft.to_ase()[:12]
    atoms.pbc = False
    cluster = sa.SoftAtoms.from_ase(atoms)
    coarse, fine = (barycentre_error(potential, cluster, timestep) for timestep in (0.1, 0.05))
    print(
        f"{name}: rate of the barycentre of a cluster differs by {coarse:.1e} at 0.1 fs, "
        f"{fine:.1e} at 0.05 fs"
    )
    claims = [Claim(f"{name}: rate of the barycentre at 0.05 fs, in 1e-4", 1e4 * fine, 2.0)]
    if coarse > 1e-6:
        claims.append(Claim(f"{name}: at 0.1 / at 0.05 fs", coarse / fine, 3.0, at_most=False))
    return claims


def barycentre_error(potential: Potential, cluster: sa.SoftAtoms, timestep: float) -> float:
    """Largest difference of flux and rate of the barycentre over 2 fs, over the largest flux."""
    n_steps = round(2.0 / timestep) + 4
    (run,) = run_dynamics(
        potential,
        [cluster],
        Settings(timestep=timestep, temperature=300.0, seed=2),
        n_steps=n_steps,
        observers=Observer("all", ("positions", "velocities", "heat_flux")),
    )
    samples = run.samples["all"]

    def sites(column: str) -> Array:
        return np.array(samples[column].to_pylist()).reshape(n_steps + 1, -1, 3)

    positions, velocities = sites("positions_ang"), sites("velocities_ang_per_fs")
    outs = sa.evaluate_batch(
        potential,
        [cluster.with_positions(one) for one in positions],
        properties=("energy",),
    )
    energies = np.array([out.site_energies.numpy() for out in outs])
    energies += 0.5 * units.EV_PER_AMU_ANG2_FS2 * cluster.node_mass * (velocities**2).sum(axis=2)
    centre = (energies[:, :, None] * positions).sum(axis=1)
    slope = (8 * (centre[3:-1] - centre[1:-3]) - (centre[4:] - centre[:-4])) / (12 * timestep)
    flux = np.stack(
        [samples[f"heat_flux_{axis}_ev_ang_per_fs"].to_numpy() for axis in "xyz"], axis=1
    )[2:-2]
    return float(np.abs(slope - flux).max() / np.abs(flux).max())


def copper(cells: int) -> sa.SoftAtoms:
    """Rattled, moving copper of 4 × cells³ atoms."""
    rng = np.random.default_rng(cells)
    atoms = bulk("Cu", "fcc", a=3.65, cubic=True) * (cells, cells, cells)
    atoms.positions += 0.05 * rng.normal(size=(len(atoms), 3))
    soft = sa.SoftAtoms.from_ase(atoms)
    return soft.with_velocities(0.005 * rng.normal(size=(len(soft), 3)))


def cost() -> list[Claim]:
    """Dynamics with the flux at every step, and the unfolded form."""
    claims = []
    potential = sa.load_potential("painn", elements=["Cu"])
    for cells in (3, 4):
        soft = copper(cells)
        ratio = sampling_ratio(potential, soft)
        claims.append(Claim(f"flux at every step / plain dynamics, {len(soft)} atoms", ratio, 2.5))
    return [*claims, *(against_unfolded(potential, cells) for cells in (4, 5))]


def sampling_ratio(potential: Potential, soft: sa.SoftAtoms) -> float:
    """Time of steps that sample the flux over that of plain ones, measured in turns."""
    observers = {"plain": (), "flux": (Observer("flux", ("heat_flux",)),)}

    def seconds(kind: str, n_steps: int) -> float:
        started = time.perf_counter()
        run_dynamics(
            potential,
            [soft],
            Settings(timestep=1.0),
            n_steps=n_steps,
            observers=observers[kind],
            dtype="float32",
        )
        return time.perf_counter() - started

    found: dict[str, list[float]] = {"plain": [], "flux": []}
    for _ in range(6):
        for kind, times in found.items():
            times.append((seconds(kind, 16) - seconds(kind, 2)) / 14)
    plain, flux = (float(np.median(found[kind])) for kind in ("plain", "flux"))
    print(f"painn, {len(soft)} atoms: step {1e3 * plain:.1f} ms, with flux {1e3 * flux:.1f} ms")
    return flux / plain


def against_unfolded(potential: Potential, cells: int) -> Claim:
    """One heat flux against the unfolded form, whose cluster is made beforehand."""
    soft = copper(cells)
    assert soft.velocities is not None
    reach = potential.n_layers * potential.cutoff
    started = time.perf_counter()
    out = sa.evaluate(potential, soft, properties=("heat_flux",))
    sa.evaluate(potential, soft, properties=("heat_flux",))
    own = (time.perf_counter() - started) / 2
    unfolded = unfold(soft, reach)
    started = time.perf_counter()
    energies, positions = home_energies(potential, unfolded, "mean_field")
    moving = torch.from_numpy(soft.velocities[unfolded.source])
    labels = positions.detach()[: unfolded.n_home]
    flux = torch.zeros(3, dtype=torch.float64)
    for axis in range(3):
        (slope,) = torch.autograd.grad(
            (labels[:, axis] * energies).sum(), positions, retain_graph=True
        )
        flux[axis] = (slope * moving).sum()
    (slope,) = torch.autograd.grad(energies.sum(), positions)
    flux = flux - (positions * (slope * moving).sum(1, keepdim=True)).sum(0).detach()
    theirs = time.perf_counter() - started
    assert out.heat_flux is not None
    assert out.convective_heat_flux is not None
    error = float((out.heat_flux - out.convective_heat_flux - flux).abs().max() / flux.abs().max())
    print(
        f"painn, {len(soft)} atoms: {own:.2f} s, unfolded ({len(unfolded.source)} atoms) "
        f"{theirs:.1f} s, fluxes differ by {error:.1e}"
    )
    return Claim(f"unfolded / ours, {len(soft)} atoms", theirs / own, 10.0, at_most=False)


def memory() -> list[Claim]:
    """Time and peak memory of one heat flux, each size in a process of its own."""
    found = {}
    for cells in (4, 6, 8, 10):
        for wanted in ("forces", "heat_flux"):
            done = subprocess.run(
                [sys.executable, __file__, "--size", str(cells), "--wanted", wanted],
                capture_output=True,
                text=True,
                check=True,
            )
            found[cells, wanted] = json.loads(done.stdout.splitlines()[-1])
        numbers = [found[cells, wanted] for wanted in ("forces", "heat_flux")]
        shown = "; ".join(
            f"{wanted} {one['seconds']:.2f} s, {one['megabytes']:.0f} MB"
            for wanted, one in zip(("forces", "heat_flux"), numbers, strict=True)
        )
        print(f"painn, {4 * cells**3} atoms: {shown}")
    per_atom = {
        cells: found[cells, "heat_flux"]["seconds"] / (4 * cells**3) for cells in (6, 8, 10)
    }
    large = found[10, "heat_flux"]["megabytes"] / found[10, "forces"]["megabytes"]
    return [
        Claim(
            "time per atom from 864 to 4000 atoms, max/min",
            max(per_atom.values()) / min(per_atom.values()),
            1.5,
        ),
        # Values, rates and adjoints of every gather stand beside each other.
        Claim("peak memory at 4000 atoms, flux / forces", large, 4.0),
        Claim(
            "memory per atom, 4000 / 864 atoms",
            found[10, "heat_flux"]["megabytes"] / found[6, "heat_flux"]["megabytes"] * 864 / 4000,
            1.2,
        ),
    ]


def one_size(cells: int, wanted: str) -> dict[str, float]:
    """Time and additional peak memory of one evaluation."""
    import resource

    keep_freed_memory()
    potential = sa.load_potential("painn", elements=["Cu"], n_features=64)
    soft = copper(cells)
    sa.evaluate(potential, copper(2), properties=(wanted,), dtype="float32")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(3):
        # Time of the processor: other work on the machine does not count.
        started = time.process_time()
        sa.evaluate(potential, soft, properties=(wanted,), dtype="float32")
        times.append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": float(np.median(times)), "megabytes": peak / 1024}


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"table": table, "trajectories": trajectories, "cost": cost, "memory": memory}
    parser.add_argument("--only", choices=tuple(parts))
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--wanted", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.size is not None:
        print(json.dumps(one_size(options.size, options.wanted)))
        return 0
    keep_freed_memory()
    claims: list[Claim] = []
    for name, part in parts.items():
        if options.only in (None, name):
            claims += part()
    return verdict(claims)


if __name__ == "__main__":
    sys.exit(main())
