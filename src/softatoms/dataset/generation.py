"""All structures of a dataset before they are labelled: imported, generated, divided."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config.dataset import matching_files
from ..errors import SoftatomsError
from . import generators_bulk as crystals
from . import generators_special as special
from .ase_frames import read_ase_db
from .checks import CONTRADICTION
from .descriptor import describe
from .duplicates import representatives
from .extxyz_frames import read_extxyz
from .frames import Frame
from .imported import Imported, ImportFailedError, Rejected, in_blocks, joined
from .maml import read_maml
from .parquet_frames import read_frames
from .selection import farthest_points
from .splits import split_frames

if TYPE_CHECKING:
    from ..config import CampaignConfig
    from ..config.dataset import Dataset, Import
    from ..config.generators import Generator


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a dataset will consist of.

    Attributes:
        frames: Labelled and unlabelled frames with their parts.
        rejected: Records without a structure.
        copies: Frames left out because they are copies, with the name of the original.
        unselected: Frames left out because others cover them.
        notes: What a user should know.
    """

    frames: tuple[Frame, ...]
    rejected: tuple[Rejected, ...]
    copies: tuple[tuple[Frame, str], ...]
    unselected: tuple[Frame, ...]
    notes: tuple[str, ...]


def plan_dataset(config: CampaignConfig) -> Plan:
    """Import, generate, leave out copies, select and divide.

    Args:
        config: A campaign with a section ``dataset``.

    Raises:
        SoftatomsError: Naming the import or generator that does not work.
    """
    wanted = config.dataset
    if wanted is None:
        raise SoftatomsError("dataset: the configuration has no such section")
    imported = joined([*map(_read, wanted.imports), _generated(config, wanted)])
    # Divided first: a group whose frames are all left out is still a group.
    frames = split_frames(
        imported.frames,
        fractions=wanted.split.fractions(),
        seed=config.campaign.seed,
        assigned=wanted.split.assigned,
    )
    copies: list[tuple[Frame, str]] = []
    if wanted.deduplicate:
        frames, copies = _without_copies(frames)
    frames, unselected = _selected(frames, wanted.select)
    notes = (*imported.notes, *_contradictions(copies, frames))
    return Plan(tuple(frames), imported.rejected, tuple(copies), tuple(unselected), notes)


def generate(config: CampaignConfig, generator: Generator) -> Iterator[Frame]:
    """The frames of one generator.

    Args:
        config: The campaign.
        generator: One of its generators.
    """
    name, seed = generator.name, config.campaign.seed
    if generator.random_alloys is not None:
        return crystals.random_alloys(name, generator.random_alloys, seed)
    if generator.dimers is not None:
        return special.dimers(name, generator.dimers)
    if generator.atoms is not None:
        return special.isolated_atoms(name, generator.atoms)
    parent = generator.parent
    if parent is None:
        raise SoftatomsError(f"generator '{name}' needs a parent")
    if generator.volumes is not None:
        return crystals.volumes(name, parent, generator.volumes)
    if generator.strained is not None:
        return crystals.strained(name, parent, generator.strained, seed)
    if generator.rattled is not None:
        return crystals.displaced(name, parent, generator.rattled, seed)
    if generator.substituted is not None:
        return crystals.substituted(name, parent, generator.substituted, seed)
    if generator.vacancies is not None:
        return crystals.vacancies(name, parent, generator.vacancies, seed)
    if generator.slabs is not None:
        return special.slabs(name, parent, generator.slabs, seed)
    if generator.ghosts is not None:
        return special.ghosts(name, parent, generator.ghosts, seed)
    if generator.dynamics is None:
        raise SoftatomsError(f"generator '{name}' does nothing")
    return _dynamics(config, generator)


