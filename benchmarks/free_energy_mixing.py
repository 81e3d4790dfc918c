"""Free energy of mixing Mo and W by a network trained on DFT data: switching against Monte Carlo.

    python benchmarks/training_dft.py nbmotaw --folder /tmp/nb
    python benchmarks/free_energy_mixing.py switching --model /tmp/nb/model --folder /tmp/mix
    python benchmarks/free_energy_mixing.py exchange --model /tmp/nb/model --folder /tmp/mix
    python benchmarks/free_energy_mixing.py compare --folder /tmp/mix
    python benchmarks/free_energy_mixing.py exact

54 bcc sites in one cell, that of the mean lattice parameter of both metals, for everything.

``switching``: Mo → quasirandom alloy → W by turning atoms into others; the entropy of mixing is
that of an ideal solution, which is left out here. ``exchange``: single atoms of vibrating crystals
change their element at fixed positions with the probability min(1, exp(−(ΔE − Δμ)/kT)), at many Δμ
in one batch, alternated with short Langevin dynamics. It gives the same free energy twice: from the
mean composition at each Δμ, integrated, and from the energies of all proposals by acceptance ratios
between neighbouring compositions (Bennett, J. Comput. Phys. 22, 245 (1976)). Both hold all of the
configurations. ``compare`` puts them side by side; ``exact`` tests the analysis on a solution whose
free energy is known.

With OMP_NUM_THREADS=1 about two minutes per temperature and part.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

import softatoms as sa
from claims import Claim, verdict
from exchange_of_atoms import Proposals, exact_proposals, excess_from_proposals
from softatoms.composition.lattices import shell_counts
from softatoms.composition.sqs import decorate_sites
from softatoms.dynamics import Settings, run_dynamics
from softatoms.free_energy.defects import Known
from softatoms.free_energy.einstein import thermal_energy
from softatoms.free_energy.estimators import bar
from softatoms.free_energy.paths import substitution
from softatoms.free_energy.switching import Case, Protocol, seed_of, switch
from softatoms.potentials.base import Potential
from softatoms.relax import relax_batch

Floats = NDArray[np.float64]

FIRST, SECOND = "Mo", "W"
CELLS = 3
SQS = 3
TIMESTEP, FRICTION = 4.0, 0.02
OPTIONS = {"dtype": "float32"}
MEV = 1000.0

AIMED = np.linspace(0.02, 0.98, 18)
"""Compositions that Δμ are chosen for, one replica each. What they come to is a result."""


def main() -> int:
    """Run what is asked for and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("exact", "switching", "exchange", "compare"))
    parser.add_argument("--model", help="folder of the trained potential")
    parser.add_argument("--folder", type=Path, help="results go here")
    parser.add_argument("--temperatures", default="500,1000,1500", help="in K")
    parser.add_argument("--shares", default="0.5", help="of W, of switching")
    parser.add_argument("--replicas", type=int, default=2, help="of switching, each way")
    parser.add_argument("--steps", type=int, default=200, help="of switching, of 4 fs")
    parser.add_argument("--sweeps", type=int, default=40, help="of exchange")
    given = parser.parse_args()
    if given.what == "exact":
        return verdict(_exact())
    if given.folder is None:
        parser.error("--folder is required")
    if given.what == "compare":
        return verdict(_compare(given.folder))
    if given.model is None:
        parser.error("--model is required to compute")
    potential = sa.load_potential(given.model)
    given.folder.mkdir(parents=True, exist_ok=True)
    lattice = _lattice(potential)
    for kelvin in [float(value) for value in given.temperatures.split(",")]:
        started = time.process_time()
        if given.what == "exchange":
            found = _exchange(potential, lattice, kelvin, given.sweeps)
            np.savez(given.folder / f"exchange-{kelvin:g}.npz", **asdict(found))
        else:
            for share in [float(value) for value in given.shares.split(",")]:
                path = given.folder / f"switching-{kelvin:g}-{share:g}.json"
                mixed = _switching(potential, lattice, kelvin, share, given.replicas, given.steps)
                path.write_text(json.dumps(asdict(mixed)))
        print(f"{kelvin:g} K: {time.process_time() - started:.0f} s of processor time", flush=True)
    return 0


