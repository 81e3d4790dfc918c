"""Every potential on a GPU against the same on the CPU, then the scaling ratios there.

    python benchmarks/gpu_check.py [--device cuda]

Needs torch, numpy, ase, vesin and safetensors; softatoms itself may be on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk

import softatoms as sa
from softatoms.potentials.base import Potential

PROPERTIES = (
    "energy",
    "forces",
    "stress",
    "weight_gradient",
    "heat_flux",
    "stress_weight_gradient",
    "weight_hessian",
)
LARGEST_DEVIATION = {"float64": 1e-9, "float32": 5e-4}


def potentials() -> list[Potential]:
    """One potential of each kind that covers copper and gold."""
    elements = ["Cu", "Au"]
    return [
        sa.load_potential("lj", epsilon=0.2, sigma=2.4, cutoff=6.0),
        sa.load_potential("gupta", elements=elements),
        sa.load_potential("harmonic", lattice="fcc", a=3.8, stiffness=1.0),
        sa.load_potential("schnet", elements=elements),
        sa.load_potential("painn", elements=elements),
    ]


def systems() -> list[sa.SoftAtoms]:
    """A soft crystal and a larger plain one, both moving."""
    structures = []
    for cells in (2, 3):
        atoms = bulk("Cu", "fcc", a=3.8, cubic=True) * (cells, cells, cells)
        atoms.rattle(0.08, seed=cells)
        velocities = 0.01 * np.random.default_rng(cells).normal(size=atoms.positions.shape)
        structures.append(sa.SoftAtoms.from_ase(atoms).with_velocities(velocities))
    structures[0] = (
        structures[0]
        .with_candidates([0, 5, 9], {"Cu": 0.5, "Au": 0.3}, tie="alloy")
        .with_existence([7], 0.4)
    )
    return structures


def worst_deviation(potential: Potential, dtype: str, device: str) -> float:
    """Largest difference between the two devices, relative to the largest entry of a property."""
    worst = 0.0
    for coupling in ("mean_field", "replica"):
        here, there = (
            sa.evaluate_batch(
                potential,
                systems(),
                properties=PROPERTIES,
                coupling=coupling,
                dtype=kind,
                device=where,
            )
            for where, kind in (("cpu", "float64"), (device, dtype))
        )
        for a, b in zip(here, there, strict=True):
            for name in PROPERTIES:
                expected, found = getattr(a, name), getattr(b, name).cpu()
                if expected.numel():
                    scale = max(float(expected.abs().max()), 1e-6)
                    worst = max(worst, float((expected - found).abs().max()) / scale)
    return worst


def main() -> int:
    """Print a line per potential and precision; the exit code tells whether all agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    device = parser.parse_args().device
    if device.startswith("cuda") and not torch.cuda.is_available():
        print("torch finds no CUDA GPU on this machine: nothing was checked")
        return 2
    name = torch.cuda.get_device_name() if device.startswith("cuda") else "CPU"
    print(f"torch {torch.__version__}, {name}")
    good = True
    for potential in potentials():
        for dtype, limit in LARGEST_DEVIATION.items():
            deviation = worst_deviation(potential, dtype, device)
            good &= deviation <= limit
            verdict = "ok" if deviation <= limit else "DIFFERS"
            print(f"{potential.name:9s} {dtype}: largest deviation {deviation:.1e} {verdict}")
    scaling = Path(__file__).with_name("scaling.py")
    finished = subprocess.run(
        [sys.executable, str(scaling), "--device", device, "--quick"], check=False
    )
    return 0 if good and finished.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
