"""Energies and forces of all systems in one call, in which a sick one does not spoil the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..batch_evaluator import BatchEvaluator, Kept
from ..graph import Batch, Coupling
from ..potentials.base import Potential
from .members import Members
from .neighbour_lists import NeighbourLists
from .tethers import Bias

_NAMES = {
    "energy": "the energy",
    "forces": "a force",
    "stress": "the stress",
    "weight_gradient": "dE/dλ",
}
"""What has to be finite, and what to call it."""


@dataclass(frozen=True)
class Outputs:
    """What the potential gives for all systems.

    Attributes:
        energies: In eV, shape (n_systems,).
        forces: In eV/Å, shape (n_sites, 3).
        stresses: In eV/Å³, shape (n_systems, 3, 3); nan if not wanted.
        slopes: dE/dλ in eV, shape (n_systems,); nan if not wanted.
        problems: What is wrong with systems for which a number that was wanted is not finite, by
            their row; their numbers are 0.
    """

    energies: Tensor
    forces: Tensor
    stresses: Tensor
    slopes: Tensor
    problems: Mapping[int, str]


class Forces:
    """Evaluates the systems of a batch again and again.

    Args:
        potential: The energy function.
        members: The systems.
        coupling: Coupling of soft sites.
        dtype: Precision of the potential.
        skin: Margin of the neighbour lists in Å.
    """

    def __init__(
        self,
        potential: Potential,
        members: Members,
        coupling: Coupling,
        dtype: torch.dtype,
        skin: float,
    ) -> None:
        self._members, self._coupling, self._dtype = members, coupling, dtype
        self._evaluator = BatchEvaluator(potential, members.batch, coupling, dtype)
        self.lists = NeighbourLists(members, self._evaluator.potential.cutoff, skin)
        self._bias = Bias(members) if members.is_biased else None
        self._kept: tuple[Kept, tuple[Tensor, Tensor, Tensor]] | None = None

    @property
    def potential(self) -> Potential:
        """The energy function in the precision and on the device of the run."""
        return self._evaluator.potential

    def evaluate(
        self,
        positions: Tensor,
        cells: Tensor,
        theta: Tensor,
        lambdas: Tensor,
        wanted: frozenset[str],
    ) -> Outputs:
        """Energies, forces and what else is wanted.

        Args:
            positions: In Å, shape (n_sites, 3).
            cells: In Å, shape (n_systems, 3, 3).
            theta: Weights, shape (n_parameters,).
            lambdas: λ of each system, shape (n_systems,).
            wanted: ``forces``, and ``stress`` or ``weight_gradient`` where needed. With
                ``heat_flux``, what :meth:`heat_flux` needs at these positions is kept.
        """
        listed, problems = self.lists.update(positions, cells)
        self._kept = None
        keeps = "heat_flux" in wanted and self.potential.has_forward_mode
        wanted = wanted - {"heat_flux"}
        try:
            if keeps:
                found, kept = self._evaluator.evaluate_keeping(
                    positions=positions, cells=cells, theta=theta, pairs=listed, wanted=wanted
                )
                self._kept = kept, (positions, cells, theta)
            else:
                found = self._evaluator.evaluate_joined(
                    positions=positions, cells=cells, theta=theta, pairs=listed, wanted=wanted
                )
        except torch.OutOfMemoryError:
            raise
        except Exception:  # whatever a potential raises concerns some systems alone
            everyone = range(self._members.n_systems)
            found, _ = self._one_by_one(everyone, positions, cells, theta, wanted)
        if not all(bool(torch.isfinite(found[name]).all()) for name in _NAMES if name in found):
            self._kept = None
            found, sick = self._isolated(found, positions, cells, theta, wanted)
            problems = {**sick, **problems}
        outputs = self._outputs(found, positions, lambdas)
        return self._without(outputs, problems) if problems else outputs

    def heat_flux(
        self, positions: Tensor, cells: Tensor, theta: Tensor, velocities: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Heat flux and its convective part in eV Å/fs, each of shape (n_systems, 3)."""
        if self._kept is not None:
            kept, where = self._kept
            if all(a is b for a, b in zip(where, (positions, cells, theta), strict=True)):
                return self._evaluator.flux_of(kept, velocities)
        listed, _ = self.lists.update(positions, cells)
        found = self._evaluator.evaluate_joined(
            positions=positions,
            cells=cells,
            theta=theta,
            pairs=listed,
            wanted=frozenset({"heat_flux"}),
            velocities=velocities,
        )
        return found["heat_flux"], found["convective_heat_flux"]

    def _outputs(self, found: dict[str, Tensor], positions: Tensor, lambdas: Tensor) -> Outputs:
        members = self._members
        none = found["energy"].new_full((members.n_systems,), float("nan"))
        gradient = found.get("weight_gradient")
        energies, forces = found["energy"], found["forces"]
        stresses = found.get("stress", none.reshape(-1, 1, 1).expand(-1, 3, 3))
        slopes = none if gradient is None else members.slopes(gradient)
        if self._bias is not None:
            energies, forces, slopes, stresses = self._bias(
                positions, lambdas, energies, forces, slopes, stresses
            )
        return Outputs(
            energies=energies, forces=forces, stresses=stresses, slopes=slopes, problems={}
        )

    def _without(self, outputs: Outputs, problems: Mapping[int, str]) -> Outputs:
        """Zeros in place of the numbers of sick systems."""
        sick = torch.zeros(self._members.n_systems, dtype=torch.bool, device=self._members.device)
        sick[list(problems)] = True
        return Outputs(
            energies=outputs.energies.masked_fill(sick, 0.0),
            forces=outputs.forces.masked_fill(self._members.spread(sick).unsqueeze(1), 0.0),
            stresses=outputs.stresses.masked_fill(sick.reshape(-1, 1, 1), 0.0),
            slopes=outputs.slopes.masked_fill(sick, 0.0),
            problems=problems,
        )

    def _isolated(
        self,
        found: dict[str, Tensor],
        positions: Tensor,
        cells: Tensor,
        theta: Tensor,
        wanted: frozenset[str],
    ) -> tuple[dict[str, Tensor], dict[int, str]]:
        """Tell the sick from those that only shared a batch with them.

        Numbers that are not finite spread: an empty slot of any row repeats the first site.
        """
        chosen = ~self._all_finite(self._finite(found))
        rows = chosen.nonzero().squeeze(1).tolist()
        alone, raised = self._one_by_one(rows, positions, cells, theta, wanted)
        merged = {}
        for name, values in alone.items():
            mask = chosen if len(values) == len(chosen) else self._members.spread(chosen)
            if name == "weight_gradient":
                mask = chosen.index_select(0, self._members.parameter_system)
            mask = mask.reshape(-1, *(1,) * (values.dim() - 1))
            merged[name] = torch.where(mask, values, found[name])
        finite = self._finite(merged)
        sick = (~self._all_finite(finite)).nonzero().squeeze(1).tolist()
        wrong = {
            row: next(_NAMES[name] for name, good in finite.items() if not good[row])
            for row in sick
        }
        return merged, {
            row: raised.get(row, f"{what} is not finite") for row, what in wrong.items()
        }

    def _finite(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Which systems have finite numbers of each kind, each of shape (n_systems,)."""
        members, finite = self._members, {}
        for name in (name for name in _NAMES if name in found):
            if name == "weight_gradient":
                # Of a weight that no schedule leads, nobody wants to know.
                finite[name] = torch.isfinite(members.slopes(found[name]))
                continue
            good = torch.isfinite(found[name]).reshape(len(found[name]), -1).all(1)
            if name == "forces":
                good = members.sum((~good).to(torch.float64)) == 0
            finite[name] = good
        return finite

    def _all_finite(self, finite: Mapping[str, Tensor]) -> Tensor:
        return torch.stack(list(finite.values())).all(0)

    def _one_by_one(
        self,
        rows: Sequence[int],
        positions: Tensor,
        cells: Tensor,
        theta: Tensor,
        wanted: frozenset[str],
    ) -> tuple[dict[str, Tensor], dict[int, str]]:
        """Evaluate some systems alone.

        Returns:
            Results, nan for systems that fail and for all others; and what the potential raised.
        """
        members = self._members
        nan = float("nan")
        results = {
            "energy": positions.new_full((members.n_systems,), nan),
            "forces": torch.full_like(positions, nan),
        }
        if "stress" in wanted:
            results["stress"] = positions.new_full((members.n_systems, 3, 3), nan)
        if "weight_gradient" in wanted:
            results["weight_gradient"] = torch.full_like(theta, nan)
        site_offsets = np.cumsum([0, *members.batch.site_counts])
        offsets = np.cumsum([0, *members.batch.parameter_counts])
        raised: dict[int, str] = {}
        for row in rows:
            own = slice(site_offsets[row], site_offsets[row + 1])
            weights = slice(offsets[row], offsets[row + 1])
            parts = {"energy": slice(row, row + 1), "forces": own}
            parts |= {"stress": slice(row, row + 1), "weight_gradient": weights}
            try:
                alone = BatchEvaluator(
                    self._evaluator.potential,
                    Batch([members.systems[row]], members.device),
                    self._coupling,
                    self._dtype,
                ).evaluate_joined(
                    positions=positions[own],
                    cells=cells[row : row + 1],
                    theta=theta[weights],
                    pairs=[self.lists.pairs_of(row)],
                    wanted=wanted,
                )
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                raised[row] = f"the potential gave up: {type(error).__name__}: {error}"
                continue
            for name, values in results.items():
                values[parts[name]] = alone[name]
        return results, raised
