"""The vacancy of bcc iron by CHGNet: removal of an atom against whole crystals.

    .venv/bin/python benchmarks/free_energy_fe.py --temperature 100 [--cells 3 --replicas 2]

Published with MACE-MP-0 in 250 sites (Nam, Peng, Gómez-Bombarelli, arXiv:2404.10746 and its
notebook): 1.5582(14), 1.5405(18), 1.5188(29) and 1.5003(72) eV at 50, 100, 150 and 200 K. CHGNet is
another potential and gives another number; what is tested is that two paths agree. 54 sites and few
steps: with OMP_NUM_THREADS=1 about ten minutes per temperature.
"""

from __future__ import annotations

import argparse
import sys
import time

from ase.build import bulk

import softatoms as sa
from claims import Claim, verdict
from softatoms.free_energy.defects import Known, vacancy_from_crystals, vacancy_from_removal
from softatoms.free_energy.equilibrium import EquilibrationProtocol, equilibrate
from softatoms.free_energy.estimators import bar
from softatoms.free_energy.paths import frenkel_ladd, removal
from softatoms.free_energy.switching import Case, Protocol, switch
from softatoms.relax import relax_batch

PUBLISHED = {50.0: 1.5582, 100.0: 1.5405, 150.0: 1.5188, 200.0: 1.5003}
MEV = 1000.0


def main() -> int:
    """Run one temperature and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--temperature", type=float, default=100.0)
    parser.add_argument("--cells", type=int, default=3)
    parser.add_argument("--replicas", type=int, default=2, help="in each direction")
    parser.add_argument("--equilibration", type=int, default=80, help="steps of 4 fs")
    parser.add_argument("--switching", type=int, default=160, help="steps of 4 fs")
    given = parser.parse_args()
    potential = sa.load_potential("chgnet")
    options = {"dtype": "float32"}
    cubic = sa.SoftAtoms.from_ase(bulk("Fe", "bcc", a=2.84, cubic=True))
    rest = relax_batch(potential, [cubic], cell="isotropic", fmax=1e-3, **options)[0].soft
    crystal = rest.repeat((given.cells,) * 3)
    count = len(crystal)
    relaxed = relax_batch(
        potential, [crystal, crystal.select(range(1, count))], fmax=5e-3, **options
    )
    static = relaxed[1].energy - (count - 1) / count * relaxed[0].energy
    print(f"{count} sites, a = {rest.cell[0, 0]:.4f} Å; static, fixed cell: {static:.4f} eV")
    state = equilibrate(
        potential,
        [("start", crystal, given.temperature)],
        EquilibrationProtocol(
            cell="static",
            equilibration_steps=given.equilibration,
            sampling_steps=given.switching,
            n_replicas=2,
            timestep=4.0,
            friction=0.02,
            sample_every=4,
        ),
        **options,
    )[0]
    spring, volume = float(state.stiffness[0]), state.volume / count
    print(f"{given.temperature:g} K: k = {spring:.3f} eV/Å²", flush=True)
    paths = {
        "removal": removal(crystal, 0, spring),
        "perfect": frenkel_ladd(crystal, spring, cell_volume=volume),
        "defective": frenkel_ladd(crystal.select(range(1, count)), spring, cell_volume=volume),
    }
    protocol = Protocol(
        equilibration_steps=given.equilibration,
        switching_steps=given.switching,
        n_replicas=given.replicas,
        timestep=4.0,
        friction=0.02,
    )
    found = {}
    for name, path in paths.items():
        start = time.perf_counter()
        works = switch(potential, [Case(name, path, given.temperature)], protocol, **options)[0]
        estimate = bar(works.forward, works.backward, temperature=given.temperature)
        found[name] = Known(path.value(estimate.value, given.temperature), estimate.stderr)
        print(
            f"  {name:10s} {found[name].value:12.4f} ± {estimate.stderr:.4f} eV   lost per run "
            f"{MEV * works.dissipation:.1f} meV   {time.perf_counter() - start:.0f} s   "
            f"{works.error}",
            flush=True,
        )
    alchemical = vacancy_from_removal(found["removal"], found["perfect"], count)
    whole = vacancy_from_crystals(found["defective"], found["perfect"], count)
    print(f"  G alchemical   {alchemical.value:.4f} ± {alchemical.stderr:.4f} eV")
    print(f"  G Frenkel-Ladd {whole.value:.4f} ± {whole.stderr:.4f} eV")
    if given.temperature in PUBLISHED:
        print(f"  published with MACE-MP-0: {PUBLISHED[given.temperature]:.4f} eV")
    gap = alchemical - whole
    return verdict(
        [Claim(f"{given.temperature:g} K: |gap| / error", abs(gap.value) / gap.stderr, 2.0)]
    )


if __name__ == "__main__":
    sys.exit(main())
