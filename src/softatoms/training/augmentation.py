"""Soft variants of labelled frames whose labels are known exactly.

Two facts about soft structures give labels for nothing:

- a site of weight 0 (a *ghost*) changes nothing for all others, and feels nothing;
- under ``replica`` coupling a fully soft lattice of one group has the energy
  Σ_c w_c E_c of its end members E_c, and so have its forces and stress.

Both hold for every potential of this package whatever its parameters are. They are therefore no
new information: the gradient of the loss of a ghost variant equals that of the frame itself, and
the error of a replica is the weighted mean of the errors of its end members. They are here to
measure just that, and for potentials from elsewhere that do not meet the conditions of existence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from ..dataset.frames import Frame
from ..errors import StructureError
from ..neighbours import neighbour_pairs
from ..potentials.base import Potential
from ..structure import SoftAtoms
from ..weight_groups import PLAIN
from .examples import Example, make_examples

CLOSEST = 1.0
"""Distance in Å that ghosts keep from all sites: a network is not smooth at distance 0."""

ATTEMPTS = 100
"""Places tried for a ghost before its frame is left with fewer."""


def with_ghosts(frame: Frame, potential: Potential, count: int, *, seed: Sequence[int]) -> Example:
    """A frame with sites of weight 0 at random places of its cell.

    Args:
        frame: The frame.
        potential: Potential whose species the ghosts have and whose cutoff their pairs.
        count: How many; fewer where there is no room.
        seed: Seed of places and species.
    """
    rng = np.random.default_rng(list(seed))
    soft = frame.soft
    low, high = soft.positions.min(axis=0), soft.positions.max(axis=0)
    added = []
    placed = soft.positions
    for _ in range(count):
        for _ in range(ATTEMPTS):
            inside = rng.random(3) @ soft.cell if soft.pbc.all() else rng.uniform(low, high)
            trial = np.vstack([placed, inside])
            pairs = neighbour_pairs(trial, soft.cell, soft.pbc, CLOSEST)
            if not ((pairs.receivers == len(placed)) | (pairs.senders == len(placed))).any():
                placed = trial
                added.append(str(rng.choice(potential.species)))
                break
    numbers = np.array([atomic_numbers[symbol] for symbol in added], dtype=np.int64)
    ghosts = SoftAtoms(
        positions=placed,
        cell=soft.cell,
        pbc=soft.pbc,
        site_number=np.concatenate([soft.site_number, numbers]),
        site_mass=np.concatenate([soft.site_mass, atomic_masses[numbers]]),
        site_group=np.concatenate([soft.site_group, np.full(len(added), PLAIN)]),
        groups=soft.groups,
    )
    if added:
        ghosts = ghosts.with_existence(list(range(len(soft), len(ghosts))), 0.0)
    forces = frame.forces
    if forces is not None:
        forces = np.vstack([forces, np.zeros((len(added), 3))])
    return make_examples([replace(frame, soft=ghosts, forces=forces)], potential)[0]


def replica(frames: Sequence[Frame], weights: Sequence[float]) -> Frame:
    """End members of one geometry as a single soft frame, for ``coupling="replica"``.

    Args:
        frames: Frames of one geometry, each of a single element; no two of the same.
        weights: Weight of each; they sum to 1.

    Returns:
        The frame in which every site has all elements as candidates, with labels where all end
        members have them.

    Raises:
        StructureError: If the end members do not fit together.
    """
    first = frames[0]
    names = ", ".join(frame.frame_id for frame in frames)
    if len(frames) != len(weights) or abs(sum(weights) - 1.0) > 1e-9:
        raise StructureError(f"frames {names} need one weight each, 1 in sum, got {list(weights)}")
    symbols = []
    for frame in frames:
        kinds = {symbol for site in range(frame.n_sites) for symbol in frame.soft.candidates(site)}
        if len(kinds) != 1 or frame.soft.groups.sizes.size:
            raise StructureError(
                f"frame {frame.frame_id}: an end member has plain sites of one element"
            )
        symbols.append(kinds.pop())
        same = (
            np.array_equal(frame.soft.positions, first.soft.positions)
            and np.array_equal(frame.soft.cell, first.soft.cell)
            and np.array_equal(frame.soft.pbc, first.soft.pbc)
        )
        if not same:
            raise StructureError(f"frames {names} differ in geometry")
    if len(set(symbols)) < len(symbols):
        raise StructureError(f"frames {names} repeat an element")
    mixture = dict(zip(symbols, map(float, weights), strict=True))
    soft = first.soft.with_candidates(list(range(len(first.soft))), mixture, tie="replica")
    energy = _mixed(
        [None if frame.energy is None else np.array(frame.energy) for frame in frames], weights
    )
    return Frame(
        frame_id="+".join(frame.frame_id for frame in frames),
        group=first.group,
        soft=soft,
        energy=None if energy is None else float(energy),
        forces=_mixed([frame.forces for frame in frames], weights),
        stress=_mixed([frame.stress for frame in frames], weights),
        split=first.split,
        labeller=first.labeller,
        status=first.status,
    )


def _mixed(
    labels: Sequence[NDArray[np.float64] | None], weights: Sequence[float]
) -> NDArray[np.float64] | None:
    """Weighted sum of labels, None if one is missing."""
    known = [label for label in labels if label is not None]
    if len(known) < len(labels):
        return None
    return np.tensordot(np.array(weights, dtype=np.float64), np.stack(known), axes=1)
