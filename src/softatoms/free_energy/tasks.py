"""What is asked for, and the rows that answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..errors import OptionError
from ..physics.crystals import Settings
from ..structure import SoftAtoms
from .equilibrium import EquilibrationProtocol
from .errors import FreeEnergyError
from .estimators import interval_of
from .lengthening import Target
from .switching import Protocol, SwitchingRun, seed_of

Quantity = Literal["vacancy", "composition_change"]
Method = Literal["alchemical", "frenkel_ladd", "harmonic", "static"]

SHARE_TOLERANCE = 0.001
"""By how much the part of the sites that change may differ from the one that was asked for."""


@dataclass(frozen=True)
class Task:
    """One free energy of one crystal at several temperatures, by several methods.

    Attributes:
        name: Of the run, safe in paths.
        cell: The crystal to repeat.
        repeat: Repetitions of it.
        quantity: ``vacancy`` or ``composition_change``.
        temperatures: In K.
        methods: Methods in the order of their rows.
        equilibration: How mean cells and springs are found.
        switching: How replicas are switched.
        site: Site of the cell that is left empty.
        changes: New element by element.
        share: Part of the sites of these elements that change.
        target: When to stop; every path is switched once if None.
        bootstrap: Bootstrap samples of errors; analytic errors if 0.
        seed: Of the choice of sites.
        settings: Tolerances and precision of what is done at rest.
    """

    name: str
    cell: SoftAtoms
    repeat: tuple[int, int, int]
    quantity: Quantity
    temperatures: tuple[float, ...]
    methods: tuple[Method, ...]
    equilibration: EquilibrationProtocol
    switching: Protocol
    site: int = 0
    changes: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0
    target: Target | None = None
    bootstrap: int = 0
    seed: int = 0
    settings: Settings = field(default_factory=Settings)

    def case(self, path: str, temperature: float) -> str:
        """Name of a path at a temperature."""
        return f"{self.name}-{path}-{temperature:g}k"

    def run_id(self, method: str, temperature: float) -> str:
        """Identifier of a row."""
        name = f"{self.name}-{method}"
        return name if method == "static" else f"{name}-{temperature:g}k"

    def changed_sites(self, large: SoftAtoms) -> dict[int, str]:
        """New element of each site of the supercell that changes.

        Raises:
            OptionError: If no site holds the elements, or the share is no whole number of sites.
        """
        symbols = np.array(large.to_ase().get_chemical_symbols())
        found: dict[int, str] = {}
        for old, new in self.changes.items():
            sites = np.flatnonzero(symbols == old)
            if not sites.size:
                held = ", ".join(sorted(set(symbols.tolist())))
                raise OptionError(f"changes: the crystal holds no {old}: {held}")
            count = round(self.share * sites.size)
            if count == 0:
                raise OptionError(f"share: {self.share:g} of {sites.size} sites of {old} is none")
            if abs(count - self.share * sites.size) > SHARE_TOLERANCE * sites.size:
                raise OptionError(
                    f"share: {self.share:g} of {sites.size} sites of {old} is no whole number: "
                    f"take {count / sites.size:.4g} or another supercell"
                )
            random = np.random.default_rng(seed_of(self.seed, self.name, old))
            chosen = sites if count == sites.size else random.choice(sites, count, replace=False)
            found |= dict.fromkeys(sorted(chosen.tolist()), new)
        return found


@dataclass(frozen=True)
class PathRecord:
    """A path that was switched at one temperature.

    Attributes:
        path: What it is, such as ``removal``.
        temperature: In K.
        runs: Its switching runs, of the last length.
        switching_steps: Steps from one end to the other.
    """

    path: str
    temperature: float
    runs: tuple[SwitchingRun, ...]
    switching_steps: int


@dataclass
class Answer:
    """Rows of a task and the runs they rest on.

    Attributes:
        rows: Rows of the table ``free_energy``.
        paths: All paths that were switched.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    paths: list[PathRecord] = field(default_factory=list)


EMPTY: dict[str, Any] = {
    "value_ev": None,
    "stderr_ev": None,
    "low_ev": None,
    "high_ev": None,
    "dissipation_ev": None,
    "hysteresis_ev": None,
    "overlap": None,
    "estimator": "",
    "n_forward": 0,
    "n_backward": 0,
    "switching_steps": 0,
    "jarzynski_forward_ev": None,
    "jarzynski_backward_ev": None,
    "dissipation_mean_ev": None,
    "isolated_ev": None,
    "quantum_ev": None,
    "closure_ev": None,
    "closure_stderr_ev": None,
    "volume_ang3_per_atom": None,
    "n_atoms": 0,
    "n_changed": 0,
    "evaluations": 0,
    "warnings": "",
}
"""Columns of a row that has nothing to say about them."""


def row(
    task: Task,
    method: str,
    temperature: float,
    *,
    error: str = "",
    **values: Any,
) -> dict[str, Any]:
    """A row of the table ``free_energy``.

    Args:
        task: The task.
        method: The method.
        temperature: In K.
        error: What went wrong; the row is failed unless it is empty.
        values: Columns besides those that are empty.
    """
    return {
        "run_id": task.run_id(method, temperature),
        "system": task.name,
        "quantity": task.quantity,
        "method": method,
        "temperature_k": temperature,
        **EMPTY,
        **values,
        "status": "failed" if error else "ok",
        "error": " ".join(error.split()),
    }


@dataclass(frozen=True)
class Doubt:
    """Standard error of one independent term of a free energy.

    Attributes:
        stderr: In eV.
        degrees: Degrees of freedom that it was estimated with; infinite if it is known.
    """

    stderr: float
    degrees: float


def combined(value: float, doubts: Sequence[Doubt]) -> dict[str, Any]:
    """Value, error and interval of a sum of independent terms.

    Args:
        value: The sum in eV.
        doubts: Errors of its terms.
    """
    variances = [doubt.stderr**2 for doubt in doubts]
    total = sum(variances)
    # Welch and Satterthwaite: a term whose error is known adds variance but no doubt about it.
    spread = sum(
        variance**2 / doubt.degrees
        for variance, doubt in zip(variances, doubts, strict=True)
        if np.isfinite(doubt.degrees)
    )
    degrees = total**2 / spread if spread > 0.0 else np.inf
    stderr = float(np.sqrt(total))
    low, high = interval_of(float(value), stderr, degrees)
    return {"value_ev": float(value), "stderr_ev": stderr, "low_ev": low, "high_ev": high}


def reraise_interruption(error: Exception) -> None:
    """An interrupted run is no failure: it goes on when the job is started again."""
    if isinstance(error, FreeEnergyError) and error.status == "interrupted":
        raise error
