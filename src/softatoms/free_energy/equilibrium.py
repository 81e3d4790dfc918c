"""Crystals at a temperature: their mean cell, and springs that let sites move as far as they do.

First the cell is sampled at constant pressure and averaged, then sites are sampled in the mean
cell. Springs k = 3 kT/⟨u²⟩ with ⟨u²⟩ averaged over equivalent sites give an Einstein crystal with
the mean-square displacements of the crystal; any springs give the same free energy, these with
little dissipation. With ``cell="static"`` the cell stays as it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..dynamics import Observer, Outcome, Settings, read_samples, run_dynamics
from ..dynamics.recording import of_system
from ..errors import OptionError, StructureError, suggest
from ..physics.crystals import symmetry
from ..potentials.options import check_positive, check_whole
from ..structure import SoftAtoms
from .einstein import thermal_energy
from .errors import FreeEnergyError
from .switching import seed_of

if TYPE_CHECKING:
    from ..potentials.base import Potential

Floats = NDArray[np.float64]
Cell = Literal["static", "isotropic", "anisotropic", "full"]


@dataclass(frozen=True)
class EquilibrationProtocol:
    """How a crystal is brought to a temperature.

    Attributes:
        cell: ``static`` to keep the given one, or what is averaged at constant pressure, as in
            :class:`softatoms.dynamics.Settings`.
        equilibration_steps: Steps that count for nothing, at constant pressure and again in the
            mean cell.
        sampling_steps: Steps that are averaged over, of each of both.
        n_replicas: Independent runs.
        timestep: In fs.
        friction: Of the Langevin thermostat in 1/fs.
        pressure: In eV/Å³.
        barostat_time: In fs.
        compressibility: In Å³/eV; sets the pace of the cell.
        sample_every: Steps between samples.
        seed: Of everything that is random.
    """

    cell: Cell = "isotropic"
    equilibration_steps: int = 5_000
    sampling_steps: int = 10_000
    n_replicas: int = 4
    timestep: float = 2.0
    friction: float = 0.01
    pressure: float = 0.0
    barostat_time: float = 500.0
    compressibility: float = 1.0
    sample_every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.cell not in get_args(Cell):
            raise OptionError(f"unknown cell '{self.cell}': {suggest(self.cell, get_args(Cell))}")
        if self.cell == "static" and self.pressure != 0.0:
            raise OptionError("pressure does nothing to cell='static': leave it at 0")
        for name, least in (
            ("equilibration_steps", 0),
            ("sampling_steps", 1),
            ("n_replicas", 2),
            ("sample_every", 1),
            ("seed", 0),
        ):
            object.__setattr__(self, name, check_whole(getattr(self, name), name, least=least))
        for name in ("timestep", "friction", "barostat_time", "compressibility"):
            object.__setattr__(self, name, check_positive(getattr(self, name), name))
        if self.sampling_steps < 4 * self.sample_every:
            raise OptionError(
                f"sampling_steps ({self.sampling_steps}) must be at least four times sample_every "
                f"({self.sample_every})"
            )


@dataclass(frozen=True)
class Equilibrium:
    """A crystal at a temperature.

    Attributes:
        soft: Its sites at reference positions in the mean cell.
        temperature: In K.
        stiffness: 3 kT/⟨u²⟩ of each site, averaged over equivalent ones, in eV/Å², shape
            (n_sites,).
        mean_square: ⟨u²⟩ of each site about its mean position in Å², not averaged, shape
            (n_sites,).
        offset: Largest distance of a mean position from its reference position in Å.
        volume: Of the mean cell in Å³.
        volume_stderr: Its standard error from the spread of replicas; 0 for a static cell.
        energy: Mean potential energy in the mean cell in eV.
    """

    soft: SoftAtoms
    temperature: float
    stiffness: Floats
    mean_square: Floats
    offset: float
    volume: float
    volume_stderr: float
    energy: float


def equilibrate(
    potential: Potential,
    crystals: Sequence[tuple[str, SoftAtoms, float]],
    protocol: EquilibrationProtocol,
    *,
    folder: Any = None,
    **options: Any,
) -> list[Equilibrium]:
    """Mean cells and springs of crystals, all in one batch.

    Args:
        potential: The energy function.
        crystals: Name, structure without soft sites at its reference positions, and temperature in
            K of each.
        protocol: How.
        folder: Folder of the two runs, which go on where they were if called again; None for none.
        options: Of :func:`softatoms.dynamics.run_dynamics`, as for
            :func:`softatoms.free_energy.switching.switch`.

    Returns:
        One entry per crystal.

    Raises:
        FreeEnergyError: If a replica is lost, or the run is interrupted.
        StructureError: If a structure has soft sites.
    """
    names = [name for name, _, _ in crystals]
    if len(set(names)) < len(names):
        raise OptionError(f"crystals must have different names, got {names}")
    for name, soft, _ in crystals:
        if (soft.site_number == 0).any():
            raise StructureError(f"{name} has soft sites; springs are those of a real crystal")
    base = None if folder is None else Path(folder)
    resting = [soft.with_velocities(None) for _, soft, _ in crystals]
    errors = [0.0] * len(crystals)
    if protocol.cell != "static":
        tables = _simulate(potential, crystals, resting, protocol, base, "pressure", options)
        for index, parts in enumerate(tables):
            cells = np.stack([_columns(part, _CELL).mean(axis=0).reshape(3, 3) for part in parts])
            resting[index] = _scaled(resting[index], cells.mean(axis=0))
            volumes = np.abs(np.linalg.det(cells))
            errors[index] = float(volumes.std(ddof=1) / np.sqrt(len(volumes)))
    tables = _simulate(potential, crystals, resting, protocol, base, "volume", options)
    return [
        _equilibrium(resting[index], crystals[index][2], tables[index], errors[index])
        for index in range(len(crystals))
    ]


_CELL = tuple(f"cell_{vector}{axis}_ang" for vector in "abc" for axis in "xyz")


def _simulate(
    potential: Potential,
    crystals: Sequence[tuple[str, SoftAtoms, float]],
    starts: Sequence[SoftAtoms],
    protocol: EquilibrationProtocol,
    base: Path | None,
    held: Literal["pressure", "volume"],
    options: dict[str, Any],
) -> list[list[pa.Table]]:
    """Samples of every replica of every crystal behind the equilibration."""
    systems, settings, labels = [], [], []
    for (name, _, temperature), soft in zip(crystals, starts, strict=True):
        for replica in range(protocol.n_replicas):
            label = f"{name}/{held}/{replica}"
            free: dict[str, Any] = {}
            if held == "pressure":
                free = {
                    "cell": protocol.cell,
                    "pressure": protocol.pressure,
                    "barostat_time": protocol.barostat_time,
                    "compressibility": protocol.compressibility,
                }
            settings.append(
                Settings(
                    timestep=protocol.timestep,
                    temperature=temperature,
                    thermostat="langevin",
                    friction=protocol.friction,
                    seed=seed_of(protocol.seed, label, temperature),
                    **free,
                )
            )
            systems.append(soft)
            labels.append(label)
    quantities = ("cell",) if held == "pressure" else ("energy", "positions")
    folder = None if base is None else base / held
    outcomes = run_dynamics(
        potential,
        systems,
        settings,
        n_steps=protocol.equilibration_steps + protocol.sampling_steps,
        observers=Observer("samples", quantities, protocol.sample_every),
        folder=folder,
        names=labels,
        **options,
    )
    _check(outcomes, labels)
    whole = None if folder is None else read_samples(folder, "samples")
    tables = [
        of_system(whole, label) if whole is not None else outcome.samples["samples"]
        for label, outcome in zip(labels, outcomes, strict=True)
    ]
    later = [
        table.filter(pa.compute.greater(table["step"], protocol.equilibration_steps))
        for table in tables
    ]
    count = protocol.n_replicas
    return [later[index * count : (index + 1) * count] for index in range(len(crystals))]


def _check(outcomes: Sequence[Outcome], labels: Sequence[str]) -> None:
    for status in ("failed", "interrupted"):
        for outcome, label in zip(outcomes, labels, strict=True):
            if outcome.status == status:
                raise FreeEnergyError(f"equilibration of {label}: {outcome.error}", status)


def _scaled(soft: SoftAtoms, cell: Floats) -> SoftAtoms:
    fractional = soft.positions @ np.linalg.inv(soft.cell)
    return soft.with_positions(fractional @ cell, cell)


def _equilibrium(
    soft: SoftAtoms, temperature: float, parts: Sequence[pa.Table], volume_stderr: float
) -> Equilibrium:
    positions = np.stack(
        [np.array(part["positions_ang"].to_pylist()).reshape(len(part), -1, 3) for part in parts]
    )
    away = positions - soft.positions
    mean = away.mean(axis=(0, 1))
    mean_square = ((away - mean) ** 2).sum(axis=3).mean(axis=(0, 1))
    representatives = symmetry(soft).representatives
    sums = np.bincount(representatives, weights=mean_square, minlength=len(soft))
    counts = np.bincount(representatives, minlength=len(soft))
    averaged = sums[representatives] / counts[representatives]
    return Equilibrium(
        soft=soft,
        temperature=temperature,
        stiffness=3.0 * thermal_energy(temperature) / averaged,
        mean_square=mean_square,
        offset=float(np.linalg.norm(mean, axis=1).max()),
        volume=float(abs(np.linalg.det(soft.cell))),
        volume_stderr=volume_stderr,
        energy=float(np.mean([_columns(part, ("energy_ev",)).mean() for part in parts])),
    )


def _columns(table: pa.Table, names: Sequence[str]) -> Floats:
    return np.stack([table[name].to_numpy() for name in names], axis=1)
