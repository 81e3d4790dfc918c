"""Pretrained and converted models here against their own packages, as ratios within one run.

Prints a table and fails if a ratio is worse than the limit beside it.

    .venv/bin/python benchmarks/backends.py [--quick] [--only chgnet|mace]
"""

from __future__ import annotations

import argparse
import sys

import torch

import backends_chgnet
import backends_mace
import softatoms as sa
from claims import Claim, Stopwatch, verdict


def chgnet(watch: Stopwatch) -> list[Claim]:
    """Everything about CHGNet."""
    potential = sa.load_potential("chgnet")
    claims = backends_chgnet.evaluations(watch)
    backends_chgnet.soft_sites(watch, potential, "chgnet")
    claims += backends_chgnet.heat_flux(watch, potential, "chgnet")
    backends_chgnet.batches(watch, potential, list(backends_chgnet.oxides().values()), "chgnet")
    return claims + backends_chgnet.relaxations()


def main() -> int:
    """Run all, print the table, and tell by the exit code whether every limit is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter timings")
    parser.add_argument("--only", choices=("chgnet", "mace"))
    arguments = parser.parse_args()
    watch = Stopwatch("cpu", 1.0 if arguments.quick else 5.0)
    print(f"torch {torch.__version__}, CPU, {torch.get_num_threads()} threads")
    claims: list[Claim] = []
    if arguments.only != "mace":
        claims += chgnet(watch)
    if arguments.only != "chgnet":
        claims += backends_mace.run(watch)
    return verdict(claims)


if __name__ == "__main__":
    sys.exit(main())
