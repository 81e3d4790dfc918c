"""The chgnet package as reference: its calculator, and its model run in float64."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray
from pymatgen.io.ase import AseAtomsAdaptor

GPA_PER_EV_ANG3 = 160.21766208
"""The package's own value."""


class Reference(NamedTuple):
    """Energy in eV, forces in eV/Å and stress in eV/Å³."""

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]


@contextlib.contextmanager
def quietly() -> Any:
    """The package prints and warns about things that are no business of these tests."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        with contextlib.redirect_stderr(io.StringIO()):
            yield


def package_model(name: str) -> Any:
    """A trained model of the package."""
    with quietly():
        from chgnet.model import CHGNet

        return CHGNet.load(model_name=name, use_device="cpu", verbose=False)


def by_calculator(model: Any, atoms: Atoms) -> Reference:
    """What the package's ASE calculator says (float32)."""
    with quietly():
        from chgnet.model.dynamics import CHGNetCalculator

        copy = atoms.copy()
        copy.calc = CHGNetCalculator(model, use_device="cpu")
        return Reference(
            float(copy.get_potential_energy()),
            copy.get_forces(),
            voigt_6_to_full_3x3_stress(copy.get_stress()),
        )


def in_float64(model: Any, atoms: Atoms) -> Reference:
    """What the package's model says when all of it is turned to float64.

    Its reference energies per element are added here: the package adds them in float32.
    """
    with quietly():
        import chgnet.graph.converter
        import chgnet.model.model

        modules = (chgnet.graph.converter, chgnet.model.model)
        composition = model.composition_model
        try:
            for module in modules:
                module.TORCH_DTYPE = torch.float64
            model.double().composition_model = None
            graph = model.graph_converter(AseAtomsAdaptor.get_structure(atoms))
            out = model.forward([graph], task="efs")
        finally:
            for module in modules:
                module.TORCH_DTYPE = torch.float32
            model.composition_model = composition
            model.float()
    elements = composition.fc.weight.detach().double().ravel()
    reference = float(elements[torch.tensor(atoms.numbers) - 1].sum())
    return Reference(
        float(out["e"][0]) * len(atoms) + reference,
        out["f"][0].detach().numpy(),
        out["s"][0].detach().numpy() / GPA_PER_EV_ANG3,
    )
