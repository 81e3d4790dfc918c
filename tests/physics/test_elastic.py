"""Elastic constants: lattice sums, second derivatives of the energy, symmetry, stability."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crystals_exact import argon, curvature, lattice_vectors, slope
from scipy.spatial.transform import Rotation

import softatoms as sa
from softatoms.composition.relaxation import Settings as VolumeSettings
from softatoms.composition.relaxation import relax_volumes
from softatoms.errors import OptionError
from softatoms.graph import check_coupling
from softatoms.physics import Options, compare, crystal, elastic_constants
from softatoms.physics.crystals import strained
from softatoms.physics.elastic import averaged
from softatoms.relax import relax

FINE = (5e-4, 1e-3)


def test_springs_are_exact():
    k, a = 1.7, 4.0
    potential = sa.load_potential("harmonic", lattice="fcc", a=a, stiffness=k)
    out = elastic_constants(potential, crystal("fcc", "Ar", a=a), amplitudes=FINE)
    # 12 springs of length² a²/2 per atom of volume a³/4; the energy is k/4 Σ |ε δ|².
    c11 = k * 12 * (a * a / 2) / (6 * a**3 / 4)
    found = (out.cubic.c11, out.cubic.c12, out.cubic.c44)
    np.testing.assert_allclose(found, (c11, 0.0, c11 / 2), rtol=1e-6, atol=1e-8)


def test_pairs_against_a_lattice_sum():
    out = elastic_constants(argon(), crystal("fcc", "Ar", a=5.3), amplitudes=FINE)
    cell = out.soft.cell
    vectors = lattice_vectors(cell)
    r = np.linalg.norm(vectors, axis=1)
    weight = (curvature(r) - slope(r) / r) / r**2 / (2 * abs(np.linalg.det(cell)))
    x2, y2 = vectors[:, 0] ** 2, vectors[:, 1] ** 2
    c11, c12 = (weight * x2 * x2).sum(), (weight * x2 * y2).sum()
    # Cauchy's relation: without pressure C44 is the same sum as C12.
    np.testing.assert_allclose(
        (out.cubic.c11, out.cubic.c12, out.cubic.c44), (c11, c12, c12), rtol=1e-4
    )
    assert out.cubic.c12 == pytest.approx(out.cubic.c44, rel=1e-4)
    assert out.is_stable


@pytest.mark.parametrize("element", ["Cu", "Pt"])
def test_cubic_metal_has_the_bulk_modulus_of_its_pressures(element):
    potential = sa.load_potential("gupta", elements=[element])
    out = elastic_constants(potential, crystal("fcc", element))
    settings = VolumeSettings(
        check_coupling("mean_field"), 1e-8, 60, torch.float64, torch.device("cpu")
    )
    expected = relax_volumes(potential, [out.soft], settings)[0].bulk_modulus
    assert (out.cubic.c11 + 2 * out.cubic.c12) / 3 == pytest.approx(expected, rel=1e-3)
    for bulk, _ in (out.voigt, out.reuss, out.hill):
        assert bulk == pytest.approx((out.cubic.c11 + 2 * out.cubic.c12) / 3, rel=1e-9)
    assert out.reuss[1] <= out.hill[1] <= out.voigt[1]
    assert out.asymmetry < 1e-5
    # The averaged tensor along cubic axes holds nothing but the three constants.
    c = out.cubic
    expected_tensor = np.diag([c.c11 - c.c12] * 3 + [c.c44] * 3)
    expected_tensor[:3, :3] += c.c12
    np.testing.assert_allclose(out.tensor, expected_tensor, atol=1e-9)


@pytest.mark.parametrize("voigt", [0, 2, 3, 5])
def test_second_derivative_of_the_energy_with_inner_relaxation(voigt):
    potential = argon()
    out = elastic_constants(potential, crystal("hcp", "Ar", a=3.76), amplitudes=FINE)
    assert out.cubic is None
    step = 2e-3
    direction = np.zeros((3, 3))
    row, column = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))[voigt]
    direction[row, column] += 0.5
    direction[column, row] += 0.5
    energies = {}
    for sign in (-2, -1, 0, 1, 2):
        soft = strained(out.soft, np.eye(3) + sign * step * direction)
        energies[sign] = relax(potential, soft, fmax=1e-6).energy
    second = (
        -energies[2] + 16 * energies[1] - 30 * energies[0] + 16 * energies[-1] - energies[-2]
    ) / (12 * step**2)
    volume = abs(np.linalg.det(out.soft.cell))
    assert out.tensor[voigt, voigt] == pytest.approx(second / volume, rel=2e-3)
    # Around the hexagonal axis an hexagonal crystal is isotropic.
    c = out.tensor
    assert c[5, 5] == pytest.approx(0.5 * (c[0, 0] - c[0, 1]), rel=1e-9)


def test_inner_relaxation_matters_in_hcp():
    out = elastic_constants(argon(), crystal("hcp", "Ar", a=3.76), amplitudes=FINE)
    stiff = []
    for sign in (1, -1):
        shear = np.eye(3)
        shear[0, 1] = shear[1, 0] = sign * 2.5e-4
        soft = strained(out.soft, shear)
        stiff.append(sa.evaluate(argon(), soft, properties=("stress",)).stress[0, 1].item())
    assert out.tensor[5, 5] < 0.98 * (stiff[0] - stiff[1]) / 1e-3


def test_turning_a_crystal_turns_its_tensor():
    potential = sa.load_potential("gupta", elements=["Cu"])
    straight = elastic_constants(potential, crystal("fcc", "Cu"))
    turn = Rotation.from_rotvec([0.3, -0.5, 0.9]).as_matrix()
    oblique = elastic_constants(potential, strained(crystal("fcc", "Cu"), turn))
    np.testing.assert_allclose(oblique.tensor, averaged(straight.tensor, turn[None]), atol=1e-6)
    for name in ("c11", "c12", "c44"):
        assert getattr(oblique.cubic, name) == pytest.approx(
            getattr(straight.cubic, name), rel=1e-6
        )
    np.testing.assert_allclose(oblique.eigenvalues, straight.eigenvalues, atol=1e-6)
    np.testing.assert_allclose(oblique.hill, straight.hill, rtol=1e-6)


def test_constants_of_a_turned_hexagonal_crystal_are_along_its_axes():
    start = crystal("hcp", "Ar", a=3.76)
    turn = Rotation.from_rotvec([0.3, -0.5, 0.9]).as_matrix()
    straight = elastic_constants(argon(), start)
    oblique = elastic_constants(argon(), strained(start, turn))
    assert np.abs(oblique.tensor - straight.tensor).max() > 0.05 * straight.tensor.max()
    np.testing.assert_allclose(oblique.conventional, straight.tensor, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(straight.conventional, straight.tensor, rtol=1e-9, atol=1e-12)
    rows = compare(
        argon(),
        argon(),
        {"straight": start, "oblique": strained(start, turn)},
        options=Options(checks=("elastic",)),
    )
    found = {(row["crystal"], row["quantity"]): row["model_value"] for row in rows}
    for name in ("C11", "C33", "C13", "C44"):
        assert found["oblique", name] == pytest.approx(found["straight", name], rel=1e-3)


def test_isotropic_tensor_is_the_same_in_all_directions():
    stiff, shear = 1.0, 0.3
    tensor = np.diag([2 * shear] * 3 + [shear] * 3)
    tensor[:3, :3] += stiff
    turns = Rotation.random(5, random_state=0).as_matrix()
    np.testing.assert_allclose(averaged(tensor, turns), tensor, atol=1e-12)


def test_unstable_crystal_is_reported():
    potential = argon(cutoff=5.0, onset=4.5)
    out = elastic_constants(potential, crystal("bcc", "Ar", a=4.4))
    assert out.cubic.c11 < out.cubic.c12
    assert not out.is_stable
    assert out.eigenvalues[0] == pytest.approx(out.cubic.c11 - out.cubic.c12, rel=1e-6)
    assert np.isnan(out.reuss).all()
    assert np.isfinite(out.voigt).all()


@pytest.mark.parametrize("amplitudes", [(), (0.0,), (0.1,), (np.nan,)])
def test_bad_amplitudes(amplitudes):
    with pytest.raises(OptionError, match="amplitudes must be"):
        elastic_constants(argon(), crystal("fcc", "Ar"), amplitudes=amplitudes)
