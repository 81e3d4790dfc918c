"""Double perovskites: the table, their cells, tilts and radii."""

from __future__ import annotations

import numpy as np
import pytest

from softatoms.order.errors import OrderError
from softatoms.order.experiments import BUILT_IN, read_compounds
from softatoms.order.perovskites import (
    cubic_parent,
    ionic_radius,
    order_cell,
    ordered_species,
    tilted,
)
from softatoms.order.variants import Options, perovskite_variants

COMPOUNDS = {compound.formula: compound for compound in read_compounds(BUILT_IN)}
HEAD = "formula,b_charges,observed,source,checked,note\n"


def test_the_table_is_large_balanced_and_says_what_it_rests_on():
    ordered = [c for c in COMPOUNDS.values() if c.is_ordered]
    disordered = [c for c in COMPOUNDS.values() if c.is_ordered is False]
    assert len(ordered) + len(disordered) >= 40
    assert min(len(ordered), len(disordered)) >= 20
    assert all(compound.source for compound in COMPOUNDS.values())
    unread = [compound for compound in COMPOUNDS.values() if not compound.checked]
    assert all("not read" in compound.note for compound in unread)
    assert COMPOUNDS["Sr2MnSbO6"].is_ordered is None
    assert {c.observed for c in ordered} == {"rocksalt", "layered"}


def test_every_cation_has_a_radius_and_charges_balance():
    for compound in COMPOUNDS.values():
        radii = [ionic_radius(*ion) for ion in compound.ions]
        assert all(0.4 < radius < 1.1 for radius in radii)
        a_charge = (12 - sum(compound.charges)) / 2
        expected = {"La": 3, "Nd": 3}.get(compound.a_element, 2)
        assert a_charge == expected, compound.formula


def test_radii_are_those_of_shannon():
    # R. D. Shannon, Acta Crystallogr. A 32, 751 (1976), six neighbours, high spin.
    for element, charge, radius in (
        ("Fe", 3, 0.645),
        ("Nb", 5, 0.64),
        ("Mg", 2, 0.72),
        ("W", 6, 0.60),
    ):
        assert ionic_radius(element, charge) == pytest.approx(radius, rel=0, abs=1e-9)
    with pytest.raises(OrderError, match=r"Mg of charge \+7 has no Shannon radius"):
        ionic_radius("Mg", 7)


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ("Sr2Fe2O6,3/5,rocksalt,x,yes,", "'Sr2Fe2O6' is no formula"),
        ("Sr2FeMoO6,3-5,rocksalt,x,yes,", "b_charges must be as in 3/5, got '3-5'"),
        ("Sr2FeMoO6,3/4,rocksalt,x,yes,", "cannot have 7 charges"),
        ("Sr2FeMoO6,3/5,salty,x,yes,", "observed must be one of rocksalt"),
        ("Sr2FeMoO6,3/5,rocksalt,x,maybe,", "checked must be yes or no"),
        ("Sr2FeMoO6,3/5,rocksalt", "needs 6 values, got 3"),
        ("Sr2FeMoO6,3/5,,,no,\nSr2FeMoO6,3/5,,,no,", "line 3: Sr2FeMoO6 is named twice"),
    ],
)
def test_bad_tables_are_told(tmp_path, row, error):
    path = tmp_path / "table.csv"
    path.write_text(HEAD + row + "\n")
    with pytest.raises(OrderError, match=error) as caught:
        read_compounds(str(path))
    assert str(path) in str(caught.value)


def test_a_missing_or_other_file_is_told(tmp_path):
    with pytest.raises(OrderError, match="neither 'double_perovskites' nor a text file"):
        read_compounds(str(tmp_path / "none.csv"))
    path = tmp_path / "other.csv"
    path.write_text("a,b\n")
    with pytest.raises(OrderError, match="first line must be 'formula,"):
        read_compounds(str(path))


def unlike_neighbours(soft, elements) -> list[int]:
    """Unlike B neighbours of each B site, images counted, by brute force."""
    atoms = soft.to_ase()
    sites = [atom.index for atom in atoms if atom.symbol in elements]
    spacing = (atoms.get_volume() / len(sites)) ** (1 / 3)
    cells = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3), -1).reshape(-1, 3) @ atoms.cell.array
    found = []
    for i in sites:
        near = 0
        for j in sites:
            far = np.linalg.norm(atoms.positions[j] + cells - atoms.positions[i], axis=1)
            bonded = (far > 0.1) & (far < 1.2 * spacing)
            near += int(bonded.sum()) * (atoms.symbols[i] != atoms.symbols[j])
        found.append(near)
    return found


@pytest.mark.parametrize("tilt", [0.0, 8.0])
def test_named_orders_have_their_unlike_neighbours(tilt):
    compound = COMPOUNDS["Sr2FeMoO6"]
    options = Options(tilt=tilt, states=("mean_field",))
    variants = {v.name: v for v in perovskite_variants(compound, options)}
    for order, unlike in (("rocksalt", 6), ("layered", 2), ("columnar", 4)):
        assert set(unlike_neighbours(variants[order].soft, compound.b_elements)) == {unlike}
        assert len(variants[order].soft) == (20 if tilt else 10)
    soft = variants["mean_field"].soft
    assert soft.weights.tolist() == [0.5, 0.5]
    assert len(soft) == (20 if tilt else 5)


def test_tilts_turn_octahedra_without_stretching_them():
    parent = cubic_parent(COMPOUNDS["Sr2FeMoO6"], 4.0)
    for matrix in (order_cell("rocksalt", tilted=True), 2 * np.eye(3, dtype=np.int64)):
        turned = tilted(parent.supercell(matrix), matrix, 8.0)
        atoms = turned.decorated(ordered_species(turned, matrix, "rocksalt")).to_ase()
        for metal in (atom.index for atom in atoms if atom.symbol in ("Fe", "Mo")):
            oxygens = [atom.index for atom in atoms if atom.symbol == "O"]
            bonds = atoms.get_distances(metal, oxygens, mic=True, vector=True)
            near = bonds[np.linalg.norm(bonds, axis=1) < 2.4]
            assert len(near) == 6
            # Lengths change by the square of the angle only, and opposite bonds stay opposite.
            assert np.linalg.norm(near, axis=1) == pytest.approx(2.0, rel=0.025, abs=0)
            assert np.abs(near.sum(axis=0)).max() < 1e-9


def test_a_supercell_must_hold_the_order():
    parent = cubic_parent(COMPOUNDS["Sr2FeMoO6"], 4.0)
    three = 3 * np.eye(3, dtype=np.int64)
    with pytest.raises(OrderError, match="does not hold the order rocksalt"):
        ordered_species(parent.supercell(three), three, "rocksalt")
    two = 2 * np.eye(3, dtype=np.int64)
    with pytest.raises(OrderError, match="unknown order 'rocksallt'"):
        ordered_species(parent.supercell(two), two, "rocksallt")
