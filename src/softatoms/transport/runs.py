"""Runs that sample the heat flux: a cell, thermal equilibrium, and many replicas without a bath.

    melt            all replicas hot, in the cell that is given (if a liquid is wanted)
    cell            all replicas at constant pressure; the mean cell is kept (if wanted)
    equilibration   all replicas at constant temperature in that cell
    production      all replicas at constant energy, the heat flux every few steps
    velocities      the same for a while, with all velocities, for a density of states (if wanted)

Each is one batch with samples and checkpoints in a folder of its own, so a killed run goes on from
its last checkpoint and gives the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ..dynamics import Observer, Outcome, Settings, read_samples, run_dynamics
from ..errors import OptionError
from ..potentials.base import Potential
from ..potentials.options import check_positive, check_whole
from ..structure import SoftAtoms
from .errors import TransportError

if TYPE_CHECKING:
    import pyarrow as pa

    from ..progress import Progress

Array = NDArray[np.float64]
Strain = Literal["isotropic", "anisotropic", "full"]

POSITIONS_KEPT = 100
"""Samples of positions and of conserved energies along production."""

SEED_STRIDE = 1_000_003
"""Seeds of replicas and phases are this far apart, so that none comes twice."""


@dataclass(frozen=True)
class Plan:
    """What a measurement of the heat flux consists of.

    Attributes:
        temperature: In K.
        timestep: In fs.
        n_replicas: Trajectories that are averaged; at least 2, or nothing is known of the error.
        equilibration_steps: Steps at constant temperature.
        production_steps: Steps at constant energy.
        flux_every: Steps between samples of the flux.
        seed: Seed of the whole.
        friction: Of the Langevin thermostat of the equilibration in 1/fs.
        melt_temperature: Temperature in K of a first phase, as long as the equilibration, that
            melts a crystal; None for none.
        cell_steps: Steps at constant pressure before; 0 keeps the cell that is given. The cell is
            averaged over the second half of them.
        cell: How the cell may strain in them.
        pressure: Pressure in eV/Å³ in them.
        compressibility: Estimate in Å³/eV; sets the pace of the cell and no average.
        barostat_time: Relaxation time of the volume in fs.
        velocity_steps: Steps of the phase ``velocities``; 0 for none.
        velocities_every: Steps between samples of velocities in it.
        velocities_with_flux: Whether production keeps all velocities at every sample of the flux,
            which a gauge fixed afterwards needs; 24 bytes per site, sample and replica.
    """

    temperature: float
    timestep: float
    n_replicas: int
    equilibration_steps: int
    production_steps: int
    flux_every: int = 1
    seed: int = 0
    friction: float = 0.01
    melt_temperature: float | None = None
    cell_steps: int = 0
    cell: Strain = "isotropic"
    pressure: float = 0.0
    compressibility: float = 5.0
    barostat_time: float = 1000.0
    velocity_steps: int = 0
    velocities_every: int = 1
    velocities_with_flux: bool = False

    def __post_init__(self) -> None:
        for name in ("temperature", "timestep", "friction"):
            check_positive(getattr(self, name), name)
        if self.melt_temperature is not None:
            check_positive(self.melt_temperature, "melt_temperature")
        for name, least in (
            ("n_replicas", 2),
            ("equilibration_steps", 0),
            ("production_steps", 1),
            ("flux_every", 1),
            ("seed", 0),
            ("cell_steps", 0),
            ("velocity_steps", 0),
            ("velocities_every", 1),
        ):
            check_whole(getattr(self, name), name, least=least)
        if self.production_steps < 100 * self.flux_every:
            raise OptionError(
                f"production_steps must be at least 100 × flux_every = {100 * self.flux_every}, "
                f"got {self.production_steps}"
            )

    @property
    def spacing_fs(self) -> float:
        """Time between samples of the flux in fs."""
        return self.timestep * self.flux_every

    @property
    def length_ps(self) -> float:
        """Length of production of one replica in ps."""
        return self.timestep * self.production_steps / 1000.0

    @property
    def positions_every(self) -> int:
        """Steps between samples of positions."""
        return max(1, self.production_steps // POSITIONS_KEPT)


@dataclass(frozen=True)
class Finished:
    """Where a measurement stands.

    Attributes:
        soft: The structure in the cell of production; positions are those of the start.
        folder: Where the samples are.
        names: Replicas that came to the end of production.
        lost: What became of each that did not, by name.
        is_interrupted: Whether the run stopped before its end and is to be started again.
    """

    soft: SoftAtoms
    folder: Path
    names: tuple[str, ...]
    lost: dict[str, str]
    is_interrupted: bool


@dataclass(frozen=True)
class Where:
    """How a measurement is computed.

    Attributes:
        folder: For samples and checkpoints.
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
        device: Where to compute.
        skin: Margin of the neighbour lists in Å.
        checkpoint_minutes: Minutes between checkpoints.
        wall_time: Seconds after which to have stopped; None for no limit.
    """

    folder: Path
    coupling: str = "mean_field"
    dtype: str = "float64"
    device: str = "cpu"
    skin: float = 0.5
    checkpoint_minutes: float = 10.0
    wall_time: float | None = None


class _Phases:
    """Carries replicas from one phase to the next."""

    def __init__(
        self,
        potential: Potential,
        soft: SoftAtoms,
        plan: Plan,
        where: Where,
        progress: Progress | None,
    ) -> None:
        self.plan, self._where, self._potential = plan, where, potential
        self._progress = progress
        self._until = None if where.wall_time is None else time.monotonic() + where.wall_time
        self.systems = {f"replica-{index:03d}": soft for index in range(plan.n_replicas)}
        self.lost: dict[str, str] = {}
        self.is_interrupted = False
        self._number = 0

    def run(
        self,
        phase: str,
        n_steps: int,
        settings: dict[str, object],
        observers: Sequence[Observer] = (),
    ) -> bool:
        """Run one phase; whether there is anything to go on with."""
        self._number += 1
        if n_steps == 0:
            return True
        left = None if self._until is None else self._until - time.monotonic()
        if left is not None and left <= 0.0:
            self.is_interrupted = True
            return False
        names = list(self.systems)
        ends = run_dynamics(
            self._potential,
            list(self.systems.values()),
            [
                Settings(
                    **{  # type: ignore[arg-type]
                        "timestep": self.plan.timestep,
                        "temperature": self.plan.temperature,
                        "seed": self._seed(name),
                        **settings,
                    }
                )
                for name in names
            ],
            n_steps=n_steps,
            observers=observers,
            folder=self._where.folder / phase,
            names=names,
            checkpoint_minutes=self._where.checkpoint_minutes,
            wall_time=left,
            coupling=self._where.coupling,
            dtype=self._where.dtype,
            device=self._where.device,
            skin=self._where.skin,
            progress=self._progress,
        )
        self._take(phase, dict(zip(names, ends, strict=True)))
        return bool(self.systems) and not self.is_interrupted

    def _seed(self, name: str) -> int:
        own = self.plan.n_replicas * self._number + int(name.removeprefix("replica-"))
        return int((self.plan.seed * SEED_STRIDE + own) % 2**63)

    def _take(self, phase: str, ends: dict[str, Outcome]) -> None:
        for name, end in ends.items():
            if end.status == "failed":
                self.lost[name] = f"{phase}: {end.error}"
            elif end.status == "interrupted":
                self.is_interrupted = True
        self.systems = {name: end.soft for name, end in ends.items() if end.status == "ok"}


def run_replicas(
    potential: Potential,
    soft: SoftAtoms,
    plan: Plan,
    where: Where,
    *,
    progress: Progress | None = None,
) -> Finished:
    """Run all phases of a measurement, or what is left of them.

    Args:
        potential: The energy function.
        soft: The structure, periodic in all directions.
        plan: What to run.
        where: How and where.
        progress: Counts steps of systems.

    Returns:
        Where it stands; samples are read with :func:`read_series`.

    Raises:
        TransportError: If all replicas are lost, or the structure is not periodic.
    """
    if not soft.pbc.all():
        raise TransportError("a thermal conductivity needs a structure periodic in all directions")
    phases = _Phases(potential, soft.with_velocities(None), plan, where, progress)
    bath: dict[str, object] = {"thermostat": "langevin", "friction": plan.friction}
    barostat = {
        **bath,
        "cell": plan.cell,
        "pressure": plan.pressure,
        "compressibility": plan.compressibility,
        "barostat_time": plan.barostat_time,
    }
    hot = {**bath, "temperature": plan.melt_temperature}
    n_hot = 0 if plan.melt_temperature is None else plan.equilibration_steps
    going = phases.run("melt", n_hot, hot)
    going = going and phases.run(
        "cell", plan.cell_steps, barostat, [Observer("cell", ("cell",), 10)]
    )
    if going and plan.cell_steps:
        cell = mean_cell(read_samples(where.folder / "cell", "cell"), phases.systems)
        soft = _in_cell(soft, cell)
        phases.systems = {name: _in_cell(one, cell) for name, one in phases.systems.items()}
    going = going and phases.run("equilibration", plan.equilibration_steps, bath)
    going = going and phases.run("production", plan.production_steps, {}, observers_of(plan))
    ended = tuple(phases.systems) if going else ()
    if going:
        phases.run(
            "velocities",
            plan.velocity_steps,
            {},
            [Observer("velocities", ("velocities",), plan.velocities_every)],
        )
    if not phases.systems and not phases.is_interrupted:
        name, error = next(iter(phases.lost.items()))
        raise TransportError(f"all {plan.n_replicas} replicas were lost; {name} in {error}")
    return Finished(soft, where.folder, ended, phases.lost, phases.is_interrupted)


def observers_of(plan: Plan) -> list[Observer]:
    """What production samples."""
    flux: tuple[str, ...] = ("heat_flux", "species_currents")
    if plan.velocities_with_flux:
        flux = (*flux, "velocities")
    return [
        Observer("flux", flux, plan.flux_every),
        Observer("state", ("temperature", "conserved", "positions"), plan.positions_every),
    ]


def mean_cell(samples: pa.Table, names: Sequence[str] | dict[str, SoftAtoms]) -> Array:
    """Mean cell in Å over the second half of a run and some of its systems, shape (3, 3)."""
    columns = [f"cell_{vector}{axis}_ang" for vector in "abc" for axis in "xyz"]
    cells = by_system(samples, columns, tuple(names))
    half = cells[:, cells.shape[1] // 2 :]
    mean: Array = half.mean(axis=(0, 1)).reshape(3, 3)
    return mean


def by_system(samples: pa.Table, columns: Sequence[str], names: Sequence[str]) -> Array:
    """Columns of numbers of some systems that have all samples.

    Args:
        samples: Samples of one observer.
        columns: Names of columns.
        names: Names of systems.

    Returns:
        Shape (n_systems, n_samples, n_columns).
    """
    values = np.stack([samples[name].to_numpy() for name in columns], axis=1)
    return _grouped(samples, values, names)


def lists_by_system(samples: pa.Table, column: str, names: Sequence[str]) -> Array:
    """A column of lists of x, y, z of some systems, shape (n_systems, n_samples, n, 3)."""
    lists = samples[column].combine_chunks()
    values = np.asarray(lists.flatten()).reshape(len(samples), -1, 3)
    return _grouped(samples, values, names)


def _grouped(samples: pa.Table, values: Array, names: Sequence[str]) -> Array:
    systems = np.asarray(samples["system"].to_pylist())
    parts = [values[systems == name] for name in names]
    if len({len(part) for part in parts}) != 1:
        raise TransportError(f"the systems {', '.join(names)} have different numbers of samples")
    return np.stack(parts)


def _in_cell(soft: SoftAtoms, cell: Array) -> SoftAtoms:
    """A structure in another cell, with the same fractional coordinates."""
    fractional = soft.positions @ np.linalg.inv(soft.cell)
    return soft.with_positions(fractional @ cell, cell)
