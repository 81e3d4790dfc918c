"""Al(1-x)ScxN matched to GaN in the plane: x from gradients, from a grid, and from supercells.

    OMP_NUM_THREADS=1 python benchmarks/optimisation.py [--repeat 2 2 2] [--replicates 3]

Everything is computed with CHGNet, the lattice parameter of GaN too. Gradients: multi-start in soft
cells of four sites. Grid: relaxed soft cells at 21 compositions, each started from that before, or
from where the last two lead. All start from the same cell and end with the same tolerances; the run
fails unless every start of ``joint`` takes at most a fifth of the evaluations of either grid.
Supercells: bisection over the compositions that fit, each with several supercells that look random,
all relaxed to the end, and a straight line between the two compositions around the crossing. An
evaluation is an energy with forces and stress; every product with second derivatives counts as one.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import softatoms as sa
from softatoms.composition.optimise import Problem, Target, optimise, supercells
from softatoms.composition.optimise.crystals import bounds_of, soft_crystal_of, targets_of
from softatoms.config import load_config

if TYPE_CHECKING:
    from softatoms.potentials.base import Potential
    from softatoms.structure import SoftAtoms

CONFIG = Path(__file__).parents[1] / "config/paper/aln_scn_gan.yaml"
GRID_POINTS = 21
TIGHT = {"fmax": 1e-3, "smax": 1e-5, "max_steps": 300}
LOOSE = {"fmax": 1e-2, "smax": 5e-5, "max_steps": 300}


def scandium(theta: np.ndarray, soft: SoftAtoms) -> float:
    """Fraction of scandium on the cation sites."""
    return float(theta[list(soft.weight_labels).index("cation:Sc")])


def by_gradients(
    problem: Problem, target: Target, starts: int
) -> tuple[dict[str, SoftAtoms], dict[str, list[int]]]:
    """Print every start; the best structure and the evaluations of each method."""
    best = {}
    counts: dict[str, list[int]] = {}
    for method in ("newton", "exponentiated_gradient", "joint"):
        cpu = time.process_time()
        outcomes = optimise(problem, method=method, starts=starts, seed=0)
        counts[method] = [one.evaluations for one in outcomes]
        cpu = time.process_time() - cpu
        for one in outcomes:
            if one.point is None:
                print(f"  {method}, start {one.start}: {one.status} ({one.error})")
                continue
            a = one.point.quantities["a"]
            print(
                f"  {method}, start {one.start}: x = {scandium(one.point.theta, problem.soft):.4f},"
                f" a − target = {a - (target.value or 0.0):+.1e} Å, {one.relaxation_evaluations} + "
                f"{one.derivative_passes} = {one.evaluations} evaluations, {one.status}"
            )
            best.setdefault(method, one.point.soft)
        print(f"  {method}: {cpu:.1f} s of processor time for {len(outcomes)} starts", flush=True)
    return best, counts


def by_grid(problem: Problem, target: Target, *, extrapolated: bool) -> int:
    """Print x from relaxed soft cells over a grid; the evaluations."""
    cpu = time.process_time()
    shares = np.linspace(0.0, 0.5, GRID_POINTS)
    lengths, evaluations, soft = [], 0, problem.soft
    before: SoftAtoms | None = None
    labels = list(problem.soft.weight_labels)
    for x in shares:
        theta = np.array([x if label.endswith("Sc") else 1.0 - x for label in labels])
        start = soft.with_weights(theta)
        if extrapolated and before is not None:
            start = start.with_positions(
                2.0 * soft.positions - before.positions, 2.0 * soft.cell - before.cell
            )
        (done,) = sa.relax_batch(problem.potential, [start], cell="full", **TIGHT)
        if done.status != "ok":
            raise SystemExit(f"grid at x = {x:.3f}: {done.error}")
        # The first cell is that of the start: two relaxed ones are needed.
        before, soft = soft if lengths else None, done.soft
        evaluations += done.evaluations
        lengths.append(float(np.linalg.norm(soft.cell[0])))
    above = np.flatnonzero(np.array(lengths) > (target.value or 0.0))
    k = int(above[0])
    share = ((target.value or 0.0) - lengths[k - 1]) / (lengths[k] - lengths[k - 1])
    x = shares[k - 1] + share * (shares[k] - shares[k - 1])
    print(
        f"  x = {x:.4f} from {len(shares)} compositions, {evaluations} evaluations, "
        f"{time.process_time() - cpu:.1f} s of processor time"
    )
    line = lengths[0] + (lengths[-1] - lengths[0]) * shares / shares[-1]
    print(f"  largest distance of a from the straight line: {np.abs(lengths - line).max():.4f} Å")
    return evaluations


def by_supercells(
    problem: Problem, target: Target, near: SoftAtoms, repeat: list[int], replicates: int
) -> None:
    """Print x from bisection over the compositions of explicit supercells."""
    cpu = time.process_time()
    cations = int(np.prod(repeat)) * int((problem.soft.site_group >= 0).sum())
    labels = list(problem.soft.weight_labels)
    known: dict[int, tuple[float, float]] = {}
    evaluations = 0
    low, high = 0, cations // 2
    while high - low > 1:
        middle = (low + high) // 2
        counts = [middle if label.endswith("Sc") else cations - middle for label in labels]
        made = supercells(
            near, [counts], repeat, replicates=replicates, shells=3, swaps=2000, seed=0
        )
        done = sa.relax_batch(problem.potential, [soft for soft, _ in made], cell="full", **LOOSE)
        evaluations += sum(one.evaluations for one in done)
        # a and b are equal in the random alloy.
        values = [
            float(np.mean(np.linalg.norm(one.soft.cell[:2], axis=1) / repeat[:2])) for one in done
        ]
        spread = float(np.std(values, ddof=1) / np.sqrt(len(values)))
        known[middle] = float(np.mean(values)), spread
        statuses = ", ".join(one.status for one in done)
        print(
            f"  {middle} of {cations} Sc: a = {np.mean(values):.4f} ± {spread:.4f} Å ({statuses})",
            flush=True,
        )
        if known[middle][0] > (target.value or 0.0):
            high = middle
        else:
            low = middle
    if low not in known or high not in known:
        print(f"  x between {low / cations:.4f} and {high / cations:.4f}")
        return
    slope = known[high][0] - known[low][0]
    x = (low + ((target.value or 0.0) - known[low][0]) / slope) / cations
    error = max(known[low][1], known[high][1]) / slope / cations
    print(
        f"  x = {x:.4f} ± {error:.4f} from {len(known)} compositions × {replicates} supercells of "
        f"{2 * cations} atoms, {evaluations} evaluations, {time.process_time() - cpu:.1f} s"
    )


def main() -> None:
    """Run all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, nargs=3, default=[2, 2, 2])
    parser.add_argument("--replicates", type=int, default=3)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--without-supercells", action="store_true")
    arguments = parser.parse_args()
    config = load_config(CONFIG)
    assert config.optimisation is not None
    (search,) = config.optimisation.searches
    potential: Potential = sa.load_potential(config.potential.name)
    soft, axes = soft_crystal_of(search)
    targets, evaluations = targets_of(search, potential, TIGHT)
    target = targets[0]
    print(f"GaN by CHGNet: a = {target.value:.4f} Å ({evaluations} evaluations)")
    problem = Problem(
        potential, soft, targets, bounds=bounds_of(search), axes=axes, fmax=1e-3, smax=1e-5
    )
    print("gradients")
    best, counts = by_gradients(problem, target, arguments.starts)
    grids = []
    for extrapolated in (False, True):
        print(
            f"grid of soft cells, {'extrapolated' if extrapolated else 'each from the one before'}"
        )
        grids.append(by_grid(problem, target, extrapolated=extrapolated))
    for method, own in counts.items():
        ratios = ", ".join(f"{min(grids) / count:.1f}" for count in own)
        print(f"{method}: {ratios} times fewer evaluations than the cheaper grid")
    assert 5 * max(counts["joint"]) <= min(grids)
    if not arguments.without_supercells:
        print("supercells")
        near = next(iter(best.values()))
        by_supercells(problem, target, near, arguments.repeat, arguments.replicates)


if __name__ == "__main__":
    main()