def _lattice(potential: Potential) -> Atoms:
    """Sites of the cell that everything is done in, all of the first element."""
    metals = [sa.SoftAtoms.from_ase(bulk(e, "bcc", a=3.18, cubic=True)) for e in (FIRST, SECOND)]
    rest = relax_batch(potential, metals, cell="isotropic", fmax=1e-3)
    a = float(np.mean([one.soft.cell[0, 0] for one in rest]))
    print(f"a = {a:.4f} Å, of the metals {[round(one.soft.cell[0, 0], 4) for one in rest]}")
    return bulk(FIRST, "bcc", a=a, cubic=True) * ((CELLS,) * 3)


def _decorated(lattice: Atoms, is_second: NDArray[np.bool_]) -> Atoms:
    atoms = lattice.copy()
    atoms.symbols[is_second] = SECOND
    return atoms


def _quasirandom(lattice: Atoms, share: float, seed: int) -> NDArray[np.bool_]:
    """Which sites hold the second element, pairs of four shells as random as they can be."""
    one = np.zeros(len(lattice), dtype=np.int64)
    counts = shell_counts(lattice.positions, lattice.cell.array, one, 4, apart=0.1)
    # The nearest number of atoms: a quarter of 54 sites is none.
    part = round(share * len(lattice)) / len(lattice)
    weights = {FIRST: 1.0 - part, SECOND: part}
    rng = np.random.default_rng(seed)
    symbols, error = decorate_sites(one, [weights], counts, swaps=5000, rng=rng)
    print(f"  quasirandom, x = {part:.4f}: deviation of pairs {error:.4f}")
    return np.array(symbols) == SECOND


@dataclass(frozen=True)
class Mixed:
    """Free energies of mixing by switching, without the ideal entropy, in eV/atom.

    Attributes:
        temperature: In K.
        share: Of the second element.
        values: Of each quasirandom cell.
        stderrs: Of the works, of each.
        closures: |Mo → alloy + alloy → W − (Mo → W)| over its standard error, of each.
        at_rest: Energy of mixing of each on lattice sites.
        relaxed: The same with all sites and cells at rest, the metals as well.
        lost: Work lost per run over kT, of each leg.
    """

    temperature: float
    share: float
    values: list[float]
    stderrs: list[float]
    closures: list[float]
    at_rest: list[float]
    relaxed: list[float]
    lost: list[float]

    @property
    def mean(self) -> Known:
        """Mean over cells; the error is that of their spread, if that is larger than of works."""
        works = float(np.sqrt(np.sum(np.square(self.stderrs)))) / len(self.stderrs)
        spread = float(np.std(self.values, ddof=1)) / np.sqrt(len(self.values))
        return Known(float(np.mean(self.values)), max(works, spread))


def _switching(
    potential: Potential, lattice: Atoms, kelvin: float, share: float, replicas: int, steps: int
) -> Mixed:
    count = len(lattice)
    cells = [_quasirandom(lattice, share, seed) for seed in range(SQS)]
    everything = np.ones(count, dtype=np.bool_)
    metal = sa.SoftAtoms.from_ase(lattice)
    legs = {"whole": substitution(metal, dict.fromkeys(range(count), SECOND))}
    for index, cell in enumerate(cells):
        alloy = sa.SoftAtoms.from_ase(_decorated(lattice, cell))
        to_alloy = dict.fromkeys(np.flatnonzero(cell).tolist(), SECOND)
        legs[f"to-alloy-{index}"] = substitution(metal, to_alloy)
        to_metal = dict.fromkeys(np.flatnonzero(~cell).tolist(), SECOND)
        legs[f"from-alloy-{index}"] = substitution(alloy, to_metal)
    protocol = Protocol(
        equilibration_steps=80,
        switching_steps=steps,
        n_replicas=replicas,
        timestep=TIMESTEP,
        friction=FRICTION,
        seed=seed_of(0, kelvin, share),
        n_checks=2,
        n_profile=2,
    )
    cases = [Case(name, path, kelvin) for name, path in legs.items()]
    found, lost = {}, []
    for works in switch(potential, cases, protocol, **OPTIONS):
        assert works.error == "", works.error
        estimate = bar(works.forward, works.backward, temperature=kelvin, bootstrap=300)
        name = works.case.name
        found[name] = Known(legs[name].value(estimate.value, kelvin), estimate.stderr)
        lost.append(works.dissipation / thermal_energy(kelvin))
    x = float(cells[0].mean())
    values, closures = [], []
    for index in range(SQS):
        first, second = found[f"to-alloy-{index}"], found[f"from-alloy-{index}"]
        values.append((first.scaled(1.0 - x) - second.scaled(x)).scaled(1.0 / count))
        gap = first + second - found["whole"]
        closures.append(abs(gap.value) / gap.stderr)
    alloys = [sa.SoftAtoms.from_ase(_decorated(lattice, cell)) for cell in cells]
    metals = [metal, sa.SoftAtoms.from_ase(_decorated(lattice, everything))]
    one = {"fmax": 1e-2, **OPTIONS}
    relaxed = [
        r.energy for r in relax_batch(potential, [*metals, *alloys], cell="isotropic", **one)
    ]
    resting = [
        float(e.energy)
        for e in sa.evaluate_batch(potential, [*metals, *alloys], properties=("energy",), **OPTIONS)
    ]
    mixed = Mixed(
        kelvin,
        x,
        [value.value for value in values],
        [value.stderr for value in values],
        closures,
        _of_mixing(resting, x, count),
        _of_mixing(relaxed, x, count),
        lost,
    )
    print(f"{kelvin:g} K, x = {x:.4f}, switching, meV/atom, ideal entropy left out")
    for index, value in enumerate(values):
        print(
            f"  {MEV * value.value:8.2f} ± {MEV * value.stderr:.2f}   at rest "
            f"{MEV * mixed.at_rest[index]:.2f}, relaxed {MEV * mixed.relaxed[index]:.2f}   "
            f"closure {closures[index]:.1f} standard errors"
        )
    print(f"  mean {MEV * mixed.mean.value:.2f} ± {MEV * mixed.mean.stderr:.2f}", flush=True)
    return mixed


