"""What stays the same while the systems of a batch move: sizes, time steps, constraints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import units
from ..graph import Batch
from ..structure import SoftAtoms
from .masses import Masses
from .settings import Settings


class Members:
    """The systems of a batch with their settings, spread over sites where that is needed.

    Args:
        systems: The structures at their starts.
        settings: One entry per system.
        device: Where to compute.

    Attributes:
        batch: The systems laid end to end.
        timesteps: In fs, shape (n_systems,).
        half_step: Half the time step of each site in fs, shape (n_sites, 1).
        thermal_energy: kT in eV, shape (n_systems,); nan where there is no temperature.
        degrees: Degrees of freedom, shape (n_systems,).
        masses: Masses as a function of node weights.
        switches: Whether any weight changes.
        masses_change: Whether any mass changes.
        is_biased: Whether any system has tethers or a scaled potential.
    """

    def __init__(
        self, systems: Sequence[SoftAtoms], settings: Sequence[Settings], device: torch.device
    ) -> None:
        self.systems, self.settings, self.device = list(systems), list(settings), device
        self.n_systems = len(self.systems)
        self.batch = Batch(self.systems, device)
        self.site_system = self.batch.site_system
        self.site_counts = self.per_system(self.batch.site_counts).unsqueeze(1)
        counts = self.batch.parameter_counts
        self.parameter_system = torch.from_numpy(np.repeat(np.arange(self.n_systems), counts)).to(
            device
        )
        self.timesteps = self.per_system([s.timestep for s in self.settings])
        self.half_step = 0.5 * self.spread(self.timesteps).unsqueeze(1)
        temperatures = [np.nan if s.temperature is None else s.temperature for s in self.settings]
        self.thermal_energy = units.BOLTZMANN_EV_PER_K * self.per_system(temperatures)
        degrees = [s.degrees_of_freedom(soft) for s, soft in self._each()]
        self.degrees = self.per_system(degrees)
        self.n_degrees = degrees
        self.missing_degrees = self.per_system(
            [3 * len(soft) - count for soft, count in zip(self.systems, degrees, strict=True)]
        )
        mobile = np.concatenate([s.mobile(soft) for s, soft in self._each()])
        self._mobile = None
        if not mobile.all():
            self._mobile = torch.from_numpy(mobile.astype(np.float64)).unsqueeze(1).to(device)
        self._holds_com = self.per_system([float(s.holds_com) for s in self.settings])
        self.switches = any(s.schedule is not None and s.schedule.changes for s in self.settings)
        follows = self.settings[0].masses_follow
        self.masses_change = self.switches and follows
        self._is_tethered = any(s.tethers is not None for s in self.settings)
        self.is_biased = any(s.is_biased for s in self.settings)
        rules = np.repeat([s.masses for s in self.settings], self.batch.site_counts)
        self.masses = Masses(
            self.batch.node_mass,
            self.batch.node_site,
            self.batch.n_sites,
            expected=torch.from_numpy(rules == "expected").to(device),
            candidates=torch.from_numpy(rules == "candidates").to(device),
        )

    def per_system(self, values: Sequence[float] | NDArray[np.float64]) -> Tensor:
        """Numbers of the host as float64 on the device, shape (n_systems,)."""
        return torch.tensor(np.asarray(values, dtype=np.float64), device=self.device)

    def spread(self, of_systems: Tensor) -> Tensor:
        """Repeat what belongs to a system for its sites, shape (n_sites, ...)."""
        return of_systems.index_select(0, self.site_system)

    def sum(self, of_sites: Tensor) -> Tensor:
        """Add up what belongs to the sites of a system, shape (n_systems, ...)."""
        return self.batch.sum_by_system(of_sites, self.site_system)

    def largest(self, of_sites: Tensor) -> Tensor:
        """Largest of some numbers of at least 0 of each system, nan if one is nan.

        Args:
            of_sites: Numbers, shape (n_sites,).
        """
        zeros = of_sites.new_zeros(self.n_systems)
        return zeros.scatter_reduce(0, self.site_system, of_sites, "amax")

    def kinetic(self, velocities: Tensor, masses: Tensor) -> Tensor:
        """Kinetic energies in eV, shape (n_systems,)."""
        doubled = self.sum((masses * velocities * velocities).sum(1))
        return 0.5 * units.EV_PER_AMU_ANG2_FS2 * doubled

    def kinetic_tensors(self, velocities: Tensor, masses: Tensor) -> Tensor:
        """Σ m v v of each system in eV, shape (n_systems, 3, 3)."""
        products = (masses * velocities).unsqueeze(2) * velocities.unsqueeze(1)
        return units.EV_PER_AMU_ANG2_FS2 * self.sum(products)

    def temperatures(self, kinetic: Tensor) -> Tensor:
        """Kinetic temperatures in K from kinetic energies in eV, shape (n_systems,)."""
        return 2.0 * kinetic / (self.degrees * units.BOLTZMANN_EV_PER_K)

    def thermal_speeds(self, masses: Tensor) -> Tensor:
        """√(kT/m) in Å/fs, shape (n_sites, 1)."""
        thermal = self.spread(self.thermal_energy).unsqueeze(1)
        return (thermal / (masses * units.EV_PER_AMU_ANG2_FS2)).sqrt()

    def kicks(self, forces: Tensor, masses: Tensor) -> Tensor:
        """What forces add to velocities in half a step in Å/fs, shape (n_sites, 3).

        Only tethers have forces that do not sum to zero. A centre of mass that is held takes the
        sum up, every site in proportion to its mass.
        """
        if self._is_tethered:
            pull = self._holds_com.unsqueeze(1) * self.sum(forces) / self.sum(masses)
            forces = forces - masses * self.spread(pull)
        kicks = self.half_step * forces / (masses * units.EV_PER_AMU_ANG2_FS2)
        return kicks if self._mobile is None else kicks * self._mobile

    def constrained(self, velocities: Tensor, masses: Tensor) -> Tensor:
        """Velocities without those of fixed sites, and without that of the centre of mass.

        For thermal velocities this is the canonical distribution in what freedom is left.
        """
        if self._mobile is not None:
            velocities = velocities * self._mobile
        momenta, totals = self.sum(masses * velocities), self.sum(masses)
        drift = self._holds_com.unsqueeze(1) * momenta / totals
        return velocities - self.spread(drift)

    def lambdas(self, steps: NDArray[np.int64]) -> Tensor:
        """λ of each system at its step, shape (n_systems,); 0 without a schedule."""
        values = [
            0.0 if s.schedule is None else s.schedule.value(step)
            for s, step in zip(self.settings, steps.tolist(), strict=True)
        ]
        return self.per_system(values)

    def theta(self, lambdas: Tensor) -> Tensor:
        """Weights of all systems at some λ, shape (n_parameters,)."""
        start, end = self._ends
        part = lambdas.index_select(0, self.parameter_system)
        return (1.0 - part) * start + part * end

    def slopes(self, weight_gradient: Tensor) -> Tensor:
        """dE/dλ in eV from dE/dθ in eV, shape (n_systems,)."""
        start, end = self._ends
        # What is not led counts for nothing, also where its derivative is no number.
        parts = torch.where(start == end, 0.0, weight_gradient * (end - start))
        return self.batch.sum_by_system(parts, self.parameter_system)

    def masses_at(self, theta: Tensor) -> Tensor:
        """Masses at some weights in amu, shape (n_sites, 1)."""
        return self.masses(self.batch.node_weights(theta)).unsqueeze(1)

    @cached_property
    def _ends(self) -> tuple[Tensor, Tensor]:
        """Weights at λ = 0 and 1, each of shape (n_parameters,)."""
        ends = []
        for name in ("start", "end"):
            parts = [
                soft.groups.theta if s.schedule is None else np.array(getattr(s.schedule, name))
                for s, soft in self._each()
            ]
            ends.append(torch.from_numpy(np.concatenate(parts)).to(self.device))
        return ends[0], ends[1]

    def _each(self) -> list[tuple[Settings, SoftAtoms]]:
        return list(zip(self.settings, self.systems, strict=True))
