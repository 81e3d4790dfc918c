"""The energy around one structure as a function of strain, displacements and weights.

A structure of n sites with cell C is displaced by u and then strained (rows are vectors):

    r = (r₀ + u) (1 + ε),   C = C₀ (1 + ε),   ε = Σ_k c_k B_k / √n

y stands for (c, u) and θ for the weights. At rest E_y = 0, so by the implicit function theorem the
relaxed coordinates follow the weights with dy/dθ = −E_yy⁻¹ E_yθ. The linear systems are solved by
conjugate gradients on exact Hessian-vector products: a change of composition that keeps a symmetry
of the crystal drives only coordinates that keep it too, so a few products are enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import SoftatomsError
from ..graph import Batch
from ..neighbours import neighbour_pairs
from .journal import Journal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..potentials.base import Potential
    from ..relax.options import Settings
    from ..structure import SoftAtoms

RESIDUAL = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Relative residual at which a linear system counts as solved."""

NOISE = 1e-12
"""Right sides below this size (eV/Å) are rounding errors."""


MOST_DIRECTIONS = 200
"""Conjugate directions that are kept for further systems."""


class SurfaceError(SoftatomsError):
    """The structure is no minimum of its energy, or the derivatives are not finite."""


class _Direction(NamedTuple):
    """A direction p that is conjugate to all before: E_yy p and p·E_yy p go with it."""

    direction: Tensor
    product: Tensor
    curvature: float


class _Graph:
    """The energy of one structure as autograd knows it.

    Args:
        potential: The energy function.
        soft: The structure.
        settings: Coupling, precision, device and free strains.

    Attributes:
        energy: In eV.
        slope: E_y, shape (n_coordinates,).
        slope_weights: E_θ, shape (n_parameters,).
    """

    def __init__(self, potential: Potential, soft: SoftAtoms, settings: Settings) -> None:
        device = settings.device
        self._settings = settings
        self._potential = potential.cast(settings.dtype, device)
        self._batch = Batch([soft], device)
        pairs = neighbour_pairs(soft.positions, soft.cell, soft.pbc, potential.cutoff)
        self._geometry = self._batch.geometry(
            [pairs],
            torch.from_numpy(soft.positions).to(device),
            torch.from_numpy(soft.cell[None]).to(device),
            potential.cutoff,
            torch.float64,
        )
        self._scale = float(np.sqrt(len(soft)))
        self._strains = torch.from_numpy(settings.strains).to(device)
        self._n_strains = len(self._strains)
        size = self._n_strains + 3 * len(soft)
        with torch.inference_mode(False):
            self._y = torch.zeros(size, dtype=torch.float64, device=device, requires_grad=True)
            self._theta = soft.weights.to(device).requires_grad_(True)
            self.energy = self._energy(self._y, self._theta)
            self.slope, self.slope_weights = self._gradients(self.energy)

    def product(self, direction: Tensor) -> list[Tensor]:
        """E_yy d."""
        return list(torch.autograd.grad(self.slope, self._y, direction, retain_graph=True))

    def mixed(self, direction: Tensor) -> list[Tensor]:
        """E_yθ d and E_θθ d for a direction d of the weights."""
        return self._gradients((self.slope_weights * direction).sum(), keep=True)

    def third(self, direction: Tensor) -> list[Tensor]:
        """Derivatives of d·E_yy d by y and θ."""
        (product,) = torch.autograd.grad(self.slope, self._y, direction, create_graph=True)
        return self._gradients((product * direction).sum(), keep=True)

    def _energy(self, y: Tensor, theta: Tensor) -> Tensor:
        geometry = self._geometry
        away = y[self._n_strains :].reshape(-1, 3)
        receivers = torch.arange(len(geometry.senders), device=y.device) // max(geometry.width, 1)
        moved = away.index_select(0, geometry.senders) - away.index_select(0, receivers)
        vectors = geometry.vectors + moved * geometry.filled[:, None]
        strain = torch.einsum("k,kab->ab", y[: self._n_strains], self._strains) / self._scale
        vectors = (vectors + vectors @ strain).to(self._settings.dtype)
        weights = self._batch.node_weights(theta)
        graph = self._batch.graph(
            geometry.with_vectors(vectors), weights, self._settings.coupling, None
        )
        return (weights * self._potential(graph)).sum()

    def _gradients(self, value: Tensor, *, keep: bool = False) -> list[Tensor]:
        with torch.inference_mode(False):
            return list(
                torch.autograd.grad(
                    value,
                    (self._y, self._theta),
                    create_graph=not keep,
                    retain_graph=True,
                    materialize_grads=True,
                    allow_unused=True,
                )
            )


