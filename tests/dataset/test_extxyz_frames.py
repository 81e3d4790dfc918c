"""Extended XYZ and ASE databases: no label is lost, hidden, zeroed or made up."""

from __future__ import annotations

import dataclasses

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.db import connect
from dataset_samples import plain_frame

from softatoms import SoftAtoms
from softatoms.dataset.ase_frames import frame_of_atoms, read_ase_db
from softatoms.dataset.extxyz_frames import ExportError, read_extxyz, write_extxyz
from softatoms.dataset.frames import Frame
from softatoms.dataset.imported import ImportFailedError
from softatoms.dataset.parquet_frames import frame_digest

ENERGY = -3.5
FORCES = np.array([[0.1, 0, 0], [-0.1, 0.2, 0], [0, -0.2, 0.3], [0, 0, -0.3]])
STRESS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) / 100
FULL = np.array([[1, 6, 5], [6, 2, 4], [5, 4, 3]]) / 100


def labelled_atoms(*, constrained: bool = False):
    atoms = bulk("Cu", cubic=True)
    if constrained:
        atoms.set_constraint(FixAtoms([0, 1]))
    atoms.calc = SinglePointCalculator(atoms, energy=ENERGY, forces=FORCES, stress=STRESS)
    return atoms


def check(frame: Frame) -> None:
    assert (frame.status, frame.error) == ("ok", "")
    assert frame.energy == ENERGY
    np.testing.assert_allclose(frame.forces, FORCES, rtol=0, atol=1e-12)
    np.testing.assert_allclose(frame.stress, FULL, rtol=0, atol=1e-12)


def test_round_trip_is_exact(tmp_path):
    moving = bulk("Cu", cubic=True)
    heavy = moving.copy()
    heavy.set_masses([60.0, 61.0, 62.0, 63.0])
    frames = [
        dataclasses.replace(plain_frame("0012"), split="train", group="1e5"),
        dataclasses.replace(plain_frame('a "b" \\c', seed=1), forces=None, group="T"),
        dataclasses.replace(plain_frame("c", seed=2), stress=None, labeller="x y=1"),
        Frame("[1, 2]", "g", SoftAtoms.from_ase(moving)),
        Frame("heavy", "g", SoftAtoms.from_ase(heavy), energy=1.0, status="ok", labeller="x"),
        plain_frame("nan", forces=np.full((4, 3), np.nan)),
    ]
    path = tmp_path / "out" / "f.xyz"
    write_extxyz(path, frames)
    back = read_extxyz(path)
    assert back.rejected == ()
    assert [frame_digest(frame) for frame in back.frames] == [frame_digest(f) for f in frames]
    again = ase.io.read(path, index=0)
    assert again.info["REF_energy"] == frames[0].energy
    np.testing.assert_array_equal(again.arrays["REF_forces"], frames[0].forces)
    np.testing.assert_array_equal(np.reshape(again.info["REF_stress"], (3, 3)), frames[0].stress)


def test_velocities_survive(tmp_path):
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    atoms.set_velocities([[0.1, 0.2, 0.3], [-0.1, 0, 0]])
    frame = Frame("v", "g", SoftAtoms.from_ase(atoms))
    write_extxyz(tmp_path / "v.xyz", [frame])
    back = read_extxyz(tmp_path / "v.xyz").frames[0]
    np.testing.assert_allclose(back.soft.velocities, frame.soft.velocities, rtol=1e-14, atol=0)


@pytest.mark.parametrize("constrained", [False, True])
def test_labels_that_ase_hides_in_a_calculator_are_found(tmp_path, constrained):
    path = tmp_path / "md.xyz"
    atoms = labelled_atoms(constrained=constrained)
    ase.io.write(path, [atoms, atoms], format="extxyz", columns=None)
    trap = ase.io.read(path)
    assert "energy" not in trap.info
    assert "forces" not in trap.arrays
    imported = read_extxyz(path, labeller="pbe")
    assert [frame.frame_id for frame in imported.frames] == ["md-00000", "md-00001"]
    for frame in imported.frames:
        check(frame)
        assert (frame.group, frame.labeller) == ("md", "pbe")


def test_constraints_do_not_zero_forces():
    atoms = labelled_atoms(constrained=True)
    assert not atoms.get_forces()[:2].any()
    check(frame_of_atoms(atoms, frame_id="a", group="g"))


def test_reference_keys_win_over_a_calculator(tmp_path):
    atoms = labelled_atoms()
    atoms.calc.results = {name: 7 * value for name, value in atoms.calc.results.items()}
    atoms.info.update(REF_energy=ENERGY, REF_stress=FULL)
    atoms.arrays["REF_forces"] = FORCES
    path = tmp_path / "a.xyz"
    ase.io.write(path, atoms)
    check(read_extxyz(path).frames[0])


