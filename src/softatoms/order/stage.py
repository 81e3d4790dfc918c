"""The stage ``order`` of a campaign: jobs over compounds, and the tables they end in."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .. import provenance
from ..errors import SoftatomsError
from ..evaluation import check_device
from ..files import write_text
from ..structure import SoftAtoms
from ..tables import join_tables, write_table
from .energies import (
    Ordering,
    Relaxed,
    Settings,
    numbers,
    ordering,
    relative_energy,
    relax_variants,
)
from .errors import OrderError
from .parents import Parent, make_parent, parent_of
from .perovskites import ionic_radius
from .roc import area_with_interval, compare
from .variants import Options, Variant, enumerated_variants, perovskite_variants

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.order import Order, OrderParent
    from ..potentials.base import Potential
    from .experiments import Compound

Say = Callable[[str], None]
Rows = list[dict[str, Any]]

BASELINE = "charge_and_radius"
"""Score that needs no potential: difference of charges, of radii where charges differ alike."""


def run_job(
    config: CampaignConfig,
    potential: Potential,
    *,
    shard: int | None,
    checkpoint: Path | None,
    say: Say,
) -> tuple[Rows, Rows]:
    """Compute the compounds of one job.

    Args:
        config: The campaign, with a section ``order``.
        potential: The energy function.
        shard: Number of the job, all if None.
        checkpoint: Folder for finished compounds.
        say: Is told one line per compound.

    Returns:
        Rows of the tables ``order`` and ``order_summary``.

    Raises:
        SoftatomsError: If there is no such job, or the device cannot be used.
    """
    section = section_of(config)
    torch.set_num_threads(config.compute.threads)
    check_device(config.compute.device)
    names = section.names()
    if shard is not None and not 0 <= shard < section.n_shards():
        raise SoftatomsError(
            f"--shard: there is no job {shard}; the jobs are numbered 0 to {section.n_shards() - 1}"
        )
    if shard is not None:
        names = names[shard * section.shard_size : (shard + 1) * section.shard_size]
    compounds = {compound.formula: compound for compound in section.compounds()}
    shared = [config.section_digest("potential"), potential.sha256(), provenance.code_digest()]
    rows: Rows = []
    summaries: Rows = []
    for name in names:
        started = time.monotonic()
        identity = [*shared, *_identity(config, name, compounds.get(name))]
        saved = _load(checkpoint, name, identity)
        if saved is None:
            own, summary = _compute(config, potential, name, compounds.get(name))
            saved = {"rows": own, "summary": summary}
            _save(checkpoint, name, identity, saved)
        rows += saved["rows"]
        summaries.append(saved["summary"])
        say(f"{name}: {_told(saved['summary'])}, {time.monotonic() - started:.1f} s")
    return rows, summaries


def section_of(config: CampaignConfig) -> Order:
    """The section ``order``.

    Raises:
        SoftatomsError: If there is none.
    """
    if config.order is None:
        raise SoftatomsError("order: is required to compare order and disorder")
    return config.order


def write_job(
    config: CampaignConfig,
    sha256: str,
    rows: Rows,
    summaries: Rows,
    *,
    out: Path,
    summary_out: Path,
) -> None:
    """Write both tables of a job."""
    origin = provenance.collect(config, "order", sha256)
    write_table(out, "order", rows, origin)
    write_table(summary_out, "order_summary", summaries, origin)


def merge(config: CampaignConfig, tables: Sequence[Path], name: str) -> tuple[Rows, str]:
    """Rows of the tables of all jobs, in the order of the configuration.

    Args:
        config: The campaign.
        tables: The tables of the jobs.
        name: ``order`` or ``order_summary``.

    Returns:
        The rows and the fingerprint of the potential.

    Raises:
        SoftatomsError: If a table belongs to another configuration, potential or program, or
            compounds are missing or double.
    """
    joined = join_tables(tables, name, config.section_digest("order"))
    found = list(joined.rows.values())
    wanted = section_of(config).names()
    if {row["compound"] for row in found} != set(wanted):
        raise OrderError(f"{tables[0].parent}: the jobs do not cover every compound")
    found.sort(key=lambda row: wanted.index(row["compound"]))
    return found, joined.model_sha256


def roc_rows(config: CampaignConfig, summaries: Sequence[Mapping[str, Any]]) -> Rows:
    """Rows of the table ``order_roc``; none if there is nothing to compare with."""
    section = section_of(config)
    scores, labels, left_out = scored(summaries, section.states)
    if len(labels) == 0 or labels.all() or not labels.any():
        return []
    options = {"samples": section.bootstrap, "seed": config.campaign.seed}
    rows = []
    for name, values in scores.items():
        found = area_with_interval(values, labels, **options)
        against = compare(values, scores[BASELINE], labels, **options)
        rows.append(
            {
                "score": name,
                "n_ordered": int(labels.sum()),
                "n_disordered": int((~labels).sum()),
                "n_left_out": left_out,
                "area": found.value,
                "area_low": found.low,
                "area_high": found.high,
                "minus_baseline": against.value,
                "minus_baseline_low": against.low,
                "minus_baseline_high": against.high,
                "p_value": None if name == BASELINE else against.p,
            }
        )
    return rows


def scored(
    summaries: Sequence[Mapping[str, Any]], states: Iterable[str]
) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
    """Scores of the compounds that have all of them and an undisputed experiment.

    Returns:
        Scores by name, each of shape (n,); whether experiments found order, shape (n,); and how
        many compounds with an experiment lack a score.
    """
    names = {f"ordering_{state}": f"ordering_{state}_ev" for state in states}
    known = [row for row in summaries if row["observed"] not in ("", "disputed")]
    columns = [*names.values(), "charge_difference", "radius_difference_ang"]
    whole = [row for row in known if all(row[column] is not None for column in columns)]
    labels = np.array([row["observed"] != "disordered" for row in whole], dtype=bool)
    scores = {name: np.array([row[column] for row in whole]) for name, column in names.items()}
    charge = np.array([row["charge_difference"] for row in whole], dtype=np.float64)
    radius = np.array([row["radius_difference_ang"] for row in whole], dtype=np.float64)
    # Radii differ by less than 1 Å, so they only decide between equal charges.
    scores |= {"charge": charge, "radius": radius, BASELINE: charge + radius}
    return scores, labels, len(known) - len(whole)


def parent_from(section: OrderParent) -> Parent:
    """The crystal that a section describes.

    Raises:
        OrderError: If it is not usable.
    """
    from ase import Atoms

    from ..composition.prototypes import PROTOTYPES

    if section.file is not None:
        from pymatgen.core.structure import Structure

        try:
            structure = Structure.from_file(section.file)
        except (OSError, ValueError) as error:
            raise OrderError(f"{section.file}: {' '.join(str(error).split())}") from None
        return parent_of(SoftAtoms.from_pymatgen(structure))
    assert section.prototype is not None
    assert section.a_ang is not None
    lattice = PROTOTYPES[section.prototype]
    shares = section.sublattices
    symbols = [max(shares[label], key=lambda e: shares[label][e]) for _, label in lattice.sites]
    mixed = next(label for label, held in shares.items() if sum(x > 0 for x in held.values()) > 1)
    atoms = Atoms(
        symbols,
        scaled_positions=[place for place, _ in lattice.sites],
        cell=section.a_ang * np.array(lattice.vectors),
        pbc=True,
    )
    sites = [index for index, (_, label) in enumerate(lattice.sites) if label == mixed]
    return make_parent(atoms, sites, shares[mixed])


def _compute(
    config: CampaignConfig, potential: Potential, name: str, compound: Compound | None
) -> tuple[Rows, dict[str, Any]]:
    section = section_of(config)
    options = Options(
        states=tuple(section.states),
        supercell=tuple((a, b, c) for a, b, c in section.supercell),
        replicates=section.replicates,
        shells=section.shells,
        swaps=section.swaps,
        tilt=section.tilt_deg,
        seed=config.campaign.seed,
    )
    try:
        variants, fractions = _variants(section, name, compound, options)
    except OrderError as error:
        return [], _summary(compound, name, Ordering(reference=section.reference, error=str(error)))
    relaxation = section.relaxation
    settings = Settings(
        cell=relaxation.cell,
        sites=relaxation.sites,
        fmax=relaxation.fmax_ev_per_ang,
        smax=relaxation.smax_ev_per_ang3,
        max_steps=relaxation.max_steps,
        dtype=config.compute.dtype,
        device=config.compute.device,
    )
    results = relax_variants(potential, variants, settings)
    found = ordering(results, fractions, reference=section.reference, threshold=section.threshold_k)
    rows = [_row(name, result, relative_energy(result, results)) for result in results]
    return rows, _summary(compound, name, found)


def _variants(
    section: Order, name: str, compound: Compound | None, options: Options
) -> tuple[list[Variant], dict[str, float]]:
    if compound is not None:
        shares = dict.fromkeys(compound.b_elements, 0.5)
        return perovskite_variants(compound, options), shares
    own = section.parents[name]
    parent = parent_from(own)
    options = dataclasses.replace(options, largest=own.largest)
    return enumerated_variants(parent, options, name), parent.fractions


def _row(name: str, result: Relaxed, above: float | None) -> dict[str, Any]:
    variant = result.variant
    good = result.status == "ok"
    a, b, c = result.lengths
    return {
        "variant_id": f"{name}-{variant.name}-{variant.replicate}",
        "compound": name,
        "state": variant.state,
        "variant": variant.name,
        "replicate": variant.replicate,
        "n_sites": result.n_sites,
        "n_mixed": variant.n_mixed,
        "energy_ev_per_mixed_site": result.energy if good else None,
        "above_best_order_ev_per_mixed_site": above,
        "volume_ang3_per_mixed_site": result.volume if good else None,
        "a_ang": a if good else None,
        "b_ang": b if good else None,
        "c_ang": c if good else None,
        "correlation_error": variant.correlation_error,
        "fmax_ev_per_ang": result.fmax if np.isfinite(result.fmax) else None,
        "evaluations": result.evaluations,
        "status": result.status,
        "error": result.error,
    }


def _summary(compound: Compound | None, name: str, found: Ordering) -> dict[str, Any]:
    energies = found.energies or {}
    charge = radius = None
    if compound is not None:
        (one, q_one), (two, q_two) = compound.ions
        charge = float(abs(q_one - q_two))
        try:
            radius = abs(ionic_radius(one, q_one) - ionic_radius(two, q_two))
        except OrderError:
            radius = None
    return {
        "compound": name,
        "observed": "" if compound is None else compound.observed,
        "source": "" if compound is None else compound.source,
        "checked": "" if compound is None else "yes" if compound.checked else "no",
        "best_order": found.best,
        "reference": found.reference,
        "ordering_energy_ev_per_mixed_site": energies.get(found.reference),
        "ordering_temperature_k": found.temperature,
        "stderr_temperature_k": found.temperature_error,
        "classification": found.classification,
        **numbers(found),
        "charge_difference": charge,
        "radius_difference_ang": radius,
        "status": found.status,
        "error": found.error,
    }


def _told(summary: Mapping[str, Any]) -> str:
    if summary["status"] != "ok":
        return f"failed ({summary['error']})"
    energy = 1e3 * summary["ordering_energy_ev_per_mixed_site"]
    return (
        f"{summary['best_order']} {energy:.0f} meV below {summary['reference']}, "
        f"{summary['ordering_temperature_k']:.0f} K"
    )


def _identity(config: CampaignConfig, name: str, compound: Compound | None) -> list[str]:
    """What the numbers of one compound depend on: other compounds and jobs are no part of it."""
    section = section_of(config)
    compute = config.compute
    own: Any = repr(compound)
    if compound is None:
        parent = section.parents[name]
        own = parent.model_dump(mode="json")
        if parent.file is not None:
            own["file"] = Path(parent.file).read_text(encoding="utf-8")
    others = {"table", "formulas", "parents", "shard_size", "bootstrap"}
    values = section.model_dump(mode="json", exclude=others)
    parts = [own, values, config.campaign.seed, compute.dtype, compute.device]
    return [json.dumps(part, sort_keys=True) for part in parts]


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _load(folder: Path | None, name: str, identity: list[str]) -> dict[str, Any] | None:
    """What a job before this one has computed of a compound, if it is the same job."""
    if folder is None:
        return None
    try:
        saved = json.loads(_path(folder, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(saved, dict) or saved.get("identity") != identity:
        return None
    return saved


def _save(folder: Path | None, name: str, identity: list[str], saved: dict[str, Any]) -> None:
    if folder is not None:
        write_text(_path(folder, name), json.dumps({**saved, "identity": identity}))