@dataclass(frozen=True)
class BulkModulus:
    """−V dP/dV of the relaxed structure, all free strains and sites giving way.

    Attributes:
        value: In eV/Å³.
        by_coordinates: Its derivative by y, shape (n_coordinates,).
        by_weights: Its derivative by θ at fixed y, shape (n_parameters,).
    """

    value: float
    by_coordinates: Tensor
    by_weights: Tensor


class Surface:
    """Derivatives of the energy around one structure.

    Args:
        potential: The energy function.
        soft: The structure, periodic along all strained directions.
        settings: Coupling, precision, device and free strains.
        journal: Knows the answers of the potential that were given before.

    Attributes:
        energy: In eV.
        by_coordinates: E_y in eV/Å, shape (n_coordinates,).
        by_weights: E_θ in eV, shape (n_parameters,).
        passes: How often the potential was evaluated or differentiated so far: one for the energy
            with its first derivatives, one for every product with a matrix of second derivatives,
            two for third derivatives.
    """

    def __init__(
        self,
        potential: Potential,
        soft: SoftAtoms,
        settings: Settings,
        journal: Journal | None = None,
    ) -> None:
        self._settings = settings
        self._journal = Journal() if journal is None else journal
        self._directions: list[_Direction] = []
        self._potential = potential
        self._soft = soft
        self._cell = torch.from_numpy(soft.cell).to(settings.device)
        self._scale = float(np.sqrt(len(soft)))
        self._strains = torch.from_numpy(settings.strains).to(settings.device)
        self._n_strains = len(self._strains)
        self._place = [soft.site_number, soft.positions, soft.cell, soft.groups.theta]
        found = self._journal.answer("surface", self._place, self._first_derivatives)
        self.passes = 1
        self.energy = float(found["energy"])
        self.by_coordinates = self._at_rest(self._numbers(found["by_coordinates"]))
        self.by_weights = self._numbers(found["by_weights"])
        if not (np.isfinite(self.energy) and bool(torch.isfinite(self.by_coordinates).all())):
            raise SurfaceError("the energy or its derivatives are not finite")

    @cached_property
    def _graph(self) -> _Graph:
        """The energy, ready to be differentiated; not made while all answers are known."""
        return _Graph(self._potential, self._soft, self._settings)

    def _first_derivatives(self) -> dict[str, Any]:
        graph = self._graph
        return {
            "energy": float(graph.energy.detach()),
            "by_coordinates": graph.slope.detach().tolist(),
            "by_weights": graph.slope_weights.detach().tolist(),
        }

    def _numbers(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=self._settings.device)

    def _asked(self, kind: str, direction: Tensor, ask: Callable[[], list[Tensor]]) -> list[Tensor]:
        """Derivatives along a direction."""
        question = [*self._place, direction.detach().cpu().numpy()]
        found = self._journal.answer(
            kind, question, lambda: {"all": [one.detach().tolist() for one in ask()]}
        )
        return [self._numbers(one) for one in found["all"]]

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³."""
        return float(torch.linalg.det(self._cell).abs())

    @property
    def dilation(self) -> Tensor:
        """Derivative of ln V by y, shape (n_coordinates,)."""
        slopes = torch.zeros_like(self.by_coordinates)
        slopes[: self._n_strains] = torch.einsum("kaa->k", self._strains) / self._scale
        return slopes

    def length(self, vector: NDArray[np.float64]) -> tuple[float, Tensor]:
        """Length of a sum of lattice vectors in Å, and its derivative by y.

        Args:
            vector: How many of each lattice vector, shape (3,).
        """
        along = torch.from_numpy(np.asarray(vector, dtype=float)).to(self._cell) @ self._cell
        length = along.norm()
        slopes = torch.zeros_like(self.by_coordinates)
        stretched = torch.einsum("a,kab,b->k", along, self._strains, along)
        slopes[: self._n_strains] = stretched / (length * self._scale)
        return float(length), slopes

    def strain(self, step: Tensor) -> Tensor:
        """Strain matrix of a step in y, shape (3, 3)."""
        return torch.einsum("k,kab->ab", step[: self._n_strains], self._strains) / self._scale

    def moved(self, soft: SoftAtoms, step: Tensor) -> SoftAtoms:
        """The structure after a step in y, at its weights."""
        deformation = np.eye(3) + self.strain(step).cpu().numpy()
        away = step[self._n_strains :].reshape(-1, 3).cpu().numpy()
        return soft.with_positions((soft.positions + away) @ deformation, soft.cell @ deformation)

    def longest_move(self, step: Tensor) -> float:
        """Size of a step: the farthest way of a site in Å, or its largest strain times 4 Å."""
        ways = step[self._n_strains :].reshape(-1, 3).norm(dim=1).max()
        strain = self.strain(step).abs().max() if self._n_strains else ways.new_zeros(())
        return float(torch.maximum(ways, 4.0 * strain))

    def mixed_product(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        """E_yθ t and E_θθ t for a direction t of the weights."""
        self.passes += 1
        by_y, by_theta = self._asked("mixed", direction, lambda: self._graph.mixed(direction))
        return self._at_rest(by_y), by_theta

    def is_at_rest(self) -> bool:
        """Whether forces and stress are below the tolerances of a relaxation."""
        settings, n_sites = self._settings, len(self._soft)
        forces = self.by_coordinates[self._n_strains :].reshape(-1, 3)
        if float(forces.norm(dim=1).max()) > settings.fmax:
            return False
        if not self._n_strains:
            return True
        slopes = self.by_coordinates[: self._n_strains] * (self._scale / self.volume)
        stress = torch.einsum("k,kab->ab", slopes, self._strains)
        limit = settings.smax
        if limit is None:
            limit = settings.fmax * n_sites / self.volume
        return float(stress.abs().max()) <= limit

    def solve(self, right: Tensor, *, within: float | None = None) -> Tensor:
        """E_yy⁻¹ b by conjugate gradients, without moving the structure as a whole.

        Directions of former solutions are used again: further systems cost no product where these
        span the answer, as they do once they span all coordinates that the symmetry leaves.

        Args:
            right: The right side b, shape (n_coordinates,).
            within: Relative residual that is good enough; as small as the precision allows if not
                given.

        Raises:
            SurfaceError: If E_yy is not positive definite, or the system cannot be solved.
        """
        found = torch.zeros_like(right)
        residual = self._at_rest(right)
        smallest = RESIDUAL[self._settings.dtype] if within is None else within
        limit = smallest * float(residual.norm()) + NOISE
        for known in self._directions:
            length = (residual @ known.direction) / known.curvature
            found = found + length * known.direction
            residual = residual - length * known.product
        for _ in range(3 * len(right) + 10):
            residual = self._at_rest(residual)
            if float(residual.norm()) <= limit:
                return found
            direction = residual
            for known in self._directions:
                overlap = (known.product @ direction) / known.curvature
                direction = direction - overlap * known.direction
            product = self.product(direction)
            curvature = float(direction @ product)
            if not curvature > 0.0:
                raise SurfaceError(
                    "the structure is no minimum of its energy: a displacement or strain lowers it"
                )
            length = (residual @ direction) / curvature
            found = found + length * direction
            residual = residual - length * product
            self._directions.append(_Direction(direction, product, curvature))
            del self._directions[:-MOST_DIRECTIONS]
        if float(residual.norm()) <= 1e3 * limit:
            return found
        raise SurfaceError("the response of the relaxed structure cannot be solved for")

    def bulk_modulus(self) -> BulkModulus:
        """Bulk modulus with its exact derivatives, which are third ones of the energy.

        Raises:
            SurfaceError: If no volume change is free, or the structure is no minimum.
        """
        dilation = self.dilation
        if not bool(dilation.abs().max() > 0.0):
            raise SurfaceError("a bulk modulus needs a cell whose volume may change")
        soft = self.solve(dilation)
        compliance = float(dilation @ soft)
        value = 1.0 / (self.volume * compliance)
        self.passes += 2
        by_y, by_theta = self._asked("third", soft, lambda: self._graph.third(soft))
        # d ln V/dε at the strain η along B_k changes by −tr(η B_k).
        turned = torch.zeros_like(soft)
        overlap = torch.einsum("kab,lba->kl", self._strains, self._strains) / self._scale**2
        turned[: self._n_strains] = -overlap @ soft[: self._n_strains]
        by_compliance = (2.0 * turned - self._at_rest(by_y)) / compliance
        return BulkModulus(
            value,
            -value * (dilation + by_compliance),
            value * by_theta / compliance,
        )

    def product(self, direction: Tensor) -> Tensor:
        """E_yy d, without its part that moves the structure as a whole."""
        self.passes += 1
        (found,) = self._asked("product", direction, lambda: self._graph.product(direction))
        return self._at_rest(found)

    def _at_rest(self, step: Tensor) -> Tensor:
        """A step or gradient without its part that moves the structure as a whole."""
        away = step[self._n_strains :].reshape(-1, 3)
        return torch.cat([step[: self._n_strains], (away - away.mean(dim=0)).reshape(-1)])
