"""The objective at a composition: quantities of the relaxed structure with their derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...errors import OptionError
from ..surface import Surface, SurfaceError
from .guide import Guide, fresh_guide
from .simplex import Domain, Floats
from .targets import FACTORS, Target

if TYPE_CHECKING:
    from ...potentials.base import Potential
    from ...relax.options import Settings
    from ...structure import SoftAtoms
    from ..journal import Journal

MOST_END_MEMBERS = 256
"""Combinations of pure groups that a mixing energy may refer to."""

GUIDED = 0.05
"""Relative residual of steps to rest with second derivatives of a structure nearby."""

LONGEST = 0.3
"""Longest way of a site in one step in Å; a strain counts as 4 Å times it."""

MOST_LESSONS = 12
"""Steps for which second derivatives serve elsewhere."""

ALWAYS = ("a", "b", "c", "volume", "energy")
"""Quantities that cost nothing and are reported with every point."""


@dataclass(frozen=True)
class Quantity:
    """A quantity along the relaxed structures, in its unit.

    Attributes:
        value: The quantity.
        slope: Its total derivative along the tangent directions, shape (n_tangents,).
        curvature: Its second derivative, shape (n_tangents, n_tangents), where it is known.
    """

    value: float
    slope: Floats
    curvature: Floats | None = None


@dataclass(frozen=True)
class Point:
    """The objective at one composition.

    Attributes:
        soft: The relaxed structure.
        objective: Value of the objective.
        gradient: Its derivative by θ along the simplexes, shape (n_parameters,).
        curvature: What is known of its second derivatives, shape (n_parameters, n_parameters).
        quantities: Quantities by name, in their units.
        response: dy/dz for the tangent directions z, shape (n_tangents, n_coordinates).
        raw: Step to rest by the second derivatives that were used, in y, ...
        to_rest: ... and with what was learnt beside.
        surface: Derivatives of the energy there.
        guide: The second derivatives that were used.
    """

    soft: SoftAtoms
    objective: float
    gradient: Floats
    curvature: Floats
    quantities: dict[str, float]
    response: Tensor
    raw: Tensor
    to_rest: Tensor
    surface: Surface
    guide: Guide

    @property
    def is_exact(self) -> bool:
        """Whether the second derivatives are those of this structure."""
        return self.guide.surface is self.surface

    @property
    def theta(self) -> Floats:
        """The weights, shape (n_parameters,)."""
        return self.soft.groups.theta

    def step(self, domain: Domain, theta: Floats, *, longest: float) -> Tensor:
        """Step in y to where the structure is expected at rest for other weights, to first order.

        Args:
            domain: Allowed compositions.
            theta: The other weights.
            longest: Largest way of a site in Å, strains times 4 Å included.
        """
        away = torch.from_numpy(domain.tangent.T @ (theta - self.theta)).to(self.response)
        step = self.to_rest + away @ self.response
        return step * min(1.0, longest / max(self.surface.longest_move(step), 1e-300))

    def predicted(self, domain: Domain, theta: Floats, *, longest: float = LONGEST) -> SoftAtoms:
        """The structure after :meth:`step`, with the other weights."""
        step = self.step(domain, theta, longest=longest)
        return self.surface.moved(self.soft, step).with_weights(theta)


class Objective:
    """Evaluates the objective.

    Args:
        potential: The energy function.
        soft: The structure; its groups of tied sites are the sublattices.
        targets: Terms of the objective.
        domain: Allowed compositions.
        settings: How structures are relaxed and evaluated.
        axes: How many of each lattice vector of the cell make a, b and c, shape (3, 3).
        end_members: Relaxed energies in eV per site of all combinations of pure groups, one axis
            per group; needed for a mixing energy.
        journal: Knows the answers of the potential that were given before.

    Attributes:
        passes: Derivatives taken so far, see :class:`Surface`.
    """

    def __init__(
        self,
        potential: Potential,
        soft: SoftAtoms,
        targets: Sequence[Target],
        domain: Domain,
        settings: Settings,
        *,
        axes: Floats,
        end_members: Floats | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._potential = potential
        self._targets = list(targets)
        self._domain = domain
        self._settings = settings
        self._axes = axes
        self._end_members = end_members
        self._journal = journal
        self._n_sites = len(soft)
        self._wanted = list(dict.fromkeys([*ALWAYS, *(target.name for target in targets)]))
        self._exchanges = {
            target.name: self._exchange(soft, target)
            for target in targets
            if target.quantity == "exchange_energy"
        }
        self.passes = 0

    @property
    def can_be_guided(self) -> bool:
        """Whether all targets follow from first derivatives and those of a guide."""
        exact = ("bulk_modulus", "exchange_energy")
        return all(target.quantity not in exact for target in self._targets)

    def surface(self, soft: SoftAtoms) -> Surface:
        """First derivatives of the energy of a structure.

        Raises:
            SurfaceError: If they are not finite.
        """
        self.passes += 1
        return Surface(self._potential, soft, self._settings, self._journal)

    def evaluate(self, soft: SoftAtoms, *, at_rest: bool = True) -> Point:
        """The objective where a structure is.

        Args:
            soft: The structure, at its composition.
            at_rest: Whether it is relaxed. Otherwise all quantities are those expected at rest.

        Raises:
            SurfaceError: If it is no minimum of its energy.
        """
        return self.exact(self.surface(soft), soft, at_rest=at_rest)

    def exact(self, surface: Surface, soft: SoftAtoms, *, at_rest: bool) -> Point:
        """The objective from the second derivatives of the structure itself.

        Args:
            surface: First derivatives there.
            soft: The structure.
            at_rest: As for :meth:`evaluate`.

        Raises:
            SurfaceError: If it is no minimum of its energy.
        """
        before = surface.passes
        try:
            slope = surface.by_coordinates
            raw = torch.zeros_like(slope) if at_rest else -surface.solve(slope)
            return self._point(surface, soft, fresh_guide(surface, self._tangent(surface)), raw)
        finally:
            self.passes += surface.passes - before

    def guided(
        self, surface: Surface, soft: SoftAtoms, guide: Guide, *, at_rest: bool = False
    ) -> Point:
        """The objective expected at rest from first derivatives and those of another structure.

        Args:
            surface: First derivatives of the structure.
            soft: The structure.
            guide: Second derivatives of one nearby.
            at_rest: As for :meth:`evaluate`.

        Raises:
            SurfaceError: If the other one is no minimum of its energy.
        """
        slope = surface.by_coordinates
        if at_rest:
            return self._point(surface, soft, guide, torch.zeros_like(slope))
        before = guide.surface.passes
        try:
            raw = -guide.surface.solve(slope, within=GUIDED)
        finally:
            self.passes += guide.surface.passes - before
        return self._point(surface, soft, guide, raw)

    def brought_to_rest(self, near: Point, theta: Floats) -> Point:
        """The relaxed point at a composition, by the second derivatives of one nearby.

        Args:
            near: Where to come from.
            theta: The composition.

        Raises:
            SurfaceError: If they do not lead to a state of rest, or it is no minimum.
        """
        domain = self._domain
        last, step = near, near.step(domain, theta, longest=LONGEST)
        for _ in range(MOST_LESSONS):
            soft = last.surface.moved(last.soft, step).with_weights(theta)
            surface = self.surface(soft)
            if surface.is_at_rest():
                return self.exact(surface, soft, at_rest=True)
            point = self.followed(last, surface, soft, step)
            if surface.longest_move(point.raw) > LONGEST:
                break
            last, step = point, point.step(domain, theta, longest=LONGEST)
        raise SurfaceError("the structure does not come to rest as expected")

    def followed(self, last: Point, surface: Surface, soft: SoftAtoms, step: Tensor) -> Point:
        """The point to which a step has led, by the guide of the last one, which learns from it."""
        point = self.guided(surface, soft, last.guide)
        away = torch.from_numpy(self._domain.tangent.T @ (point.theta - last.theta)).to(step)
        guide = last.guide.taught(step, away, point.raw - last.raw)
        return self._point(surface, soft, guide, point.raw)

    def _tangent(self, surface: Surface) -> Tensor:
        return torch.from_numpy(self._domain.tangent).to(surface.by_weights)

    def _point(self, surface: Surface, soft: SoftAtoms, guide: Guide, raw: Tensor) -> Point:
        tangent = self._tangent(surface)
        count = tangent.shape[1]
        slope, mixed, response = surface.by_coordinates, guide.mixed, guide.response
        to_rest = guide.to_rest(raw)
        energy = Quantity(
            surface.energy + 0.5 * float(slope @ to_rest),
            np.array(
                [
                    float(surface.by_weights @ tangent[:, k] + mixed[k][0] @ to_rest)
                    for k in range(count)
                ]
            ),
            np.array(
                [
                    [
                        float(tangent[:, i] @ mixed[j][1] + mixed[i][0] @ response[j])
                        for j in range(count)
                    ]
                    for i in range(count)
                ]
            ).reshape(count, count),
        )
        found: dict[str, Quantity] = {}
        for name in self._wanted:
            found[name] = self._quantity(name, surface, soft, energy, tangent, response, to_rest)
        objective, gradient, curvature = 0.0, np.zeros(count), np.zeros((count, count))
        for target in self._targets:
            quantity = found[target.name]
            cost, first, second = target.cost(quantity.value)
            objective += cost
            gradient += first * quantity.slope
            curvature += second * np.outer(quantity.slope, quantity.slope)
            if quantity.curvature is not None:
                curvature += first * quantity.curvature
        basis = self._domain.tangent
        return Point(
            soft=soft,
            objective=objective,
            gradient=basis @ gradient,
            curvature=basis @ curvature @ basis.T,
            quantities={name: quantity.value for name, quantity in found.items()},
            response=response,
            raw=raw,
            to_rest=to_rest,
            surface=surface,
            guide=guide,
        )

    def _quantity(
        self,
        name: str,
        surface: Surface,
        soft: SoftAtoms,
        energy: Quantity,
        tangent: Tensor,
        response: Tensor,
        to_rest: Tensor,
    ) -> Quantity:
        n_sites = self._n_sites

        def following(value: float, by_y: Tensor, by_theta: Tensor | None = None) -> Quantity:
            slope = response @ by_y
            if by_theta is not None:
                slope = slope + tangent.T @ by_theta
            factor = FACTORS.get(name, 1.0)
            at = value + float(by_y @ to_rest)
            return Quantity(factor * at, factor * slope.cpu().numpy())

        if name in "abc":
            return following(*surface.length(self._axes["abc".index(name)]))
        if name == "volume":
            volume = surface.volume / n_sites
            return following(volume, volume * surface.dilation)
        if name == "bulk_modulus":
            modulus = surface.bulk_modulus()
            return following(modulus.value, modulus.by_coordinates, modulus.by_weights)
        if name in self._exchanges:
            direction = self._exchanges[name]
            curvature = energy.curvature
            assert curvature is not None
            return Quantity(float(direction @ energy.slope), curvature @ direction)
        if name == "mixing_energy":
            reference = self._mixture(soft.groups.theta)
        else:
            reference = Quantity(0.0, np.zeros(len(energy.slope)), np.zeros((1, 1)))
        assert energy.curvature is not None
        assert reference.curvature is not None
        return Quantity(
            energy.value / n_sites - reference.value,
            energy.slope / n_sites - reference.slope,
            energy.curvature / n_sites - reference.curvature,
        )

    def _exchange(self, soft: SoftAtoms, target: Target) -> Floats:
        """Tangent coordinates of the exchange of one site's element, shape (n_tangents,)."""
        assert target.elements is not None
        labels = list(soft.weight_labels)
        groups = [label.rsplit(":", 1)[0] for label in labels]
        named = list(dict.fromkeys(groups))
        if target.tie is None and len(named) > 1:
            raise OptionError(
                f"target {target.name}: say on which of the groups {', '.join(named)} with 'tie'"
            )
        tie = named[0] if target.tie is None else target.tie
        direction = np.zeros(len(labels))
        for element, sign in zip(target.elements, (1.0, -1.0), strict=True):
            if f"{tie}:{element}" not in labels:
                raise OptionError(
                    f"target {target.name}: there is no weight {tie}:{element} among "
                    f"{', '.join(labels)}"
                )
            direction[labels.index(f"{tie}:{element}")] = sign
        members = int((soft.site_group == named.index(tie)).sum())
        coordinates: Floats = self._domain.tangent.T @ direction / members
        return coordinates

    def mixture(self, theta: Floats) -> float:
        """Energy in eV per site of a mechanical mixture of end members."""
        return self._mixture(theta).value

    def _mixture(self, theta: Floats) -> Quantity:
        """Energy per site of a mechanical mixture of end members, with its derivatives.

        Each combination of pure groups counts with the product of its weights.
        """
        energies = self._end_members
        assert energies is not None, "a mixing energy needs end members"
        domain = self._domain
        members = [np.flatnonzero(row) for row in domain.incidence]
        count = len(theta)
        value, slope, curvature = 0.0, np.zeros(count), np.zeros((count, count))
        for choice in product(*(range(len(own)) for own in members)):
            picked = [int(own[k]) for own, k in zip(members, choice, strict=True)]
            shares = theta[picked] / domain.sums
            value += energies[choice] * float(np.prod(shares))
            for g, i in enumerate(picked):
                others = np.delete(shares, g)
                slope[i] += energies[choice] * float(np.prod(others)) / domain.sums[g]
                for h, j in enumerate(picked):
                    if h != g:
                        rest = float(np.prod(np.delete(shares, [g, h])))
                        curvature[i, j] += (
                            energies[choice] * rest / (domain.sums[g] * domain.sums[h])
                        )
        basis = domain.tangent
        return Quantity(value, basis.T @ slope, basis.T @ curvature @ basis)


def pure_combinations(domain: Domain) -> list[Floats]:
    """Weights of all combinations of pure groups, the last group running fastest.

    Raises:
        OptionError: If there are too many.
    """
    members = [np.flatnonzero(row) for row in domain.incidence]
    total = int(np.prod([float(len(own)) for own in members]))
    if total > MOST_END_MEMBERS:
        raise OptionError(
            f"a mixing energy against {total} end members is too much, at most {MOST_END_MEMBERS}: "
            "tie sites"
        )
    found = []
    for picked in product(*members):
        theta = np.zeros(len(domain.group))
        theta[list(picked)] = domain.sums
        found.append(theta)
    return found
