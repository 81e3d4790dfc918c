"""To and from ASE, pymatgen and extended XYZ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.data import atomic_masses
from ase.io import read
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure
from pymatgen.io.cif import CifParser

import softatoms as sa

DISORDERED_CIF = """
data_AlScNO
_chemical_formula_sum 'Al1.5 Sc0.5 N1.8 O2'
_cell_length_a 3.13
_cell_length_b 3.13
_cell_length_c 5.02
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 120
_symmetry_space_group_name_H-M 'P 1'
loop_
_symmetry_equiv_pos_as_xyz
'x, y, z'
'-x, -y, z+1/2'
loop_
_atom_type_symbol
_atom_type_oxidation_number
Al3+ 3
Sc3+ 3
N3- -3
O2- -2
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Al1 Al3+ 0.3125 0.6875 0.0 0.75
Sc1 Sc3+ 0.3125 0.6875 0.0 0.25
N1 N3- 0.3125 0.6875 0.375 0.9
O1 O2- 0.0 0.0 0.25 1.0
"""


def everything() -> sa.SoftAtoms:
    """Awkward numbers in every field there is."""
    rng = np.random.default_rng(11)
    atoms = bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.1 * rng.normal(size=(3, 3))), True)
    atoms.positions += 0.1 * rng.normal(size=(8, 3)) + [1e3, -1e-7, 0.0]
    atoms.pbc = [True, False, True]
    atoms.set_masses(atoms.get_masses() + rng.random(8))
    third = 1.0 / 3.0
    return (
        sa.SoftAtoms.from_ase(atoms)
        .with_candidates([7, 2], {"Zn": third, "Al": 1e-17, "Cu": 0.1 + 0.2}, tie="μ[0]")
        .with_existence([1, 5], 2 * third)
        .with_existence([0, 6], 0.0, tie="ghost")
        .with_velocities(rng.normal(size=(8, 3)) * 1e-3)
    )


def assert_identical(a: sa.SoftAtoms, b: sa.SoftAtoms) -> None:
    for name in ("positions", "cell", "pbc", "site_number", "site_group", "velocities"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert np.array_equal(a.node_mass, b.node_mass)
    assert np.array_equal(a.groups.theta, b.groups.theta)
    assert a.weight_labels == b.weight_labels
    assert a.groups.ties == b.groups.ties


class TestAse:
    def test_takes_over_a_structure(self) -> None:
        atoms = bulk("NaCl", "rocksalt", a=5.6)
        atoms.pbc = [True, False, True]
        soft = sa.SoftAtoms.from_ase(atoms)
        assert np.array_equal(soft.positions, atoms.positions)
        assert np.array_equal(soft.cell, atoms.cell.array)
        assert soft.pbc.tolist() == [True, False, True]
        assert soft.node_number.tolist() == [11, 17]
        assert soft.velocities is None
        assert len(soft.weights) == 0

    def test_momenta_become_velocities_in_angstrom_per_fs(self) -> None:
        atoms = bulk("Cu", cubic=True)
        # 0.02 Å/fs in ASE's unit of velocity.
        atoms.set_velocities(np.full((4, 3), 0.02 / units.fs))
        soft = sa.SoftAtoms.from_ase(atoms)
        assert soft.velocities == pytest.approx(np.full((4, 3), 0.02), rel=1e-14)
        energy = 0.5 * 63.546 * 1.66053906660e-27 * 3 * (0.02e5) ** 2 / 1.602176634e-19
        assert soft.to_ase().get_kinetic_energy() == pytest.approx(4 * energy, rel=1e-6)

    def test_isotopic_masses_are_kept(self) -> None:
        atoms = molecule("CH4")
        atoms.set_masses([13.003, 1.008, 2.014, 2.014, 3.016])
        atoms.set_velocities(np.full((5, 3), 0.25))
        soft = sa.SoftAtoms.from_ase(atoms).with_existence([2], 0.5)
        assert np.array_equal(soft.to_ase().get_masses(), atoms.get_masses())
        assert soft.to_ase().get_velocities() == pytest.approx(np.full((5, 3), 0.25), rel=1e-14)

    def test_weights_stand_in_arrays(self) -> None:
        soft = (
            sa.SoftAtoms.from_ase(bulk("Cu", cubic=True))
            .with_candidates([1, 2], {"Au": 0.5, "Cu": 0.25}, tie="metal")
            .with_candidates([3], {"O": 0.125})
        )
        atoms = soft.to_ase()
        assert atoms.get_chemical_symbols() == ["Cu", "Au", "Au", "O"]
        assert atoms.arrays["weight_Cu"].tolist() == [1.0, 0.25, 0.25, 0.0]
        assert atoms.arrays["weight_Au"].tolist() == [0.0, 0.5, 0.5, 0.0]
        assert atoms.arrays["weight_O"].tolist() == [0.0, 0.0, 0.0, 0.125]
        assert atoms.arrays["existence"].tolist() == [1.0, 0.75, 0.75, 0.125]
        assert atoms.arrays["tie"].tolist() == ["-", "metal", "metal", "site3"]
        assert np.array_equal(atoms.get_masses(), atomic_masses[atoms.numbers])

    def test_the_first_of_equal_candidates_dominates(self) -> None:
        soft = sa.SoftAtoms.from_ase(bulk("Cu")).with_candidates(0, {"Au": 0.5, "Ag": 0.5})
        assert soft.to_ase().get_chemical_symbols() == ["Au"]

    def test_a_plain_structure_gets_no_extra_arrays(self) -> None:
        atoms = bulk("Cu")
        assert set(sa.SoftAtoms.from_ase(atoms).to_ase().arrays) == {"numbers", "positions"}

    def test_something_else_is_refused(self) -> None:
        with pytest.raises(sa.StructureError, match=r"ase\.Atoms, got Structure"):
            sa.SoftAtoms.from_ase(Structure(Lattice.cubic(3), ["Cu"], [[0, 0, 0]]))


class TestPymatgen:
    def test_partial_occupancies_become_weights(self) -> None:
        structure = Structure(
            Lattice.from_parameters(3, 4, 5, 80, 95, 100),
            [{"Al": 0.75, "Sc": 0.25}, {"O": 0.5}, "N"],
            [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0.25]],
        )
        soft = sa.SoftAtoms.from_pymatgen(structure)
        assert dict(zip(soft.weight_labels, soft.weights.tolist(), strict=True)) == {
            "site0:Al": 0.75,
            "site0:Sc": 0.25,
            "site1:O": 0.5,
        }
        assert soft.candidates(2) == {"N": 1.0}
        assert np.array_equal(soft.positions, structure.cart_coords)
        back = soft.to_pymatgen()
        assert back.matches(structure)
        assert [site.species for site in back] == [site.species for site in structure]

    def test_oxidation_states_of_one_element_are_one_candidate(self) -> None:
        structure = Structure(
            Lattice.cubic(4.2),
            [{"Fe2+": 0.25, "Fe3+": 0.5, "Al3+": 0.25}, {"O2-": 1.0}],
            [[0, 0, 0], [0.5, 0.5, 0.5]],
        )
        soft = sa.SoftAtoms.from_pymatgen(structure)
        assert soft.candidates(0) == {"Al": 0.25, "Fe": 0.75}
        assert soft.candidates(1) == {"O": 1.0}
        assert len(soft.weights) == 2

    def test_a_disordered_cif(self) -> None:
        (structure,) = CifParser.from_str(DISORDERED_CIF).parse_structures(primitive=False)
        soft = sa.SoftAtoms.from_pymatgen(structure, tie_equivalent=True)
        held = sorted((soft.candidates(site) for site in range(len(soft))), key=str)
        kinds = ({"Al": 0.75, "Sc": 0.25}, {"N": 0.9}, {"O": 1.0})
        assert held == [kind for kind in kinds for _ in range(2)]
        assert len(soft.weights) == 3
        assert len(sa.SoftAtoms.from_pymatgen(structure).weights) == 6
        back = sa.SoftAtoms.from_pymatgen(soft.to_pymatgen(), tie_equivalent=True)
        assert back.weights.tolist() == soft.weights.tolist()
        assert back.positions == pytest.approx(soft.positions, abs=1e-12)

    def test_heavy_hydrogen_keeps_its_mass(self) -> None:
        structure = Structure(
            Lattice.cubic(4), ["D", {"D": 0.5}, "H"], [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]]
        )
        soft = sa.SoftAtoms.from_pymatgen(structure)
        assert soft.node_number.tolist() == [1, 1, 1]
        assert soft.node_mass == pytest.approx([2.0136, 2.0136, 1.008], abs=1e-3)

    def test_weights_that_a_rounding_puts_above_one_are_accepted(self) -> None:
        soft = sa.SoftAtoms.from_ase(bulk("Cu")).with_candidates(0, {"Cu": 0.5, "Au": 0.50005})
        held = soft.to_pymatgen()[0].species
        assert held.num_atoms == pytest.approx(1.0, abs=1e-9)

    def test_ghosts_are_left_out(self) -> None:
        soft = sa.SoftAtoms.from_ase(bulk("Cu", cubic=True)).with_existence([1, 2], 0.0)
        assert len(soft.to_pymatgen()) == 2
        assert len(soft.with_weights([0.0, 0.5]).to_pymatgen()) == 3

    def test_periodicity_is_kept(self) -> None:
        atoms = bulk("Cu", cubic=True)
        atoms.pbc = [True, True, False]
        structure = sa.SoftAtoms.from_ase(atoms).to_pymatgen()
        assert structure.lattice.pbc == (True, True, False)
        assert sa.SoftAtoms.from_pymatgen(structure).pbc.tolist() == [True, True, False]

    def test_something_else_is_refused(self) -> None:
        with pytest.raises(sa.StructureError, match="pymatgen Structure, got Atoms"):
            sa.SoftAtoms.from_pymatgen(bulk("Cu"))


class TestExtxyz:
    def test_text_gives_back_every_bit(self) -> None:
        soft = everything()
        assert_identical(sa.SoftAtoms.from_extxyz(soft.to_extxyz()), soft)

    def test_a_file_gives_back_every_bit(self, tmp_path: Path) -> None:
        soft = everything()
        text = soft.to_extxyz(tmp_path / "soft.xyz")
        assert (tmp_path / "soft.xyz").read_text(encoding="utf-8") == text
        assert_identical(sa.SoftAtoms.from_extxyz(tmp_path / "soft.xyz"), soft)
        assert_identical(sa.SoftAtoms.from_extxyz(str(tmp_path / "soft.xyz")), soft)

    def test_structures_of_few_fields_give_back_every_bit(self) -> None:
        atom = sa.SoftAtoms.from_ase(Atoms("H", [[0.1, 0.2, 0.3]]))
        for soft in (
            atom,
            atom.with_existence([0], 0.5),
            atom.with_velocities([[1.0, 2.0, 3.0]]),
            sa.SoftAtoms.from_ase(
                Atoms("Cu2", [[0, 0, 0], [2, 0, 0]], cell=[0, 0, 3], pbc=[0, 0, 1])
            ),
        ):
            again = sa.SoftAtoms.from_extxyz(soft.to_extxyz())
            assert again.to_extxyz() == soft.to_extxyz()
            assert np.array_equal(again.cell, soft.cell)
            assert np.array_equal(again.positions, soft.positions)

    @pytest.mark.parametrize("tie", ["T", "1", "#", "_JSON", "{a}", "[a", "a/b\\c", "copies-of-x"])
    def test_ties_of_any_allowed_name_survive(self, tie: str) -> None:
        soft = sa.SoftAtoms.from_ase(bulk("Cu", cubic=True)).with_existence([0, 1, 2, 3], 0.5, tie)
        assert sa.SoftAtoms.from_extxyz(soft.to_extxyz()).weight_labels == (f"{tie}:Cu",)

    def test_ase_reads_it(self, tmp_path: Path) -> None:
        soft = everything()
        soft.to_extxyz(tmp_path / "soft.xyz")
        atoms = read(tmp_path / "soft.xyz")
        assert np.array_equal(atoms.positions, soft.positions)
        assert np.array_equal(atoms.numbers, soft.to_ase().numbers)
        assert np.array_equal(atoms.get_masses(), soft.to_ase().get_masses())

    def test_a_file_is_replaced_whole(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "soft.xyz"
        soft = sa.SoftAtoms.from_ase(bulk("Cu"))
        soft.to_extxyz(path)
        before = path.read_text()

        def fail(self: Path, target: Path) -> Path:
            assert path.read_text() == before
            raise OSError("no space left")

        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="no space left"):
            soft.with_existence([0], 0.5).to_extxyz(path)
        assert path.read_text() == before
        assert [item.name for item in tmp_path.iterdir()] == ["soft.xyz"]
