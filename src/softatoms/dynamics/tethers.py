"""Springs from sites to points, and a potential that is scaled: E = p U + s Σ ½ k |r − r₀|².

Both p and s go from one value to another in proportion to λ, so that

    dE/dλ = p dU/dλ + (p₁ − p₀) U + (s₁ − s₀) Σ ½ k |r − r₀|²

is exact. The points do not move with the crystal: springs pull at the centre of mass. Where it is
held at rest, the sum of all forces is taken off in proportion to the masses, which is the force of
that constraint; see :meth:`softatoms.dynamics.members.Members.kicks`. What a held centre of mass
means for free energies is said in ``docs/free-energies.md``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import OptionError
from ..potentials.options import check_finite

if TYPE_CHECKING:
    from ..structure import SoftAtoms
    from .members import Members

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tethers:
    """Springs between sites and points that stay where they are.

    Attributes:
        sites: Indices of the sites, each once.
        stiffness: Spring constant k of each in eV/Å², one number for all or one each.
        positions: The points r₀ in Å, shape (n_sites, 3); any periodic image will do, the one
            nearest to where the site starts is taken.
        strength: Factor s of all springs at λ = 0 and at λ = 1.
    """

    sites: tuple[int, ...]
    stiffness: tuple[float, ...]
    positions: tuple[tuple[float, float, float], ...]
    strength: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        sites = np.asarray(self.sites)
        if sites.ndim != 1 or not sites.size or not np.issubdtype(sites.dtype, np.integer):
            raise OptionError(f"tethers: sites must be a list of indices, got {self.sites!r}")
        if sites.min() < 0 or len(set(sites.tolist())) < len(sites):
            raise OptionError("tethers: sites must be indices from 0, each once")
        springs = _numbers(self.stiffness, "stiffness", "eV/Å²")
        if springs.ndim > 1 or springs.size not in (1, len(sites)) or (springs <= 0.0).any():
            raise OptionError(
                f"tethers: stiffness must be positive, one number or one per site ({len(sites)})"
            )
        points = _numbers(self.positions, "positions", "Å")
        if points.shape != (len(sites), 3):
            raise OptionError(
                f"tethers: positions must have shape ({len(sites)}, 3), got {points.shape}"
            )
        # Plain numbers: a run recognises its settings by how they print.
        object.__setattr__(self, "sites", tuple(sites.tolist()))
        springs = np.broadcast_to(springs.ravel(), (len(sites),))
        object.__setattr__(self, "stiffness", tuple(springs.tolist()))
        object.__setattr__(self, "positions", tuple(tuple(row) for row in points.tolist()))
        object.__setattr__(self, "strength", check_ends(self.strength, "tethers: strength"))

    def check_fits(self, soft: SoftAtoms, where: str) -> None:
        """Raise unless the sites exist.

        Raises:
            OptionError: Naming the structure.
        """
        if max(self.sites) >= len(soft):
            raise OptionError(
                f"tethers of {where}: site {max(self.sites)} does not exist, there are {len(soft)} "
                "sites"
            )

    def nearest_positions(self, soft: SoftAtoms) -> Floats:
        """The image of each point that is nearest to its site in Å, shape (n_tethers, 3)."""
        points = np.array(self.positions)
        periodic = np.flatnonzero(soft.pbc)
        if not periodic.size:
            return points
        vectors = soft.cell[periodic]
        away = soft.positions[list(self.sites)] - points
        # Rounding along the lattice vectors finds a near image; of a skewed cell one around it.
        whole = np.rint(away @ np.linalg.pinv(vectors))
        around = np.array(list(itertools.product((-1, 0, 1), repeat=len(periodic))))
        images = (whole[:, None] + around) @ vectors
        nearest = ((away[:, None] - images) ** 2).sum(2).argmin(1)
        return points + images[np.arange(len(points)), nearest]


class Bias:
    """Tethers and scales of all systems of a batch.

    Args:
        members: The systems.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        stiffness = np.zeros((members.batch.n_sites, 1))
        points = np.zeros((members.batch.n_sites, 3))
        strengths, scales = [], []
        first = 0
        for settings, soft in zip(members.settings, members.systems, strict=True):
            tethers = settings.tethers
            if tethers is not None:
                own = first + np.array(tethers.sites)
                stiffness[own, 0] = tethers.stiffness
                points[own] = tethers.nearest_positions(soft)
            strengths.append((0.0, 0.0) if tethers is None else tethers.strength)
            scales.append((1.0, 1.0) if settings.schedule is None else settings.schedule.scale)
            first += len(soft)
        device = members.device
        self._stiffness = torch.from_numpy(stiffness).to(device)
        self._points = torch.from_numpy(points).to(device)
        self._strengths = torch.tensor(strengths, dtype=torch.float64, device=device)
        self._scales = torch.tensor(scales, dtype=torch.float64, device=device)

    def __call__(
        self,
        positions: Tensor,
        lambdas: Tensor,
        energies: Tensor,
        forces: Tensor,
        slopes: Tensor,
        stresses: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the potential gives, scaled and with the springs added.

        Args:
            positions: In Å, shape (n_sites, 3).
            lambdas: λ of each system, shape (n_systems,).
            energies: In eV, shape (n_systems,).
            forces: In eV/Å, shape (n_sites, 3).
            slopes: dU/dλ in eV, shape (n_systems,); nan if not wanted.
            stresses: In eV/Å³, shape (n_systems, 3, 3). Springs to fixed points have none.

        Returns:
            Energies, forces, dE/dλ and stresses, of the same shapes.
        """
        members = self._members
        strengths, steeper = _between(self._strengths, lambdas)
        scales, faster = _between(self._scales, lambdas)
        away = positions - self._points
        pulls = self._stiffness * away
        springs = 0.5 * members.sum((pulls * away).sum(1))
        return (
            scales * energies + strengths * springs,
            members.spread(scales).unsqueeze(1) * forces
            - members.spread(strengths).unsqueeze(1) * pulls,
            scales * slopes + faster * energies + steeper * springs,
            scales.reshape(-1, 1, 1) * stresses,
        )


def check_ends(given: Any, name: str) -> tuple[float, float]:
    """Two factors of at least 0.

    Raises:
        OptionError: If they are something else.
    """
    if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != 2:
        raise OptionError(f"{name} must be two numbers, at λ = 0 and at λ = 1, got {given!r}")
    start, end = (check_finite(value, name) for value in given)
    if min(start, end) < 0.0:
        raise OptionError(f"{name} must be at least 0 at both ends, got {given!r}")
    return start, end


def _numbers(given: Any, name: str, unit: str) -> Floats:
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.full(1, np.nan)
    if not np.isfinite(values).all():
        raise OptionError(f"tethers: {name} must be finite numbers ({unit}), got {given!r}")
    return values


def _between(ends: Tensor, lambdas: Tensor) -> tuple[Tensor, Tensor]:
    """Values at some λ and their slopes, from those at λ = 0 and 1, shape (n_systems, 2)."""
    start, end = ends.unbind(1)
    return (1.0 - lambdas) * start + lambdas * end, end - start
