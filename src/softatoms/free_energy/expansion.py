"""Free energy of straining a crystal from one cell to another at a temperature.

Compositions are changed at one cell, and what they become is at rest in another one. Along the
straight line h(t) between both,

    dF/dt = Σ_ij (V ⟨σ_ij⟩ − N kT δ_ij) (h⁻¹ dh/dt)_ij,

with ⟨σ⟩ the mean of (dE/dε)/V at fixed cell. Gauss' rule with three points integrates it, exact to
the fifth power of t, so nothing is lost for strains of a few percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..dynamics import Observer, Settings, read_samples, run_dynamics
from ..dynamics.recording import of_system
from .defects import Known
from .einstein import thermal_energy
from .equilibrium import EquilibrationProtocol
from .errors import FreeEnergyError
from .switching import seed_of

if TYPE_CHECKING:
    from ..potentials.base import Potential
    from ..structure import SoftAtoms

Floats = NDArray[np.float64]

POINTS, WEIGHTS = (0.5 + 0.5 * np.array([-(0.6**0.5), 0.0, 0.6**0.5]), np.array([5, 8, 5]) / 18.0)
"""Gauss–Legendre rule on 0 to 1."""

_VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
_ROWS, _COLUMNS = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)


def cell_change(
    potential: Potential,
    crystals: Sequence[tuple[str, SoftAtoms, Floats, float]],
    protocol: EquilibrationProtocol,
    *,
    folder: Path | None = None,
    **options: Any,
) -> list[Known]:
    """F at the end cell minus F at the cell of the structure, all crystals in one batch.

    Args:
        potential: The energy function.
        crystals: Name, structure without soft sites, end cell in Å, shape (3, 3), and temperature
            in K of each.
        protocol: Steps, replicas and thermostat; its barostat is not used.
        folder: Folder of the run, which goes on where it was if called again; None for none.
        options: Of :func:`softatoms.dynamics.run_dynamics`.

    Returns:
        Free energies in eV with errors from the spread of replicas.

    Raises:
        FreeEnergyError: If a replica is lost, or the run is interrupted.
    """
    systems, settings, labels = [], [], []
    for name, soft, end, temperature in crystals:
        for index, point in enumerate(POINTS):
            placed = _at(soft, end, float(point))
            for replica in range(protocol.n_replicas):
                label = f"{name}/{index}/{replica}"
                systems.append(placed)
                labels.append(label)
                settings.append(
                    Settings(
                        timestep=protocol.timestep,
                        temperature=temperature,
                        thermostat="langevin",
                        friction=protocol.friction,
                        seed=seed_of(protocol.seed, "strain", label, temperature),
                    )
                )
    outcomes = run_dynamics(
        potential,
        systems,
        settings,
        n_steps=protocol.equilibration_steps + protocol.sampling_steps,
        observers=Observer("samples", ("stress",), protocol.sample_every),
        folder=folder,
        names=labels,
        **options,
    )
    for status in ("failed", "interrupted"):
        for outcome, label in zip(outcomes, labels, strict=True):
            if outcome.status == status:
                raise FreeEnergyError(f"straining {label}: {outcome.error}", outcome.status)
    whole = None if folder is None else read_samples(folder, "samples")
    stresses = []
    for outcome, label in zip(outcomes, labels, strict=True):
        table = outcome.samples["samples"] if whole is None else of_system(whole, label)
        table = table.filter(pc.greater(table["step"], protocol.equilibration_steps))
        columns = [table[f"stress_{name}_ev_per_ang3"].to_numpy().mean() for name in _VOIGT]
        stresses.append(columns)
    shape = (len(crystals), len(POINTS), protocol.n_replicas, 6)
    means = np.array(stresses).reshape(shape)
    return [
        _integral(soft, end, temperature, means[index])
        for index, (_, soft, end, temperature) in enumerate(crystals)
    ]


def _at(soft: SoftAtoms, end: Floats, point: float) -> SoftAtoms:
    cell = (1.0 - point) * soft.cell + point * end
    fractional = soft.positions @ np.linalg.inv(soft.cell)
    return soft.with_positions(fractional @ cell, cell).with_velocities(None)


def _integral(soft: SoftAtoms, end: Floats, temperature: float, stresses: Floats) -> Known:
    """The integral from mean stresses in eV/Å³, shape (n_points, n_replicas, 6)."""
    value, variance = 0.0, 0.0
    for point, weight, replicas in zip(POINTS, WEIGHTS, stresses, strict=True):
        cell = (1.0 - point) * soft.cell + point * end
        rate = np.linalg.solve(cell, end - soft.cell)
        volume = abs(np.linalg.det(cell))
        full = np.zeros((len(replicas), 3, 3))
        full[:, _ROWS, _COLUMNS] = full[:, _COLUMNS, _ROWS] = replicas
        slopes = volume * np.einsum("rij,ij->r", full, rate)
        slopes -= len(soft) * thermal_energy(temperature) * np.trace(rate)
        value += weight * float(slopes.mean())
        variance += weight**2 * float(slopes.var(ddof=1)) / len(slopes)
    return Known(value, float(np.sqrt(variance)))
