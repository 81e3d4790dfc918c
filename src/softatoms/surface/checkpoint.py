"""The state of a search in a file, from which it goes on to the last bit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..checkpoint_file import load_checkpoint, save_checkpoint
from .problem import Problem
from .walkers import Found, Tried, Walker

if TYPE_CHECKING:
    from .driver import Method, SearchOptions

KIND = "search"


def save_walkers(
    path: Path,
    problem: Problem,
    method: Method,
    options: SearchOptions,
    walkers: Sequence[Walker],
) -> None:
    """Write what all walkers know."""
    tensors: dict[str, Tensor] = {}
    about: list[dict[str, Any]] = []
    for index, walker in enumerate(walkers):
        kept = list(walker.found)
        if walker.current is not None:
            kept.append(walker.current)
        for place, found in enumerate(kept):
            tensors[f"{index}.{place}.positions"] = torch.from_numpy(found.positions)
            tensors[f"{index}.{place}.species"] = torch.from_numpy(found.species)
        about.append(
            {
                "rng": walker.rng.bit_generator.state,
                "structures": [
                    [found.energy, found.omega, found.fmax, found.evaluations] for found in kept
                ],
                "has_current": walker.current is not None,
                "tried": [list(tried) for tried in walker.tried],
                "evaluations": walker.evaluations,
                "site_evaluations": walker.site_evaluations,
                "stale": walker.stale,
                "round_best": walker.round_best,
                "last_error": walker.last_error,
                "notes": walker.notes,
            }
        )
    own = _identity(problem, method, options, walkers)
    save_checkpoint(path, KIND, own, tensors, {"walkers": about})


def load_walkers(
    path: Path,
    problem: Problem,
    method: Method,
    options: SearchOptions,
    fresh: Sequence[Walker],
) -> list[Walker]:
    """Walkers as they were written, or as they are given if there is no such file.

    Raises:
        CheckpointError: If the file is damaged or belongs to another search.
    """
    loaded = load_checkpoint(path, KIND, _identity(problem, method, options, fresh))
    if loaded is None:
        return list(fresh)
    tensors, about = loaded
    for index, (walker, state) in enumerate(zip(fresh, about["walkers"], strict=True)):
        kept = [
            Found(
                positions=tensors[f"{index}.{place}.positions"].numpy(),
                species=tensors[f"{index}.{place}.species"].numpy(),
                energy=energy,
                omega=omega,
                fmax=fmax,
                evaluations=evaluations,
            )
            for place, (energy, omega, fmax, evaluations) in enumerate(state["structures"])
        ]
        walker.rng.bit_generator.state = state["rng"]
        walker.current = kept.pop() if state["has_current"] else None
        walker.found = kept
        walker.tried = [Tried(*tried) for tried in state["tried"]]
        walker.evaluations = state["evaluations"]
        walker.site_evaluations = state["site_evaluations"]
        walker.stale, walker.round_best = state["stale"], state["round_best"]
        walker.last_error, walker.notes = state["last_error"], state["notes"]
    return list(fresh)


def _identity(
    problem: Problem, method: Method, options: SearchOptions, walkers: Sequence[Walker]
) -> dict[str, str]:
    substrate = hashlib.sha256(
        problem.substrate_positions.tobytes()
        + problem.substrate_numbers.tobytes()
        + problem.cell.tobytes()
        + problem.pbc.tobytes()
        + problem.fixed_substrate.tobytes()
    ).hexdigest()
    search = (
        f"{problem.region!r} {problem.species} {problem.external!r} {problem.reference!r} "
        f"{problem.radii} {problem.closest} {problem.linked} {problem.dtype} {problem.device}"
    )
    return {
        "potential": problem.potential.sha256(),
        "substrate": substrate,
        "problem": search,
        "method": repr(method),
        "options": repr(options),
        "starts": repr([walker.start for walker in walkers]),
    }
