"""Equilibrium windows along a path: the energy of every sample at every λ, for MBAR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..dynamics import Observer, Settings, read_samples, run_dynamics
from ..dynamics.recording import of_system
from ..errors import OptionError
from ..evaluation import evaluate_batch
from ..potentials.options import check_finite, check_positive, check_whole
from .errors import FreeEnergyError
from .paths import Path
from .places import Places
from .switching import Case, Status, seed_of, starting_positions

if TYPE_CHECKING:
    from ..potentials.base import Potential

Floats = NDArray[np.float64]

AT_ONCE = 64
"""Structures that are evaluated in one call."""


@dataclass(frozen=True)
class WindowProtocol:
    """How windows are sampled.

    Attributes:
        lambdas: λ of each window, increasing from 0 to 1.
        equilibration_steps: Steps that count for nothing.
        sampling_steps: Steps that are sampled.
        sample_every: Steps between samples.
        n_replicas: Runs per window.
        timestep: In fs.
        friction: Of the Langevin thermostat in 1/fs.
        seed: Of everything that is random.
    """

    lambdas: tuple[float, ...] = tuple(np.linspace(0.0, 1.0, 11).tolist())
    equilibration_steps: int = 2_000
    sampling_steps: int = 10_000
    sample_every: int = 100
    n_replicas: int = 1
    timestep: float = 2.0
    friction: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        values = tuple(check_finite(value, "lambdas") for value in self.lambdas)
        if len(values) < 2 or values[0] != 0.0 or values[-1] != 1.0 or (np.diff(values) <= 0).any():
            raise OptionError(f"lambdas must increase from 0 to 1, got {self.lambdas}")
        object.__setattr__(self, "lambdas", values)
        for name, least in (
            ("equilibration_steps", 0),
            ("sampling_steps", 1),
            ("sample_every", 1),
            ("n_replicas", 1),
            ("seed", 0),
        ):
            object.__setattr__(self, name, check_whole(getattr(self, name), name, least=least))
        for name in ("timestep", "friction"):
            object.__setattr__(self, name, check_positive(getattr(self, name), name))


@dataclass(frozen=True)
class Windows:
    """Samples of all windows of a case, those of one window after those of the one before.

    Attributes:
        case: The case.
        lambdas: λ of each window, shape (n_windows,).
        energies: Energy of each sample at each λ in eV, shape (n_windows, n_samples).
        counts: Samples of each window, shape (n_windows,).
        replicas: Replica that each sample comes from, shape (n_samples,).
        slopes: dE/dλ of each sample at its own λ in eV, shape (n_samples,).
        steps: Step at which each was taken, shape (n_samples,).
        status: ``ok`` if every window has samples, ``failed`` or ``interrupted``.
        error: What went wrong with runs; empty if nothing.
    """

    case: Case
    lambdas: Floats
    energies: Floats
    counts: NDArray[np.int64]
    replicas: NDArray[np.int64]
    slopes: Floats
    steps: NDArray[np.int64]
    status: Status
    error: str

    def integral(self) -> float:
        """ΔF by the trapezoidal rule over mean dE/dλ in eV: no more than a check of MBAR."""
        means = [part.mean() for part in np.split(self.slopes, np.cumsum(self.counts)[:-1])]
        return float(np.trapezoid(means, self.lambdas))


def sample_windows(
    potential: Potential,
    cases: Sequence[Case],
    protocol: WindowProtocol,
    *,
    folder: Any = None,
    **options: Any,
) -> list[Windows]:
    """Sample all windows of all cases in one batch, and evaluate samples at all λ.

    Args:
        potential: The energy function.
        cases: Paths and temperatures, with different names.
        protocol: How to sample.
        folder: Folder of the run, which goes on where it was if called again; None for none.
        options: As for :func:`softatoms.free_energy.switching.switch`.

    Returns:
        One entry per case. Replicas that are lost, or in which an atom changes its place, are left
        out and named in ``error``.

    Raises:
        FreeEnergyError: If the run is interrupted.
    """
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        raise OptionError(f"cases must have different names, got {names}")
    keys = [
        (case, value, replica)
        for case in cases
        for value in protocol.lambdas
        for replica in range(protocol.n_replicas)
    ]
    labels = [f"{case.name}/{value:.8g}/{replica}" for case, value, replica in keys]
    settings, starts = [], []
    for (case, value, _), label in zip(keys, labels, strict=True):
        seed = seed_of(protocol.seed, label, case.temperature)
        settings.append(_settings(case, protocol, value, seed))
        starts.append(starting_positions(case, value == 1.0, seed))
    outcomes = run_dynamics(
        potential,
        starts,
        settings,
        n_steps=protocol.equilibration_steps + protocol.sampling_steps,
        observers=Observer("samples", ("de_dlambda", "positions"), protocol.sample_every),
        folder=folder,
        names=labels,
        **options,
    )
    for outcome, label in zip(outcomes, labels, strict=True):
        if outcome.status == "interrupted":
            raise FreeEnergyError(f"window {label}: {outcome.error}", "interrupted")
    whole = None if folder is None else read_samples(folder, "samples")
    evaluation: dict[str, Any] = {
        name: options[name] for name in ("coupling", "dtype", "device") if name in options
    }
    results = []
    for case in cases:
        places = Places(case.path)
        parts: list[_Part] = []
        problems: list[str] = []
        for index, (owner, value, replica) in enumerate(keys):
            if owner is not case:
                continue
            outcome, label = outcomes[index], labels[index]
            table = outcome.samples["samples"] if whole is None else of_system(whole, label)
            problem = outcome.error or places.first_change(table, outcome)
            if problem:
                problems.append(f"λ = {value:g}, replica {replica}: {problem}")
                continue
            kept = table.filter(pa.compute.greater(table["step"], protocol.equilibration_steps))
            parts.append(_Part(value, replica, kept))
        results.append(_windows(potential, case, protocol, parts, problems, evaluation))
    return results


@dataclass(frozen=True)
class _Part:
    """Samples of one run."""

    value: float
    replica: int
    table: pa.Table


def _settings(case: Case, protocol: WindowProtocol, value: float, seed: int) -> Settings:
    schedule = case.path.schedule(1, function="constant", at=value)
    return Settings(
        timestep=protocol.timestep,
        temperature=case.temperature,
        thermostat="langevin",
        friction=protocol.friction,
        seed=seed,
        schedule=schedule,
        masses="candidates",
        tethers=case.path.tethers,
        fix_com=True,
    )


def _windows(
    potential: Potential,
    case: Case,
    protocol: WindowProtocol,
    parts: Sequence[_Part],
    problems: Sequence[str],
    evaluation: dict[str, Any],
) -> Windows:
    lambdas = np.array(protocol.lambdas)
    counts = np.array(
        [sum(len(part.table) for part in parts if part.value == value) for value in lambdas]
    )
    rows = [row for part in parts for row in part.table["positions_ang"].to_pylist()]
    error = f"{len(problems)} runs left out; the first: {problems[0]}" if problems else ""
    positions = np.array(rows, dtype=np.float64).reshape(-1, len(case.path.soft), 3)
    return Windows(
        case=case,
        lambdas=lambdas,
        energies=energies_along(potential, case.path, positions, lambdas, **evaluation),
        counts=counts,
        replicas=np.repeat([p.replica for p in parts], [len(p.table) for p in parts]).astype(int),
        slopes=np.concatenate([np.zeros(0), *(p.table["de_dlambda_ev"].to_numpy() for p in parts)]),
        steps=np.concatenate(
            [np.zeros(0, dtype=np.int64), *(p.table["step"].to_numpy() for p in parts)]
        ),
        status="ok" if (counts > 0).all() else "failed",
        error=error,
    )


def energies_along(
    potential: Potential, path: Path, positions: Floats, lambdas: Floats, **evaluation: Any
) -> Floats:
    """E(λ) of configurations in eV, evaluated anew: independent of what a run has kept.

    Args:
        potential: The energy function.
        path: The path.
        positions: Configurations in Å, not wrapped, shape (n_samples, n_sites, 3).
        lambdas: Where along the path, shape (n_windows,).
        evaluation: ``coupling``, ``dtype`` and ``device`` of the potential.

    Returns:
        Shape (n_windows, n_samples).
    """
    start, end = np.array(path.start), np.array(path.end)
    springs = np.zeros(len(positions))
    strength = (0.0, 0.0)
    if path.tethers is not None:
        away = positions[:, list(path.tethers.sites)] - np.array(path.tethers.positions)
        springs = 0.5 * (np.array(path.tethers.stiffness) * (away**2).sum(2)).sum(1)
        strength = path.tethers.strength
    changes = start.size > 0 and bool((start != end).any())
    energies = np.empty((len(lambdas), len(positions)))
    inner = np.empty(len(positions))
    for row, value in enumerate(lambdas.tolist()):
        if row == 0 or changes:
            soft = path.soft.with_weights((1.0 - value) * start + value * end)
            inner = _energies(potential, [soft.with_positions(p) for p in positions], evaluation)
        scale = (1.0 - value) * path.scale[0] + value * path.scale[1]
        grown = (1.0 - value) * strength[0] + value * strength[1]
        energies[row] = scale * inner + grown * springs
    return energies


def _energies(potential: Potential, systems: Sequence[Any], evaluation: dict[str, Any]) -> Floats:
    found: list[float] = []
    for first in range(0, len(systems), AT_ONCE):
        part = evaluate_batch(
            potential, list(systems[first : first + AT_ONCE]), properties=(), **evaluation
        )
        found += [float(one.energy) for one in part]
    return np.array(found)
