"""Parents: which sites a sublattice has, what a file shares, and supercells of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from softatoms.composition.parent_states import State
from softatoms.composition.parent_supercells import ParentSupercell
from softatoms.composition.parents import Parent, build_parent, file_elements
from softatoms.config.composition import Scan
from softatoms.errors import SoftatomsError

CIF = """
data_mixed
_cell_length_a 5.4
_cell_length_b 5.4
_cell_length_c 5.4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_symmetry_Int_Tables_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
M1 Ce 0 0 0 {first}
M1 Zr 0 0 0 0.25
O1 O 0.25 0.25 0.25 1.0
"""


def scan(parent: dict[str, object], **sublattices: dict[str, object]) -> Scan:
    return Scan.model_validate({"name": "s", "parent": parent, "sublattices": sublattices})


def mixed_cif(folder: Path, first: float = 0.75) -> dict[str, str]:
    path = folder / "mixed.cif"
    path.write_text(CIF.format(first=first))
    return {"file": str(path)}


def ceria(**sublattices: dict[str, object]) -> Parent:
    return build_parent(
        scan({"prototype": "fluorite", "species": ["Ce", "O"], "a_ang": 5.4}, **sublattices)
    )


CATION = {"sites": "Ce", "elements": ["Ce", "Zr"], "divisions": 4}
ANION = {"sites": [1, 2], "elements": ["O", "S"], "divisions": 2}


def test_sublattices_by_element_index_and_name():
    parent = ceria(cation=CATION, O={"elements": ["O", "S"], "divisions": 2})
    assert parent.sublattices["cation"].tolist() == [0]
    assert parent.sublattices["O"].tolist() == [1, 2]
    occupation = {"cation": {"Ce": 0.75, "Zr": 0.25}, "O": {"O": 0.5, "S": 0.5}}
    assert parent.fractions(occupation) == pytest.approx(
        {"Ce": 0.25, "Zr": 0.25 / 3, "O": 1 / 3, "S": 1 / 3}
    )
    quarter = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert parent.entropy(occupation) == pytest.approx(quarter / 3 + 2 / 3 * np.log(2))


def test_sites_of_one_sublattice_share_their_weights():
    parent = ceria(cation=CATION, anion=ANION)
    occupation = {"cation": {"Ce": 0.75, "Zr": 0.25}, "anion": {"O": 0.5, "S": 0.5}}
    soft = parent.soft(occupation, *State.of(parent.start))
    assert soft.weight_labels == ("cation:Ce", "cation:Zr", "anion:O", "anion:S")
    plain = parent.plain({"cation": "Zr", "anion": "S"}, *State.of(parent.start))
    assert plain.to_ase().get_chemical_formula("metal") == "ZrS2"


def test_lengths_are_those_of_the_conventional_cell():
    parent = ceria(cation=CATION)
    lattice = parent.lattice(parent.start.cell)
    np.testing.assert_allclose(np.linalg.norm(lattice, axis=1), 5.4, rtol=1e-9, atol=1e-9)
    # A strain that supercells have by chance leaves the mean over the axes.
    strained = parent.lattice(parent.start.cell @ np.diag([1.02, 1.0, 1.0]))
    mean = np.sqrt(np.mean(np.square([1.02, 1.0, 1.0])))
    np.testing.assert_allclose(np.linalg.norm(strained, axis=1), 5.4 * mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        strained @ strained.T, np.diag(np.diag(strained @ strained.T)), atol=1e-9
    )


def test_occupancies_of_a_file_are_sublattices(tmp_path):
    parent = build_parent(scan(mixed_cif(tmp_path)))
    assert parent.given == {"Ce-Zr": {"Ce": 0.75, "Zr": 0.25}}
    assert len(parent.sublattices["Ce-Zr"]) == 4
    assert file_elements(mixed_cif(tmp_path)["file"]) == ["Ce", "O", "Zr"]
    # A sublattice with these elements takes them over, by default or by the label in the file.
    for sites in (None, "M1"):
        own = {"elements": ["Ce", "Zr"], "divisions": 4, "sites": sites}
        parent = build_parent(scan(mixed_cif(tmp_path), cation=own))
        assert parent.given == {}
        assert len(parent.sublattices["cation"]) == 4


@pytest.mark.parametrize(
    ("sublattices", "message"),
    [
        ({"a": {"sites": "Zr", "elements": ["Zr"], "divisions": 1}}, "the parent has no 'Zr'"),
        ({"a": {"sites": [9], "elements": ["Zr"], "divisions": 1}}, "there is no site 9"),
        ({"a": {"elements": ["Zr", "Ti"], "divisions": 1}}, "is required, as the parent"),
        ({"a": CATION, "b": {**CATION, "sites": [0]}}, "site 0 is on sublattice 'a' too"),
    ],
)
def test_what_is_wrong_with_a_choice_is_one_line(sublattices, message):
    with pytest.raises(SoftatomsError, match=message) as caught:
        ceria(**sublattices)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_used(tmp_path):
    with pytest.raises(SoftatomsError, match="there is no file"):
        build_parent(scan({"file": str(tmp_path / "none.cif")}, cation=CATION))
    with pytest.raises(SoftatomsError, match=r"occupancies of site \d sum to 0.9"):
        build_parent(scan(mixed_cif(tmp_path, first=0.65)))
    path = tmp_path / "molecule.extxyz"
    Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]]).write(path, format="extxyz")
    with pytest.raises(SoftatomsError, match="must repeat along three"):
        build_parent(scan({"file": str(path)}, cation={**CATION, "sites": "C"}))
    path = tmp_path / "ordered.extxyz"
    bulk("Cu").write(path, format="extxyz")
    with pytest.raises(SoftatomsError, match="no partial occupancies"):
        build_parent(scan({"file": str(path)}))


CUBE = [[-2, 2, 2], [2, -2, 2], [2, 2, -2]]
OCCUPATION = {"cation": {"Ce": 0.75, "Zr": 0.25}, "anion": {"O": 0.5, "S": 0.5}}


@pytest.fixture(scope="module")
def made():
    parent = ceria(cation=CATION, anion=ANION)
    cells = ParentSupercell(parent, CUBE, 2)
    line = State.of(parent.start)
    rng = np.random.default_rng(0)
    soft, error = cells.crystal(OCCUPATION, *line, swaps=600, rng=rng)
    rng = np.random.default_rng(0)
    shuffled = cells.crystal(OCCUPATION, *line, swaps=0, rng=rng)
    return parent, cells, soft, error, shuffled


def test_it_is_the_crystal(made):
    parent, cells, soft, _, _ = made
    assert len(soft) == len(cells) == 96
    np.testing.assert_allclose(soft.cell, 2 * 5.4 * np.eye(3), atol=1e-9)
    atoms = soft.to_ase()
    distances = atoms.get_all_distances(mic=True) + 9 * np.eye(96)
    np.testing.assert_allclose(distances.min(axis=1), 5.4 * 3**0.5 / 4, rtol=1e-9)
    np.testing.assert_allclose(cells.parent_cell(soft.cell), parent.start.cell, atol=1e-9)


def test_composition_is_exact_on_each_sublattice(made):
    symbols = np.array(made[2].to_ase().get_chemical_symbols())
    counts = {s: int((symbols == s).sum()) for s in ("Ce", "Zr", "O", "S")}
    assert counts == {"Ce": 24, "Zr": 8, "O": 32, "S": 32}


def test_error_is_that_of_pairs_counted_by_distance(made):
    """First and second shells of cations, anions, and both, from a table of distances."""
    _, _, soft, error, (_, chance) = made
    atoms = soft.to_ase()
    images = atoms.repeat(3)
    symbols = np.array(images.get_chemical_symbols())
    middle = np.arange(96) + 96 * 13
    lengths = np.linalg.norm(images.positions[middle][:, None] - images.positions[None], axis=-1)
    cations, a = np.isin(symbols, ["Ce", "Zr"]), 5.4
    share = {"Ce": 0.75, "Zr": 0.25, "O": 0.5, "S": 0.5}
    kinds = sorted(share)
    deviations = []
    for first, second, shells in (
        (True, True, (a / 2**0.5, a)),
        (True, False, (a * 3**0.5 / 4, a * 11**0.5 / 4)),
        (False, False, (a / 2, a / 2**0.5)),
    ):
        inside = (cations[middle] == first)[:, None] & (cations == second)
        inside |= (cations[middle] == second)[:, None] & (cations == first)
        for length in shells:
            near = inside & (np.abs(lengths - length) < 1e-4)
            total = near.sum()
            for x in kinds:
                for y in kinds:
                    pairs = near[symbols[middle] == x][:, symbols == y].sum() / total
                    on = [s in ("Ce", "Zr") for s in (x, y)]
                    weight = 0.0
                    if sorted(on) == sorted((first, second)):
                        weight = share[x] * share[y] * (0.5 if first != second else 1.0)
                    deviations.append(pairs - weight)
    assert error == pytest.approx(np.sqrt(np.mean(np.square(deviations))), abs=1e-12)
    assert error < 0.3 * chance
