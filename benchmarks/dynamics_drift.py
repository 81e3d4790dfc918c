"""Conservation of energy without a thermostat: drift, and how fluctuations fall with the time step.

    .venv/bin/python benchmarks/dynamics_drift.py [--quick]

Limits: a drift below 1e-6 eV per atom and ps over 20 ps of 500 argon atoms, and fluctuations that
fall with the square of the time step, within 15 %, for Lennard-Jones, PaiNN and CHGNet.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from ase import units
from ase.build import bulk
from ase.md.velocitydistribution import Stationary
from numpy.typing import NDArray

import softatoms as sa
from claims import Claim, verdict
from softatoms.dynamics import Observer, Settings, run_dynamics
from softatoms.potentials.base import Potential

ARGON = {"epsilon": 0.01042, "sigma": 3.405, "cutoff": 8.5, "onset": 7.0}


def energies(
    potential: Potential, soft: sa.SoftAtoms, timesteps: list[float], picoseconds: float
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Times in ps and total energies per atom in eV, one pair per time step."""
    found = []
    for timestep in timesteps:
        (end,) = run_dynamics(
            potential,
            [soft],
            Settings(timestep=timestep),
            n_steps=round(1000.0 * picoseconds / timestep),
            observers=Observer("energy", every=2, quantities=("energy", "kinetic")),
        )
        assert end.status == "ok", end.error
        table = end.samples["energy"]
        total = table.column("energy_ev").to_numpy() + table.column("kinetic_ev").to_numpy()
        found.append((table.column("step").to_numpy() * timestep / 1000.0, total / len(soft)))
    return found


def moving(atoms: sa.SoftAtoms, temperature: float) -> sa.SoftAtoms:
    """The structure after it has forgotten its lattice, with velocities."""
    settings = Settings(timestep=2.0, temperature=temperature, thermostat="langevin", friction=0.02)
    potential = sa.load_potential("lj", **ARGON)
    (end,) = run_dynamics(potential, [atoms], settings, n_steps=1000)
    return end.soft


def with_velocities(soft: sa.SoftAtoms, temperature: float) -> sa.SoftAtoms:
    """Velocities of a temperature, the centre of mass at rest."""
    atoms = soft.to_ase()
    velocities = np.random.default_rng(0).normal(size=atoms.positions.shape)
    velocities *= np.sqrt(units.kB * temperature / atoms.get_masses())[:, None]
    atoms.set_velocities(velocities)
    Stationary(atoms)
    return sa.SoftAtoms.from_ase(atoms)


def main() -> int:
    """Run all, print the table, and tell by the exit code whether every limit is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 ps of argon instead of 20")
    length = 2.0 if parser.parse_args().quick else 20.0
    argon = moving(sa.SoftAtoms.from_ase(bulk("Ar", "fcc", a=5.31, cubic=True) * (5, 5, 5)), 40.0)
    claims = []
    ((times, total),) = energies(sa.load_potential("lj", **ARGON), argon, [2.0], length)
    drift = abs(np.polyfit(times, total, 1)[0])
    print(f"  lj, 500 atoms, {length:g} ps at 2 fs: drift {drift:.1e} eV/atom/ps")
    claims.append(Claim("lj: drift in 1e-6 eV/atom/ps", 1e6 * drift, 1.0))
    lattice = bulk("Ar", "fcc", a=5.31, cubic=True) * (2, 2, 2)
    oxide = bulk("MgO", "rocksalt", a=4.25, cubic=True)
    cases = {
        "lj": (sa.load_potential("lj", **ARGON), argon, [4.0, 2.0, 1.0], 2.0),
        "painn": (
            # A fresh network is no argon: far from its lattice its atoms fall into each other.
            sa.load_potential("painn", elements=["Ar"], cutoff=6.0),
            with_velocities(sa.SoftAtoms.from_ase(lattice), 60.0),
            [2.0, 1.0, 0.5],
            0.12,
        ),
        "chgnet": (
            sa.load_potential("chgnet"),
            with_velocities(sa.SoftAtoms.from_ase(oxide), 600.0),
            [2.0, 1.0, 0.5],
            0.2,
        ),
    }
    for name, (potential, soft, timesteps, duration) in cases.items():
        runs = energies(potential, soft, timesteps, duration)
        spread = [float(total.std()) for _, total in runs]
        slopes = [float(np.polyfit(times, total, 1)[0]) for times, total in runs]
        print(
            f"  {name}, {len(soft)} atoms, {duration:g} ps: fluctuation "
            + ", ".join(f"{s:.2e} ({t:g} fs)" for s, t in zip(spread, timesteps, strict=True))
            + f" eV/atom; drift at {timesteps[-1]:g} fs {slopes[-1]:.1e} eV/atom/ps"
        )
        for coarse, fine, step in zip(spread, spread[1:], timesteps, strict=False):
            off = abs(coarse / fine / 4.0 - 1.0)
            claims.append(
                Claim(f"{name}: fluctuation {step:g} fs / half of it, off 4 by", off, 0.15)
            )
    return verdict(claims)


if __name__ == "__main__":
    sys.exit(main())
