"""The optimisations of a campaign: a job per search, and the tables."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.data import atomic_numbers, chemical_symbols

from ... import provenance
from ...campaign_potential import campaign_potential
from ...errors import SoftatomsError
from ...tables import TableError, merge_tables, read_table, write_table
from ..journal import Journal
from ..tasks import formula, occupation_text
from .crystals import bounds_of, soft_crystal_of, targets_of
from .discretise import Explicit, verify
from .problem import Outcome, Problem, Step, optimise

if TYPE_CHECKING:
    from ...config import CampaignConfig
    from ...config.optimisation import Optimisation, OptimisationSearch
    from ...potentials.base import Potential
    from .simplex import Floats

Say = Callable[[str], None]
Row = dict[str, Any]


def run(config: CampaignConfig, arguments: argparse.Namespace, say: Say) -> int:
    """What ``softatoms optimize`` does."""
    section = config.optimisation
    if section is None:
        raise SoftatomsError(f"{arguments.config}: optimisation: is required to optimise")
    if arguments.merge:
        if len(arguments.merge) != len(arguments.merge_paths or ()):
            raise SoftatomsError("--merge-paths: needs as many tables as --merge")
        merge(config, section, arguments, say)
        return 0
    chosen = section.searches
    if arguments.search is not None:
        chosen = [one for one in chosen if one.name == arguments.search]
        if not chosen:
            known = ", ".join(section.names())
            raise SoftatomsError(f"--search: there is no '{arguments.search}': {known}")
    # Read now, and kept: the sources may change while the job runs.
    provenance.code_digest()
    provenance.git_revision()
    torch.set_num_threads(config.compute.threads)
    potential = campaign_potential(config, model=arguments.model, source=arguments.config)
    rows: list[Row] = []
    path: list[Row] = []
    elements = elements_of(section)
    for search in chosen:
        journal = _journal(config, search.name, potential, arguments.checkpoint)
        one, steps = run_search(config, section, search, potential, elements, say, journal)
        rows += one
        path += steps
    origin = provenance.collect(config, "optimisation", potential.sha256())
    write_table(arguments.out, "optimisation", rows, origin, elements)
    if arguments.path_out is not None:
        write_table(arguments.path_out, "optimisation_path", path, origin, elements)
    bad = sum(row["status"] != "ok" for row in rows)
    say(f"{arguments.out}: {len(rows)} rows, {bad} of them not ok")
    return 0


def merge(
    config: CampaignConfig, section: Optimisation, arguments: argparse.Namespace, say: Say
) -> None:
    """Join the tables of all jobs and see that nothing is missing."""
    digest = config.section_digest("optimisation")
    expected = [name for search in section.searches for name in run_ids(section, search)]
    rows = merge_tables(arguments.merge, "optimisation", expected, digest)
    steps = [
        row["step_id"]
        for file in arguments.merge_paths
        for row in read_table(file, "optimisation_path").rows()
    ]
    path = merge_tables(arguments.merge_paths, "optimisation_path", steps, digest)
    made = read_table(arguments.merge[0], "optimisation").provenance
    # What computed the rows stays their origin: the program that joins them may be a later one.
    origin = dataclasses.replace(
        provenance.collect(config, "optimisation", made.model_sha256),
        git_revision=made.git_revision,
        code_sha256=made.code_sha256,
        packages=made.packages,
    )
    elements = elements_of(section)
    if read_table(arguments.merge[0], "optimisation").elements != elements:
        raise TableError(f"{arguments.merge[0]}: has other elements; run its job again")
    write_table(arguments.out, "optimisation", rows, origin, elements)
    if arguments.path_out is not None:
        write_table(arguments.path_out, "optimisation_path", path, origin, elements)
    bad = sum(row["status"] != "ok" for row in rows)
    say(f"{arguments.out}: {len(rows)} rows, {bad} of them not ok")


def run_ids(section: Optimisation, search: OptimisationSearch) -> list[str]:
    """Identifiers of all rows of a search."""
    starts = [f"{search.name}-{m}-{k}" for m in section.methods for k in range(section.starts)]
    return starts + [f"{search.name}-sqs-{k}" for k in range(section.verification.replicates)]


def elements_of(section: Optimisation) -> tuple[str, ...]:
    """Elements of all crystals that are sought, sorted; substrates do not count."""
    crystals = [soft_crystal_of(search)[0] for search in section.searches]
    numbers = {int(number) for soft in crystals for number in soft.node_number}
    return tuple(sorted(chemical_symbols[number] for number in numbers))


def run_search(
    config: CampaignConfig,
    section: Optimisation,
    search: OptimisationSearch,
    potential: Potential,
    elements: tuple[str, ...],
    say: Say,
    journal: Journal | None = None,
) -> tuple[list[Row], list[Row]]:
    """All starts of all methods of one search, and the supercells that verify the best.

    Args:
        config: The campaign.
        section: Its section.
        search: The search.
        potential: The energy function.
        elements: Elements that have columns.
        say: Is told one line per method.
        journal: Knows the answers of the potential to a search that was killed.

    Returns:
        Rows of the tables ``optimisation`` and ``optimisation_path``.
    """
    relaxation, compute = section.relaxation, config.compute
    options: dict[str, Any] = {
        "cell": relaxation.cell,
        "coupling": section.coupling,
        "dtype": compute.dtype,
        "device": compute.device,
        "fmax": relaxation.fmax_ev_per_ang,
        "smax": relaxation.smax_ev_per_ang3,
        "max_steps": relaxation.max_steps,
    }
    writer = _Rows(section, search, elements)
    soft, axes = soft_crystal_of(search)
    # What spoils all starts alike becomes a row of each.
    try:
        targets, _ = targets_of(search, potential, options)
        options["relax_steps"] = options.pop("max_steps")
        options.update(bounds=bounds_of(search), axes=axes, journal=journal)
        problem = Problem(potential, soft, targets, **options)
    except SoftatomsError as error:
        say(f"{search.name}: failed ({error})")
        return writer.all_failed(len(soft), str(error)), []
    writer.problem = problem
    seed = _seed(config.campaign.seed, search.name)
    outcomes: list[Outcome] = []
    for method in section.methods:
        started = time.monotonic()
        done = optimise(
            problem,
            method=method,
            starts=section.starts,
            seed=seed,
            tolerance=section.tolerance,
            max_steps=section.max_steps,
        )
        outcomes += done
        counts = [outcome.evaluations for outcome in done]
        good = sum(outcome.status == "ok" for outcome in done)
        say(
            f"{search.name}, {method}: {good} of {len(done)} starts ok, {min(counts)} to "
            f"{max(counts)} evaluations each, {time.monotonic() - started:.1f} s"
        )
    best = best_of(outcomes)
    rows = [writer.start(outcome, is_best=outcome is best) for outcome in outcomes]
    path = [writer.step(outcome, step) for outcome in outcomes for step in outcome.steps]
    return rows + _verified(section, search, problem, best, writer, seed, say), path


def _verified(
    section: Optimisation,
    search: OptimisationSearch,
    problem: Problem,
    best: Outcome | None,
    writer: _Rows,
    seed: int,
    say: Say,
) -> list[Row]:
    own = section.verification
    if best is None or best.point is None:
        return [writer.failed("sqs", k, 0, "no start ended well") for k in range(own.replicates)]
    started = time.monotonic()
    try:
        found = verify(
            problem,
            best.point.theta,
            best.point.soft,
            search.supercell,
            replicates=own.replicates,
            shells=own.shells,
            swaps=own.swaps,
            seed=seed,
        )
    except SoftatomsError as error:
        return [writer.failed("sqs", k, 0, str(error)) for k in range(own.replicates)]
    say(f"{search.name}: {len(found)} supercells, {time.monotonic() - started:.1f} s")
    return [writer.supercell(k, one, best.point.theta) for k, one in enumerate(found)]


def best_of(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The outcome of lowest objective among those that are ok."""
    good = [one for one in outcomes if one.status == "ok" and one.point is not None]
    return min(good, key=lambda one: one.point.objective if one.point else np.inf, default=None)