def _dynamics(config: CampaignConfig, generator: Generator) -> Iterator[Frame]:
    from ..potentials.registry import load_potential
    from .generators_dynamics import snapshots

    assert generator.parent is not None
    assert generator.dynamics is not None
    own = None if config.dataset is None else config.dataset.dynamics_potential
    section = own or config.potential
    return snapshots(
        generator.name,
        generator.parent,
        generator.dynamics,
        seed=config.campaign.seed,
        potential=load_potential(section.name, **section.options),
        compute=config.compute,
    )


def _generated(config: CampaignConfig, wanted: Dataset) -> Imported:
    return Imported(tuple(f for own in wanted.generators for f in generate(config, own)))


def _read(entry: Import) -> Imported:
    imported = _read_files(entry)
    return imported if entry.blocks == 1 else in_blocks(imported, entry.blocks)


def _read_files(entry: Import) -> Imported:
    paths = [path for pattern in entry.paths for path in _matching(pattern)]
    if entry.format == "maml":
        return read_maml(paths, stress=entry.stress, labeller=entry.labeller or "dft")
    if entry.format == "extxyz":
        return joined(
            [read_extxyz(path, labeller=entry.labeller, keys=entry.keys) for path in paths]
        )
    if entry.format == "ase_db":
        return joined([read_ase_db(path, labeller=entry.labeller) for path in paths])
    return joined([Imported(read_frames(path).frames) for path in paths])


def _matching(pattern: str) -> list[Path]:
    found = [Path(path) for path in matching_files(pattern)]
    if not found:
        raise ImportFailedError(f"{pattern}: no such file")
    return found


def _without_copies(frames: list[Frame]) -> tuple[list[Frame], list[tuple[Frame, str]]]:
    """Frames that are no copies, and the copies with the names of their originals.

    Of a labelled and an unlabelled copy the labelled one stays.
    """
    sound = [frame for frame in frames if frame.status != "failed"]
    order = sorted(range(len(sound)), key=lambda i: sound[i].status != "ok")
    own = representatives([sound[i].soft for i in order])
    originals = {
        sound[order[i]].frame_id: sound[order[first]].frame_id
        for i, first in enumerate(own.tolist())
        if i != first
    }
    kept = [frame for frame in frames if frame.frame_id not in originals]
    copies = [(frame, originals[frame.frame_id]) for frame in frames if frame.frame_id in originals]
    return kept, copies


def _contradictions(copies: list[tuple[Frame, str]], frames: list[Frame]) -> list[str]:
    """A note if copies have other energies than their originals."""
    by_name = {frame.frame_id: frame for frame in frames}
    apart: dict[str, float] = {}
    for frame, name in copies:
        other = by_name.get(name)
        if other is not None and frame.energy is not None and other.energy is not None:
            apart[frame.frame_id] = abs(frame.energy / frame.n_sites - other.energy / other.n_sites)
    wrong = {name: size for name, size in apart.items() if size > CONTRADICTION}
    if not wrong:
        return []
    worst = max(wrong, key=lambda name: wrong[name])
    return [
        f"{len(wrong)} copies differ from their originals by more than {CONTRADICTION:g} eV/atom, "
        f"most {worst} by {wrong[worst]:.3g}: one of each pair has a wrong label"
    ]


def _selected(frames: list[Frame], most: int | None) -> tuple[list[Frame], list[Frame]]:
    """At most ``most`` unlabelled frames, far from each other and from all labelled ones."""
    waiting = [index for index, frame in enumerate(frames) if frame.status == "unlabelled"]
    if most is None or len(waiting) <= most:
        return frames, []
    usable = [index for index, frame in enumerate(frames) if frame.status != "failed"]
    place = {index: row for row, index in enumerate(usable)}
    labelled = np.array([place[i] for i in usable if frames[i].status == "ok"], dtype=np.int64)
    table = describe([frames[index].soft for index in usable])
    chosen = {usable[row] for row in farthest_points(table, most, chosen=labelled).tolist()}
    left_out = [index for index in waiting if index not in chosen]
    kept = [frame for index, frame in enumerate(frames) if index not in set(left_out)]
    return kept, [frames[index] for index in left_out]
