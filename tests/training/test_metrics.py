"""Errors against values worked out by hand, reference energies, and ensembles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from training_frames import ELEMENTS, SMALL, dataset, fresh, quick, structure

import softatoms as sa
from softatoms import provenance
from softatoms.dataset.frames import Frame
from softatoms.tables import read_table, write_table
from softatoms.training import train
from softatoms.training.ensemble import fraction_of, train_ensemble, uncertainty
from softatoms.training.metrics import (
    Prediction,
    chemical_system,
    force_rows,
    metric_rows,
    prediction_rows,
    predictions,
)
from softatoms.training.reference_energies import fit_isolated_energies
from tolerances import assert_close

ORIGIN = provenance.Provenance(
    "test", "unknown", "", 0, "", "float64", "cpu", {}, "2000-01-01T00:00:00+00:00"
)


def two_predictions() -> list[Prediction]:
    frames = [
        replace(dataset()[0], frame_id="a", group="one", split="test", energy=-4.0),
        replace(dataset()[10], frame_id="b", group="two", split="test", energy=-8.0),
    ]
    shifts = (0.1, -0.3)
    return [
        Prediction(
            frame=frame,
            atoms=4.0,
            energy=(frame.energy or 0.0) + 4.0 * shift,
            forces=(0.0 if frame.forces is None else frame.forces) + shift * np.eye(4, 3),
            stress=(0.0 if frame.stress is None else frame.stress) + shift * np.ones((3, 3)),
        )
        for frame, shift in zip(frames, shifts, strict=True)
    ]


def test_errors_by_hand() -> None:
    rows = {row["metric_id"]: row for row in metric_rows("m", two_predictions())}
    energy = rows["m/test/all/all/energy"]
    assert energy["mae"] == pytest.approx(0.2)
    assert energy["rmse"] == pytest.approx(np.sqrt((0.01 + 0.09) / 2))
    assert energy["largest"] == pytest.approx(0.3)
    assert (energy["n"], energy["unit"]) == (2, "eV/atom")
    force = rows["m/test/all/all/force"]
    # Three of twelve components of each frame are off.
    assert force["mae"] == pytest.approx((3 * 0.1 + 3 * 0.3) / 24)
    assert force["rmse"] == pytest.approx(np.sqrt((3 * 0.01 + 3 * 0.09) / 24))
    assert force["n"] == 24
    stress = rows["m/test/two/all/stress"]
    assert stress["mae"] == pytest.approx(0.3)
    assert stress["n"] == 6
    by_element = [row for row in rows.values() if row["element"] in ELEMENTS]
    # Every component is in the rows of all frames, of its group and of its system.
    assert sum(row["n"] for row in by_element) == 3 * 24
    assert {row["group"] for row in by_element} >= {"all", "one", "two"}


def test_errors_by_the_elements_of_the_frames() -> None:
    whole, other = two_predictions()
    gold = whole.frame.soft.to_ase()
    gold.numbers[:] = 79
    pure = replace(whole, frame=replace(whole.frame, soft=sa.SoftAtoms.from_ase(gold)))
    mixed = other.frame.soft.to_ase()
    mixed.numbers[:2] = 29, 79
    other = replace(other, frame=replace(other.frame, soft=sa.SoftAtoms.from_ase(mixed)))
    rows = {row["metric_id"]: row for row in metric_rows("m", [pure, other])}
    assert rows["m/test/system:Au/all/energy"]["mae"] == pytest.approx(0.1)
    assert rows["m/test/system:Au-Cu/all/energy"]["mae"] == pytest.approx(0.3)
    assert rows["m/test/system:Au/Au/force"]["n"] == 12
    soft = pure.frame.soft.with_candidates([0], {"Au": 1.0, "Cu": 0.0})
    assert chemical_system(replace(pure.frame, soft=soft)) == "Au"


def test_groups_that_are_called_all_count_once() -> None:
    rows = metric_rows("m", two_predictions(), group=lambda frame: "all")
    names = {row["group"] for row in rows}
    assert names == {"all", *(f"system:{chemical_system(p.frame)}" for p in two_predictions())}
    energy = next(row for row in rows if row["quantity"] == "energy" and row["group"] == "all")
    assert energy["n"] == 2


def test_molecules_have_no_stress() -> None:
    gupta = sa.load_potential("gupta", elements=ELEMENTS)
    molecule = sa.SoftAtoms.from_ase(Atoms("CuAu", positions=[[0, 0, 0], [0, 0, 2.4]]))
    frame = Frame("dimer", "dimers", molecule, energy=-1.0, status="ok")
    alone, beside = (predictions(gupta, frames)[0] for frames in ([frame], [frame, dataset()[0]]))
    assert np.isnan(alone.stress).all()
    assert np.isnan(beside.stress).all()


def test_sites_without_a_force_have_no_row() -> None:
    whole, without = two_predictions()
    frame = whole.frame.soft.with_existence([1], 0.0)
    ghost = replace(whole, frame=replace(whole.frame, soft=frame))
    without = replace(without, frame=replace(without.frame, forces=None))
    rows = force_rows("m", [ghost, without])
    assert [row["site_id"] for row in rows] == ["a/0", "a/2", "a/3"]


def test_rows_fit_their_tables(tmp_path: Path) -> None:
    found = two_predictions()
    rows = metric_rows("m", found)
    table = write_table(tmp_path / "evaluation.parquet", "evaluation", rows, ORIGIN)
    assert read_table(tmp_path / "evaluation.parquet", "evaluation").data.equals(table.data)
    spread = prediction_rows(
        "m", found, energy_spread=[0.4, 0.8], force_spread=[np.full(4, 0.2), np.full(4, 0.1)]
    )
    assert spread[0]["energy_spread_ev_per_atom"] == pytest.approx(0.1)
    assert spread[1]["energy_error_ev_per_atom"] == pytest.approx(-0.3)
    assert spread[0]["force_largest_error_ev_per_ang"] == pytest.approx(0.1)
    write_table(tmp_path / "prediction.parquet", "prediction", spread, ORIGIN)
    sites = force_rows("m", found)
    assert [row["site_id"] for row in sites[3:5]] == ["a/3", "b/0"]
    assert sites[4]["predicted_x_ev_per_ang"] - sites[4]["label_x_ev_per_ang"] == pytest.approx(
        -0.3
    )
    assert sites[4]["predicted_y_ev_per_ang"] == sites[4]["label_y_ev_per_ang"]
    write_table(tmp_path / "sites.parquet", "force_prediction", sites, ORIGIN)
    history = train(fresh(), dataset()[:10], quick(epochs=2)).history
    write_table(tmp_path / "history.parquet", "training_history", history, ORIGIN)


def composed(index: int, symbols: list[str], energy: float) -> Frame:
    atoms = structure(index).to_ase()
    atoms.symbols[:] = symbols
    return Frame(
        frame_id=str(index),
        group="g",
        soft=sa.SoftAtoms.from_ase(atoms),
        energy=energy,
        status="ok",
    )


def test_isolated_energies_are_recovered() -> None:
    own = {"Cu": -3.7, "Au": -41.2}
    mixtures = [["Cu"] * count + ["Au"] * (4 - count) for count in (0, 1, 3)]
    frames = [
        composed(index, symbols, sum(own[s] for s in symbols))
        for index, symbols in enumerate(mixtures)
    ]
    fitted = fit_isolated_energies(frames, ["Au", "Cu", "Ag"])
    assert set(fitted) == {"Au", "Cu"}
    for symbol, energy in own.items():
        assert fitted[symbol] == pytest.approx(energy, rel=1e-12)


def test_one_composition_gives_all_elements_the_same_energy() -> None:
    symbols = ["Cu", "Cu", "Cu", "Au"]
    frames = [composed(index, symbols, energy) for index, energy in enumerate((-20.0, -22.0))]
    fitted = fit_isolated_energies(frames, ELEMENTS)
    assert fitted == pytest.approx({"Cu": -5.25, "Au": -5.25})


def test_soft_frames_count_their_weights() -> None:
    soft = structure(0).with_candidates([0, 1, 2, 3], {"Cu": 0.25, "Au": 0.5}, tie="t")
    frames = [
        Frame("soft", "g", soft, energy=1.0 * -3.0 + 2.0 * -5.0, status="ok"),
        composed(1, ["Cu"] * 4, -12.0),
    ]
    assert fit_isolated_energies(frames, ELEMENTS) == pytest.approx({"Cu": -3.0, "Au": -5.0})


def test_given_energies_are_taken() -> None:
    trained = train(
        fresh(), dataset()[:10], quick(epochs=1, isolated_energies={"Cu": -1.0, "Au": -2.0})
    )
    assert trained.potential.isolated_energies.tolist() == [-1.0, -2.0]
    with pytest.raises(sa.OptionError, match="isolated_energies names Ag"):
        train(fresh(), dataset()[:10], quick(isolated_energies={"Ag": -1.0}))


def test_refitted_energies_close_the_gap_of_a_trained_potential() -> None:
    """A potential that is right but for its references needs no training."""
    shifted = [
        replace(
            frame,
            energy=frame.energy + 3.0 * (frame.soft.site_number == 79).sum() - 2.0 * frame.n_sites,
        )
        for frame in dataset()
        if frame.energy is not None
    ]
    start = train(fresh(), dataset(), quick(epochs=2)).potential
    ready = quick(epochs=1, learning_rate=1e-12, isolated_energies="refit", dtype="float64")
    before = train(start, dataset(), replace(ready, isolated_energies="keep"))
    after = train(start, shifted, ready)
    change = after.potential.isolated_energies - start.isolated_energies
    rows = (before.history[0], after.history[0])
    name = "train_energy_rmse_ev_per_atom"
    assert rows[1][name] <= rows[0][name]
    plain = train(start, dataset(), ready).potential.isolated_energies - start.isolated_energies
    assert_close(change - plain, np.array([-2.0, 1.0]), "same")


def test_spread_of_an_ensemble(tmp_path: Path) -> None:
    models = [
        one.potential
        for one in train_ensemble(
            "painn", SMALL, dataset()[:10], quick(epochs=1), size=3, folder=tmp_path
        )
    ]
    assert len({model.sha256() for model in models}) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00", "01", "02"]
    systems = [structure(20), structure(21, cells=2)]
    found = uncertainty(models, systems, dtype="float64")
    for soft, said in zip(systems, found, strict=True):
        each = [sa.evaluate(model, soft) for model in models]
        energies = np.array([float(result.energy) for result in each])
        forces = np.stack([result.forces.numpy() for result in each])  # type: ignore[union-attr]
        assert float(said.energy) == pytest.approx(energies.mean(), rel=1e-12)
        assert float(said.energy_spread) == pytest.approx(energies.std(ddof=1), rel=1e-9)
        assert_close(said.forces, forces.mean(axis=0), "same")
        variance = forces.var(axis=0, ddof=1).sum(axis=1)
        assert_close(said.force_spread, np.sqrt(variance), "same")


def test_equal_models_do_not_disagree() -> None:
    model = fresh()
    said = uncertainty([model, model], [structure(0)])[0]
    assert float(said.energy_spread) == 0.0
    assert torch.equal(said.force_spread, torch.zeros(4, dtype=torch.float64))
    with pytest.raises(sa.OptionError, match="at least 2 models"):
        uncertainty([model], [structure(0)])


def test_fractions_are_nested_and_leave_the_rest() -> None:
    small, large = (fraction_of(dataset(), part, seed=0) for part in (0.25, 0.5))
    names = [
        {frame.frame_id for frame in part if frame.split == "train"} for part in (small, large)
    ]
    assert names[0] < names[1]
    assert (len(names[0]), len(names[1])) == (6, 12)
    assert sum(frame.split == "test" for frame in small) == 8
    with pytest.raises(sa.OptionError, match="fraction"):
        fraction_of(dataset(), 0.0, seed=0)


def test_fractions_of_whole_groups() -> None:
    """Three groups of eight frames each; none is cut."""
    sizes = {}
    for fraction in (0.01, 0.3, 0.4, 0.7, 1.0):
        part = fraction_of(dataset(), fraction, seed=1, whole_groups=True)
        training = [frame for frame in part if frame.split == "train"]
        sizes[fraction] = {frame.group for frame in training}
        assert len(training) == 8 * len(sizes[fraction])
        assert len(part) - len(training) == 16
    assert [len(groups) for groups in sizes.values()] == [1, 1, 2, 3, 3]
    assert sizes[0.3] < sizes[0.4] < sizes[1.0]