def _of_mixing(energies: Sequence[float], x: float, count: int) -> list[float]:
    first, second, *alloys = energies
    return [(e - (1.0 - x) * first - x * second) / count for e in alloys]


def _exchange(potential: Potential, lattice: Atoms, kelvin: float, sweeps: int) -> Proposals:
    guess = _regular(potential, lattice)
    ideal = thermal_energy(kelvin) * np.log(AIMED / (1.0 - AIMED))
    potentials = guess[0] + guess[1] * (1.0 - 2.0 * AIMED) + ideal
    proposals = _sampled(potential, lattice, kelvin, potentials, AIMED, sweeps)
    print(f"{kelvin:g} K, exchange, {proposals.change.size} proposals")
    print(f"  accepted {(proposals.after != proposals.before).mean():.3f}")
    means = proposals.after.mean(axis=0) / len(lattice)
    for delta, mean in zip(potentials, means, strict=True):
        print(f"  Δμ = {delta:9.4f} eV   x = {mean:.4f}", flush=True)
    return proposals


def _regular(potential: Potential, lattice: Atoms) -> tuple[float, float]:
    """Energy of one more atom of the second element, and Ω of a regular solution, in eV."""
    count = len(lattice)
    half = _quasirandom(lattice, 0.5, 99)
    soft = [
        sa.SoftAtoms.from_ase(_decorated(lattice, which))
        for which in (np.zeros(count, np.bool_), np.ones(count, np.bool_), half)
    ]
    found = sa.evaluate_batch(potential, soft, properties=("energy",), **OPTIONS)
    first, second, alloy = [float(one.energy) / count for one in found]
    return second - first, 4.0 * (alloy - 0.5 * (first + second))


