"""One scan over the sublattices of a parent structure: cells and sites are relaxed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..config.composition import SUPERCELLS
from ..relax import Relaxation, relax_batch
from ..units import GPA_PER_EV_ANG3
from .checkpoint import Checkpoint
from .parent_rows import describe, measure
from .parent_states import (
    FIRST_WAVE,
    Bounds,
    Filling,
    Neighbours,
    State,
    blend,
    compare,
    fillings,
    spread_out,
)
from .parent_supercells import ParentSupercell
from .parent_tasks import pairs_of_nodes, scan_supercell
from .parents import build_parent
from .relaxation import SKIN
from .response import response
from .rows import empty_row, task_rng
from .tasks import Task

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.composition import Scan
    from ..potentials.base import Potential
    from ..progress import Progress
    from ..structure import SoftAtoms

Row = dict[str, Any]


class EndMember(NamedTuple):
    """A parent with one element on each sublattice.

    Attributes:
        state: At rest; that of the parent as given if it could not be relaxed.
        energy: In eV per site.
        error: Why there are no numbers, empty if there are.
    """

    state: State
    energy: float
    error: str


class ParentScan:
    """Runs tasks of one scan with one potential.

    Args:
        config: The campaign.
        scan: The scan, which has a parent.
        potential: The energy function.

    Attributes:
        evaluations: Energy evaluations of all structures so far.
    """

    def __init__(self, config: CampaignConfig, scan: Scan, potential: Potential) -> None:
        self.scan = scan
        self.potential = potential
        self.parent = build_parent(scan)
        self.elements = config.elements()
        self.evaluations = 0
        self.end_members: dict[Filling, EndMember] = {}
        self._compute = config.compute
        self._relaxation = config.scanned().relaxation
        self._sqs = config.scanned().sqs
        self._seed = config.campaign.seed
        self._bounds = Bounds(scan.largest_shape_change, scan.largest_move_ang)
        self._rows = scan_supercell(config, scan)
        self._supercell: ParentSupercell | None = None

    def run(self, tasks: Sequence[Task], checkpoint: Checkpoint, progress: Progress) -> list[Row]:
        """Rows of the tasks; finished batches are taken from the checkpoint.

        Args:
            tasks: What to compute.
            checkpoint: Where finished batches are kept.
            progress: Is told of every task done.
        """
        self._relax_end_members(tasks)
        rows: list[Row] = []
        for method in self.scan.methods:
            neighbours = Neighbours()
            for batch in self._batches([task for task in tasks if task.method == method]):
                saved = checkpoint.load(batch)
                if saved is None:
                    before = self.evaluations
                    done, states = self._run_batch(batch, neighbours)
                    saved = {
                        "rows": done,
                        "states": [state and state.to_json() for state in states],
                        "evaluations": self.evaluations - before,
                    }
                    checkpoint.save(batch, saved)
                else:
                    self.evaluations += saved["evaluations"]
                for task, state in zip(batch, saved["states"], strict=True):
                    if state:
                        line, _ = self._line(task)
                        neighbours.add(task.occupation, State.from_json(state), line)
                rows += saved["rows"]
                progress.advance(len(batch))
        return rows

    # Relaxation

    def _relax(
        self, systems: Sequence[SoftAtoms], method: str, pressure: float = 0.0
    ) -> list[Relaxation]:
        done = relax_batch(
            self.potential,
            systems,
            cell=self.scan.cell,
            pressure=pressure,
            fmax=self._relaxation.fmax_ev_per_ang,
            smax=self._relaxation.pressure_tolerance_gpa / GPA_PER_EV_ANG3,
            max_steps=self._relaxation.parent_max_steps,
            **self._options(method),
        )
        self.evaluations += sum(result.evaluations for result in done)
        return done

    def _options(self, method: str) -> dict[str, Any]:
        return {
            "coupling": "replica" if method == "replica" else "mean_field",
            "dtype": self._compute.dtype,
            "device": self._compute.device,
        }

    def _relax_end_members(self, tasks: Sequence[Task]) -> None:
        wanted = sorted({filling for task in tasks for filling, _ in fillings(task.occupation)})
        given = State.of(self.parent.start)
        systems = [self.parent.plain(dict(filling), *given) for filling in wanted]
        for filling, result in zip(wanted, self._relax(systems, "mean_field"), strict=True):
            formula = result.soft.to_ase().get_chemical_formula("metal", empirical=True)
            left = compare(given, State.of(result.soft), self._bounds)[1]
            error = result.error or left
            self.end_members[filling] = EndMember(
                given if error else State.of(result.soft),
                result.energy / len(result.soft),
                f"end member {formula}: {error}" if error else "",
            )

    def _line(self, task: Task) -> tuple[State, float]:
        """State and energy in eV per site between the end members."""
        parts = [(self.end_members[f], weight) for f, weight in fillings(task.occupation)]
        energy = math.fsum(weight * member.energy for member, weight in parts)
        return blend([(member.state, weight) for member, weight in parts]), energy

    def _broken_end_member(self, task: Task) -> str:
        errors = [self.end_members[filling].error for filling, _ in fillings(task.occupation)]
        return "; ".join(error for error in errors if error)

    # Batches

    def _batches(self, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        """Tasks that are relaxed together, the first ones few, so that others can start nearby."""
        if not tasks:
            return
        is_soft = tasks[0].method in ("mean_field", "replica")
        wave = FIRST_WAVE if is_soft else len(tasks)
        batch: list[Task] = []
        pairs = 0.0
        for task in spread_out(tasks) if is_soft else tasks:
            own = pairs_of_nodes(self.parent, self._rows, task) * self._neighbours_of_site(task)
            if batch and (len(batch) == wave or pairs + own > self._compute.edges_per_batch):
                yield batch
                batch, pairs, wave = [], 0.0, 2 * wave
            batch.append(task)
            pairs += own
        yield batch

    def _neighbours_of_site(self, task: Task) -> float:
        radius = self.potential.cutoff + SKIN
        volume = abs(np.linalg.det(self._line(task)[0].cell)) / len(self.parent.start)
        return 4.0 / 3.0 * math.pi * radius**3 / float(volume)

    def _run_batch(
        self, tasks: list[Task], neighbours: Neighbours
    ) -> tuple[list[Row], list[State | None]]:
        method = tasks[0].method
        if method == "vegard":
            return [self._vegard_row(task) for task in tasks], [None] * len(tasks)
        systems, errors = [], []
        for task in tasks:
            soft, error = self._structure(task, neighbours)
            systems.append(soft)
            errors.append(error)
        results = self._relax(systems, method)
        rows = [
            self._row(task, result, error)
            for task, result, error in zip(tasks, results, errors, strict=True)
        ]
        is_explicit = method in SUPERCELLS
        if self.scan.supercell_bulk_modulus if is_explicit else self.scan.soft_bulk_modulus:
            self._squeeze(rows, results, method)
        if is_explicit:
            return rows, [None] * len(tasks)
        good = [k for k, row in enumerate(rows) if row["status"] == "ok"]
        if self.scan.second_derivatives:
            for k in good:
                found = response(
                    self.potential, results[k].soft, cell=self.scan.cell, **self._options(method)
                )
                self.evaluations += found.evaluations
                rows[k]["evaluations"] += found.evaluations
                conventional = self.parent.conventional @ results[k].soft.cell
                rows[k].update(describe(tasks[k].occupation, results[k].soft, conventional, found))
        return rows, [
            State.of(result.soft) if row["status"] == "ok" else None
            for row, result in zip(rows, results, strict=True)
        ]

    def _structure(self, task: Task, neighbours: Neighbours) -> tuple[SoftAtoms, float | None]:
        """Where to start, and the deviation from randomness if there is one."""
        line, _ = self._line(task)
        if task.method not in SUPERCELLS:
            start = neighbours.start(task.occupation, line)
            return self.parent.soft(task.occupation, *start), None
        if self._supercell is None:
            self._supercell = ParentSupercell(self.parent, self._rows, self._sqs.shells)
        return self._supercell.crystal(
            task.occupation,
            *line,
            swaps=self._sqs.swaps if task.method == "sqs" else 0,
            rng=task_rng(self._seed, task.identifier),
        )

    def _squeeze(self, rows: list[Row], results: Sequence[Relaxation], method: str) -> None:
        """Bulk moduli from the volumes under pressure of both signs."""
        good = [k for k, row in enumerate(rows) if row["status"] == "ok"]
        systems = [results[k].soft for k in good]
        pressure = self._relaxation.squeeze_gpa / GPA_PER_EV_ANG3
        squeezed = [self._relax(systems, method, sign * pressure) for sign in (1.0, -1.0)]
        for k, above, below in zip(good, *squeezed, strict=True):
            rows[k]["evaluations"] += above.evaluations + below.evaluations
            if above.converged and below.converged:
                volumes = [abs(np.linalg.det(r.soft.cell)) for r in (above, below)]
                modulus = 2.0 * pressure / float(np.log(volumes[1] / volumes[0]))
                rows[k]["bulk_modulus_gpa"] = modulus * GPA_PER_EV_ANG3

    # Rows

    def _empty_row(self, task: Task, n_sites: int) -> Row:
        entropy = self.parent.entropy(task.occupation)
        return empty_row(task, self.elements, n_sites=n_sites, entropy_kb=entropy)

    def _row(self, task: Task, result: Relaxation, correlation_error: float | None) -> Row:
        n_sites = len(result.soft)
        row = self._empty_row(task, n_sites)
        row["correlation_error"] = correlation_error
        row["evaluations"] = result.evaluations
        broken = self._broken_end_member(task)
        if result.status != "ok" or broken:
            row["status"] = "failed" if result.status == "ok" else result.status
            row["error"] = result.error or broken
            return row
        line, line_energy = self._line(task)
        cell = result.soft.cell
        if task.method in SUPERCELLS and self._supercell is not None:
            cell = self._supercell.parent_cell(cell)
            line = self._supercell.state(line)
        distortion, left = compare(line, State.of(result.soft), self._bounds)
        if left:
            row.update(status="failed", error=left)
            return row
        row.update(measure(self.parent.lattice(cell)))
        row["volume_ang3_per_atom"] = float(abs(np.linalg.det(result.soft.cell))) / n_sites
        row["energy_ev_per_atom"] = result.energy / n_sites
        row["mixing_ev_per_atom"] = row["energy_ev_per_atom"] - line_energy
        if result.stress is not None:
            row["pressure_gpa"] = -float(np.trace(result.stress)) / 3.0 * GPA_PER_EV_ANG3
        row["distortion_ang"] = distortion
        return row

    def _vegard_row(self, task: Task) -> Row:
        row = self._empty_row(task, len(self.parent.start))
        row["error"] = self._broken_end_member(task)
        if row["error"]:
            row["status"] = "failed"
            return row
        line, energy = self._line(task)
        row.update(measure(self.parent.lattice(line.cell)))
        volume = float(abs(np.linalg.det(line.cell))) / len(self.parent.start)
        row["volume_ang3_per_atom"] = volume
        row.update({"energy_ev_per_atom": energy, "mixing_ev_per_atom": 0.0})
        return row
