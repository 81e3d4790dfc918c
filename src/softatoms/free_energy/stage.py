"""The stage ``free_energies`` of a campaign: jobs over runs, and the tables they end in."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import provenance
from ..errors import SoftatomsError
from ..evaluation import check_device
from ..physics.crystals import Settings, conventional
from ..physics.stage import build_crystal
from ..structure import SoftAtoms
from ..tables import join_tables, merge_tables, write_table
from .controls import controls
from .equilibrium import EquilibrationProtocol
from .errors import FreeEnergyError
from .lengthening import Target
from .sampling import sampled
from .stability import Energy, Leg, stability
from .switching import Protocol
from .tasks import Answer, PathRecord, Task

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.free_energies import FreeEnergies, PhaseStability
    from ..config.physics import Crystal
    from ..potentials.base import Potential

Say = Callable[[str], None]
Rows = list[dict[str, Any]]

TABLES = ("free_energy", "works", "switching_profile")
"""Tables that jobs write."""

SAMPLED = ("alchemical", "frenkel_ladd")


def section_of(config: CampaignConfig) -> FreeEnergies:
    """The section ``free_energies``.

    Raises:
        SoftatomsError: If there is none.
    """
    if config.free_energies is None:
        raise SoftatomsError("free_energies: is required to compute free energies")
    return config.free_energies


def run_job(
    config: CampaignConfig,
    potential: Potential,
    *,
    shard: int | None,
    checkpoint: Path | None,
    wall_time: float | None,
    say: Say,
) -> dict[str, Rows]:
    """Compute the runs of one job.

    Args:
        config: The campaign, with a section ``free_energies``.
        potential: The energy function.
        shard: Number of the job, all if None.
        checkpoint: Folder for checkpoints, from which an interrupted job goes on.
        wall_time: Seconds after which to stop with a checkpoint, or None.
        say: Is told one line per free energy.

    Returns:
        Rows of each of ``TABLES``.

    Raises:
        FreeEnergyError: With the status ``interrupted`` if the job has to be started again.
        SoftatomsError: If there is no such job, or a crystal or the device cannot be used.
    """
    section = section_of(config)
    deadline = None if wall_time is None else time.monotonic() + wall_time
    torch.set_num_threads(config.compute.threads)
    check_device(config.compute.device)
    jobs = section.jobs()
    if shard is not None and not 0 <= shard < len(jobs):
        raise SoftatomsError(
            f"--shard: there is no job {shard}; the jobs are numbered 0 to {len(jobs) - 1}"
        )
    chosen = jobs if shard is None else [jobs[shard]]
    rows: dict[str, Rows] = {name: [] for name in TABLES}
    for name, temperatures in chosen:
        task = task_from(config, name, temperatures)
        # Another configuration, potential or program starts anew, in a folder of its own, and so
        # does a job of other temperatures.
        identity = _identity(config, potential, temperatures)
        folder = None if checkpoint is None else checkpoint / f"{name}-{identity[:16]}"
        answer = answer_of(
            potential,
            task,
            # What has no temperature belongs to the job of the first ones.
            with_static=temperatures[0] == section.runs[name].temperatures_k[0],
            folder=folder,
            device=config.compute.device,
            dtype=config.compute.dtype,
            checkpoint_minutes=section.checkpoint_minutes,
            deadline=deadline,
        )
        for row in answer.rows:
            say(f"{row['run_id']}: {_told(row)}")
        rows["free_energy"] += answer.rows
        for record in answer.paths:
            rows["works"] += work_rows(name, record)
            rows["switching_profile"] += profile_rows(name, record)
    return rows


def answer_of(
    potential: Potential,
    task: Task,
    *,
    with_static: bool = True,
    folder: Path | None = None,
    device: str = "cpu",
    dtype: str = "float64",
    **options: Any,
) -> Answer:
    """All rows of a task in the order of its methods.

    Args:
        potential: The energy function.
        task: What is asked for.
        with_static: Whether ``static`` is computed if it is asked for.
        folder: Folder for checkpoints; None for none.
        device: Where to compute.
        dtype: Precision of the potential.
        options: Of :func:`softatoms.dynamics.run_dynamics`.
    """
    answer = Answer()
    methods = [method for method in task.methods if method in SAMPLED]
    if methods:
        answer = sampled(
            potential,
            task,
            methods=methods,
            folder=folder,
            device=device,
            dtype=dtype,
            **options,
        )
    for method in task.methods:
        if method not in SAMPLED and (method != "static" or with_static):
            answer.rows += controls(potential, task, method=method)
    return answer


def task_from(config: CampaignConfig, name: str, temperatures: Sequence[float]) -> Task:
    """What a run of the configuration asks for.

    Args:
        config: The campaign.
        name: Name of the run.
        temperatures: In K, all of the run or some.

    Raises:
        SoftatomsError: If its crystal cannot be built.
    """
    section = section_of(config)
    run, switching = section.runs[name], section.switching_of(name)
    equilibration = section.equilibration_of(name)
    key = f"free_energies.runs.{name}"
    try:
        cell = _cell(run.crystal)
    except SoftatomsError as error:
        raise SoftatomsError(f"{key}.crystal: {error}") from None
    if run.site >= len(cell):
        raise SoftatomsError(f"{key}.site: the cell has the sites 0 to {len(cell) - 1}")
    seed = config.campaign.seed
    target = section.target
    first, second, third = run.repeat
    return Task(
        name=name,
        cell=cell,
        repeat=(first, second, third),
        quantity=run.quantity,
        temperatures=tuple(temperatures),
        methods=tuple(run.methods),
        equilibration=EquilibrationProtocol(
            cell=equilibration.cell,
            equilibration_steps=equilibration.steps,
            sampling_steps=equilibration.sampling_steps,
            n_replicas=equilibration.replicas,
            sample_every=equilibration.sample_every,
            barostat_time=equilibration.barostat_fs,
            compressibility=equilibration.compressibility_ang3_per_ev,
            timestep=switching.timestep_fs,
            friction=switching.friction_per_fs,
            seed=seed,
        ),
        switching=Protocol(
            equilibration_steps=switching.equilibration_steps,
            switching_steps=switching.steps,
            n_replicas=switching.replicas,
            timestep=switching.timestep_fs,
            friction=switching.friction_per_fs,
            function=switching.function,
            seed=seed,
        ),
        site=run.site,
        changes=dict(run.changes),
        share=run.share,
        target=None
        if target is None
        else Target(target.stderr_ev, target.budget_steps, target.most_rounds),
        bootstrap=section.bootstrap,
        seed=seed,
        settings=Settings(
            # Forces of float32 networks are not good enough for narrower ends.
            **({} if config.compute.dtype == "float64" else _WIDE),
            dtype=config.compute.dtype,
            device=config.compute.device,
        ),
    )


_WIDE: dict[str, Any] = {"fmax": 1e-3, "smax": 1e-5, "defect_fmax": 5e-3, "defect_smax": 5e-5}


def _cell(given: Crystal) -> SoftAtoms:
    """The cell that is repeated: conventional of a prototype, as it is of a file."""
    soft = build_crystal(given)
    return soft if given.file is not None else SoftAtoms.from_ase(conventional(soft))


def work_rows(name: str, record: PathRecord) -> Rows:
    """Rows of the table ``works`` of one path."""
    start = f"{name}-{record.path}-{record.temperature:g}k"
    return [
        {
            "work_id": f"{start}-{run.direction}-{run.replica}",
            "system": name,
            "path": record.path,
            "temperature_k": record.temperature,
            "direction": run.direction,
            "replica": run.replica,
            "switching_steps": record.switching_steps,
            "work_ev": float(run.work) if run.status == "ok" else None,
            "status": "ok" if run.status == "ok" else "failed",
            "error": run.error,
        }
        for run in record.runs
    ]


def profile_rows(name: str, record: PathRecord) -> Rows:
    """Rows of the table ``switching_profile`` of one path, λ ascending."""
    rows = []
    for direction in ("forward", "backward"):
        runs = [run for run in record.runs if run.direction == direction and run.status == "ok"]
        if not runs:
            continue
        lambdas = runs[0].lambdas
        slopes = np.stack([run.slopes for run in runs])
        start = f"{name}-{record.path}-{record.temperature:g}k-{direction}"
        spread = slopes.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(len(lambdas))
        rows += [
            {
                "profile_id": f"{start}-{index}",
                "system": name,
                "path": record.path,
                "temperature_k": record.temperature,
                "direction": direction,
                "lambda": float(lambdas[index]),
                "slope_ev": float(slopes[:, index].mean()),
                "spread_ev": float(spread[index]),
                "n_replicas": len(runs),
            }
            for index in np.argsort(lambdas, kind="stable").tolist()
        ]
    return rows


def write_job(
    config: CampaignConfig, sha256: str, rows: Mapping[str, Rows], paths: Mapping[str, Path]
) -> None:
    """Write the tables of a job, or of all of them."""
    origin = provenance.collect(config, "free_energies", sha256)
    for name, path in paths.items():
        write_table(path, name, rows[name], origin)


def expected_ids(config: CampaignConfig) -> list[str]:
    """Identifiers of all rows of the table ``free_energy``, in their order."""
    section = section_of(config)
    found = []
    for name, temperatures in section.jobs():
        run = section.runs[name]
        methods = [
            *(method for method in run.methods if method in SAMPLED),
            *(method for method in run.methods if method not in SAMPLED),
        ]
        for method in methods:
            if method != "static":
                found += [f"{name}-{method}-{kelvin:g}k" for kelvin in temperatures]
            elif temperatures[0] == run.temperatures_k[0]:
                found.append(f"{name}-static")
    return found


def merge(
    config: CampaignConfig, tables: Mapping[str, Sequence[Path]]
) -> tuple[dict[str, Rows], str]:
    """Rows of the tables of all jobs.

    Args:
        config: The campaign.
        tables: Files of the jobs by table.

    Returns:
        Rows by table, and the fingerprint of the potential.

    Raises:
        SoftatomsError: If a table belongs to another configuration, potential or program, or rows
            are missing or double.
    """
    digest = config.section_digest("free_energies")
    merged: dict[str, Rows] = {}
    sha256 = ""
    for name, paths in tables.items():
        if name == "free_energy":
            merged[name] = merge_tables(paths, name, expected_ids(config), digest)
            continue
        # How many runs a path took is not known before.
        joined = join_tables(paths, name, digest)
        merged[name], sha256 = list(joined.rows.values()), joined.model_sha256
    return merged, sha256


def stability_rows(config: CampaignConfig, rows: Rows) -> Rows:
    """Rows of the table ``phase_stability`` from those of ``free_energy``."""
    section = section_of(config)
    held = {row["run_id"]: row for row in rows}
    found = []
    for name, pair in section.stability.items():
        kelvins = [set(section.runs[run].temperatures_k) for run in (*pair.first, *pair.second)]
        for kelvin in sorted(set.intersection(*kelvins)):
            sides: list[list[Leg]] = []
            lost = []
            for side in (pair.first, pair.second):
                legs = []
                for run in side:
                    row = held[f"{run}-alchemical-{kelvin:g}k"]
                    if row["status"] != "ok":
                        lost.append(row["run_id"])
                        continue
                    energy = Energy(row["value_ev"], row["stderr_ev"])
                    legs.append(Leg(section.runs[run].share, energy))
                sides.append(legs)
            found.append(_stability_row(name, kelvin, pair, sides, lost, config.campaign.seed))
    return found


def _stability_row(
    name: str,
    kelvin: float,
    pair: PhaseStability,
    sides: list[list[Leg]],
    lost: list[str],
    seed: int,
) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(
        (
            *("end_ev", "end_stderr_ev", "crossing", "crossing_low", "crossing_high"),
            "crossing_probability",
        )
    )
    if not lost:
        reference = Energy(pair.reference_ev, pair.reference_stderr_ev)
        result = stability(reference, sides[0], sides[1], seed=seed)
        values = {
            "end_ev": float(result.differences[-1]),
            "end_stderr_ev": float(result.stderrs[-1]),
            "crossing": result.crossing,
            "crossing_low": result.crossing_low,
            "crossing_high": result.crossing_high,
            "crossing_probability": result.crossing_probability,
        }
    return {
        "stability_id": f"{name}-{kelvin:g}k",
        "comparison": name,
        "temperature_k": kelvin,
        "start_ev": pair.reference_ev,
        **values,
        "status": "failed" if lost else "ok",
        "error": f"no free energy of {', '.join(lost)}" if lost else "",
    }


def _identity(config: CampaignConfig, potential: Potential, temperatures: Sequence[float]) -> str:
    parts = (
        repr(tuple(temperatures)),
        config.section_digest("free_energies"),
        potential.sha256(),
        provenance.code_digest(),
    )
    return hashlib.sha256("/".join(parts).encode()).hexdigest()


def _told(row: Mapping[str, Any]) -> str:
    if row["status"] != "ok":
        return f"failed ({row['error']})"
    doubts = f" ({row['warnings']})" if row["warnings"] else ""
    error = f" ± {row['stderr_ev']:.4f}" if row["stderr_ev"] else ""
    return f"{row['value_ev']:.4f}{error} eV{doubts}"


def is_interrupted(error: Exception) -> bool:
    """Whether a job stopped before its end and goes on when it is started again."""
    return isinstance(error, FreeEnergyError) and error.status == "interrupted"
