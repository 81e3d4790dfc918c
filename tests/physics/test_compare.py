"""Rows of two potentials side by side, failures included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ase.build import bulk
from crystals_exact import argon
from pymatgen.symmetry import analyzer
from scipy.spatial.transform import Rotation

import softatoms as sa
from softatoms import tables
from softatoms.errors import OptionError
from softatoms.physics import CHECKS, Options, compare, crystal
from softatoms.physics.crystals import strained
from softatoms.provenance import Provenance
from softatoms.structure import SoftAtoms

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = Provenance(
    campaign="checks",
    git_revision="unknown",
    config_hash="0",
    seed=0,
    model_sha256="",
    dtype="float64",
    device="cpu",
    packages={},
    created_utc="2020-01-01T00:00:00+00:00",
)

ERRORS = ("phonon_sum_rule", "eos_residual", "elastic_extrapolation")
"""What is no property of the potential but tells how well one is known."""

SMALL = Options(vacancy_repeat=(3, 3, 3), facets=((1, 1, 1),))


def by_quantity(rows):
    return {row["quantity"]: row for row in rows}


def test_all_checks_of_two_potentials(tmp_path: Path):
    stiff = sa.load_potential("lj", epsilon=0.011, sigma=3.405, cutoff=8.0, onset=6.5)
    rows = compare(stiff, argon(), {"argon": crystal("fcc", "Ar", a=5.3)}, options=SMALL)
    found = by_quantity(rows)
    assert {row["status"] for row in rows} == {"ok"}
    # Everything but lengths and pure numbers is proportional to ε, frequencies to its root.
    ratio = 0.011 / 0.01042
    for name, row in found.items():
        expected = {"Å": 1.0, "Å³/atom": 1.0, "1": 1.0, "THz": ratio**0.5}.get(row["unit"], ratio)
        if name in ERRORS:
            continue
        # Positions around a vacancy are relaxed to the same force, not to the same fraction of ε.
        assert row["model_value"] == pytest.approx(expected * row["reference_value"], rel=1e-3)
        assert row["difference"] == row["model_value"] - row["reference_value"]
        sign = 1 if row["reference_value"] > 0 else -1
        assert row["relative_error"] == pytest.approx(sign * (expected - 1), abs=1e-3)
    for name in ("a", "bulk_modulus", "C44", "vacancy_Ar_site0_zero_stress", "phonon_X_3"):
        assert name in found
    assert found["surface_(1 1 1)"]["unit"] == "J/m²"
    written = tables.write_table(tmp_path / "t.parquet", "physics_checks", rows, ORIGIN)
    assert tables.read_table(tmp_path / "t.parquet", "physics_checks").rows() == written.rows()


def test_any_cell_of_a_crystal_has_the_same_phonons():
    start = crystal("fcc", "Ar", a=5.3)
    turn = Rotation.from_rotvec([0.3, -0.5, 0.9]).as_matrix()
    cube = SoftAtoms.from_ase(bulk("Ar", cubic=True, a=5.3))
    cells = {"one": start, "cube": cube, "oblique": strained(cube, turn)}
    rows = compare(argon(), argon(), cells, options=Options(checks=("phonons",)))
    found = {name: [r for r in rows if r["crystal"] == name] for name in cells}
    values = {n: {r["quantity"]: r["model_value"] for r in own} for n, own in found.items()}
    # What is called X in the lattice of the cube is another wave vector.
    assert {"phonon_X_1", "phonon_L_3"} < values["one"].keys()
    for name in ("cube", "oblique"):
        assert values[name].keys() == values["one"].keys()
        for quantity, value in values["one"].items():
            if quantity not in ERRORS:
                assert values[name][quantity] == pytest.approx(value, rel=1e-4)


def test_phonons_of_isotopes_need_a_primitive_cell():
    atoms = bulk("Ar", cubic=True, a=5.3)
    atoms.set_masses([36.0, 40.0, 40.0, 40.0])
    rows = compare(argon(), argon(), {"argon": atoms}, options=Options(checks=("phonons",)))
    assert [row["status"] for row in rows] == ["failed"]
    assert "need its primitive cell, of 1 sites; this one has 4" in rows[0]["error"]


def test_a_potential_with_itself():
    rows = compare(argon(), argon(), {"argon": crystal("fcc", "Ar")}, options=SMALL)
    assert all(row["difference"] == 0.0 for row in rows)


def test_unstable_crystals_keep_their_numbers():
    soft = argon(cutoff=5.0, onset=4.5)
    options = Options(checks=("elastic", "phonons"), phonon_repeat=(3, 3, 3))
    rows = compare(
        soft, soft, {"argon": crystal("bcc", "Ar", a=4.4)}, model="short", options=options
    )
    found = by_quantity(rows)
    assert {row["status"] for row in rows} == {"unstable"}
    assert found["elastic_smallest_eigenvalue"]["model_value"] < 0
    assert "short: a strain gains energy" in found["C11"]["error"]
    assert "imaginary frequency" in found["phonon_lowest"]["error"]


def test_stable_in_one_potential_only(tmp_path: Path):
    start = {"argon": crystal("bcc", "Ar", a=4.4)}
    springs = sa.load_potential("harmonic", lattice="bcc", a=4.4, stiffness=0.5)
    rows = compare(
        argon(cutoff=5.0, onset=4.5), springs, start, options=Options(checks=("elastic",))
    )
    found = by_quantity(rows)
    assert {row["status"] for row in rows} == {"unstable"}
    assert found["shear_modulus_hill"]["model_value"] is None
    assert found["shear_modulus_hill"]["reference_value"] > 0
    assert found["shear_modulus_voigt"]["difference"] is not None
    tables.write_table(tmp_path / "t.parquet", "physics_checks", rows, ORIGIN)


def test_what_one_potential_cannot_do(tmp_path: Path):
    copper = sa.load_potential("gupta", elements=["Cu"])
    both = sa.load_potential("gupta", elements=["Cu", "Au"])
    gold = {"gold": crystal("fcc", "Au"), "copper": crystal("fcc", "Cu")}
    rows = compare(copper, both, gold, options=Options(checks=("equation_of_state",)))
    failed = [row for row in rows if row["crystal"] == "gold"]
    assert failed
    assert {row["status"] for row in failed} == {"failed"}
    assert any("Au" in row["error"] for row in failed)
    assert any(row["reference_value"] is not None for row in failed)
    good = [row for row in rows if row["crystal"] == "copper"]
    assert {row["status"] for row in good} == {"ok"}
    tables.write_table(tmp_path / "t.parquet", "physics_checks", rows, ORIGIN)


def test_unknown_chemical_potential_is_a_row():
    both = sa.load_potential("gupta", elements=["Cu", "Au"])
    start = {"alloy": crystal("B2", ["Cu", "Au"])}
    rows = compare(both, both, start, options=Options(checks=("vacancy",)))
    assert [row["quantity"] for row in rows] == ["vacancy"]
    assert "is unknown" in rows[0]["error"]
    assert rows[0]["status"] == "failed"


def test_undetermined_symmetry_is_a_row(monkeypatch: pytest.MonkeyPatch):
    def fails(*arguments, **options):
        raise ValueError("spglib gives up")

    monkeypatch.setattr(analyzer, "SpacegroupAnalyzer", fails)
    start = {"argon": crystal("fcc", "Ar", a=5.3)}
    rows = compare(argon(), argon(), start, options=Options(checks=("elastic", "phonons")))
    found = by_quantity(rows)
    assert found["elastic"]["status"] == "failed"
    assert "cannot be told: spglib gives up" in found["elastic"]["error"]
    assert found["phonon_X_1"]["status"] == "ok"


def test_bad_input():
    potential, start = argon(), {"argon": crystal("fcc", "Ar")}
    with pytest.raises(OptionError, match="potential must come"):
        compare("lj", potential, start)
    with pytest.raises(OptionError, match="labeller must come"):
        compare(potential, None, start)
    with pytest.raises(OptionError, match="one at least"):
        compare(potential, potential, {})
    with pytest.raises(OptionError, match="did you mean 'phonons'"):
        compare(potential, potential, start, options=Options(checks=("phonon",)))
    with pytest.raises(OptionError, match="three whole numbers"):
        compare(potential, potential, start, options=Options(facets=((1, 1),)))
    with pytest.raises(OptionError, match="repeat must be three"):
        compare(potential, potential, start, options=Options(phonon_repeat=(2, 0, 2)))
    assert len(CHECKS) == 5
