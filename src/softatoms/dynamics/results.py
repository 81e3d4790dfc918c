"""What a run gives back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from .. import units
from ..errors import StructureError
from ..stopping import REQUEUE
from ..structure import SoftAtoms
from .settings import Settings
from .state import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

Status = Literal["ok", "failed", "interrupted"]


@dataclass(frozen=True)
class Outcome:
    """One system at the end of a run.

    Numbers belong to ``soft``, which is the last good frame of a system that failed.

    Attributes:
        soft: The structure with positions, cell, velocities and weights as they are now; that of
            the start if they make no structure, with two sites in one place say.
        status: ``ok``; ``failed`` if a limit was passed or the potential gave no number; or
            ``interrupted`` if the run was told to stop, or came to the end of its time.
        error: Why it is not ``ok``, empty if it is.
        steps: Steps since the start, those before a resume included.
        energy: Potential energy in eV.
        kinetic: Kinetic energy in eV.
        temperature: Kinetic temperature in K.
        work: Work done by the schedule in eV.
        heat: Energy taken in from thermostat and barostat in eV.
        acceptance: Part of the changes of the cell that were accepted; None if it is fixed.
        samples: Samples of each observer if the run has no folder; see
            :func:`softatoms.dynamics.read_samples` for one that has.
    """

    soft: SoftAtoms
    status: Status
    error: str
    steps: int
    energy: float
    kinetic: float
    temperature: float
    work: float
    heat: float
    acceptance: float | None
    samples: Mapping[str, pa.Table] = field(default_factory=dict)


def structure(start: SoftAtoms, snapshot: Snapshot) -> SoftAtoms:
    """A system as it stands in a snapshot."""
    moved = start.with_positions(snapshot.positions, snapshot.cell)
    return moved.with_weights(snapshot.theta).with_velocities(snapshot.velocities)


def outcome(
    start: SoftAtoms,
    settings: Settings,
    snapshot: Snapshot,
    status: Status,
    error: str,
    samples: Mapping[str, pa.Table],
) -> Outcome:
    """The outcome of one system."""
    degrees = settings.degrees_of_freedom(start)
    soft = start
    try:
        soft = structure(start, snapshot)
    except StructureError as problem:
        # Ghosts may pass through each other; a structure with two sites in one place is none.
        status, error = "failed", f"{error}; it collapsed: {problem}".removeprefix("; ")
    acceptance = None
    if settings.cell != "fixed":
        acceptance = snapshot.accepted / max(snapshot.step // settings.barostat_interval, 1)
    return Outcome(
        soft=soft,
        status=status,
        error=error,
        steps=snapshot.step,
        energy=snapshot.energy,
        kinetic=snapshot.kinetic,
        temperature=2.0 * snapshot.kinetic / (degrees * units.BOLTZMANN_EV_PER_K),
        work=snapshot.work,
        heat=snapshot.heat,
        acceptance=acceptance,
        samples=samples,
    )


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """What a job should end with: :data:`REQUEUE` if a system is not at its end, else 0.

    A system that failed is a result; running it again would fail again.
    """
    return REQUEUE if any(end.status == "interrupted" for end in outcomes) else 0
