"""The stage ``transport``: jobs of one system at one temperature, and the tables they end in."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms
from ase.build import make_supercell
from ase.data import chemical_symbols

from .. import provenance, units
from ..dataset.parents import read_structure
from ..errors import SoftatomsError
from ..evaluation import check_device
from ..physics.stage import build_crystal
from ..structure import SoftAtoms
from ..tables import join_tables, write_table
from .errors import TransportError
from .measure import Options, measure
from .rows import (
    Rows,
    conductivity_rows,
    correlation_rows,
    failed_rows,
    label,
    spectrum_rows,
)
from .runs import Finished, Plan, Where, run_replicas
from .series import (
    gauge_fixed,
    mean_flux_tensors,
    read_series,
    read_velocities,
)
from .spectra import Array, density_of_states, smoothed

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.transport import Transport, TransportSystem
    from ..potentials.base import Potential

Say = Callable[[str], None]

TABLES = ("transport", "transport_correlation", "transport_spectrum")
"""Tables of the stage, the first with one row per number."""

DOS_WIDTH_THZ = 0.1
"""Width of the Gaussian that densities of states are smoothed by in tables."""


def section_of(config: CampaignConfig) -> Transport:
    """The section ``transport``.

    Raises:
        SoftatomsError: If there is none.
    """
    if config.transport is None:
        raise SoftatomsError("transport: is required to compute thermal conductivities")
    return config.transport


def run_job(
    config: CampaignConfig,
    potential: Potential,
    *,
    shard: int | None,
    trajectories: Path,
    wall_time: float | None,
    say: Say,
) -> dict[str, Rows] | None:
    """Run and analyse one system at one temperature, or all of them.

    Args:
        config: The campaign, with a section ``transport``.
        potential: The energy function.
        shard: Number of the job, all if None.
        trajectories: Folder for samples and checkpoints.
        wall_time: Seconds after which to stop; None for no limit.
        say: Is told one line per run.

    Returns:
        Rows of every table, or None if the job was stopped and has to be started again.
    """
    section = section_of(config)
    torch.set_num_threads(config.compute.threads)
    check_device(config.compute.device)
    runs = section.runs()
    if shard is not None:
        if not 0 <= shard < len(runs):
            raise SoftatomsError(
                f"--shard: there is no job {shard}; the jobs are numbered 0 to {len(runs) - 1}"
            )
        runs = runs[shard : shard + 1]
    rows: dict[str, Rows] = {name: [] for name in TABLES}
    started = time.monotonic()
    for name, temperature in runs:
        left = None if wall_time is None else wall_time - (time.monotonic() - started)
        began = time.monotonic()
        own = _one_run(config, potential, name, temperature, trajectories, left)
        if own is None:
            say(f"{label(name, temperature)}: stopped; start the job again to go on")
            return None
        for table in TABLES:
            rows[table] += own[table]
        say(
            f"{label(name, temperature)}: {_told(own['transport'])}, "
            f"{time.monotonic() - began:.1f} s"
        )
    return rows


def write_job(
    config: CampaignConfig, sha256: str, rows: dict[str, Rows], paths: dict[str, Path]
) -> None:
    """Write the tables of a job."""
    origin = provenance.collect(config, "transport", sha256)
    for name in TABLES:
        write_table(paths[name], name, rows[name], origin)


def merge(config: CampaignConfig, tables: Sequence[Path], name: str) -> tuple[Rows, str]:
    """Rows of the tables of all jobs, in the order of the configuration.

    Raises:
        SoftatomsError: If a table belongs to another configuration, potential or program, or runs
            are missing or double.
    """
    wanted = section_of(config).runs()
    joined = join_tables(tables, name, config.section_digest("transport"))
    found = list(joined.rows.values())
    seen = {(row["system"], row["temperature_k"]) for row in found}
    # A run that failed has no curves.
    complete = seen == set(wanted) if name == "transport" else seen <= set(wanted)
    if not complete:
        raise TransportError(f"{tables[0].parent}: the jobs do not cover every run")
    found.sort(key=lambda row: wanted.index((row["system"], row["temperature_k"])))
    return found, joined.model_sha256


def build_system(system: TransportSystem) -> SoftAtoms:
    """The supercell of a section.

    Raises:
        SoftatomsError: If a file holds none, or soft sites are to be repeated along a skew cell.
    """
    soft = build_crystal(system) if system.file is None else _from_file(system.file)
    vectors = np.array(system.supercell)
    if (vectors == np.diag(vectors.diagonal())).all() and (vectors.diagonal() > 0).all():
        return soft.repeat(vectors.diagonal().tolist())
    if len(soft.weights):
        raise TransportError(
            f"{system.file}: has partial occupancies; a supercell of it takes numbers on the "
            "diagonal only"
        )
    repeated = make_supercell(soft.to_ase(), vectors)
    return SoftAtoms.from_ase(
        Atoms(repeated.numbers, repeated.positions, cell=repeated.cell, pbc=True)
    )


def _from_file(file: str) -> SoftAtoms:
    """A structure; partial occupancies of a CIF file become soft sites."""
    if not file.lower().endswith(".cif"):
        return SoftAtoms.from_ase(read_structure(file))
    from pymatgen.core.structure import Structure

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure = Structure.from_file(file)
    except Exception as error:  # the reader has many errors of its own
        raise TransportError(f"{file}: holds no structure that pymatgen reads: {error}") from None
    return SoftAtoms.from_pymatgen(structure, tie_equivalent=True)


def plan_of(config: CampaignConfig, name: str, temperature: float) -> Plan:
    """What the section asks for, in steps."""
    section = section_of(config)
    run, system = section.run, section.systems[name]
    text = f"{config.campaign.seed}/{label(name, temperature)}"

    def steps(picoseconds: float) -> int:
        return round(1000.0 * picoseconds / run.timestep_fs)

    return Plan(
        temperature=temperature,
        timestep=run.timestep_fs,
        n_replicas=run.replicas,
        equilibration_steps=steps(run.equilibration_ps),
        production_steps=steps(run.production_ps),
        flux_every=round(run.flux_every_fs / run.timestep_fs),
        seed=int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big"),
        friction=run.friction_per_ps / 1000.0,
        melt_temperature=system.melt_k,
        cell_steps=steps(run.cell_ps),
        cell=run.cell,
        pressure=run.pressure_gpa / units.GPA_PER_EV_ANG3,
        compressibility=run.compressibility_per_gpa * units.GPA_PER_EV_ANG3,
        velocity_steps=steps(run.vibrations_ps),
        velocities_every=round(run.vibrations_every_fs / run.timestep_fs),
        velocities_with_flux=section.analysis.fixes_gauge,
    )


def _one_run(
    config: CampaignConfig,
    potential: Potential,
    name: str,
    temperature: float,
    trajectories: Path,
    wall_time: float | None,
) -> dict[str, Rows] | None:
    section = section_of(config)
    gauge = "mean_virials" if section.analysis.fixes_gauge else "none"
    soft = build_system(section.systems[name])
    plan = plan_of(config, name, temperature)
    # What is analysed anew need not be run anew.
    compute = config.compute
    identity = [potential.sha256(), repr(plan), soft.to_extxyz(), section.coupling]
    text = json.dumps([*identity, compute.dtype, compute.device])
    digest = hashlib.sha256(text.encode()).hexdigest()
    where = Where(
        folder=trajectories / f"{label(name, temperature)}-{digest[:12]}",
        coupling=section.coupling,
        dtype=compute.dtype,
        device=compute.device,
        wall_time=wall_time,
    )
    try:
        finished = run_replicas(potential, soft, plan, where)
        if finished.is_interrupted:
            return None
        return _analysed(section, potential, name, temperature, plan, where, finished)
    except SoftatomsError as error:
        failed = failed_rows(
            name, temperature, n_sites=len(soft), gauge=gauge, error=" ".join(str(error).split())
        )
        return {"transport": failed, "transport_correlation": [], "transport_spectrum": []}


def _analysed(
    section: Transport,
    potential: Potential,
    name: str,
    temperature: float,
    plan: Plan,
    where: Where,
    finished: Finished,
) -> dict[str, Rows]:
    analysis = section.analysis
    series = read_series(finished, plan)
    gauge = "none"
    if analysis.fixes_gauge:
        gauge = "mean_virials"
        tensors = mean_flux_tensors(
            potential,
            series,
            n_structures=analysis.gauge_structures,
            coupling=where.coupling,
            dtype=where.dtype,
            device=where.device,
        )
        series = gauge_fixed(series, tensors)
    options = Options(
        correlation_ps=analysis.correlation_ps,
        smoothing_fs=analysis.smoothing_fs,
        cutoff_thz=analysis.cutoff_thz,
        is_isotropic=section.systems[name].is_isotropic,
    )
    found = measure(series, temperature=temperature, options=options)
    if found.moving and gauge != "none":
        raise TransportError(
            f"analysis.fixes_gauge: {', '.join(found.moving)} diffuses, and only sites that stay "
            "at their places have a gauge that carries no heat"
        )
    densities = _densities(finished, plan, temperature) if plan.velocity_steps else {}
    return {
        "transport": conductivity_rows(name, temperature, series, found, gauge=gauge),
        "transport_correlation": correlation_rows(name, temperature, found),
        "transport_spectrum": spectrum_rows(name, temperature, series, found, densities),
    }


def _densities(
    finished: Finished, plan: Plan, temperature: float
) -> dict[str, tuple[Array, Array]]:
    """Frequencies and mean density of states of the sites of each species."""
    soft = finished.soft
    masses = np.zeros(len(soft))
    np.add.at(masses, soft.node_site, soft.node_weight * soft.node_mass)
    present = np.zeros(len(soft))
    np.add.at(present, soft.node_site, soft.node_weight)
    frequencies, density = density_of_states(
        read_velocities(finished),
        masses / present,
        spacing_fs=plan.timestep * plan.velocities_every,
        temperature=temperature,
    )
    density = smoothed(density, frequencies, width_thz=DOS_WIDTH_THZ)
    found = {}
    for number in np.unique(soft.node_number):
        chosen = soft.node_number == number
        shares = soft.node_weight[chosen]
        if shares.sum() > 0.0:
            mean: Array = shares @ density[soft.node_site[chosen]] / shares.sum()
            found[chemical_symbols[number]] = (frequencies, mean)
    return found


def _told(rows: list[dict[str, Any]]) -> str:
    for method in ("cepstral_multicomponent", "cepstral"):
        for row in rows:
            if (row["direction"], row["method"]) != ("mean", method):
                continue
            if row["status"] == "ok":
                warned = " (with warnings)" if row["warnings"] else ""
                return f"{row['kappa_w_mk']:.4g} ± {row['stderr_w_mk']:.2g} W/(m K){warned}"
    return f"failed ({next(row['error'] for row in rows if row['error'])})"
