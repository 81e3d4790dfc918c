"""More and longer switching until a standard error is met, up to a budget.

Where works dissipate more than about kT, longer runs gain more than further ones: the error of few
works of wide and skewed distributions is not to be trusted either. Below that, replicas are added.
The estimate is that of the longest runs alone; shorter ones only say how long is long enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError
from ..potentials.options import check_positive, check_whole
from .einstein import thermal_energy
from .errors import FreeEnergyError
from .estimators import Estimate, bar
from .switching import Case, Protocol, Works, switch

if TYPE_CHECKING:
    from ..potentials.base import Potential

LARGEST_DISSIPATION = 2.0
"""Mean work lost per run, in kT, above which runs are made longer instead of more."""

FACTOR = 2
"""By how much they are made longer."""

_DRAWS = 400
"""Of the bootstrap: the analytic error of few works is too small, and would stop too early."""


@dataclass(frozen=True)
class Target:
    """When to stop.

    Attributes:
        stderr: Standard error of ΔF in eV that is enough.
        budget: Steps of systems that may be spent on a case, equilibration included.
        most_rounds: Rounds of simulations at most.
    """

    stderr: float
    budget: int
    most_rounds: int = 8

    def __post_init__(self) -> None:
        check_positive(self.stderr, "stderr")
        for name in ("budget", "most_rounds"):
            check_whole(getattr(self, name), name, least=1)


@dataclass(frozen=True)
class Lengthened:
    """What came out of all rounds of a case.

    Attributes:
        works: Works of each length, short ones first.
        estimate: ΔF in eV of the longest runs.
        is_met: Whether its standard error is as small as wanted.
        reason: Why it stopped: ``met``, ``budget`` or ``rounds``.
        evaluations: Steps of systems spent.
    """

    works: tuple[Works, ...]
    estimate: Estimate
    is_met: bool
    reason: str
    evaluations: int


def switch_until(
    potential: Potential,
    case: Case,
    protocol: Protocol,
    target: Target,
    *,
    folder: Any = None,
    **options: Any,
) -> Lengthened:
    """Switch a case until its standard error is met.

    Args:
        potential: The energy function.
        case: Path and temperature.
        protocol: The first round.
        target: When to stop.
        folder: Where each round has a folder of its own; None for none.
        options: As for :func:`softatoms.free_energy.switching.switch`.

    Raises:
        FreeEnergyError: If a round is interrupted, or gives too few works.
        OptionError: If the budget does not suffice for the first round.
    """
    cost = 2 * protocol.n_replicas * protocol.n_steps
    if cost > target.budget:
        raise OptionError(
            f"budget: the first round of {case.name} takes {cost} steps of systems, the budget is "
            f"{target.budget}"
        )
    done: list[Works] = []
    spent, first_replica, current = 0, 0, protocol
    for number in range(target.most_rounds):
        where = None if folder is None else Path(folder) / f"round-{number:02d}"
        new = switch(
            potential, [case], current, folder=where, first_replica=first_replica, **options
        )[0]
        if new.status == "interrupted":
            raise FreeEnergyError(f"{case.name}: {new.error}", "interrupted")
        spent += new.evaluations
        first_replica += current.n_replicas
        if done and done[-1].switching_steps == current.switching_steps:
            done[-1] = done[-1].joined(new)
        else:
            done.append(new)
        estimate = _estimate(done[-1])
        if estimate.stderr <= target.stderr:
            return Lengthened(tuple(done), estimate, True, "met", spent)
        planned = _next(done[-1], estimate, current, target, spent, protocol.n_replicas)
        if planned is None:
            return Lengthened(tuple(done), estimate, False, "budget", spent)
        current = planned
    return Lengthened(tuple(done), estimate, False, "rounds", spent)


def _estimate(works: Works) -> Estimate:
    if min(works.forward.size, works.backward.size) < 2:
        raise FreeEnergyError(
            f"{works.case.name}: fewer than two works in a direction: {works.error or 'use more'}"
        )
    return bar(works.forward, works.backward, temperature=works.case.temperature, bootstrap=_DRAWS)


def _next(
    works: Works,
    estimate: Estimate,
    protocol: Protocol,
    target: Target,
    spent: int,
    n_replicas: int,
) -> Protocol | None:
    """The next round, or None if there is nothing left to spend."""
    left = target.budget - spent
    if works.dissipation > LARGEST_DISSIPATION * thermal_energy(works.case.temperature):
        longer = replace(
            protocol,
            switching_steps=FACTOR * protocol.switching_steps,
            n_replicas=n_replicas,
        )
        if 2 * n_replicas * longer.n_steps <= left:
            return longer
    # As many as the error asks for, but no more than double at once: the error is itself uncertain.
    have = works.forward.size
    wanted = int(np.ceil(have * (estimate.stderr / target.stderr) ** 2)) - have
    affordable = left // (2 * protocol.n_steps)
    more = min(max(wanted, 1), have, affordable)
    return replace(protocol, n_replicas=more) if more >= 1 else None
