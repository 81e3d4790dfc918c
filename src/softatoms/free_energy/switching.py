"""Switching forward and backward between equilibrated ends, all replicas of all paths at once.

Every replica equilibrates at its own end for a while and is then led to the other one. The work of
a run in which an atom has changed its place counts for nothing: the end it came to is not the one
that was asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..dynamics import Observer, Outcome, Settings, read_samples, run_dynamics
from ..dynamics.recording import of_system
from ..errors import OptionError
from ..potentials.options import check_positive, check_whole
from ..structure import SoftAtoms
from .einstein import thermal_energy
from .paths import Path
from .places import Places

if TYPE_CHECKING:
    from ..potentials.base import Potential

Floats = NDArray[np.float64]
Direction = Literal["forward", "backward"]
Status = Literal["ok", "failed", "interrupted"]

DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")


@dataclass(frozen=True)
class Protocol:
    """How replicas are switched.

    Attributes:
        equilibration_steps: Steps at the first end.
        switching_steps: Steps from one end to the other.
        n_replicas: Runs in each direction.
        timestep: In fs.
        friction: Of the Langevin thermostat in 1/fs.
        function: How λ goes with time, see :class:`softatoms.dynamics.Schedule`.
        seed: Of everything that is random.
        n_profile: Samples of dE/dλ along the switching.
        n_checks: How often along a run atoms are looked at for having changed places.
    """

    equilibration_steps: int = 5_000
    switching_steps: int = 10_000
    n_replicas: int = 4
    timestep: float = 2.0
    friction: float = 0.01
    function: Literal["smooth", "linear"] = "smooth"
    seed: int = 0
    n_profile: int = 100
    n_checks: int = 10

    def __post_init__(self) -> None:
        for name, least in (
            ("equilibration_steps", 0),
            ("switching_steps", 1),
            ("n_replicas", 1),
            ("seed", 0),
            ("n_profile", 1),
            ("n_checks", 1),
        ):
            object.__setattr__(self, name, check_whole(getattr(self, name), name, least=least))
        for name in ("timestep", "friction"):
            object.__setattr__(self, name, check_positive(getattr(self, name), name))
        if self.function not in ("smooth", "linear"):
            raise OptionError(f"function must be 'smooth' or 'linear', got {self.function!r}")

    @property
    def n_steps(self) -> int:
        """Steps of every replica."""
        return self.equilibration_steps + self.switching_steps


@dataclass(frozen=True)
class Case:
    """One path at one temperature.

    Attributes:
        name: What to call it in tables: printable, without spaces, quotes or '='.
        path: The path.
        temperature: In K.
    """

    name: str
    path: Path
    temperature: float

    def __post_init__(self) -> None:
        check_positive(self.temperature, f"temperature of {self.name}")


@dataclass(frozen=True)
class SwitchingRun:
    """One replica in one direction.

    Attributes:
        direction: ``forward`` or ``backward``.
        replica: Its number.
        work: Work done on the system in eV; nan unless ``status`` is ``ok``.
        status: ``ok``, ``failed`` or ``interrupted``.
        error: Why it is not ``ok``, empty if it is.
        lambdas: λ along the switching, shape (n_samples,).
        slopes: dE/dλ there in eV, shape (n_samples,).
    """

    direction: Direction
    replica: int
    work: float
    status: Status
    error: str
    lambdas: Floats
    slopes: Floats


@dataclass(frozen=True)
class Works:
    """All runs of a case.

    Attributes:
        case: The case.
        runs: Its runs, forward ones first.
        switching_steps: Steps from one end to the other.
        evaluations: Steps of systems that they took, equilibration included.
    """

    case: Case
    runs: tuple[SwitchingRun, ...]
    switching_steps: int
    evaluations: int

    @property
    def forward(self) -> Floats:
        """Works of forward runs that are ``ok`` in eV."""
        return self._of("forward")

    @property
    def backward(self) -> Floats:
        """Works of backward runs that are ``ok`` in eV."""
        return self._of("backward")

    @property
    def dissipation(self) -> float:
        """Mean work lost per run, (⟨W_f⟩ + ⟨W_b⟩)/2 in eV; nan without both directions."""
        if not self.forward.size or not self.backward.size:
            return float("nan")
        return 0.5 * float(self.forward.mean() + self.backward.mean())

    @property
    def status(self) -> Status:
        """``interrupted`` if any run is, ``failed`` if a direction has no work, else ``ok``."""
        if any(run.status == "interrupted" for run in self.runs):
            return "interrupted"
        return "ok" if self.forward.size and self.backward.size else "failed"

    @property
    def error(self) -> str:
        """What went wrong with runs, one sentence; empty if nothing."""
        bad = [run for run in self.runs if run.status != "ok"]
        if not bad:
            return ""
        return f"{len(bad)} of {len(self.runs)} runs {bad[0].status}; the first: {bad[0].error}"

    def joined(self, other: Works) -> Works:
        """With more runs of the same case and length."""
        return Works(
            self.case,
            tuple(
                run
                for direction in DIRECTIONS
                for part in (self, other)
                for run in part.runs
                if run.direction == direction
            ),
            self.switching_steps,
            self.evaluations + other.evaluations,
        )

    def _of(self, direction: Direction) -> Floats:
        return np.array(
            [r.work for r in self.runs if r.direction == direction and r.status == "ok"]
        )


def switch(
    potential: Potential,
    cases: Sequence[Case],
    protocol: Protocol,
    *,
    folder: Any = None,
    first_replica: int = 0,
    **options: Any,
) -> list[Works]:
    """Switch all replicas of all cases, both ways, in one batch.

    Args:
        potential: The energy function.
        cases: Paths and temperatures, with different names.
        protocol: How to switch.
        folder: Folder of the run, which goes on where it was if called again; None for none.
        first_replica: Number of the first replica. Others than before have other random numbers.
        options: Of :func:`softatoms.dynamics.run_dynamics`: ``coupling``, ``dtype``, ``device``,
            ``skin``, ``checkpoint_every``, ``checkpoint_minutes``, ``wall_time``, ``progress``.

    Returns:
        One entry per case. A run that is lost is there with its status.

    Raises:
        OptionError: If an option is unusable.
    """
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        raise OptionError(f"cases must have different names, got {names}")
    starts, settings, labels = [], [], []
    for case in cases:
        for direction in DIRECTIONS:
            for replica in range(first_replica, first_replica + protocol.n_replicas):
                label = f"{case.name}/{direction}/{replica}"
                chosen = _settings(case, protocol, direction, label)
                starts.append(starting_positions(case, direction == "backward", chosen.seed))
                settings.append(chosen)
                labels.append(label)
    observers = (
        Observer("profile", ("lambda", "de_dlambda"), _every(protocol, protocol.n_profile)),
        Observer("places", ("positions",), max(protocol.n_steps // protocol.n_checks, 1)),
    )
    outcomes = run_dynamics(
        potential,
        starts,
        settings,
        n_steps=protocol.n_steps,
        observers=observers,
        folder=folder,
        names=labels,
        **options,
    )
    samples = _samples(outcomes, labels, folder)
    results, per_case = [], 2 * protocol.n_replicas
    for index, case in enumerate(cases):
        own = range(index * per_case, (index + 1) * per_case)
        places = Places(case.path)
        runs = [_run(places, labels[i], outcomes[i], samples[i], protocol) for i in own]
        spent = sum(outcomes[i].steps for i in own)
        results.append(Works(case, tuple(runs), protocol.switching_steps, spent))
    return results


def seed_of(seed: int, *parts: object) -> int:
    """A seed of its own for everything that has a name, 0 to 2⁶³ − 1."""
    text = "/".join([str(seed), *map(str, parts)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def starting_positions(case: Case, at_end: bool, seed: int) -> SoftAtoms:
    """The reference structure; where springs hold at λ = 1, as they would have it.

    Springs of sites that feel nothing else take long to be equilibrated by a weak thermostat. The
    centre of mass stays that of the reference.

    Args:
        case: Path and temperature.
        at_end: Whether the run starts at λ = 1.
        seed: Of the displacements.
    """
    soft, tethers = case.path.soft, case.path.tethers
    if not at_end or tethers is None:
        return soft
    sites = list(tethers.sites)
    spread = np.sqrt(thermal_energy(case.temperature) / np.array(tethers.stiffness))
    draws = np.random.default_rng(seed).standard_normal((len(sites), 3))
    away = np.zeros((len(soft), 3))
    away[sites] = draws * spread[:, None]
    masses = case.path.masses
    return soft.with_positions(soft.positions + away - masses @ away / masses.sum())


def _settings(case: Case, protocol: Protocol, direction: Direction, label: str) -> Settings:
    return Settings(
        timestep=protocol.timestep,
        temperature=case.temperature,
        thermostat="langevin",
        friction=protocol.friction,
        seed=seed_of(protocol.seed, label, case.temperature, protocol.n_steps),
        schedule=case.path.schedule(
            protocol.switching_steps,
            function=protocol.function,
            delay=protocol.equilibration_steps,
            backward=direction == "backward",
        ),
        # The same in both directions, so that one is the other turned round.
        masses="candidates",
        tethers=case.path.tethers,
        fix_com=True,
    )


def _every(protocol: Protocol, count: int) -> int:
    return max(protocol.switching_steps // count, 1)


def _samples(
    outcomes: Sequence[Outcome], labels: Sequence[str], folder: Any
) -> list[dict[str, pa.Table]]:
    if folder is None:
        return [dict(outcome.samples) for outcome in outcomes]
    tables = {name: read_samples(folder, name) for name in ("profile", "places")}
    return [{name: of_system(table, label) for name, table in tables.items()} for label in labels]


def _run(
    places: Places,
    label: str,
    outcome: Outcome,
    samples: dict[str, pa.Table],
    protocol: Protocol,
) -> SwitchingRun:
    _, direction, replica = label.rsplit("/", 2)
    profile = samples["profile"]
    steps = profile["step"].to_numpy()
    later = steps >= protocol.equilibration_steps
    status, error = outcome.status, outcome.error
    moved = places.first_change(samples["places"], outcome)
    if status == "ok" and moved:
        status, error = "failed", moved
    return SwitchingRun(
        direction="forward" if direction == "forward" else "backward",
        replica=int(replica),
        work=outcome.work if status == "ok" else float("nan"),
        status=status,
        error=error,
        lambdas=profile["lambda"].to_numpy()[later],
        slopes=profile["de_dlambda_ev"].to_numpy()[later],
    )
