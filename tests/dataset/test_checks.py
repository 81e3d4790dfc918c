"""Every trap in labels is reported with the name of its frame; sound data raise no alarm."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from dataset_samples import DFT, needs_dft

from softatoms import SoftAtoms, evaluate_batch, load_potential
from softatoms.dataset.checks import Limits, check_frames
from softatoms.dataset.findings import mark_failed
from softatoms.dataset.frames import Frame
from softatoms.dataset.maml import read_maml


@pytest.fixture(scope="module")
def sound() -> list[Frame]:
    """Forty rattled alloys in two groups, with the labels of a potential."""
    potential = load_potential("gupta", elements=["Cu", "Au"])
    structures = []
    for index in range(40):
        rng = np.random.default_rng(index)
        atoms = bulk("Cu", cubic=True, a=3.6 + 0.1 * (index % 5))
        atoms.symbols[rng.permutation(4)[: index % 5]] = "Au"
        atoms.rattle(0.1, rng=rng)
        structures.append(SoftAtoms.from_ase(atoms))
    labels = evaluate_batch(potential, structures, properties=("energy", "forces", "stress"))
    return [
        Frame(
            f"f{index:02d}",
            f"g{index % 2}",
            soft,
            float(out.energy) - 3.0,
            out.forces.numpy(),
            out.stress.numpy(),
            status="ok",
            labeller="gupta",
        )
        for index, (soft, out) in enumerate(zip(structures, labels, strict=True))
    ]


def with_one(frames: list[Frame], index: int, **changes) -> list[Frame]:
    return [
        dataclasses.replace(frame, **changes) if i == index else frame
        for i, frame in enumerate(frames)
    ]


def only(frames: list[Frame], limits: Limits | None = None) -> tuple[str, str, str, str]:
    """The one finding."""
    (finding,) = check_frames(frames, limits).findings
    return finding


def test_sound_frames_raise_no_alarm(sound):
    report = check_frames(sound)
    assert report.findings == ()
    assert report.summary() == []
    assert mark_failed(sound, report) == sound


def test_missing_labels(sound):
    assert only(with_one(sound, 3, energy=None))[:3] == ("f03", "missing label", "error")
    assert only(with_one(sound, 3, forces=None)).message == "has no forces"
    assert check_frames(with_one(sound, 3, stress=None)).findings == ()
    limits = Limits(required=("energy", "stress"))
    assert only(with_one(sound, 3, stress=None), limits).message == "has no stress"


def test_values_that_are_not_finite(sound):
    forces = sound[7].forces.copy()
    forces[1, 2] = np.nan
    finding = only(with_one(sound, 7, forces=forces))
    assert (finding.frame_id, finding.check) == ("f07", "not finite")
    assert finding.message == "1 of 12 values of forces are nan or inf"
    assert "energy" in only(with_one(sound, 7, energy=np.inf)).message


def test_absurd_values(sound):
    assert only(with_one(sound, 5, energy=1e5))[:3] == ("f05", "absurd energy", "error")
    forces = sound[6].forces.copy()
    forces[2] = [0, 400.0, 0]
    finding = only(with_one(sound, 6, forces=forces))
    assert finding[:2] == ("f06", "absurd forces")
    assert "site 2 is 400" in finding.message
    assert only(with_one(sound, 6, stress=9 * np.eye(3))).check == "absurd stress"
    skew = sound[6].stress + np.array([[0, 0.1, 0], [0, 0, 0], [0, 0, 0]])
    assert "not symmetric" in only(with_one(sound, 6, stress=skew)).message
    pushed = only(with_one(sound, 6, forces=np.add(sound[6].forces, [0.2, 0, 0])))
    assert (pushed.check, pushed.severity) == ("net force", "warning")


@pytest.mark.parametrize(
    ("name", "unit"),
    [("Hartree", 27.211386), ("kcal/mol", 0.0433641), ("kJ/mol", 0.0103643)],
)
def test_energies_in_other_units(sound, name, unit):
    frames = [
        dataclasses.replace(frame, energy=frame.energy / unit) if i % 4 == 0 else frame
        for i, frame in enumerate(sound)
    ]
    findings = check_frames(frames).findings
    assert [finding.frame_id for finding in findings] == [f"f{i:02d}" for i in range(0, 40, 4)]
    assert {finding.check for finding in findings} == {"mixed units"}
    assert all(finding.message.endswith(f"fit in {name}") for finding in findings)


def test_energies_per_atom(sound):
    finding = only(with_one(sound, 7, energy=sound[7].energy / 4))
    assert finding[:3] == ("f07", "mixed units", "error")
    assert finding.message.endswith("it would fit as energy per atom")


def test_unusual_energies_deserve_a_look(sound):
    for energy in (-sound[7].energy, 2 * sound[7].energy, sound[7].energy + 20.0):
        finding = only(with_one(sound, 7, energy=energy))
        assert finding[:3] == ("f07", "unusual energy", "warning")


def test_isolated_atoms_are_not_taken_for_other_units(sound):
    """Free atoms of copper and silver have about a fourteenth of the energy of the metal."""
    atom = SoftAtoms.from_ase(Atoms("Cu", cell=12 * np.eye(3), pbc=True))
    energy = np.mean([f.energy / f.n_sites for f in sound if (f.soft.site_number == 29).all()])
    zero = np.zeros((1, 3))
    free = Frame("free", "atoms", atom, energy / 13.605693, zero, status="ok", labeller="x")
    assert check_frames([*sound, free]).findings == ()


def test_forces_in_other_units(sound):
    finding = only(with_one(sound, 9, forces=sound[9].forces / 51.422067))
    assert finding[:3] == ("f09", "mixed units", "warning")
    assert "fit in Hartree/bohr" in finding.message


def test_energies_near_zero_have_no_unit(sound):
    """Converted to a smaller unit, any energy would fit a reference of zero."""
    frames = [dataclasses.replace(f, energy=0.01 * i * f.n_sites) for i, f in enumerate(sound)]
    frames = with_one(frames, 5, energy=8.0)
    assert check_frames(frames).findings == ()


def test_zero_forces(sound):
    lost = only(with_one(sound, 4, forces=np.zeros((4, 3))))
    assert (lost.frame_id, lost.check, lost.severity) == ("f04", "zero forces", "error")
    partial = sound[4].forces.copy()
    partial[:2] = 0
    held = only(with_one(sound, 4, forces=partial), Limits(net_force=10.0))
    assert (held.check, held.severity) == ("zero forces", "warning")
    symmetric = SoftAtoms.from_ase(bulk("Cu", cubic=True))
    frame = Frame("s", "g", symmetric, -20.0, np.zeros((4, 3)), status="ok", labeller="x")
    assert check_frames([frame]).findings == ()


def test_atoms_that_are_too_close(sound):
    moved = sound[2].soft.positions.copy()
    moved[1] = moved[0] + [0.6, 0, 0]
    finding = only(with_one(sound, 2, soft=sound[2].soft.with_positions(moved)))
    assert finding[:3] == ("f02", "too close", "error")
    assert finding.message.startswith("sites 0 and 1 are 0.600 Å apart")
    faint = sound[2].soft.with_positions(moved).with_existence([0], 0.1)
    assert check_frames([Frame("a", "g", faint)]).findings == ()


def test_copies(sound):
    copy = dataclasses.replace(
        sound[0],
        frame_id="copy",
        group="g1",
        soft=sound[0].soft.with_positions(sound[0].soft.positions + 1.0),
    )
    finding = only([*sound, copy])
    assert (finding.frame_id, finding.check, finding.severity) == ("copy", "duplicate", "warning")
    assert "f00 of another group, g0" in finding.message
    assert check_frames([*sound, copy], Limits(duplicates=False)).findings == ()
    other = dataclasses.replace(copy, energy=copy.energy + 0.1)
    finding = only([*sound, other])
    assert (finding.check, finding.severity) == ("contradiction", "error")
    assert "0.025 eV/atom" in finding.message


def test_findings_become_failed_frames_and_none_is_lost(sound):
    frames = with_one(with_one(sound, 1, energy=None), 2, forces=np.full((4, 3), np.inf))
    frames = with_one(frames, 3, status="failed", error="did not converge")
    report = check_frames(frames)
    marked = mark_failed(frames, report)
    assert len(marked) == len(frames)
    assert [frame.frame_id for frame in marked if frame.status == "failed"] == ["f01", "f02", "f03"]
    assert marked[1].error == "has no energy"
    assert marked[3].error == "did not converge"
    assert report.summary() == [
        "error missing label: 1 of 40 frames, first f01: has no energy",
        "error not finite: 1 of 40 frames, first f02: 12 of 12 values of forces are nan or inf",
    ]


@needs_dft
@pytest.mark.parametrize("name", ["cu", "nbmotaw"])
def test_published_data_pass(name):
    frames = read_maml(sorted((DFT / name).glob("*.json.gz"))).frames
    assert check_frames(frames, Limits(duplicates=False)).findings == ()
