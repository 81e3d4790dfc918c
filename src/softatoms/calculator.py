"""ASE calculator for a potential and a soft structure."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.outputs import Properties, all_outputs
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from . import units
from .batch_evaluator import BatchEvaluator, Evaluation
from .errors import OptionError, StructureError
from .evaluation import check_device, check_dtype
from .graph import Batch, check_coupling
from .neighbours import SkinnedList
from .potentials.base import N_ELEMENTS, Potential
from .runtime import keep_freed_memory
from .structure import SoftAtoms


class SoftCalculator(Calculator):
    """Energy, forces and stress of a soft structure for ASE's optimisers and dynamics.

    Positions, cell and periodicity are those of the ``Atoms`` it is attached to, candidates and
    weights those of ``soft``; every atom must be one of the candidates of its site. ``results``
    also holds ``energies`` (of sites) and ``weight_gradient``.

    Args:
        potential: The energy function, as it is now: what becomes of it later, by training say, is
            not followed.
        soft: The structure whose weights to use.
        coupling: ``mean_field`` or ``replica``.
        dtype: Precision of the potential, ``float32`` or ``float64``.
        device: Where to compute.
        skin: Margin of the neighbour list in Å; 0 searches at every call.
    """

    implemented_properties = [  # noqa: RUF012
        "energy",
        "free_energy",
        "energies",
        "forces",
        "stress",
    ]

    def __init__(
        self,
        potential: Potential,
        soft: SoftAtoms,
        *,
        coupling: str = "mean_field",
        dtype: str = "float64",
        device: str = "cpu",
        skin: float = 0.5,
    ) -> None:
        super().__init__()
        if not isinstance(potential, Potential):
            raise OptionError(
                f"potential must come from load_potential, got {type(potential).__name__}"
            )
        if not isinstance(soft, SoftAtoms):
            raise OptionError(
                f"soft must be a SoftAtoms, got {type(soft).__name__}: convert it with "
                "SoftAtoms.from_ase"
            )
        if isinstance(skin, bool) or not isinstance(skin, int | float) or not 0 <= skin < np.inf:
            raise OptionError(f"skin must be a number of at least 0 Å, got {skin!r}")
        self._soft = soft
        self._masses = soft.to_ase().get_masses()
        self._candidates = soft.node_site * N_ELEMENTS + soft.node_number
        target = check_device(device)
        if target.type == "cpu":
            keep_freed_memory()
        batch = Batch([soft], target)
        self._evaluator = BatchEvaluator(
            copy.deepcopy(potential), batch, check_coupling(coupling), check_dtype(dtype)
        )
        self._list = SkinnedList(self._evaluator.potential.cutoff, skin)

    @property
    def soft(self) -> SoftAtoms:
        """The structure whose weights are used; its positions are those it was made with."""
        return self._soft

    @property
    def neighbour_rebuilds(self) -> int:
        """How often the neighbour list was searched anew."""
        return self._list.rebuilds

    def set_weights(self, theta: ArrayLike | Tensor) -> None:
        """Change the weights θ; the next call computes anew."""
        self._soft = self._soft.with_weights(theta)
        self.reset()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] | None = None,
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute energy, forces, weight gradient and, where the cell has a volume, stress."""
        super().calculate(atoms, properties, system_changes)
        if self.atoms is None:
            raise OptionError("there are no atoms to calculate: attach the calculator to some")
        has_volume = abs(np.linalg.det(self.atoms.cell.array)) > 1e-12
        wanted = {"forces", "weight_gradient"} | ({"stress"} if has_volume else set())
        out = self._evaluate(self.atoms, frozenset(wanted))
        energy = float(out.energy)
        if not np.isfinite(energy):
            raise StructureError(
                f"the energy is {energy}: atoms lie on top of each other, or the run has exploded"
            )
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": out.site_energies.cpu().numpy(),
        }
        if out.forces is not None and out.weight_gradient is not None:
            self.results["forces"] = out.forces.cpu().numpy()
            self.results["weight_gradient"] = out.weight_gradient.cpu().numpy()
        if out.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(out.stress.cpu().numpy())

    def export_properties(self) -> Properties:
        """What ASE has a name for, of the results; ``weight_gradient`` is only in ``results``."""
        return Properties(
            {name: self.results[name] for name in self.results if name in all_outputs}
        )

    def heat_flux(self, atoms: Atoms) -> NDArray[np.float64]:
        """Heat flux in eV Å/fs, shape (3,), from the positions and momenta of ``atoms``."""
        if not atoms.has("momenta"):
            raise OptionError("heat_flux needs velocities: the atoms have no momenta")
        changed = np.flatnonzero(~np.isclose(atoms.get_masses(), self._masses, rtol=1e-12))
        if changed.size:
            raise OptionError(
                f"mass of site {changed[0]} is {atoms.get_masses()[changed[0]]:g} amu in the atoms "
                f"and {self._masses[changed[0]]:g} amu in the soft structure: set masses before "
                "SoftAtoms.from_ase"
            )
        velocities = torch.from_numpy(units.velocity_from_ase(atoms.get_velocities()))
        flux = self._evaluate(atoms, frozenset({"heat_flux"}), velocities).heat_flux
        assert flux is not None, "the heat flux was asked for"
        return flux.cpu().numpy()

    def _evaluate(
        self, atoms: Atoms, wanted: frozenset[str], velocities: Tensor | None = None
    ) -> Evaluation:
        sites = np.arange(len(atoms))
        if (
            len(atoms) != len(self._soft)
            or not np.isin(sites * N_ELEMENTS + atoms.numbers, self._candidates).all()
        ):
            raise OptionError(
                f"the atoms ({atoms.get_chemical_formula()}, {len(atoms)} sites) are not those of "
                f"the soft structure ({len(self._soft)} sites): attach the calculator to "
                "soft.to_ase(), or make a new one"
            )
        cell = np.array(atoms.cell)
        device = self._evaluator.batch.device
        positions = atoms.get_positions()
        return self._evaluator.evaluate(
            positions=torch.from_numpy(positions).to(device),
            cells=torch.from_numpy(cell).unsqueeze(0).to(device),
            theta=self._soft.weights.to(device),
            pairs=[self._list.pairs(positions, cell, np.array(atoms.pbc))],
            wanted=wanted,
            velocities=None if velocities is None else velocities.to(device),
        )[0]
