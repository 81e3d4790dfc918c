"""Energies and gradients of pools of sites whose weights and positions change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..batch_evaluator import BatchEvaluator
from ..errors import StructureError
from ..evaluation import check_device, check_dtype
from ..graph import Batch
from ..neighbours import Pairs, SkinnedList
from ..runtime import keep_freed_memory
from .problem import Problem

Floats = NDArray[np.float64]

SKIN = 1.0
"""Margin of the neighbour lists in Å: ghosts move far."""

LARGEST = 1e100
"""Numbers beyond it count as infinite."""

WANTED = frozenset({"forces", "weight_gradient"})


class Pool(NamedTuple):
    """Atoms of a substrate and soft sites.

    Attributes:
        positions: Of the substrate and the pool in Å, shape (n_substrate + n_pool, 3).
        weights: Of the pool, shape (n_pool, n_species).
    """

    positions: Floats
    weights: Floats


class Slopes(NamedTuple):
    """Energy of a pool and its first derivatives, external energies included.

    Attributes:
        energy: In eV.
        forces: −dE/dr in eV/Å, shape (n_substrate + n_pool, 3).
        by_weights: dE/dw in eV, shape (n_pool, n_species).
    """

    energy: float
    forces: Floats
    by_weights: Floats


class PoolEvaluator:
    """Evaluates pools of one problem, as many as there are in one pass.

    Args:
        problem: What is searched.
        sizes: Number of soft sites of each pool.
    """

    def __init__(self, problem: Problem, sizes: Sequence[int]) -> None:
        self._problem = problem
        self._device = check_device(problem.device)
        self._dtype = check_dtype(problem.dtype)
        self._potential = problem.potential.cast(self._dtype, self._device)
        self._sizes = list(sizes)
        self._lists = [SkinnedList(self._potential.cutoff, SKIN) for _ in sizes]
        self._batches: dict[tuple[int, ...], BatchEvaluator] = {}
        self.evaluations = np.zeros(len(sizes), dtype=np.int64)
        if self._device.type == "cpu":
            keep_freed_memory()

    @torch.inference_mode(False)
    def evaluate(self, chosen: Sequence[int], pools: Sequence[Pool]) -> list[Slopes | str]:
        """Evaluate some of the pools.

        Args:
            chosen: Their indices.
            pools: Where they are now.

        Returns:
            For each of them what came out, or a text saying what went wrong.
        """
        found: list[Slopes | str] = [""] * len(chosen)
        pairs: dict[int, Pairs] = {}
        problem = self._problem
        for row, index in enumerate(chosen):
            self.evaluations[index] += 1
            try:
                pairs[row] = self._lists[index].pairs(
                    pools[row].positions, problem.cell, problem.pbc
                )
            except StructureError as error:
                found[row] = f"StructureError: {error}"
        waiting = [list(pairs)]
        while waiting:
            rows = waiting.pop()
            if not rows:
                continue
            outs = self._together(rows, chosen, pools, pairs)
            sick = [row for row, out in zip(rows, outs, strict=True) if isinstance(out, str)]
            for row, out in zip(rows, outs, strict=True):
                found[row] = out
            # Numbers that are not finite can spread: the sick are tried again by themselves.
            if sick and len(rows) > 1:
                half = (len(sick) + 1) // 2
                waiting += [sick] if len(sick) < len(rows) else [sick[:half], sick[half:]]
        return found

    def _together(
        self,
        rows: Sequence[int],
        chosen: Sequence[int],
        pools: Sequence[Pool],
        pairs: dict[int, Pairs],
    ) -> Sequence[Slopes | str]:
        problem = self._problem
        positions = [pools[row].positions for row in rows]
        try:
            evaluator = self._evaluator([self._sizes[chosen[row]] for row in rows], rows, pools)
            outs = evaluator.evaluate_joined(
                positions=torch.from_numpy(np.concatenate(positions)).to(self._device),
                cells=torch.from_numpy(np.stack([problem.cell] * len(rows))).to(self._device),
                theta=torch.from_numpy(
                    np.concatenate([pools[row].weights.ravel() for row in rows])
                ).to(self._device),
                pairs=[pairs[row] for row in rows],
                wanted=WANTED,
            )
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a potential raises concerns its structures alone
            return [f"{type(error).__name__}: {error}"] * len(rows)
        energies = outs["energy"].cpu().numpy()
        forces = outs["forces"].cpu().numpy()
        slopes = outs["weight_gradient"].cpu().numpy()
        results: list[Slopes | str] = []
        site = parameter = 0
        for k, row in enumerate(rows):
            n_sites, shape = len(positions[k]), pools[row].weights.shape
            n_weights = int(np.prod(shape))
            results.append(
                self._with_external(
                    pools[row],
                    float(energies[k]),
                    forces[site : site + n_sites],
                    slopes[parameter : parameter + n_weights].reshape(shape),
                )
            )
            site, parameter = site + n_sites, parameter + n_weights
        return results

    def _with_external(
        self, pool: Pool, energy: float, forces: Floats, slopes: Floats
    ) -> Slopes | str:
        external, n_fixed = self._problem.external, self._problem.n_substrate
        if external is not None:
            own = external.energies(pool.positions)
            existence = np.concatenate([np.ones(n_fixed), pool.weights.sum(axis=1)])
            energy += float(existence @ own)
            forces = forces - existence[:, None] * external.gradients(pool.positions)
            slopes = slopes + own[n_fixed:, None]
        for name, values in (("energy", energy), ("force", forces), ("weight gradient", slopes)):
            if not (np.abs(values) < LARGEST).all():
                return f"the {name} is not finite"
        return Slopes(energy, forces, slopes)

    def _evaluator(
        self, sizes: Sequence[int], rows: Sequence[int], pools: Sequence[Pool]
    ) -> BatchEvaluator:
        key = tuple(sizes)
        if key not in self._batches:
            self._batches.clear()
            systems = [self._problem.pool(*pools[row]) for row in rows]
            batch = Batch(systems, self._device)
            self._batches[key] = BatchEvaluator(self._potential, batch, "mean_field", self._dtype)
        return self._batches[key]
