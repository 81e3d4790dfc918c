"""One job of the composition stage: relaxed cells and energies of many solid solutions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config.composition import SUPERCELLS
from ..evaluation import check_device, check_dtype
from ..provenance import code_digest
from ..units import GPA_PER_EV_ANG3
from .checkpoint import Checkpoint
from .parent_scan import ParentScan
from .prototypes import PROTOTYPES, Prototype
from .relaxation import SKIN, Relaxed, Settings, relax_volumes
from .rows import empty_row, task_rng
from .sqs import decorate, shell_counts
from .structures import (
    Supercell,
    explicit_crystal,
    guessed_lattice_parameter,
    lattice_parameter,
    plain_crystal,
    soft_crystal,
    supercell,
)
from .tasks import Task, prototype_entropy

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..graph import Coupling
    from ..potentials.base import Potential
    from ..progress import Progress
    from ..structure import SoftAtoms


class EndMember(NamedTuple):
    """A pure element on a parent lattice.

    Attributes:
        volume_per_atom: In Å³.
        energy_per_atom: In eV.
        error: Why there are no numbers, empty if there are.
    """

    volume_per_atom: float
    energy_per_atom: float
    error: str


class Outcome(NamedTuple):
    """Result of one job.

    Attributes:
        rows: Rows of the table ``composition``, in the order of the tasks.
        evaluations: Energy evaluations of all structures, end members included.
    """

    rows: list[dict[str, Any]]
    evaluations: int


class Scanner:
    """Runs tasks of one campaign with one potential.

    Args:
        config: The campaign.
        potential: The energy function.
    """

    def __init__(self, config: CampaignConfig, potential: Potential) -> None:
        self.config = config
        self.potential = potential
        self.elements = config.elements()
        self.end_members: dict[tuple[str, str], EndMember] = {}
        self.evaluations = 0
        self._supercells: dict[str, tuple[Supercell, NDArray[np.float64]]] = {}

    def run(self, tasks: Sequence[Task], checkpoint: Checkpoint, progress: Progress) -> Outcome:
        """Run tasks in batches; those in the checkpoint are taken from there.

        Args:
            tasks: What to compute.
            checkpoint: Where finished batches are kept.
            progress: Is told of every task done.
        """
        rows: dict[str, dict[str, Any]] = {}
        with_parent = [scan for scan in self.config.scanned().scans if scan.parent is not None]
        names = {scan.name for scan in with_parent}
        of_prototypes = [task for task in tasks if task.scan not in names]
        self._relax_end_members(of_prototypes)
        for batch in self._batches(of_prototypes):
            saved = checkpoint.load(batch)
            if saved is None:
                before = self.evaluations
                done = self._run_batch(batch)
                saved = {"rows": done, "evaluations": self.evaluations - before}
                checkpoint.save(batch, saved)
            else:
                self.evaluations += saved["evaluations"]
            rows.update({row["composition_id"]: row for row in saved["rows"]})
            progress.advance(len(batch))
        for scan in with_parent:
            own = [task for task in tasks if task.scan == scan.name]
            if own:
                solution = ParentScan(self.config, scan, self.potential)
                found = solution.run(own, checkpoint, progress)
                rows.update({row["composition_id"]: row for row in found})
                self.evaluations += solution.evaluations
        return Outcome([rows[task.identifier] for task in tasks], self.evaluations)

    def _settings(self, coupling: Coupling) -> Settings:
        relaxation, compute = self.config.scanned().relaxation, self.config.compute
        return Settings(
            coupling=coupling,
            pressure_tolerance=relaxation.pressure_tolerance_gpa / GPA_PER_EV_ANG3,
            max_steps=relaxation.max_steps,
            dtype=check_dtype(compute.dtype),
            device=check_device(compute.device),
        )

    def _relax(self, systems: Sequence[SoftAtoms], coupling: Coupling) -> list[Relaxed]:
        results = relax_volumes(self.potential, systems, self._settings(coupling))
        self.evaluations += sum(result.evaluations for result in results)
        return results

    def _relax_end_members(self, tasks: Sequence[Task]) -> None:
        wanted = sorted(
            {
                (PROTOTYPES[task.prototype].reference, element)
                for task in tasks
                for element, x in task.fractions.items()
                if x > 0
            }
        )
        systems = []
        for name, element in wanted:
            lattice = PROTOTYPES[name]
            a = guessed_lattice_parameter(lattice, element)
            systems.append(plain_crystal(lattice, a, [element] * len(lattice.sites)))
        for key, soft, result in zip(
            wanted, systems, self._relax(systems, "mean_field"), strict=True
        ):
            error = "" if result.status == "ok" else f"pure {key[1]} in {key[0]}: {result.error}"
            self.end_members[key] = EndMember(
                result.volume / len(soft), result.energy / len(soft), error
            )

    def _batches(self, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        """Tasks that are relaxed together: of one coupling, and not too many pairs of atoms."""
        by_method: dict[str, list[Task]] = {}
        for task in tasks:
            by_method.setdefault(task.method, []).append(task)
        for members in by_method.values():
            batch: list[Task] = []
            pairs = 0.0
            for task in members:
                own = task.cost * self._neighbours(task)
                if batch and pairs + own > self.config.compute.edges_per_batch:
                    yield batch
                    batch, pairs = [], 0.0
                batch.append(task)
                pairs += own
            yield batch

    def _neighbours(self, task: Task) -> float:
        """Estimated number of neighbours of a site."""
        radius = self.potential.cutoff + SKIN
        return 4.0 / 3.0 * math.pi * radius**3 / self._linear(task)[0]

    def _linear(self, task: Task) -> tuple[float, float]:
        """Volume (Å³) and energy (eV) per atom on the line between the end members.

        The volume belongs to the mean lattice parameter (Vegard's law). Where an end member has no
        volume, the guess from which it was relaxed is taken.
        """
        lattice = PROTOTYPES[task.prototype]
        reference = PROTOTYPES[lattice.reference]
        a = energy = 0.0
        for element, x in task.fractions.items():
            if x > 0:
                pure = self.end_members[(reference.name, element)]
                if pure.error:
                    a += x * guessed_lattice_parameter(reference, element)
                else:
                    a += x * lattice_parameter(reference, pure.volume_per_atom)
                energy += x * pure.energy_per_atom
        return a**3 / lattice.sites_per_cube, energy

    def _broken_end_member(self, task: Task) -> str:
        reference = PROTOTYPES[task.prototype].reference
        errors = [
            self.end_members[(reference, element)].error
            for element, x in task.fractions.items()
            if x > 0
        ]
        return "; ".join(error for error in errors if error)

    def _run_batch(self, tasks: list[Task]) -> list[dict[str, Any]]:
        if tasks[0].method == "vegard":
            return [self._vegard_row(task) for task in tasks]
        systems: list[SoftAtoms] = []
        errors: list[float | None] = []
        for task in tasks:
            soft, correlation_error = self._structure(task)
            systems.append(soft)
            errors.append(correlation_error)
        coupling: Coupling = "replica" if tasks[0].method == "replica" else "mean_field"
        results = self._relax(systems, coupling)
        return [
            self._row(task, soft, result, error)
            for task, soft, result, error in zip(tasks, systems, results, errors, strict=True)
        ]

    def _structure(self, task: Task) -> tuple[SoftAtoms, float | None]:
        """Structure at the volume of Vegard's law, and the deviation from randomness if any."""
        lattice = PROTOTYPES[task.prototype]
        a = lattice_parameter(lattice, self._linear(task)[0])
        if task.method not in SUPERCELLS:
            return soft_crystal(lattice, a, task.occupation), None
        sqs = self.config.scanned().sqs
        if lattice.name not in self._supercells:
            empty = supercell(lattice, sqs.supercell)
            self._supercells[lattice.name] = empty, shell_counts(empty, sqs.shells)
        empty, counts = self._supercells[lattice.name]
        rng = task_rng(self.config.campaign.seed, task.identifier)
        swaps = sqs.swaps if task.method == "sqs" else 0
        decoration = decorate(empty, lattice, task.occupation, counts, swaps=swaps, rng=rng)
        return explicit_crystal(empty, a, decoration.symbols), decoration.error

    def _row(
        self, task: Task, soft: SoftAtoms, result: Relaxed, correlation_error: float | None
    ) -> dict[str, Any]:
        row = self._empty_row(task, len(soft))
        row["correlation_error"] = correlation_error
        row["evaluations"] = result.evaluations
        broken = self._broken_end_member(task)
        if result.status != "ok" or broken:
            row["status"] = "failed" if result.status == "ok" else result.status
            row["error"] = result.error or broken
            return row
        volume, energy = result.volume / len(soft), result.energy / len(soft)
        row.update(_lengths(PROTOTYPES[task.prototype], volume))
        row["energy_ev_per_atom"] = energy
        row["mixing_ev_per_atom"] = energy - self._linear(task)[1]
        row["pressure_gpa"] = result.pressure * GPA_PER_EV_ANG3
        row["bulk_modulus_gpa"] = result.bulk_modulus * GPA_PER_EV_ANG3
        if len(task.occupation) == 1 and result.weight_gradient is not None:
            candidates = next(iter(task.occupation.values()))
            if len(result.weight_gradient) == len(candidates):
                for element, slope in zip(candidates, result.weight_gradient, strict=True):
                    row[f"slope_{element}_ev"] = float(slope) / len(soft)
        return row

    def _vegard_row(self, task: Task) -> dict[str, Any]:
        lattice = PROTOTYPES[task.prototype]
        row = self._empty_row(task, len(lattice.sites))
        row["error"] = self._broken_end_member(task)
        if row["error"]:
            row["status"] = "failed"
            return row
        volume, energy = self._linear(task)
        row.update(_lengths(lattice, volume))
        row.update({"energy_ev_per_atom": energy, "mixing_ev_per_atom": 0.0})
        return row

    def _empty_row(self, task: Task, n_sites: int) -> dict[str, Any]:
        entropy = prototype_entropy(PROTOTYPES[task.prototype], task.occupation)
        return empty_row(task, self.elements, n_sites=n_sites, entropy_kb=entropy)


def run_shard(
    config: CampaignConfig,
    potential: Potential,
    tasks: Sequence[Task],
    *,
    checkpoint: Path | None,
    progress: Progress,
) -> Outcome:
    """Run the tasks of one job; see :class:`Scanner`.

    Args:
        config: The campaign.
        potential: The energy function.
        tasks: What to compute.
        checkpoint: Folder for finished batches, or None.
        progress: Is told of every task done.
    """
    identity = [config.section_digest("composition"), potential.sha256(), code_digest()]
    return Scanner(config, potential).run(tasks, Checkpoint(checkpoint, identity), progress)


def _lengths(lattice: Prototype, volume_per_atom: float) -> dict[str, float]:
    a = lattice_parameter(lattice, volume_per_atom)
    angles = dict.fromkeys(("alpha_deg", "beta_deg", "gamma_deg"), 90.0)
    return {"a_ang": a, "b_ang": a, "c_ang": a, **angles, "volume_ang3_per_atom": volume_per_atom}
