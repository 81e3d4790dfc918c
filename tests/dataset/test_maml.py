"""JSON lists of published DFT data: groups, broken records, and the order and sign of stresses."""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from dataset_samples import DFT, needs_dft, write_json

from softatoms import SoftAtoms, evaluate, load_potential
from softatoms.dataset.imported import ImportFailedError, in_blocks
from softatoms.dataset.maml import maml_stress_convention, read_maml, read_records
from softatoms.dataset.stress_convention import (
    EV_ANG3_PER_KBAR,
    ORDERS,
    VASP,
    StressConvention,
    StressConventionError,
)

SYSTEMS = {"nbmotaw": 5282, "cu": 294}
FORWARD = {name: [order.index(i) for i in range(6)] for name, order in ORDERS.items()}


def record(soft: SoftAtoms, energy: float, forces: Any, kbar: Any, **more: Any) -> dict[str, Any]:
    fractional = np.linalg.solve(soft.cell.T, soft.positions.T).T
    sites = [
        {"species": [{"element": symbol, "occu": 1}], "abc": abc.tolist()}
        for symbol, abc in zip(soft.to_ase().symbols, fractional, strict=True)
    ]
    structure = {"lattice": {"matrix": soft.cell.tolist()}, "sites": sites}
    outputs = {"energy": energy, "forces": forces, "stress": kbar}
    return {"structure": structure, "num_atoms": len(soft), "outputs": outputs, **more}


def strained_records(
    order: str = "xx yy zz xy yz zx", sign: int = -1, *, shear: bool = True, pressure: float = 0.0
) -> list[dict[str, Any]]:
    """Strained copper with the labels of a potential; ``pressure`` (kbar) spoils the stresses."""
    potential = load_potential("gupta", elements=["Cu"])
    rng = np.random.default_rng(0)
    records = []
    for _ in range(20):
        change = rng.normal(scale=0.006, size=(3, 3))
        if not shear:
            change = np.diag(np.diag(change))
        atoms = bulk("Cu")
        atoms.set_cell(atoms.cell @ (np.eye(3) + change), scale_atoms=True)
        soft = SoftAtoms.from_ase(atoms)
        out = evaluate(potential, soft, properties=("energy", "forces", "stress"))
        tension = out.stress.numpy() / EV_ANG3_PER_KBAR + pressure * np.eye(3)
        kbar = sign * tension.ravel()[FORWARD[order]]
        records.append(record(soft, float(out.energy), out.forces.tolist(), kbar.tolist()))
    return records


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sign", [1, -1])
def test_every_order_and_sign_is_told_from_strained_cells(tmp_path, order, sign):
    records = strained_records(order, sign)
    found = maml_stress_convention(records)
    assert found is not None
    assert (found.order, found.sign) == (order, sign)
    assert found.residual < 0.03
    assert abs(found.slope - 1) < 0.02
    assert abs(found.offset_kbar) < 2
    frames = read_maml([write_json(tmp_path / "a.json", records)]).frames
    potential = load_potential("gupta", elements=["Cu"])
    for frame in frames:
        expected = evaluate(potential, frame.soft, properties=("stress",)).stress.numpy()
        np.testing.assert_allclose(frame.stress, expected, rtol=1e-9, atol=1e-10)


def test_a_constant_pressure_is_reported_and_not_mistaken(tmp_path):
    imported = read_maml([write_json(tmp_path / "a.json", strained_records(pressure=40.0))])
    assert "differ from the energies by a constant -39.6 kbar" in imported.notes[0]


def test_a_constant_pressure_can_be_added(tmp_path):
    path = write_json(tmp_path / "a.json", strained_records(pressure=40.0))
    imported = read_maml([path], stress="fit")
    assert "-39.6 kbar are added" in imported.notes[0]
    plain = read_maml([write_json(tmp_path / "b.json", strained_records())]).frames
    for frame, expected in zip(imported.frames, plain, strict=True):
        # Half a kbar is what the strains of the cells leave open.
        np.testing.assert_allclose(frame.stress, expected.stress, rtol=0, atol=4e-4)


def test_what_cannot_be_told_is_refused():
    records = strained_records(shear=False)
    with pytest.raises(StressConventionError, match="give cells with shear, or name the"):
        maml_stress_convention(records)
    with pytest.raises(StressConventionError, match="only 1 pairs of cells"):
        maml_stress_convention(records[:2])
    for entry in (shuffled := strained_records()):
        entry["outputs"]["stress"] = [100 * value for value in entry["outputs"]["stress"]]
    with pytest.raises(StressConventionError, match="is the unit kbar"):
        maml_stress_convention(shuffled)


def test_without_stresses_nothing_needs_to_be_told(tmp_path):
    records = strained_records()[:3]
    for entry in records:
        del entry["outputs"]["stress"]
    imported = read_maml([write_json(tmp_path / "a.json", records)])
    assert [frame.stress for frame in imported.frames] == [None] * 3
    assert {frame.status for frame in imported.frames} == {"ok"}
    assert (
        read_maml([write_json(tmp_path / "b.json", strained_records())], stress="drop")
        .frames[0]
        .stress
        is None
    )


