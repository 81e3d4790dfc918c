"""Trainings on parts of the frames, and the table about their errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from training_frames import SMALL, dataset, fresh

import softatoms as sa
from softatoms.cli import main
from softatoms.config import load_config
from softatoms.dataset.frames import Frame
from softatoms.dataset.parquet_frames import write_frames
from softatoms.stopping import REQUEUE
from softatoms.tables import read_table
from softatoms.training import TrainingSettings, train
from softatoms.training.ensemble import fraction_of
from softatoms.training.learning_curve import settings_of_part
from softatoms.training.metrics import metric_rows, predictions
from softatoms.training.stage import settings_of

ROOT = Path(__file__).resolve().parents[2]


def campaign(folder: Path, curve: dict[str, Any] | None, **training: Any) -> Path:
    values = yaml.safe_load((ROOT / "config/test/spine.yaml").read_text(encoding="utf-8"))
    values["training"] = {
        "potential": {"name": "painn", "options": SMALL},
        "frames": str(folder / "frames.parquet"),
        "epochs": 2,
        "atoms_per_batch": 24,
        "learning_curve": curve,
        **training,
    }
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def run(folder: Path, config: Path, *more: str, frames: tuple[Frame, ...] | None = None) -> int:
    write_frames(folder / "frames.parquet", dataset() if frames is None else frames)
    return main(
        [
            *("learning-curve", "--config", str(config), *more),
            *("--frames", str(folder / "frames.parquet"), "--out", str(folder / "curve.parquet")),
            *("--checkpoint", str(folder / "checkpoints")),
        ]
    )


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    table = read_table(folder / "curve.parquet", "learning_curve")
    return {row["curve_id"]: row for row in table.rows()}


def test_rows_are_the_errors_of_trainings_on_parts(tmp_path: Path) -> None:
    config = campaign(tmp_path, {"fractions": [1.0, 0.25], "seeds": 2, "equal": "epochs"})
    assert run(tmp_path, config) == 0
    rows = rows_of(tmp_path)
    assert len(rows) == 2 * 2 * 2 * 3
    assert all(row["status"] == "ok" for row in rows.values())
    small, whole = rows["0.25/1/test/force"], rows["1/1/test/force"]
    assert (small["n_frames"], small["n_groups"], whole["n_frames"]) == (6, 3, 24)
    assert (small["epochs"], whole["epochs"]) == (2, 2)
    assert small["steps"] < whole["steps"]
    assert small["n"] == whole["n"]
    # The same by hand: other frames and another network for each seed.
    loaded = load_config(config)
    assert loaded.training is not None
    settings = replace(settings_of(loaded, loaded.training), seed=1)
    part = fraction_of(dataset(), 0.25, 1)
    assert small["n_atoms"] == sum(frame.n_sites for frame in part if frame.split == "train")
    trained = train(sa.load_potential("painn", **SMALL, seed=1), part, settings)
    test = [frame for frame in dataset() if frame.split == "test"]
    expected = {
        row["quantity"]: row
        for row in metric_rows("m", predictions(trained.potential, test))
        if row["group"] == row["element"] == "all"
    }
    for quantity, row in expected.items():
        held = rows[f"0.25/1/test/{quantity}"]
        for name in ("mae", "rmse"):
            np.testing.assert_allclose(held[name], row[name], rtol=1e-5)
    assert rows["0.25/0/test/force"]["mae"] != small["mae"]


def test_small_parts_get_as_many_steps(tmp_path: Path) -> None:
    settings = TrainingSettings(epochs=6, atoms_per_batch=24, patience=4, warm_up=0.5)
    whole, part = dataset(), fraction_of(dataset(), 0.25, 0)
    found = settings_of_part(settings, fresh(), whole, part, equal="steps")
    done = [
        train(fresh(), frames, s)
        for frames, s in (
            (whole, replace(settings, patience=None)),
            (part, replace(found, patience=None)),
        )
    ]
    assert done[1].steps == pytest.approx(done[0].steps, rel=0.1)
    more = found.epochs / 6
    assert 3.0 < more < 5.0
    assert found.warm_up == pytest.approx(0.5 * more, rel=0.05)
    assert found.patience == round(4 * more)
    assert settings_of_part(settings, fresh(), whole, part, equal="epochs") == settings


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    curve = {"fractions": [0.5, 1.0], "equal": "epochs"}
    config = campaign(tmp_path, curve, epochs=6)
    assert run(tmp_path, config, "--minutes", "0.005") == REQUEUE
    assert not (tmp_path / "curve.parquet").exists()
    assert [*(tmp_path / "checkpoints").glob("*/checkpoint.safetensors")]
    assert run(tmp_path, config) == 0
    resumed = rows_of(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    assert run(other, campaign(other, curve, epochs=6)) == 0
    assert rows_of(other) == resumed
    # Other settings have checkpoints of their own.
    assert run(tmp_path, campaign(tmp_path, curve, epochs=2)) == 0
    assert rows_of(tmp_path)["1/0/test/energy"]["epochs"] == 2


def test_a_part_without_an_element_is_a_row_that_says_so(tmp_path: Path) -> None:
    """One group of pure copper, drawn first with this seed, and two with gold."""
    frames = tuple(
        replace(frame, soft=pure(frame.soft)) if frame.group == first_group() else frame
        for frame in dataset()
    )
    config = campaign(
        tmp_path, {"fractions": [0.1, 1.0], "draw": "groups", "equal": "epochs"}, epochs=1
    )
    assert run(tmp_path, config, frames=frames) == 0
    rows = rows_of(tmp_path)
    bad = rows["0.1/0/test/energy"]
    assert (bad["status"], bad["mae"], bad["n_frames"], bad["n_groups"]) == ("failed", None, 8, 1)
    assert "has no Au" in bad["error"]
    assert rows["1/0/test/energy"]["status"] == "ok"
    assert len(rows) == 2 * 2 * 3


def first_group() -> str:
    part = fraction_of(dataset(), 0.1, 0, whole_groups=True)
    (name,) = {frame.group for frame in part if frame.split == "train"}
    return name


def pure(soft: sa.SoftAtoms) -> sa.SoftAtoms:
    atoms = soft.to_ase()
    atoms.numbers[:] = 29
    return sa.SoftAtoms.from_ase(atoms)


def test_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, campaign(tmp_path, None)) == 2
    assert "training.learning_curve: is required" in capsys.readouterr().err
    config = campaign(tmp_path, {"fractions": [1.0]})
    only = tuple(frame for frame in dataset() if frame.split == "train")
    assert run(tmp_path, config, frames=only) == 2
    assert "needs validation or test frames" in capsys.readouterr().err
    for curve, message in (
        ({"fractions": [0.5, 0.5]}, "0.5 is named twice"),
        ({"fractions": []}, "learning_curve.fractions"),
        ({"fractions": [1.5]}, "learning_curve.fractions"),
        ({"draw": "group"}, "learning_curve.draw"),
    ):
        with pytest.raises(sa.SoftatomsError, match=message):
            load_config(campaign(tmp_path, curve))


def test_asking_for_a_curve_trains_no_model_anew(tmp_path: Path) -> None:
    one, two = (
        load_config(campaign(tmp_path, curve)) for curve in (None, {"fractions": [0.5, 1.0]})
    )
    assert one.section_digest("training") == two.section_digest("training")
    for section in ("learning_curve", "figures"):
        assert one.section_digest(section) != two.section_digest(section)
    three = load_config(campaign(tmp_path, {"fractions": [0.5, 1.0]}, epochs=3))
    assert three.section_digest("learning_curve") != two.section_digest("learning_curve")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("uncertainty", "'uncertainty' needs an ensemble: training.size of at least 2"),
        ("learning_curve", "'learning_curve' needs the section 'training.learning_curve'"),
    ],
)
def test_figures_need_their_tables(tmp_path: Path, name: str, message: str) -> None:
    path = campaign(tmp_path, None)
    values = yaml.safe_load(path.read_text())
    values["figures"] = {"names": [name]}
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(sa.SoftatomsError, match=message):
        load_config(path)
