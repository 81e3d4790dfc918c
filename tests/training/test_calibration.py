"""Calibration against ensembles that are drawn from known distributions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_frames import dataset, fresh, quick, structure

import softatoms as sa
from softatoms.training import train
from softatoms.training.calibration import (
    LEVELS,
    Calibration,
    Errors,
    Scale,
    calibrate,
    calibration_rows,
    coverage,
    errors_of,
    fit_scale,
    rank_correlation,
)
from softatoms.training.card import save_trained
from softatoms.training.ensemble import committee, load_ensemble, uncertainty
from softatoms.training.metrics import Prediction


def drawn(
    *, models: int, components: int, truth: float, n: int = 6000, seed: int = 0, groups: int = 6
) -> Errors:
    """Models spread normally by widths over two decades; the truth is ``truth`` times as wide."""
    rng = np.random.default_rng(seed)
    widths = 10.0 ** rng.uniform(-3.0, -1.0, n)[:, None]
    said = widths * rng.normal(size=(models, n, components))
    spreads = np.sqrt(said.var(axis=0, ddof=1).mean(axis=1))
    errors = said.mean(axis=0) - truth * widths * rng.normal(size=(n, components))
    names = np.array([f"g{i % groups}" for i in range(n)], dtype=object)
    return Errors(errors, spreads, names, models)


@pytest.mark.parametrize(("models", "components"), [(2, 1), (3, 1), (4, 3), (8, 1)])
@pytest.mark.parametrize("truth", [1.0, 2.5])
def test_a_known_factor_is_recovered_and_intervals_hold(
    models: int, components: int, truth: float
) -> None:
    """The mean has an error of its own, hence √(truth² + 1/n)."""
    scale = fit_scale(drawn(models=models, components=components, truth=truth))
    assert scale is not None
    assert scale.factor == pytest.approx(np.sqrt(truth**2 + 1.0 / models), rel=0.05)
    assert scale.degrees == components * (models - 1)
    assert (scale.n, scale.n_groups) == (6000 * components, 6)
    other = drawn(models=models, components=components, truth=truth, seed=1)
    for level in LEVELS.values():
        assert coverage(other, level, scale) == pytest.approx(level, abs=0.02)
    # Taken as they are, the spreads of few models promise too much.
    assert coverage(other, LEVELS["95"]) < 0.93


def test_the_root_mean_square_would_mislead() -> None:
    """What a normal distribution would take as factor grows with the number of errors."""
    part = drawn(models=3, components=1, truth=1.0)
    scale = fit_scale(part)
    assert scale is not None
    assert np.sqrt((part.ratios() ** 2).mean()) > 1.5 * scale.factor


def test_many_models_are_as_good_as_a_normal_distribution() -> None:
    part = drawn(models=60, components=1, truth=2.0)
    scale = fit_scale(part)
    assert scale is not None
    assert scale.factor == pytest.approx(np.sqrt((part.ratios() ** 2).mean()), rel=0.03)


def test_frames_of_one_group_are_not_taken_for_independent() -> None:
    """Groups whose factors differ by 2: the error of the factor is theirs, not that of frames."""
    part = drawn(models=4, components=1, truth=1.0)
    scale = fit_scale(part)
    bias = np.array([2.0 if int(name[1:]) % 2 else 0.5 for name in part.groups])
    biased = fit_scale(replace(part, errors=bias[:, None] * part.errors))
    assert scale is not None
    assert biased is not None
    assert scale.standard_error is not None
    assert biased.standard_error is not None
    assert scale.standard_error < 0.05 * scale.factor
    assert biased.standard_error > 0.2 * biased.factor
    alone = fit_scale(replace(part, groups=np.full(6000, "one", dtype=object)))
    assert alone is not None
    assert alone.standard_error is None


def test_neither_zero_errors_nor_zero_spreads_decide_alone() -> None:
    part = drawn(models=4, components=3, truth=1.0)
    scale = fit_scale(part)
    assert scale is not None
    spreads = part.spreads.copy()
    spreads[:20] = 0.0
    blind = fit_scale(replace(part, spreads=spreads))
    assert blind is not None
    assert 1.0 < blind.factor / scale.factor < 1.1
    errors = part.errors.copy()
    errors[:20] = 0.0
    idle = fit_scale(replace(part, errors=errors))
    assert idle is not None
    assert 0.9 < idle.factor / scale.factor < 1.0
    assert fit_scale(replace(part, errors=np.zeros_like(part.errors))) is None
    assert fit_scale(replace(part, spreads=np.zeros_like(part.spreads))) is None
    assert fit_scale(part.of(np.arange(6000) < 4)) is None


def spread_predictions() -> tuple[list[list[Prediction]], int]:
    """What three models say of frames: the label plus what is drawn for each of them."""
    rng = np.random.default_rng(3)
    frames = dataset()
    found = []
    for _ in range(3):
        said = []
        for frame in frames:
            assert frame.energy is not None
            assert frame.forces is not None
            assert frame.stress is not None
            forces = frame.forces + 0.1 * rng.normal(size=frame.forces.shape)
            forces[0] = frame.forces[0]
            atoms = float(frame.n_sites)
            energy = frame.energy + 0.02 * atoms * rng.normal()
            said.append(Prediction(frame, atoms, energy, forces, frame.stress))
        found.append(said)
    return found, sum(frame.n_sites for frame in frames)


def test_a_committee_is_the_mean_and_its_spread() -> None:
    found, n_sites = spread_predictions()
    together = committee(found)
    energies = np.array([[one.energy for one in said] for said in found])
    np.testing.assert_allclose([one.energy for one in together.mean], energies.mean(axis=0))
    np.testing.assert_allclose(together.energy_spread, energies.std(axis=0, ddof=1))
    errors = errors_of(together.mean, together.energy_spread, together.force_spread, models=3)
    # The first site of every frame has the force of its label in all models: nothing to learn.
    assert len(errors["force"].errors) == n_sites - len(dataset())
    assert errors["force"].degrees == 6
    stack = np.stack([np.concatenate([one.forces for one in said]) for said in found])
    variance = stack.var(axis=0, ddof=1).mean(axis=1)
    np.testing.assert_allclose(
        errors["force"].spreads, np.sqrt(variance[variance > 1e-12]), rtol=1e-12
    )
    # The truth is the centre that the models are drawn around: only 1/√n is left.
    factors = calibrate(errors).scales
    assert factors["force"].factor == pytest.approx(np.sqrt(1.0 / 3.0), rel=0.1)
    with pytest.raises(sa.OptionError, match="at least 2 models"):
        committee(found[:1])


def test_sites_and_frames_without_labels_are_left_out() -> None:
    found, _ = spread_predictions()
    bare = [
        [replace(one, frame=replace(one.frame, energy=None, forces=None)) for one in said]
        for said in found
    ]
    errors = errors_of(*committee(bare), models=3)
    assert [len(part.errors) for part in errors.values()] == [0, 0]
    assert calibrate(errors).scales == {}
    assert calibration_rows("m", "test", errors, Calibration()) == []
    assert [len(part.errors) for part in errors_of([], [], [], models=3).values()] == [0, 0]


def test_rows_by_hand() -> None:
    part = Errors(
        np.array([[0.5], [-3.0], [1.0], [-0.1]]),
        np.array([1.0, 2.0, 0.4, 0.1]),
        np.array(["a", "a", "b", "b"], dtype=object),
        models=2,
    )
    scale = Scale(factor=1.0, degrees=1, n=4, n_groups=2, standard_error=None)
    rows = calibration_rows("m", "test", {"energy": part}, Calibration({"energy": scale}))
    assert [row["calibration_id"] for row in rows] == [
        *("m/test/all/energy", "m/test/a/energy", "m/test/b/energy"),
    ]
    whole, first, _ = rows
    assert whole["rmse"] == pytest.approx(np.sqrt((0.25 + 9.0 + 1.0 + 0.01) / 4))
    assert whole["rms_spread"] == pytest.approx(np.sqrt((1.0 + 4.0 + 0.16 + 0.01) / 4))
    # Ratios 0.5, 1.5, 2.5, 1 within 1 and 2; Cauchy's interval of 68.27 % reaches to 1.837.
    assert whole["coverage_68_raw"] == 0.5
    assert whole["coverage_95_raw"] == 0.75
    assert whole["coverage_68"] == 0.75
    assert scale.half_width() == pytest.approx(np.tan(np.pi * 0.6827 / 2.0))
    assert whole["rank_correlation"] == pytest.approx(0.8)
    assert rank_correlation(part.of(np.array([True, True, False, False]))) is None
    assert (first["n"], first["n_groups"], first["coverage_68_raw"]) == (2, 1, 0.5)
    raw = calibration_rows("m", "test", {"energy": part}, Calibration())[0]
    assert raw["factor"] is raw["coverage_95"] is None


def test_an_ensemble_comes_back_from_disk_with_its_calibration(tmp_path: Path) -> None:
    done = [
        train(fresh(seed=seed), dataset()[:10], quick(epochs=1, seed=seed)) for seed in range(2)
    ]
    names = ["model", "model-01"]
    factors = Calibration({"force": Scale(3.0, 3, 12, 2, 0.5), "energy": Scale(2.0, 1, 4, 2, None)})
    about = {
        "models": {n: one.potential.sha256() for n, one in zip(names, done, strict=True)},
        "calibration": factors.as_json(),
    }
    for name, one in zip(names, done, strict=True):
        first = about if name == "model" else None
        save_trained(
            one, tmp_path / name, frames=dataset(), settings=quick(epochs=1), ensemble=first
        )
    loaded = load_ensemble(tmp_path / "model")
    assert [model.sha256() for model in loaded.models] == list(about["models"].values())
    assert loaded.calibration == factors
    assert "× 3 is the scale" in (tmp_path / "model.md").read_text()
    systems = [structure(20)]
    (said,) = uncertainty(loaded.models, systems, calibration=loaded.calibration)
    (plain,) = uncertainty(loaded.models, systems)
    assert plain.energy_uncertainty is plain.force_uncertainty is None
    assert said.energy_uncertainty is not None
    assert said.force_uncertainty is not None
    ratio = said.energy_uncertainty / plain.energy_spread
    assert float(ratio) == pytest.approx(factors.scales["energy"].half_width())
    np.testing.assert_allclose(
        said.force_uncertainty,
        factors.scales["force"].half_width() * plain.force_spread / np.sqrt(3.0),
    )
    with pytest.raises(sa.OptionError, match="belongs to 2 models, not 3"):
        uncertainty([*loaded.models, fresh()], systems, calibration=loaded.calibration)
    with pytest.raises(sa.CheckpointError, match="names no ensemble"):
        load_ensemble(tmp_path / "model-01")
    with pytest.raises(sa.CheckpointError, match="no such file"):
        load_ensemble(tmp_path / "other")
    card = json.loads((tmp_path / "model.json").read_text())
    card["ensemble"]["models"]["model-01"] = "0"
    (tmp_path / "model.json").write_text(json.dumps(card))
    with pytest.raises(sa.CheckpointError, match="is not the model of the ensemble"):
        load_ensemble(tmp_path / "model")