def test_broken_records_are_kept_as_failures(tmp_path):
    good = strained_records()[0]
    spoiled: list[Any] = [json.loads(json.dumps(good)) for _ in range(9)]
    del spoiled[0]["outputs"]["energy"]
    del spoiled[1]["outputs"]
    spoiled[2]["outputs"]["forces"] = [[0.0, 0.0]]
    spoiled[3]["outputs"]["stress"] = [1.0, 2.0]
    spoiled[4]["outputs"]["energy"] = "low"
    del spoiled[5]["structure"]
    spoiled[6]["structure"]["sites"][0]["species"][0]["element"] = "Qq"
    spoiled[7]["structure"]["lattice"]["matrix"] = [[1.0, 0, 0]]
    spoiled[8]["structure"]["sites"] = []
    path = write_json(tmp_path / "a.json.gz", [good, *spoiled, None])
    imported = read_maml([path], stress="vasp")
    assert [(frame.frame_id, frame.status) for frame in imported.frames] == [
        ("a-00000", "ok"),
        *((f"a-0000{i}", "failed") for i in range(1, 6)),
    ]
    errors = [frame.error for frame in imported.frames]
    for error, words in zip(
        errors,
        ("", "lacks energy", "has no 'outputs'", "forces must have", "stress must", "energy must"),
        strict=True,
    ):
        assert words in error
    assert [entry.frame_id for entry in imported.rejected] == [
        *(f"a-0000{i}" for i in range(6, 10)),
        "a-00010",
    ]
    assert all("record" in entry.error for entry in imported.rejected)
    assert "'Qq'" in imported.rejected[1].error


def test_unreadable_files_are_named(tmp_path):
    good = write_json(tmp_path / "a.json.gz", [])
    (tmp_path / "cut.json.gz").write_bytes(good.read_bytes()[:-9])
    (tmp_path / "text.json").write_text("{")
    (tmp_path / "mapping.json").write_text("{}")
    for name in ("absent.json", "cut.json.gz", "text.json", "mapping.json"):
        with pytest.raises(ImportFailedError, match=name):
            read_records(tmp_path / name)
    path = write_json(tmp_path / "b.json", strained_records()[:1])
    with pytest.raises(ImportFailedError, match="comes twice"):
        read_maml([path, path], stress="vasp")


def test_notes_tell_trajectories_and_pairs(tmp_path):
    record_ = strained_records()[0]
    notes = [{"Md": "300-37"}, {"Md": "-300-1"}, {"Md_90": "300-2"}, {"relax": "7"}]
    notes += [{"unrelax": "7"}, {"Strain": "1---0.0100"}, {}, None]
    records = [{**record_, "notes": note, "_id": f"x{i}"} for i, note in enumerate(notes)]
    path = write_json(tmp_path / "W.json", records)
    frames = read_maml([path], stress=VASP).frames
    assert [frame.group for frame in frames] == [
        *("W/Md-300", "W/Md-300", "W/Md_90-300", "W/7", "W/7", "W/strain-1", "W", "W")
    ]
    assert [frame.frame_id for frame in frames] == [f"W-x{i}" for i in range(8)]


def test_groups_are_cut_into_runs(tmp_path):
    record_ = strained_records()[0]
    notes = [{"Md": f"{300 if i % 3 else 900}-{i}"} for i in range(12)]
    records = [{**record_, "notes": note, "_id": f"x{i}"} for i, note in enumerate(notes)]
    imported = read_maml([write_json(tmp_path / "W.json", records)], stress=VASP)
    cut = in_blocks(imported, 3)
    assert [frame.frame_id for frame in cut.frames] == [f.frame_id for f in imported.frames]
    warm = [frame.group for frame in cut.frames if "300" in frame.group]
    assert warm == [f"W/Md-300/block-{i}" for i in (0, 0, 0, 1, 1, 1, 2, 2)]
    hot = [frame.group for frame in in_blocks(imported, 9).frames if "900" in frame.group]
    assert hot == [f"W/Md-900/block-{i}" for i in range(4)]


@needs_dft
@pytest.mark.parametrize("name", SYSTEMS)
def test_published_data(name):
    paths = sorted((DFT / name).glob("*.json.gz"))
    imported = read_maml(paths)
    assert len(imported.frames) == SYSTEMS[name]
    assert imported.rejected == ()
    assert {frame.status for frame in imported.frames} == {"ok"}
    for frame in imported.frames[::97]:
        assert frame.forces is not None
        assert frame.forces.shape == frame.soft.positions.shape
        assert abs(frame.forces.sum(axis=0)).max() < 0.1
    from pymatgen.core.structure import Structure

    with gzip.open(paths[0]) as handle:
        first = json.load(handle)[0]
    structure = Structure.from_dict(first["structure"])
    np.testing.assert_allclose(
        imported.frames[0].soft.positions, structure.cart_coords, rtol=1e-12, atol=1e-12
    )
    assert imported.frames[0].soft.to_ase().get_chemical_symbols() == [
        site.specie.symbol for site in structure
    ]


@needs_dft
@pytest.mark.parametrize(
    ("name", "offset"),
    [("cu/Elastic", -24), *((f"nbmotaw/{metal}_Elastic", 0) for metal in ("Mo", "Nb", "Ta", "W"))],
)
def test_finite_strains_prove_the_stresses_of_published_data(name, offset):
    found = maml_stress_convention(read_records(DFT / f"{name}.json.gz"))
    assert isinstance(found, StressConvention)
    assert (found.order, found.sign) == (VASP.order, VASP.sign)
    assert found.residual < 0.04
    assert found.runner_up > 2 * found.residual
    assert abs(found.slope - 1) < 0.03
    assert abs(found.offset_kbar - offset) < 2.5
