"""What tensor features of PaiNN add: angles at sites where vector features vanish."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms

import softatoms as sa
from softatoms.errors import OptionError
from softatoms.potentials.painn import quadrupoles
from tolerances import assert_close


def network(max_order: int) -> sa.Potential:
    return sa.load_potential(
        "painn",
        elements=["Cu"],
        cutoff=2.6,
        n_features=8,
        n_layers=1,
        typical_neighbours=4.0,
        max_order=max_order,
    )


def cross(angle: float) -> sa.SoftAtoms:
    """An atom with two pairs of opposite neighbours at 2 Å and an angle between the pairs."""
    arm = 2.0 * np.array([np.cos(angle), np.sin(angle), 0.0])
    axis = np.array([2.0, 0.0, 0.0])
    return sa.SoftAtoms.from_ase(Atoms("Cu5", positions=[0 * axis, axis, -axis, arm, -arm]))


@pytest.mark.parametrize(("max_order", "sees_angles"), [(1, False), (2, True)])
def test_angles_around_a_centre_of_inversion(max_order: int, sees_angles: bool) -> None:
    potential = network(max_order)
    # The neighbours are out of each other's reach at both angles.
    square, leaning = (
        float(sa.evaluate(potential, cross(np.deg2rad(angle))).site_energies[0])
        for angle in (90.0, 85.0)
    )
    assert (abs(square - leaning) > 1e-6) == sees_angles


def test_products_of_quadrupoles_are_the_second_legendre_polynomial() -> None:
    rng = np.random.default_rng(0)
    vectors = torch.from_numpy(rng.normal(size=(20, 3)))
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    cosines = unit @ unit.T
    found = quadrupoles(unit) @ quadrupoles(unit).T
    assert_close(found, 1.5 * cosines**2 - 0.5, "same")


def test_the_published_network_is_what_it_was(tmp_path) -> None:
    plain = network(1)
    assert "max_order" not in plain.options
    sa.save_potential(network(2), tmp_path / "model")
    loaded = sa.load_potential(tmp_path / "model")
    assert loaded.options["max_order"] == 2
    assert loaded.sha256() == network(2).sha256()


@pytest.mark.parametrize("order", [0, 3, 1.5, True])
def test_other_orders_are_refused(order: object) -> None:
    with pytest.raises(OptionError, match="max_order must be"):
        sa.load_potential("painn", elements=["Cu"], max_order=order)
