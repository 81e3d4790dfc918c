"""The physics checks of a campaign: its model, what it is compared with, and the table."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import provenance
from ..dataset.parents import read_structure
from ..errors import SoftatomsError
from ..evaluation import check_device
from ..potentials.registry import load_potential
from ..structure import SoftAtoms
from ..tables import write_table
from .compare import rows_of_potentials, rows_of_values
from .crystals import Settings, crystal
from .measure import Items, Options, measure

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.physics import Crystal
    from ..config.potential import PotentialSection
    from ..potentials.base import Potential

Say = Callable[[str], None]


def run_stage(config: CampaignConfig, *, model: Path | None, out: Path, say: Say) -> None:
    """Compute the properties of all crystals by the model and what it is compared with.

    Args:
        config: The campaign, with a section ``physics``.
        model: Directory of the trained model; required if the campaign trains one. Without, the
            potential of the campaign is checked.
        out: Table to write.
        say: Is told one line per crystal, potential and check.

    Raises:
        SoftatomsError: If the section or the model is missing, or a potential cannot be loaded.
    """
    section = config.physics
    if section is None:
        raise SoftatomsError("physics: is required for physics checks")
    if model is None and config.training is not None:
        raise SoftatomsError("--model: is required: the directory that 'softatoms train' wrote")
    # Read now, and kept: the sources may change while the job runs.
    provenance.code_digest()
    provenance.git_revision()
    torch.set_num_threads(config.compute.threads)
    check_device(config.compute.device)
    structures = {name: build_crystal(one) for name, one in section.crystals.items()}
    references = {name: build_crystal(one) for name, one in section.references.items()}
    if model is None:
        ours = _loaded(config.potential, "potential")
    else:
        ours = model.name, load_potential(str(model))
    against = config.physics_against()
    theirs = None if against is None else _loaded(against, "physics.against")
    if theirs is not None and theirs[0] == ours[0]:
        theirs = f"{theirs[0]} (reference)", theirs[1]
    settings = Settings(**section.settings(), device=config.compute.device)
    rows: list[dict[str, Any]] = []
    for name, soft in structures.items():
        options = Options(
            checks=section.checks_of(name),
            facets=section.facets,
            vacancy_repeat=section.vacancy_repeat,
            phonon_repeat=section.phonon_repeat,
            references=references,
            settings=settings,
        )
        mine = ours[0], _measured(name, ours, soft, options, say)
        if theirs is not None:
            other = theirs[0], _measured(name, theirs, soft, options, say)
            rows += rows_of_potentials(name, mine, other)
        for given in section.given:
            rows += rows_of_values(name, mine, given.source, given.values.get(name, {}))
    origin = provenance.collect(config, "physics", ours[1].sha256())
    origin = dataclasses.replace(origin, dtype=section.dtype)
    write_table(out, "physics_checks", rows, origin)
    counts = {
        status: sum(row["status"] == status for row in rows)
        for status in ("ok", "unstable", "unconverged", "failed")
    }
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    say(f"{out}: {len(rows)} rows ({told})")


def build_crystal(section: Crystal) -> SoftAtoms:
    """The structure of a section.

    Raises:
        SoftatomsError: If a file holds none, or the crystal cannot be built.
    """
    if section.file is not None:
        return SoftAtoms.from_ase(read_structure(section.file))
    assert section.prototype is not None
    return crystal(section.prototype, section.elements, section.a_ang)


def _loaded(section: PotentialSection, key: str) -> tuple[str, Potential]:
    try:
        potential = load_potential(section.name, **section.options)
    except SoftatomsError as error:
        raise SoftatomsError(f"{key}: {error}") from None
    return Path(section.name).name if section.is_saved else section.name, potential


def _measured(
    name: str, named: tuple[str, Potential], soft: SoftAtoms, options: Options, say: Say
) -> Items:
    label, potential = named
    started = time.monotonic()

    def told(check: str, items: Items) -> None:
        nonlocal started
        now = time.monotonic()
        say(f"{name}, {check} by {label}: {_summary(items)}, {now - started:.1f} s")
        started = now

    return measure(potential, soft, options, told)


def _summary(items: Items) -> str:
    """Status of a check and what is wrong, if anything is."""
    for status in ("failed", "unconverged", "unstable"):
        for item in items.values():
            if item.status == status:
                return f"{status} ({item.error})"
    return "ok"
