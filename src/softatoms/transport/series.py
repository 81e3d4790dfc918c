"""What a measurement has sampled, as arrays, and the gauge of its heat flux."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..dynamics import read_samples
from ..evaluation import evaluate_batch
from ..potentials.base import Potential
from ..structure import SoftAtoms
from .errors import TransportError
from .runs import Finished, Plan, by_system, lists_by_system

Array = NDArray[np.float64]

_TOGETHER = 8
"""Structures whose flux tensors are evaluated in one batch."""


@dataclass(frozen=True)
class Series:
    """Samples of all replicas of a measurement.

    Attributes:
        soft: The structure in the cell of production.
        spacing_fs: Time between samples of the flux in fs.
        flux: J in eV Å/fs, not divided by the volume, shape (n_replicas, n_samples, 3).
        convective: Its convective part, the same shape.
        currents: Σ w v of every species in Å/fs, shape (n_replicas, n_samples, n_species, 3).
        velocities: In Å/fs at the same times, shape (n_replicas, n_samples, n_sites, 3), or None.
        state_spacing_fs: Time between the samples below in fs.
        temperatures: In K, shape (n_replicas, n_states).
        conserved: Conserved energies in eV, the same shape.
        positions: In Å, shape (n_replicas, n_states, n_sites, 3).
        lost: Replicas that did not come to their end, and why.
    """

    soft: SoftAtoms
    spacing_fs: float
    flux: Array
    convective: Array
    currents: Array
    velocities: Array | None
    state_spacing_fs: float
    temperatures: Array
    conserved: Array
    positions: Array
    lost: dict[str, str]

    @property
    def n_replicas(self) -> int:
        """Number of replicas."""
        return len(self.flux)

    @property
    def volume(self) -> float:
        """Volume in Å³."""
        return float(abs(np.linalg.det(self.soft.cell)))

    @property
    def length_ps(self) -> float:
        """Length of one replica in ps."""
        return (self.flux.shape[1] - 1) * self.spacing_fs / 1000.0

    @property
    def species(self) -> NDArray[np.int64]:
        """Atomic numbers in the order of ``currents``."""
        return np.unique(self.soft.node_number)


def read_series(finished: Finished, plan: Plan) -> Series:
    """The samples of a measurement that has come to its end.

    Raises:
        TransportError: If it has not.
    """
    if finished.is_interrupted or not finished.names:
        raise TransportError(f"{finished.folder}: the run is not at its end; start it again")
    names, folder = finished.names, finished.folder / "production"
    samples = read_samples(folder, "flux")
    states = read_samples(folder, "state")

    def components(stem: str) -> Array:
        return by_system(samples, [f"{stem}_{axis}_ev_ang_per_fs" for axis in "xyz"], names)

    velocities = None
    if plan.velocities_with_flux:
        velocities = lists_by_system(samples, "velocities_ang_per_fs", names)
    state = by_system(states, ["temperature_k", "conserved_ev"], names)
    return Series(
        soft=finished.soft,
        spacing_fs=plan.spacing_fs,
        flux=components("heat_flux"),
        convective=components("convective_heat_flux"),
        currents=lists_by_system(samples, "species_currents_ang_per_fs", names),
        velocities=velocities,
        state_spacing_fs=plan.timestep * plan.positions_every,
        temperatures=state[:, :, 0],
        conserved=state[:, :, 1],
        positions=lists_by_system(states, "positions_ang", names),
        lost=finished.lost,
    )


def read_velocities(finished: Finished) -> Array:
    """Velocities of the phase that keeps them, shape (n_replicas, n_samples, n_sites, 3)."""
    samples = read_samples(finished.folder / "velocities", "velocities")
    return lists_by_system(samples, "velocities_ang_per_fs", finished.names)


def mean_flux_tensors(
    potential: Potential,
    series: Series,
    *,
    n_structures: int,
    coupling: str,
    dtype: str,
    device: str,
) -> Array:
    """⟨∂J/∂v⟩ of every site over structures along the run.

    Args:
        potential: The energy function.
        series: The samples.
        n_structures: Structures to average over, spread evenly over replicas and times.
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
        device: Where to compute.

    Returns:
        In eV, shape (n_sites, 3, 3): virials and, on the diagonal, site energies.
    """
    structures = series.positions.reshape(-1, len(series.soft), 3)
    chosen = np.unique(np.linspace(0, len(structures) - 1, n_structures).round().astype(int))
    total = np.zeros((len(series.soft), 3, 3))
    for start in range(0, len(chosen), _TOGETHER):
        found = evaluate_batch(
            potential,
            [series.soft.with_positions(structures[i]) for i in chosen[start : start + _TOGETHER]],
            properties=("flux_tensors",),
            coupling=coupling,
            dtype=dtype,
            device=device,
        )
        for out in found:
            assert out.flux_tensors is not None
            total += out.flux_tensors.cpu().numpy()
            total += out.site_energies.cpu().numpy()[:, None, None] * np.eye(3)
    mean: Array = total / len(chosen)
    return mean


def gauge_fixed(series: Series, tensors: Array) -> Series:
    """J − Σ_i A_i v_i with constant tensors A_i of the sites of a crystal.

    In a crystal Σ A_i v_i is the derivative of something bounded, so the conductivity is the same;
    with A_i the mean of ∂J/∂v_i most of what oscillates without carrying heat is gone (L. Ercole
    et al., J. Low Temp. Phys. 185, 79 (2016); A. Marcolongo et al., J. Chem. Theory Comput. 16,
    3352 (2020)).

    Args:
        series: Samples with velocities.
        tensors: A in eV, shape (n_sites, 3, 3).

    Raises:
        TransportError: If there are no velocities.
    """
    if series.velocities is None:
        raise TransportError(
            "fixing the gauge needs velocities with the flux: set velocities_with_flux"
        )
    taken = np.einsum("iab,rtib->rta", tensors, series.velocities, optimize=True)
    return replace(series, flux=series.flux - taken)