def test_other_keys_voigt_stress_and_virials(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.info.update(dft_energy=ENERGY, dft_stress=STRESS)
    atoms.arrays["dft_forces"] = FORCES
    ase.io.write(tmp_path / "a.xyz", atoms)
    keys = {name: f"dft_{name}" for name in ("energy", "forces", "stress")}
    check(read_extxyz(tmp_path / "a.xyz", keys=keys).frames[0])
    plain = read_extxyz(tmp_path / "a.xyz").frames[0]
    assert (plain.status, plain.energy) == ("unlabelled", None)
    wrong = read_extxyz(tmp_path / "a.xyz", keys={"energy": "pbe_energy"}).frames[0]
    assert (wrong.status, wrong.error) == ("failed", "has no 'pbe_energy'")
    atoms = labelled_atoms()
    del atoms.calc.results["stress"]
    atoms.info["virial"] = -FULL * atoms.cell.volume
    ase.io.write(tmp_path / "b.xyz", atoms)
    check(read_extxyz(tmp_path / "b.xyz").frames[0])


@pytest.mark.parametrize("name", ["REF_virial", "dft_virial"])
@pytest.mark.parametrize("voigt", [False, True])
def test_a_virial_wins_over_a_calculator_and_may_be_named(tmp_path, name, voigt):
    atoms = labelled_atoms()
    atoms.calc.results["stress"] = 3 * atoms.calc.results["stress"]
    atoms.info[name] = -(STRESS if voigt else FULL) * atoms.cell.volume
    ase.io.write(tmp_path / "a.xyz", atoms)
    keys = {} if name.startswith("REF") else {"stress": name}
    check(read_extxyz(tmp_path / "a.xyz", keys=keys).frames[0])


def test_a_plain_stress_wins_over_a_plain_virial(tmp_path):
    atoms = labelled_atoms()
    atoms.info["virial"] = FULL
    ase.io.write(tmp_path / "a.xyz", atoms)
    check(read_extxyz(tmp_path / "a.xyz").frames[0])


@pytest.mark.parametrize("name", ["REF_stress", "REF_virial"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (FULL + np.eye(3, k=1), "is not symmetric"),
        (np.arange(4.0), "must have 3×3, 9 or 6 numbers"),
    ],
)
def test_stresses_that_cannot_be_are_failures(tmp_path, name, value, words):
    atoms = labelled_atoms()
    atoms.info[name] = value
    ase.io.write(tmp_path / "a.xyz", atoms)
    frame = read_extxyz(tmp_path / "a.xyz").frames[0]
    assert (frame.status, frame.stress) == ("failed", None)
    assert frame.error.startswith(f"{name} {words}")


def test_labels_under_other_names_are_noted(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.info.update(dft_energy=ENERGY, pressure=1.0)
    atoms.arrays["my_forces"] = FORCES
    ase.io.write(tmp_path / "a.xyz", [atoms, labelled_atoms(), atoms])
    notes = read_extxyz(tmp_path / "a.xyz").notes
    assert [note.split("'")[1] for note in notes] == ["dft_energy", "my_forces"]
    assert all("2 structures without labels" in note for note in notes)


def test_what_looks_like_a_key_inside_of_a_text_is_none(tmp_path):
    atoms = labelled_atoms()
    atoms.info.update(comment="from my group=x split=test", config_type="bulk 1")
    ase.io.write(tmp_path / "a.xyz", atoms)
    frame = read_extxyz(tmp_path / "a.xyz").frames[0]
    assert (frame.group, frame.split) == ("bulk 1", "")
    check(frame)


def test_missing_labels_are_missing_and_not_zero(tmp_path):
    ase.io.write(tmp_path / "a.xyz", bulk("Cu"))
    frame = read_extxyz(tmp_path / "a.xyz").frames[0]
    assert (frame.energy, frame.forces, frame.stress) == (None, None, None)
    assert (frame.status, frame.labeller) == ("unlabelled", "")


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "a.xyz"
    write_extxyz(path, [plain_frame("a"), plain_frame("b", seed=1)])
    text = path.read_text().splitlines(keepends=True)
    path.write_text("".join(text[:-2]))
    with pytest.raises(ImportFailedError, match=r"a\.xyz: structure 1"):
        read_extxyz(path)
    with pytest.raises(ImportFailedError, match="no such file"):
        read_extxyz(tmp_path / "b.xyz")
    path.write_text("1\nProperties=species:S:1:pos:R:3\nQq 0 0 0\n")
    with pytest.raises(ImportFailedError, match="structure 0: KeyError: 'Qq'"):
        read_extxyz(path)
    path.write_text("")
    with pytest.raises(ImportFailedError, match="holds no structure"):
        read_extxyz(path)
    path.write_text('1\nProperties=species:S:1:pos:R:3 frame_id="x"\nCu nan 0 0\n')
    imported = read_extxyz(path)
    assert imported.frames == ()
    assert imported.rejected[0].frame_id == "x"
    assert "nan or infinite" in imported.rejected[0].error


def test_what_others_cannot_use_is_not_exported(tmp_path):
    with pytest.raises(ExportError, match=r"frame a failed \(bad\)"):
        write_extxyz(tmp_path / "a.xyz", [plain_frame(status="failed", error="bad")])
    ghost = SoftAtoms.from_ase(bulk("Cu")).with_existence(0, 0.5)
    with pytest.raises(ExportError, match="soft sites"):
        write_extxyz(tmp_path / "a.xyz", [Frame("a", "g", ghost)])
    assert not (tmp_path / "a.xyz").exists()


def test_database(tmp_path):
    path = tmp_path / "runs.db"
    with connect(path) as database:
        database.write(labelled_atoms(constrained=True), run="first")
        database.write(bulk("Cu"), run="second")
    imported = read_ase_db(path, group_key="run", labeller="pbe")
    check(imported.frames[0])
    assert [frame.group for frame in imported.frames] == ["runs/first", "runs/second"]
    assert [frame.status for frame in imported.frames] == ["ok", "unlabelled"]
    assert len(read_ase_db(path, selection="natoms>1").frames) == 1
    with pytest.raises(ImportFailedError, match="no such file"):
        read_ase_db(tmp_path / "other.db")
    (tmp_path / "text.db").write_text("nothing of the kind")
    with pytest.raises(ImportFailedError, match="ASE database"):
        read_ase_db(tmp_path / "text.db")
