"""MACE here against mace-torch's own calculator, with models of random parameters.

.venv/bin/python benchmarks/backends_mace.py [--quick]
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import backends_chgnet
import softatoms as sa
from claims import Claim, Stopwatch, verdict
from softatoms.potentials.base import Potential
from softatoms.potentials.mace_import import isolated

NUMBERS = [8, 22, 28, 29, 38, 79]
WIDTHS = ("64x0e", "64x0e + 64x1o", "128x0e + 128x1o")
"""Features of the models: the first two for every comparison, the last once."""


def models(folder: Path) -> dict[str, Path]:
    """Files of models as large as published ones, by their features."""
    files = {}
    with isolated():
        # e3nn can only be imported after mace-torch.
        from mace import modules  # isort: skip
        from e3nn import o3

        torch.set_default_dtype(torch.float64)
        for width in WIDTHS:
            torch.manual_seed(0)
            model = modules.ScaleShiftMACE(
                r_max=5.0,
                num_bessel=8,
                num_polynomial_cutoff=5,
                max_ell=3,
                interaction_cls=modules.blocks.RealAgnosticResidualInteractionBlock,
                interaction_cls_first=modules.blocks.RealAgnosticInteractionBlock,
                num_interactions=2,
                num_elements=len(NUMBERS),
                hidden_irreps=o3.Irreps(width),
                MLP_irreps=o3.Irreps("16x0e"),
                atomic_energies=torch.zeros(len(NUMBERS)).numpy(),
                avg_num_neighbors=40.0,
                atomic_numbers=NUMBERS,
                correlation=3,
                gate=torch.nn.functional.silu,
                atomic_inter_scale=1.0,
                atomic_inter_shift=0.0,
            )
            files[width] = folder / f"{width.replace(' ', '')}.model"
            torch.save(model, files[width])
    return files


def calculator_of(file: Path, dtype: str) -> Any:
    """mace-torch's own calculator."""
    with isolated():
        from mace.calculators import MACECalculator

        logging.disable(logging.WARNING)
        model = torch.load(file, weights_only=False)
        made = MACECalculator(models=[model], device="cpu", default_dtype=dtype)
        logging.disable(logging.NOTSET)
        return made


def evaluations(watch: Stopwatch, files: dict[str, Path]) -> list[Claim]:
    """One structure at a time through ASE calculators, neighbour lists included."""
    claims = []
    metal, oxide = backends_chgnet.metal(), backends_chgnet.oxide()
    cases = [
        (width, dtype, name, atoms)
        for width in WIDTHS[:2]
        for dtype in ("float32", "float64")
        for name, atoms in (("108-atom metal", metal), ("80-atom oxide", oxide))
    ]
    cases.append((WIDTHS[2], "float32", "256-atom metal", _larger_metal()))
    for width, dtype, name, atoms in cases:
        potential = sa.load_potential("mace", path=files[width], trust=True)
        calculator = sa.SoftCalculator(
            potential, sa.SoftAtoms.from_ase(atoms), dtype=dtype, skin=0.0
        )
        reference = calculator_of(files[width], dtype)
        before = torch.get_default_dtype()
        # mace-torch builds its graphs in torch's default precision.
        torch.set_default_dtype(getattr(torch, dtype))
        ours, theirs = watch.pair(
            backends_chgnet.driven(atoms, calculator), backends_chgnet.driven(atoms, reference)
        )
        torch.set_default_dtype(before)
        print(
            f"  mace {width}, {dtype}, {name}: {1e3 * ours:.0f} ms, package {1e3 * theirs:.0f} ms"
        )
        claims.append(Claim(f"mace {width}, {dtype}, {name}", ours / theirs, 0.5))
    return claims


def _larger_metal() -> Any:
    atoms = backends_chgnet.bulk("Cu", "fcc", a=3.6, cubic=True) * (4, 4, 4)
    atoms.symbols[::3] = "Ni"
    atoms.rattle(0.05, seed=0)
    return atoms


def run(watch: Stopwatch) -> list[Claim]:
    """Everything about MACE."""
    with tempfile.TemporaryDirectory() as folder:
        files = models(Path(folder))
        claims = evaluations(watch, files)
        for width in WIDTHS[:2]:
            potential: Potential = sa.load_potential("mace", path=files[width], trust=True)
            backends_chgnet.soft_sites(watch, potential, f"mace {width}")
            claims += backends_chgnet.heat_flux(watch, potential, f"mace {width}")
            small = backends_chgnet.bulk("Cu", "fcc", a=3.6, cubic=True)
            systems = []
            for seed in range(16):
                atoms = small.copy()
                atoms.symbols[: seed % 4] = "O"
                atoms.rattle(0.05, seed=seed)
                systems.append(atoms)
            backends_chgnet.batches(watch, potential, systems, f"mace {width}")
    return claims


def main() -> int:
    """Run all, print the table, and tell by the exit code whether every limit is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter timings")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, CPU, {torch.get_num_threads()} threads")
    return verdict(run(Stopwatch("cpu", 1.0 if arguments.quick else 5.0)))


if __name__ == "__main__":
    sys.exit(main())
