"""mace-torch as reference: small models of random parameters, and its calculator."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from softatoms.potentials.mace import Mace
from softatoms.potentials.mace_convert import convert
from softatoms.potentials.mace_import import isolated

NUMBERS = [8, 29, 79]


class Reference(NamedTuple):
    """Energy in eV, forces in eV/Å and stress in eV/Å³."""

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]


@contextlib.contextmanager
def mace_torch(dtype: torch.dtype = torch.float64) -> Iterator[Any]:
    """The package's modules, with a default precision, and without traces afterwards."""
    with isolated():
        import mace.modules

        torch.set_default_dtype(dtype)
        yield mace.modules


def build(
    *,
    blocks: str = "Agnostic",
    first_block: str | None = None,
    hidden: str = "4x0e + 4x1o",
    readout_hidden: str = "5x0e",
    gate: Any = torch.nn.functional.silu,
    readout: str = "NonLinearReadoutBlock",
    scale_shift: bool = True,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    **options: Any,
) -> torch.nn.Module:
    """A model of three elements whose parameters are all random.

    Args:
        blocks: Middle of the name of the interaction blocks after the first.
        first_block: The same for the first one.
        hidden: Irreps of the features.
        readout_hidden: Irreps of the hidden layer of the last readout.
        gate: Activation of the last readout.
        readout: Class of the last readout.
        scale_shift: Whether energies are scaled and shifted.
        seed: Seed of the parameters.
        dtype: Precision in which it is made.
        **options: Whatever else the package's class takes.
    """
    with mace_torch(dtype) as modules:
        from e3nn import o3

        torch.manual_seed(seed)
        heads = options.get("heads") or ["Default"]
        settings: dict[str, Any] = {
            "r_max": 3.4,
            "num_bessel": 6,
            "num_polynomial_cutoff": 5,
            "max_ell": 2,
            "num_interactions": 2,
            "num_elements": len(NUMBERS),
            "hidden_irreps": o3.Irreps(hidden),
            "MLP_irreps": o3.Irreps(readout_hidden),
            "atomic_energies": torch.randn(len(heads), len(NUMBERS)).squeeze(0).numpy(),
            "avg_num_neighbors": 3.0,
            "atomic_numbers": NUMBERS,
            "correlation": 3,
            "gate": gate,
            "radial_MLP": [8, 7],
            "readout_cls": getattr(modules.blocks, readout),
            "interaction_cls": getattr(modules.blocks, f"Real{blocks}InteractionBlock"),
            "interaction_cls_first": getattr(
                modules.blocks, f"Real{first_block or blocks}InteractionBlock"
            ),
        }
        settings.update(options)
        if "edge_irreps" in settings:
            settings["edge_irreps"] = o3.Irreps(settings["edge_irreps"])
        if scale_shift:
            one = len(heads) == 1
            settings["atomic_inter_scale"] = 1.3 if one else [1.3, 0.6]
            settings["atomic_inter_shift"] = -0.2 if one else [-0.2, 0.4]
            model = modules.ScaleShiftMACE(**settings)
        else:
            model = modules.MACE(**settings)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter += 0.3 * torch.randn_like(parameter)
            # Messages strong enough for products of three of them to count.
            for interaction in model.interactions:
                for last in list(interaction.conv_tp_weights.children())[-1:]:
                    getattr(last, "weight", torch.ones(())).mul_(3.0)
        return model


def by_calculator(model: torch.nn.Module, atoms: Atoms, head: str = "Default") -> Reference:
    """What the package's calculator gives in float64."""
    with mace_torch():
        from mace.calculators import MACECalculator

        calculator = MACECalculator(
            models=[model.double()], default_dtype="float64", device="cpu", head=head
        )
        atoms = atoms.copy()
        atoms.calc = calculator
        stress = atoms.get_stress(voigt=False) if all(atoms.pbc) else np.zeros((3, 3))
        return Reference(float(atoms.get_potential_energy()), atoms.get_forces(), stress)


def converted(model: torch.nn.Module, head: str | None = None) -> Mace:
    """The model as softatoms evaluates it."""
    with mace_torch():
        return convert(model.double(), head, {})


@functools.cache
def _small(name: str) -> Mace:
    return converted(build(**SMALL[name]))


def small(name: str) -> Mace:
    """A converted model of its own, by its name in ``SMALL``."""
    return copy.deepcopy(_small(name))


SMALL: dict[str, dict[str, Any]] = {
    "density": {
        "blocks": "AgnosticDensityResidual",
        "first_block": "AgnosticDensity",
        "pair_repulsion": True,
    },
    "agnostic": {
        "blocks": "AgnosticResidual",
        "hidden": "5x0e",
        "scale_shift": False,
        "apply_cutoff": False,
        "distance_transform": "Agnesi",
        "correlation": 2,
    },
}


def saved(model: Any, folder: Path, name: str = "some.model") -> Path:
    """The file that mace-torch would write."""
    with isolated():
        torch.save(model, folder / name)
    return folder / name
