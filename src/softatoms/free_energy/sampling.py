"""Free energies from molecular dynamics: equilibrate, switch all paths in one batch, put together.

For a vacancy the paths are ``removal``, ``perfect`` and ``defective``, the latter two full paths to
Einstein crystals; for a change of composition ``substitution``, ``before`` and ``after``. A path
that two methods need is switched once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as Folder
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SoftatomsError
from ..physics.crystals import relax_all, rest
from .controls import changed_crystal, isolated_change, volume_slope
from .defects import Known
from .diagnostics import WorkDiagnostics, diagnose
from .equilibrium import Equilibrium, equilibrate
from .errors import FreeEnergyError
from .estimators import Estimate, EstimateError, bar, dissipation_mean, jarzynski
from .expansion import cell_change
from .harmonic_vacancy import primitive_volume
from .lengthening import switch_until
from .paths import Path, frenkel_ladd, removal, substitution
from .switching import Case, Works, switch
from .tasks import Answer, Doubt, PathRecord, Task, combined, reraise_interruption, row

if TYPE_CHECKING:
    from ..potentials.base import Potential

PATHS = {
    ("vacancy", "alchemical"): ("removal", "perfect"),
    ("vacancy", "frenkel_ladd"): ("defective", "perfect"),
    ("composition_change", "alchemical"): ("substitution",),
    ("composition_change", "frenkel_ladd"): ("before", "after"),
}
"""Paths of each method, the one that it is about first."""


@dataclass(frozen=True)
class Switched:
    """A path at one temperature with its free energy.

    Attributes:
        path: The path.
        works: Its works, of the last length.
        estimate: ΔF in eV.
        diagnostics: What the works say of themselves.
        evaluations: Steps of systems that all its runs took.
    """

    path: Path
    works: Works
    estimate: Estimate
    diagnostics: WorkDiagnostics
    evaluations: int

    @property
    def temperature(self) -> float:
        """In K."""
        return self.works.case.temperature

    @property
    def value(self) -> Known:
        """The free energy that the path stands for in eV."""
        value = self.path.value(self.estimate.value, self.temperature)
        return Known(value, self.estimate.stderr)


@dataclass(frozen=True)
class Lost:
    """A path without a free energy.

    Attributes:
        reason: Why there is none.
        works: Its runs, if there are any.
    """

    reason: str
    works: Works | None = None


Results = dict[tuple[str, float], Switched | Lost]
"""By path and temperature: what came out, or why nothing did."""


def sampled(
    potential: Potential,
    task: Task,
    *,
    methods: Sequence[str],
    folder: Folder | None = None,
    deadline: float | None = None,
    **options: Any,
) -> Answer:
    """Rows of the methods that sample.

    Args:
        potential: The energy function.
        task: What is asked for.
        methods: ``alchemical``, ``frenkel_ladd`` or both.
        folder: Folder for checkpoints, from which everything goes on; None for none.
        deadline: Reading of ``time.monotonic`` before which to stop with a checkpoint, or None.
        options: Of :func:`softatoms.dynamics.run_dynamics`, but ``wall_time``.

    Raises:
        FreeEnergyError: If the run is interrupted; all else that goes wrong is a row.
    """
    run = _Run(folder, deadline, options)
    build = _vacancy_paths if task.quantity == "vacancy" else _change_paths
    try:
        paths, extra = build(potential, task, methods, run)
        results = _switch_all(potential, task, paths, run)
    except SoftatomsError as error:
        reraise_interruption(error)
        return Answer(
            [
                row(task, method, kelvin, error=str(error))
                for method in methods
                for kelvin in task.temperatures
            ]
        )
    answer = Answer()
    for (name, kelvin), found in results.items():
        works = found.works
        if works is not None:
            answer.paths.append(PathRecord(name, kelvin, works.runs, works.switching_steps))
    for method in methods:
        for kelvin in task.temperatures:
            answer.rows.append(_row(task, method, kelvin, results, extra[kelvin]))
    return answer


@dataclass(frozen=True)
class _Run:
    """Where simulations keep their checkpoints, and how long they may take.

    Attributes:
        folder: Folder for checkpoints, or None.
        deadline: Reading of ``time.monotonic`` before which to stop, or None.
        options: Of all simulations.
    """

    folder: Folder | None
    deadline: float | None
    options: Mapping[str, Any]

    def named(self, name: str, *, parts: int = 1) -> dict[str, Any]:
        """Options of a simulation.

        Args:
            name: Of its folder.
            parts: Runs that it consists of, each of which may take as long as is said here.

        Raises:
            FreeEnergyError: If there is no time left.
        """
        folder = None if self.folder is None else self.folder / name
        if self.deadline is None:
            return {**self.options, "folder": folder}
        left = self.deadline - time.monotonic()
        if left <= 0.0:
            raise FreeEnergyError(f"the wall time is used up before '{name}'", "interrupted")
        return {**self.options, "folder": folder, "wall_time": left / parts}


@dataclass(frozen=True)
class _Extra:
    """What rows need besides paths.

    Attributes:
        volume: Per atom in Å³, of the mean cell.
        n_atoms: Atoms of the perfect crystal.
        n_changed: Atoms that fade or change.
        isolated: Isolated-atom energy in the value in eV.
        strain: Free energy of straining what a composition becomes to its own cell, in eV.
        cell: 0, with the error that the mean cell brings into the value, in eV.
    """

    volume: float
    n_atoms: int
    n_changed: int
    isolated: float
    strain: Known
    cell: Known


_Built = tuple[dict[tuple[str, float], Path], dict[float, _Extra]]


def _vacancy_paths(
    potential: Potential,
    task: Task,
    methods: Sequence[str],
    run: _Run,
) -> _Built:
    cell = rest(potential, task.cell, task.settings).soft
    symbols = sorted(set(cell.to_ase().get_chemical_symbols()))
    if len(symbols) > 1:
        raise FreeEnergyError(
            f"a vacancy in a crystal of {', '.join(symbols)} needs to know where its atom goes: "
            "only crystals of one element are supported"
        )
    large = cell.repeat(task.repeat)
    crystals = [(task.case("perfect", kelvin), large, kelvin) for kelvin in task.temperatures]
    means = equilibrate(potential, crystals, task.equilibration, **run.named("perfect", parts=2))
    is_static = task.equilibration.cell == "static"
    slope = 0.0 if is_static else volume_slope(potential, cell, task)
    paths: dict[tuple[str, float], Path] = {}
    extra = {}
    share = primitive_volume(cell) / float(abs(np.linalg.det(cell.cell))) / np.prod(task.repeat)
    for kelvin, mean in zip(task.temperatures, means, strict=True):
        volume = float(share) * mean.volume
        paths["perfect", kelvin] = frenkel_ladd(mean.soft, mean.stiffness, cell_volume=volume)
        if "alchemical" in methods:
            spring = float(mean.stiffness[task.site])
            paths["removal", kelvin] = removal(mean.soft, task.site, spring)
        doubt = abs(slope) * mean.volume_stderr / mean.volume
        extra[kelvin] = _Extra(
            volume=mean.volume / len(large),
            n_atoms=len(large),
            n_changed=1,
            isolated=0.0,
            strain=Known(0.0),
            cell=Known(0.0, doubt),
        )
    if "frenkel_ladd" in methods:
        broken = _broken(potential, task, means, run)
        for kelvin, mean in zip(task.temperatures, broken, strict=True):
            volume = paths["perfect", kelvin].cell_volume
            paths["defective", kelvin] = frenkel_ladd(mean.soft, mean.stiffness, cell_volume=volume)
    return paths, extra


def _broken(
    potential: Potential,
    task: Task,
    means: Sequence[Equilibrium],
    run: _Run,
) -> list[Equilibrium]:
    """Springs of crystals with a vacancy in the mean cells of those without."""
    starts = [mean.soft.select(np.delete(np.arange(len(mean.soft)), task.site)) for mean in means]
    resting = relax_all(potential, starts, task.settings, what="vacancy", is_defect=True)
    crystals = [
        (task.case("defective", kelvin), relaxed.soft, kelvin)
        for kelvin, relaxed in zip(task.temperatures, resting, strict=True)
    ]
    protocol = replace(task.equilibration, cell="static", pressure=0.0)
    return equilibrate(potential, crystals, protocol, **run.named("defective"))


def _change_paths(
    potential: Potential,
    task: Task,
    methods: Sequence[str],
    run: _Run,
) -> _Built:
    cell = rest(potential, task.cell, task.settings).soft
    large = cell.repeat(task.repeat)
    changes = task.changed_sites(large)
    other = relax_all(
        potential,
        [changed_crystal(large, changes)],
        task.settings,
        what="the changed crystal",
        cell="fixed" if task.equilibration.cell == "static" else "full",
        is_defect=True,
    )[0].soft
    crystals = [
        (task.case(end, kelvin), soft, kelvin)
        for end, soft in (("before", large), ("after", other))
        for kelvin in task.temperatures
    ]
    means = equilibrate(potential, crystals, task.equilibration, **run.named("ends", parts=2))
    count = len(task.temperatures)
    before, after = means[:count], means[count:]
    strains = [Known(0.0)] * count
    if "alchemical" in methods and task.equilibration.cell != "static":
        strains = cell_change(
            potential,
            [
                (
                    task.case("strain", kelvin),
                    changed_crystal(one.soft, changes),
                    two.soft.cell,
                    kelvin,
                )
                for kelvin, one, two in zip(task.temperatures, before, after, strict=True)
            ],
            task.equilibration,
            **run.named("strain"),
        )
    isolated = isolated_change(potential, large, changed_crystal(large, changes))
    share = primitive_volume(cell) / float(abs(np.linalg.det(cell.cell))) / np.prod(task.repeat)
    paths: dict[tuple[str, float], Path] = {}
    extra = {}
    for kelvin, one, two, strain in zip(task.temperatures, before, after, strains, strict=True):
        if "alchemical" in methods:
            paths["substitution", kelvin] = substitution(one.soft, changes)
        if "frenkel_ladd" in methods:
            for name, mean in (("before", one), ("after", two)):
                paths[name, kelvin] = frenkel_ladd(
                    mean.soft, mean.stiffness, cell_volume=float(share) * mean.volume
                )
        extra[kelvin] = _Extra(
            volume=two.volume / len(large),
            n_atoms=len(large),
            n_changed=len(changes),
            isolated=isolated,
            strain=strain,
            # Both ends are at rest, so errors of their cells count in second order only.
            cell=Known(0.0),
        )
    return paths, extra


def _switch_all(
    potential: Potential,
    task: Task,
    paths: Mapping[tuple[str, float], Path],
    run: _Run,
) -> Results:
    """Switch every path; one batch, unless each goes on until its error is met."""
    cases = {key: Case(task.case(key[0], key[1]), path, key[1]) for key, path in paths.items()}
    results: Results = {}
    if task.target is None:
        done = switch(
            potential,
            list(cases.values()),
            task.switching,
            **run.named("switching"),
        )
        for key, works in zip(cases, done, strict=True):
            if works.status == "interrupted":
                raise FreeEnergyError(works.error, "interrupted")
            results[key] = _estimated(task, paths[key], works, works.evaluations)
        return results
    for key, case in cases.items():
        try:
            found = switch_until(
                potential,
                case,
                task.switching,
                task.target,
                **run.named(f"switching-{case.name}"),
            )
        except SoftatomsError as error:
            reraise_interruption(error)
            results[key] = Lost(str(error))
            continue
        results[key] = _estimated(task, paths[key], found.works[-1], found.evaluations)
    return results


def _estimated(task: Task, path: Path, works: Works, evaluations: int) -> Switched | Lost:
    """The free energy of a path, or why there is none."""
    case = works.case
    try:
        estimate = bar(
            works.forward,
            works.backward,
            temperature=case.temperature,
            bootstrap=task.bootstrap,
            seed=task.seed,
        )
        checks = diagnose(
            works.forward, works.backward, temperature=case.temperature, value=estimate.value
        )
    except EstimateError as error:
        lost = f": {works.error}" if works.error else ""
        return Lost(f"{case.name}: {error}{lost}", works)
    return Switched(path, works, estimate, checks, evaluations)


def _row(task: Task, method: str, kelvin: float, results: Results, extra: _Extra) -> dict[str, Any]:
    names = PATHS[task.quantity, method]
    found = [results[name, kelvin] for name in names]
    problems = [each.reason for each in found if isinstance(each, Lost)]
    if problems:
        return row(task, method, kelvin, error="; ".join(problems))
    switched = [each for each in found if isinstance(each, Switched)]
    factors, others = _terms(task, method, extra)
    per_atom = 1.0 if task.quantity == "vacancy" else 1.0 / extra.n_atoms
    value = sum(
        factor * each.value.value for factor, each in zip(factors, switched, strict=True)
    ) + sum(known.value for known in others)
    doubts = [
        Doubt(abs(factor) * per_atom * each.estimate.stderr, each.estimate.degrees)
        for factor, each in zip(factors, switched, strict=True)
    ]
    replicas = task.equilibration.n_replicas - 1.0
    doubts += [Doubt(per_atom * known.stderr, replicas) for known in (*others, extra.cell)]
    main = switched[0]
    columns: dict[str, Any] = {
        **combined(per_atom * value, doubts),
        **_of_works(task, names, switched),
        **_closure(task, kelvin, results, extra),
        **_other_estimators(task, method, main, switched, extra),
        "estimator": main.estimate.estimator,
        "isolated_ev": extra.isolated,
        "volume_ang3_per_atom": extra.volume,
        "n_atoms": extra.n_atoms,
        "n_changed": extra.n_changed,
    }
    return row(task, method, kelvin, **columns)


def _terms(task: Task, method: str, extra: _Extra) -> tuple[tuple[float, ...], list[Known]]:
    """Factors of the paths of a method, and what is added to them."""
    if task.quantity == "vacancy":
        share = 1.0 / extra.n_atoms
        return ((1.0, share) if method == "alchemical" else (1.0, share - 1.0)), []
    return ((1.0,), [extra.strain]) if method == "alchemical" else ((-1.0, 1.0), [])


def _of_works(task: Task, names: Sequence[str], switched: Sequence[Switched]) -> dict[str, Any]:
    """Columns on the works of a method; of several paths the one that is worst."""
    words = [
        f"{name}: {word}"
        for name, each in zip(names, switched, strict=True)
        for word in each.diagnostics.warnings
    ]
    lost = [
        f"{name}: {sum(run.status != 'ok' for run in each.works.runs)} runs lost"
        for name, each in zip(names, switched, strict=True)
        if any(run.status != "ok" for run in each.works.runs)
    ]
    if task.target is not None:
        words += [
            f"{name}: target missed"
            for name, each in zip(names, switched, strict=True)
            if each.estimate.stderr > task.target.stderr
        ]
    worst = max(switched, key=lambda each: each.diagnostics.dissipation)
    return {
        "dissipation_ev": worst.diagnostics.dissipation,
        "hysteresis_ev": worst.diagnostics.hysteresis,
        "overlap": min(each.diagnostics.overlap for each in switched),
        "n_forward": min(each.works.forward.size for each in switched),
        "n_backward": min(each.works.backward.size for each in switched),
        "switching_steps": max(each.works.switching_steps for each in switched),
        "evaluations": sum(each.evaluations for each in switched),
        "warnings": ", ".join([*words, *lost]),
    }


def _closure(task: Task, kelvin: float, results: Results, extra: _Extra) -> dict[str, float | None]:
    """Alchemical minus Frenkel–Ladd: 0 within its error if both are right.

    Paths that both use cancel, so the error is that of what is left.
    """
    signs: dict[str, float]
    if task.quantity == "vacancy":
        signs = {"removal": 1.0, "perfect": 1.0, "defective": -1.0}
    else:
        signs = {"substitution": 1.0, "before": 1.0, "after": -1.0}
    found = {name: results.get((name, kelvin)) for name in signs}
    total = extra.strain
    for name, sign in signs.items():
        each = found[name]
        if not isinstance(each, Switched):
            return {"closure_ev": None, "closure_stderr_ev": None}
        total = total + each.value.scaled(sign)
    scaled = total.scaled(1.0 if task.quantity == "vacancy" else 1.0 / extra.n_atoms)
    return {"closure_ev": float(scaled.value), "closure_stderr_ev": float(scaled.stderr)}


def _other_estimators(
    task: Task, method: str, main: Switched, switched: Sequence[Switched], extra: _Extra
) -> dict[str, float]:
    """The value if the works were estimated by something else than BAR."""
    factors, others = _terms(task, method, extra)
    per_atom = 1.0 if task.quantity == "vacancy" else 1.0 / extra.n_atoms
    kelvin = main.temperature
    found = {}
    for name in ("jarzynski_forward", "jarzynski_backward", "dissipation_mean"):
        total = sum(known.value for known in others)
        for factor, each in zip(factors, switched, strict=True):
            works = each.works
            if name == "dissipation_mean":
                estimate = dissipation_mean(works.forward, works.backward)
            elif name == "jarzynski_forward":
                estimate = jarzynski(works.forward, temperature=kelvin)
            else:
                estimate = jarzynski(works.backward, temperature=kelvin, backward=True)
            total += factor * each.path.value(estimate.value, kelvin)
        found[f"{name}_ev"] = float(per_atom * total)
    return found
