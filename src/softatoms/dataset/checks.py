"""Checks of a dataset: labels that are missing, impossible, in other units or of other structures.

Every finding names its frame. Errors are what no training can use; warnings are what a person
should look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray

from ..conversion import dominant_numbers
from ..neighbours import Pairs, neighbour_pairs, pair_vectors
from ..neighbours_many import neighbour_pairs_of_many
from .descriptor import present_elements
from .duplicates import representatives
from .findings import Finding, Report, Severity
from .frames import Frame
from .unit_checks import energies_in_other_units, forces_in_other_units, robust_fit

Label = Literal["energy", "forces", "stress"]

CONTRADICTION = 0.01
"""Energies of one structure that differ by more, in eV/atom, are not from one method."""

UNUSUAL = 2.0
"""Distance in eV/atom from what the composition suggests that deserves a look, if the others keep
within a twentieth of it."""

_CHUNK = 500
_SYMMETRIC = 1e-3
"""Sum of fading pulls of the neighbours up to which a site has no preferred direction."""


@dataclass(frozen=True)
class Limits:
    """From where on a value is impossible.

    Attributes:
        required: Labels that every labelled frame needs.
        energy: Distance from what the composition suggests, in eV/atom.
        force: Force on one atom in eV/Å.
        stress: Component of the stress in eV/Å³; 1 eV/Å³ is 160 GPa.
        net_force: Sum of the forces over the number of atoms in eV/Å; a warning.
        closest: Distance of two atoms over the sum of their covalent radii.
        contradiction: Difference of energies of one structure in eV/atom.
        duplicates: Whether to look for equivalent structures.
    """

    required: tuple[Label, ...] = ("energy", "forces")
    energy: float = 50.0
    force: float = 100.0
    stress: float = 2.0
    net_force: float = 0.05
    closest: float = 0.5
    contradiction: float = CONTRADICTION
    duplicates: bool = True


def check_frames(frames: Sequence[Frame], limits: Limits | None = None) -> Report:
    """Check all frames of a dataset together.

    Frames that failed already are left out; frames without labels are checked for distances and
    copies only.

    Args:
        frames: The frames.
        limits: From where on a value is impossible.
    """
    bounds = Limits() if limits is None else limits
    alive = [frame for frame in frames if frame.status != "failed"]
    labelled = [frame for frame in alive if frame.status == "ok"]
    found: list[Finding] = []
    for frame in labelled:
        found += _labels(frame, bounds)
    bad = {finding.frame_id for finding in found if finding.severity == "error"}
    sound = [frame for frame in labelled if frame.frame_id not in bad]
    found += _energies(sound, bounds)
    found += forces_in_other_units(sound)
    found += _geometry(alive, bounds)
    if bounds.duplicates:
        found += _copies(alive, bounds)
    place = {frame.frame_id: index for index, frame in enumerate(frames)}
    return Report(len(frames), tuple(sorted(found, key=lambda f: place[f.frame_id])))


def _labels(frame: Frame, limits: Limits) -> Iterator[Finding]:
    """Labels of one frame by themselves."""

    def error(check: str, message: str) -> Finding:
        return Finding(frame.frame_id, check, "error", message)

    values: dict[Label, NDArray[np.float64] | None] = {
        "energy": None if frame.energy is None else np.array(frame.energy),
        "forces": frame.forces,
        "stress": frame.stress,
    }
    for name, value in values.items():
        if value is None:
            if name in limits.required:
                yield error("missing label", f"has no {name}")
            continue
        wrong = int((~np.isfinite(value)).sum())
        if wrong:
            yield error("not finite", f"{wrong} of {value.size} values of {name} are nan or inf")
    if frame.forces is not None and np.isfinite(frame.forces).all():
        size = np.linalg.norm(frame.forces, axis=1)
        worst = int(np.argmax(size))
        if size[worst] > limits.force:
            yield error("absurd forces", f"force on site {worst} is {size[worst]:.4g} eV/Å")
        net = float(np.linalg.norm(frame.forces.sum(axis=0))) / len(size)
        if net > limits.net_force and size[worst] <= limits.force:
            yield Finding(
                frame.frame_id,
                "net force",
                "warning",
                f"forces sum to {net:.3g} eV/Å per atom instead of zero",
            )
    if frame.stress is not None and np.isfinite(frame.stress).all():
        largest = float(np.abs(frame.stress).max())
        if largest > limits.stress:
            yield error("absurd stress", f"a component of the stress is {largest:.4g} eV/Å³")
        if np.abs(frame.stress - frame.stress.T).max() > 1e-6 + 1e-3 * largest:
            yield error("absurd stress", "the stress is not symmetric")


def _energies(frames: Sequence[Frame], limits: Limits) -> list[Finding]:
    """Energies against what the composition suggests."""
    held = [frame for frame in frames if frame.energy is not None]
    if len(held) < 2:
        return []
    elements = present_elements([frame.soft for frame in held])
    amounts = np.zeros((len(held), len(elements)))
    for row, frame in zip(amounts, held, strict=True):
        columns = np.searchsorted(elements, frame.soft.node_number)
        np.add.at(row, columns, frame.soft.node_weight)
    atoms = np.maximum(amounts.sum(axis=1), 1e-12)
    per_atom = np.array([frame.energy for frame in held], dtype=np.float64) / atoms
    expected = robust_fit(amounts / atoms[:, None], per_atom)
    suspects = energies_in_other_units(held, per_atom, expected)
    by_name = {frame.frame_id: frame for frame in held}
    # An atom that is bound to nothing has a small energy in any unit.
    found = [finding for finding in suspects if _is_bound(by_name[finding.frame_id])]
    named = {finding.frame_id for finding in found}
    away = np.abs(per_atom - expected)
    strange = max(UNUSUAL, 20 * float(np.median(away)))
    for frame, value, usual, off in zip(held, per_atom, expected, away, strict=True):
        if frame.frame_id in named or off <= min(strange, limits.energy):
            continue
        if off <= limits.energy and not _is_bound(frame):
            continue
        message = f"energy is {value:.6g} eV/atom, its composition suggests {usual:.4g}"
        kind: tuple[str, Severity] = ("unusual energy", "warning")
        if off > limits.energy:
            kind = ("absurd energy", "error")
        found.append(Finding(frame.frame_id, *kind, message))
    return found


def _is_bound(frame: Frame) -> bool:
    """Whether every site has a neighbour within one and a half times the covalent radii."""
    soft = frame.soft
    radii = covalent_radii[dominant_numbers(soft)]
    pairs = neighbour_pairs(soft.positions, soft.cell, soft.pbc, 3.0 * float(radii.max()))
    distances = np.linalg.norm(pair_vectors(soft.positions, soft.cell, pairs), axis=1)
    bonded = distances < 1.5 * (radii[pairs.receivers] + radii[pairs.senders])
    return len(np.unique(pairs.receivers[bonded])) == len(soft)


def _geometry(frames: Sequence[Frame], limits: Limits) -> list[Finding]:
    """Distances, and forces that are zero where a structure is not symmetric."""
    found: list[Finding] = []
    radius = 2.0 * limits.closest * float(np.nanmax(covalent_radii))
    for start in range(0, len(frames), _CHUNK):
        chunk = frames[start : start + _CHUNK]
        near = neighbour_pairs_of_many([frame.soft for frame in chunk], radius)
        for frame, pairs in zip(chunk, near, strict=True):
            found += _distances(frame, pairs, limits)
    suspects = [frame for frame in frames if _has_zeros(frame)]
    if suspects:
        far = neighbour_pairs_of_many([frame.soft for frame in suspects], 5.0)
        for frame, pairs in zip(suspects, far, strict=True):
            found += _zero_forces(frame, pairs)
    return found


def _distances(frame: Frame, pairs: Pairs, limits: Limits) -> Iterator[Finding]:
    soft = frame.soft
    if len(pairs.receivers) == 0:
        return
    distances = np.linalg.norm(pair_vectors(soft.positions, soft.cell, pairs), axis=1)
    radii = covalent_radii[dominant_numbers(soft)]
    bonds = radii[pairs.receivers] + radii[pairs.senders]
    exists = (soft.existence[pairs.receivers] > 0.5) & (soft.existence[pairs.senders] > 0.5)
    ratio = np.where(exists, distances / bonds, np.inf)
    worst = int(np.argmin(ratio))
    if ratio[worst] < limits.closest:
        i, j = int(pairs.receivers[worst]), int(pairs.senders[worst])
        yield Finding(
            frame.frame_id,
            "too close",
            "error",
            f"sites {i} and {j} are {distances[worst]:.3f} Å apart, covalent radii sum to "
            f"{bonds[worst]:.2f} Å",
        )


def _has_zeros(frame: Frame) -> bool:
    return frame.forces is not None and bool((~frame.forces.any(axis=1)).any())


def _zero_forces(frame: Frame, pairs: Pairs) -> Iterator[Finding]:
    assert frame.forces is not None
    soft = frame.soft
    vectors = pair_vectors(soft.positions, soft.cell, pairs)
    distances = np.linalg.norm(vectors, axis=1)
    # Any pull that depends on distance and element; at a symmetric site all of them cancel.
    kinds = dominant_numbers(soft)[pairs.senders] % 7 + 1.0
    pulls = vectors * (kinds * np.exp(-distances) / distances)[:, None]
    total = np.zeros((len(soft), 3))
    np.add.at(total, pairs.receivers, pulls)
    lopsided = np.linalg.norm(total, axis=1) > _SYMMETRIC
    zero = ~frame.forces.any(axis=1)
    strange = int((zero & lopsided).sum())
    if strange and zero.all():
        yield Finding(
            frame.frame_id,
            "zero forces",
            "error",
            f"all forces are exactly zero, but {strange} of {len(soft)} sites are not symmetric: "
            "labels were lost or constrained",
        )
    elif strange:
        yield Finding(
            frame.frame_id,
            "zero forces",
            "warning",
            f"forces on {strange} sites without symmetry are exactly zero: constrained?",
        )


def _copies(frames: Sequence[Frame], limits: Limits) -> Iterator[Finding]:
    own = representatives([frame.soft for frame in frames])
    for frame, first in zip(frames, own.tolist(), strict=True):
        other = frames[first]
        if other is frame:
            continue
        apart = None
        if frame.energy is not None and other.energy is not None:
            apart = abs(frame.energy / frame.n_sites - other.energy / other.n_sites)
        if apart is not None and apart > limits.contradiction:
            yield Finding(
                frame.frame_id,
                "contradiction",
                "error",
                f"is the same structure as {other.frame_id}, whose energy differs by "
                f"{apart:.3g} eV/atom",
            )
            continue
        across = "" if frame.group == other.group else f" of another group, {other.group}"
        yield Finding(
            frame.frame_id,
            "duplicate",
            "warning",
            f"is the same structure as {other.frame_id}{across}",
        )