class _Rows:
    """Makes rows of the tables.

    Args:
        section: The section.
        search: The search.
        elements: Elements that have columns.
    """

    def __init__(
        self, section: Optimisation, search: OptimisationSearch, elements: tuple[str, ...]
    ) -> None:
        self._section, self._search, self._elements = section, search, elements
        self.problem: Problem | None = None

    def all_failed(self, n_sites: int, error: str) -> list[Row]:
        """Rows of a search that could not begin."""
        section = self._section
        starts = [
            self.failed(method, k, n_sites, error)
            for method in section.methods
            for k in range(section.starts)
        ]
        replicates = range(section.verification.replicates)
        return starts + [self.failed("sqs", k, n_sites, error) for k in replicates]

    def failed(self, method: str, number: int, n_sites: int, error: str) -> Row:
        """A row without numbers."""
        row = self._empty(method, number, n_sites)
        return {**row, "status": "failed", "error": error}

    def start(self, outcome: Outcome, *, is_best: bool) -> Row:
        """The row of one start."""
        row = self._empty(outcome.method, outcome.start, self._given().soft.site_number.size)
        point = outcome.point
        if point is not None:
            row.update(self._composition(point.theta), **self._values(point.quantities))
            row.update(objective=point.objective, gap=outcome.gap)
            row["formula"] = self._formula(row)
        return {
            **row,
            "best": int(is_best),
            "steps": len(outcome.steps),
            "relaxation_evaluations": outcome.relaxation_evaluations,
            "derivative_passes": outcome.derivative_passes,
            "evaluations": outcome.evaluations,
            "status": outcome.status,
            "error": outcome.error,
        }

    def supercell(self, number: int, one: Explicit, optimum: Floats) -> Row:
        """The row of one explicit supercell."""
        row = self._empty("sqs", number, len(one.soft))
        row.update(self._composition(one.theta))
        row["formula"] = self._formula(row)
        if one.status == "ok":
            row.update(self._values(one.quantities))
        return {
            **row,
            "objective": one.objective,
            "rounding": float(np.abs(one.theta - optimum).max()),
            "correlation_error": one.correlation_error,
            "steps": 1,
            "relaxation_evaluations": one.evaluations,
            "evaluations": one.evaluations,
            "status": one.status,
            "error": one.error,
        }

    def step(self, outcome: Outcome, step: Step) -> Row:
        """A row of the path."""
        run_id = f"{self._search.name}-{outcome.method}-{outcome.start}"
        return {
            "step_id": f"{run_id}-{step.number}",
            "search": self._search.name,
            "method": outcome.method,
            "start": outcome.start,
            "step": step.number,
            "evaluations": step.evaluations,
            **self._composition(step.theta),
            **self._values(step.quantities),
            "objective": step.objective,
            "gap": step.gap,
        }

    def _formula(self, row: Row) -> str:
        # Traces that a multiplicative step leaves are no part of a formula.
        return formula({e: round(row[f"x_{e}"], 6) for e in self._elements})

    def _given(self) -> Problem:
        assert self.problem is not None
        return self.problem

    def _composition(self, theta: Floats) -> Row:
        soft = self._given().soft.with_weights(theta)
        shares = np.zeros(119)
        np.add.at(shares, soft.node_number, soft.node_weight)
        held: dict[str, dict[str, float]] = {}
        for label, x in zip(soft.weight_labels, theta, strict=True):
            tie, element = label.rsplit(":", 1)
            held.setdefault(tie, {})[element] = float(x)
        fractions = {f"x_{e}": float(shares[atomic_numbers[e]] / len(soft)) for e in self._elements}
        return {**fractions, "occupation": occupation_text(held)}

    def _values(self, quantities: dict[str, float]) -> Row:
        targets = {target.name for target in self._given().targets}
        found = {name: value for name, value in quantities.items() if name in targets}
        return {
            **{f"{axis}_ang": quantities[axis] for axis in "abc"},
            "volume_ang3_per_site": quantities["volume"],
            "energy_ev_per_site": quantities["energy"],
            "targets": ";".join(f"{name}={value:.8g}" for name, value in found.items()),
        }

    def _wanted(self) -> str:
        if self.problem is None:
            return ""
        return ";".join(
            f"{t.name}={t.value:.8g}" if t.value is not None else f"{t.name}={t.goal}"
            for t in self.problem.targets
        )

    def _empty(self, method: str, number: int, n_sites: int) -> Row:
        return {
            "run_id": f"{self._search.name}-{method}-{number}",
            "search": self._search.name,
            "method": method,
            "start": number,
            "best": 0,
            "formula": "",
            **{f"x_{element}": None for element in self._elements},
            "occupation": "",
            "n_sites": n_sites,
            **{f"{axis}_ang": None for axis in "abc"},
            "volume_ang3_per_site": None,
            "energy_ev_per_site": None,
            "targets": "",
            "wanted": self._wanted(),
            "objective": None,
            "gap": None,
            "rounding": None,
            "correlation_error": None,
            "steps": 0,
            "relaxation_evaluations": 0,
            "derivative_passes": 0,
            "evaluations": 0,
            "status": "ok",
            "error": "",
        }


def _journal(
    config: CampaignConfig, search: str, potential: Potential, folder: Path | None
) -> Journal:
    identity = [config.section_digest("optimisation"), search, potential.sha256()]
    identity.append(provenance.code_digest())
    return Journal(None if folder is None else folder / f"{search}.jsonl", identity)


def _seed(seed: int, name: str) -> int:
    """A stream of its own for every search, whatever else is sought."""
    digest = hashlib.sha256(json.dumps([seed, name]).encode()).digest()
    return int.from_bytes(digest[:8], "big")