def _sampled(
    potential: Potential,
    lattice: Atoms,
    kelvin: float,
    potentials: Floats,
    starts: Floats,
    sweeps: int,
    *,
    proposals_per_sweep: int = 27,
    steps: int = 8,
) -> Proposals:
    """Monte Carlo of elements and dynamics of positions in turns; the first tenth is dropped."""
    count, thermal = len(lattice), thermal_energy(kelvin)
    rng = np.random.default_rng(seed_of(0, "exchange", kelvin))
    is_second = np.zeros((len(potentials), count), dtype=np.bool_)
    for row, share in zip(is_second, starts, strict=True):
        row[rng.permutation(count)[: round(share * count)]] = True
    one = np.zeros(count, dtype=np.int64)
    shell = shell_counts(lattice.positions, lattice.cell.array, one, 1, apart=0.1)[0]
    positions = np.repeat(lattice.positions[None], len(potentials), axis=0)
    rows = np.arange(len(potentials))
    dropped = max(sweeps // 10, 1)
    records, unlike = [], []
    for sweep in range(-dropped, sweeps):
        systems = [
            sa.SoftAtoms.from_ase(_placed(lattice, which, where))
            for which, where in zip(is_second, positions, strict=True)
        ]
        # Velocities are drawn anew, as they have to be for atoms that have another mass now.
        settings = [
            Settings(
                timestep=TIMESTEP,
                temperature=kelvin,
                thermostat="langevin",
                friction=FRICTION,
                seed=seed_of(0, kelvin, sweep, row),
            )
            for row in rows
        ]
        first = 60 if sweep == -dropped else steps
        outcomes = run_dynamics(potential, systems, settings, n_steps=first, **OPTIONS)
        assert all(outcome.status == "ok" for outcome in outcomes), outcomes[0].error
        positions = np.stack([outcome.soft.positions for outcome in outcomes])
        energies = np.array([outcome.energy for outcome in outcomes])
        for _ in range(proposals_per_sweep):
            sites = rng.integers(count, size=len(rows))
            trial = is_second.copy()
            trial[rows, sites] ^= True
            systems = [
                sa.SoftAtoms.from_ase(_placed(lattice, which, where))
                for which, where in zip(trial, positions, strict=True)
            ]
            found = sa.evaluate_batch(potential, systems, properties=("energy",), **OPTIONS)
            change = np.array([float(each.energy) for each in found]) - energies
            up = trial[rows, sites]
            drive = change - np.where(up, potentials, -potentials)
            accept = np.log(rng.random(len(rows))) < -drive / thermal
            before = is_second.sum(axis=1)
            is_second[accept] = trial[accept]
            energies = energies + np.where(accept, change, 0.0)
            if sweep >= 0:
                records.append((before, up, change, is_second.sum(axis=1)))
        if sweep >= 0:
            sign = is_second.astype(np.float64)
            pairs = np.einsum("ri,ij,rj->r", sign, shell, 1.0 - sign)
            unlike.append(2.0 * pairs / shell.sum())
    before, up, change, after = (np.stack(column) for column in zip(*records, strict=True))
    return Proposals(potentials, before, up, change, after, np.stack(unlike))


def _placed(lattice: Atoms, is_second: NDArray[np.bool_], positions: Floats) -> Atoms:
    atoms = _decorated(lattice, is_second)
    atoms.positions = positions
    return atoms


def _exact() -> list[Claim]:
    """The analysis of exchanges on a solution whose free energy is known."""
    claims = []
    for seed in range(6):
        proposals, exact = exact_proposals(1000.0, 54, 30, AIMED, seed)
        found = excess_from_proposals(proposals, 1000.0, 54)
        for name, values in (("ratios", found.ratios), ("x(Δμ)", found.integral)):
            half = values[27]
            print(
                f"seed {seed}, {name:6s} {MEV * half.value:8.2f} ± {MEV * half.stderr:.2f} meV/atom"
                f"   exact {MEV * exact[27]:8.2f}"
            )
            away = abs(half.value - exact[27]) / half.stderr
            claims.append(Claim(f"seed {seed}: |{name} − exact| / error", away, 4.0))
    return claims


def _compare(folder: Path) -> list[Claim]:
    """Switching beside Monte Carlo, at the compositions and temperatures that both have."""
    claims = []
    print("meV/atom, the ideal entropy left out; order: of the first shell at x = 1/2")
    print(
        f"{'T':>6s} {'x':>6s} {'switching':>16s} {'ratios':>16s} {'x(Δμ)':>16s} "
        f"{'switching - ratios':>18s} {'order':>16s}"
    )
    for path in sorted(folder.glob("switching-*.json")):
        mixed = Mixed(**json.loads(path.read_text()))
        other = folder / f"exchange-{mixed.temperature:g}.npz"
        if not other.exists():
            continue
        count = 2 * CELLS**3
        with np.load(other) as columns:
            found = excess_from_proposals(Proposals(**columns), mixed.temperature, count)
        n = round(mixed.share * count)
        ratios, integral, order = found.ratios[n], found.integral[n], found.order.scaled(1.0 / MEV)
        gap = mixed.mean - ratios
        numbers = (mixed.mean, ratios, integral, gap, order)
        print(
            f"{mixed.temperature:6g} {mixed.share:6.3f} "
            + " ".join(f"{MEV * v.value:8.3f} ± {MEV * v.stderr:5.3f}" for v in numbers)
        )
        at = f"{mixed.temperature:g} K, x = {mixed.share:.3f}: "
        both = ratios - integral
        claims.append(Claim(at + "|ratios − x(Δμ)| / error", abs(both.value) / both.stderr, 3.0))
        # The quasirandom path lacks short-range order, which can only lower the free energy.
        claims.append(Claim(at + "(ratios − switching) / error", -gap.value / gap.stderr, 3.0))
        claims.append(Claim(at + "largest closure / error", max(mixed.closures), 3.0))
    return claims


if __name__ == "__main__":
    sys.exit(main())
