"""Unusable options are named, with what would be right."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import softatoms as sa
from softatoms.potentials.base import Potential
from softatoms.relax import relax


@pytest.fixture
def potential() -> Potential:
    return sa.load_potential("gupta", elements=["Cu", "Au"])


@pytest.fixture
def soft() -> sa.SoftAtoms:
    return sa.SoftAtoms.from_ase(bulk("Cu", cubic=True, a=3.7))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "ful"}, "unknown cell 'ful': did you mean 'full'?"),
        ({"cell": [True, False]}, "cell must be one of fixed, full, isotropic or six booleans"),
        ({"cell": [1, 1, 1, 0, 0, 0]}, "six booleans for the strains xx, yy, zz, yz, xz, xy"),
        ({"cell": 3}, "cell must be one of"),
        ({"optimiser": "LBFGS"}, "unknown optimiser 'LBFGS': did you mean 'lbfgs'?"),
        ({"optimiser": ["fire"]}, "unknown optimiser"),
        ({"pressure": 0.1}, "pressure does nothing to a fixed cell"),
        ({"pressure": "high"}, "pressure must be a finite number"),
        ({"fmax": 0.0}, "fmax must be a positive number"),
        ({"smax": -1.0}, "smax must be a positive number"),
        ({"max_steps": 1.5}, "max_steps must be a whole number of at least 0"),
        ({"max_step_length": float("nan")}, "max_step_length must be a positive number"),
        ({"on_step": 3}, "on_step must be a function"),
        ({"coupling": "mean"}, "unknown coupling 'mean'"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"fixed_sites": [[0], [1]]}, "fixed_sites must have one entry per structure: 1, got 2"),
        ({"fixed_sites": 3}, "fixed_sites must be a list"),
        ({"fixed_sites": [[4]]}, "fixed_sites of structure 0: site 4 does not exist"),
        ({"fixed_sites": [[True, False]]}, "a mask needs 4 entries, got 2"),
        ({"fixed_sites": [[0.5]]}, "fixed_sites of structure 0 must be whole numbers or a mask"),
        ({"fixed_sites": [[[0], [1, 2]]]}, "fixed_sites of structure 0 must be indices or a mask"),
        ({"fixed_sites": [2]}, "fixed_sites of structure 0 must be whole numbers or a mask"),
    ],
)
def test_is_named(
    potential: Potential, soft: sa.SoftAtoms, options: dict[str, object], message: str
) -> None:
    with pytest.raises(sa.OptionError, match=re.escape(message)):
        sa.relax_batch(potential, [soft], **options)


def test_not_a_list_of_soft_structures(potential: Potential, soft: sa.SoftAtoms) -> None:
    with pytest.raises(sa.OptionError, match="for one structure use relax"):
        sa.relax_batch(potential, soft)
    with pytest.raises(sa.OptionError, match="structure 1 is a Atoms, not SoftAtoms"):
        sa.relax_batch(potential, [soft, soft.to_ase()])
    with pytest.raises(sa.OptionError, match="systems must be a list of SoftAtoms"):
        sa.relax_batch(potential, 3)
    with pytest.raises(sa.OptionError, match="for a list of them use relax_batch"):
        relax(potential, [soft])
    with pytest.raises(sa.OptionError, match="fixed_sites of structure 0 must be indices"):
        relax(potential, soft, fixed_sites=[[0], [1, 2]])
    with pytest.raises(sa.OptionError, match="potential must come from load_potential"):
        sa.relax_batch("gupta", [soft])


@pytest.mark.parametrize("cell", ["full", "isotropic", (True, False, True, False, False, False)])
def test_a_strain_along_the_vacuum(potential: Potential, soft: sa.SoftAtoms, cell: object) -> None:
    slab = soft.select(np.arange(4), pbc=np.array([True, True, False]))
    with pytest.raises(sa.OptionError, match=r"structure 1 cannot be strained along z.*pbc=TTF"):
        sa.relax_batch(potential, [soft, slab], cell=cell)


def test_a_strain_that_tilts_into_the_vacuum(potential: Potential) -> None:
    """The surface lies across no axis: a strain along any of them stretches the vacuum."""
    cell = np.array([[3.6, 0.0, 0.0], [0.0, 2.5, 2.5], [0.0, -6.0, 6.0]])
    slab = sa.SoftAtoms.from_ase(Atoms("Cu", cell=cell, pbc=[True, True, False]))
    with pytest.raises(sa.OptionError, match="cannot be strained along y"):
        sa.relax_batch(potential, [slab], cell=(False, True, False, False, False, False))
    along = (True, False, False, False, False, False)
    assert relax(potential, slab, cell=along).status == "ok"


def test_a_cell_without_volume(potential: Potential) -> None:
    sheet = sa.SoftAtoms.from_ase(
        Atoms("Cu", cell=np.diag([2.5, 2.5, 0.0]), pbc=[True, True, False])
    )
    with pytest.raises(sa.OptionError, match="structure 0 has a cell without volume"):
        sa.relax_batch(potential, [sheet], cell=(True, True, False, False, False, False))
    assert relax(potential, sheet).status == "ok"


def test_six_booleans_of_numpy(potential: Potential, soft: sa.SoftAtoms) -> None:
    mask = np.array([True, True, True, False, False, False])
    assert relax(potential, soft, cell=mask).status == "ok"
