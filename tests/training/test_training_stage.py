"""From a configuration and a file of frames to a model and its tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from training_frames import SMALL, dataset

import softatoms as sa
from softatoms.cli import main
from softatoms.config import load_config
from softatoms.config.training import Training
from softatoms.dataset.parquet_frames import write_frames
from softatoms.stopping import REQUEUE
from softatoms.tables import Table, read_table
from softatoms.training import TrainingSettings
from softatoms.training.ensemble import load_ensemble, uncertainty
from softatoms.training.stage import settings_of
from tolerances import assert_close

ROOT = Path(__file__).resolve().parents[2]


def campaign(folder: Path, **training: Any) -> Path:
    values = yaml.safe_load((ROOT / "config/test/spine.yaml").read_text(encoding="utf-8"))
    values["training"] = {
        "potential": {"name": "painn", "options": SMALL},
        "frames": str(folder / "frames.parquet"),
        "epochs": 2,
        "atoms_per_batch": 24,
        **training,
    }
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def arguments(folder: Path, config: Path) -> list[str]:
    write_frames(folder / "frames.parquet", dataset())
    return [
        *("train", "--config", str(config), "--frames", str(folder / "frames.parquet")),
        *("--out", str(folder / "model"), "--tables", str(folder / "tables")),
        *("--checkpoint", str(folder / "checkpoints")),
    ]


def test_defaults_are_those_of_the_program() -> None:
    section = Training.model_validate({"potential": {"name": "painn", "options": SMALL}})
    values = section.settings()
    own = dataclasses.asdict(TrainingSettings())
    del own["seed"], own["coupling"], own["device"]
    assert values == own


def test_an_ensemble_is_trained_and_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = campaign(tmp_path, size=2, loss={"kind": "mse", "stress_weight": 0.0})
    assert main(arguments(tmp_path, config)) == 0
    assert "meV/atom" in capsys.readouterr().out
    first, second = (sa.load_potential(tmp_path / name) for name in ("model", "model-01"))
    assert first.sha256() != second.sha256()
    tables = tmp_path / "tables"
    rows = read_table(tables / "evaluation.parquet", "evaluation").rows()
    assert {row["model"] for row in rows} == {"model", "model-01", "model-mean"}
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    predicted = read_table(tables / "prediction.parquet", "prediction")
    assert (predicted.real("energy_spread_ev_per_atom") > 0.0).all()
    check_errors_are_those_of_the_mean(tmp_path, predicted)
    assert predicted.provenance.model_sha256 == first.sha256()
    forces = read_table(tables / "force_prediction.parquet", "force_prediction")
    assert forces.data.num_rows == predicted.real("n_atoms").sum()
    assert forces.provenance.model_sha256 == first.sha256()
    assert read_table(tables / "training_history.parquet", "training_history").data.num_rows == 2


def check_errors_are_those_of_the_mean(folder: Path, predicted: Table) -> None:
    """Columns about the mean and the calibration, against the models as they are on disk."""
    models, calibration = load_ensemble(folder / "model")
    frames = dataset()
    said = uncertainty(models, [frame.soft for frame in frames], calibration=calibration)
    labels = np.array([frame.energy for frame in frames], dtype=np.float64)
    atoms = predicted.real("n_atoms")
    mean = np.array([float(one.energy) for one in said])
    assert_close(
        predicted.real("mean_energy_error_ev_per_atom"), (mean - labels) / atoms, "float32"
    )
    spreads = np.array([float(one.energy_spread) for one in said])
    assert_close(predicted.real("energy_spread_ev_per_atom"), spreads / atoms, "float32")
    first = predicted.real("energy_error_ev_per_atom")
    assert np.abs(first - predicted.real("mean_energy_error_ev_per_atom")).max() > 1e-4
    sites = read_table(folder / "tables" / "force_prediction.parquet", "force_prediction")
    forces = np.concatenate([one.forces.numpy() for one in said])
    held = np.stack([sites.real(f"mean_{axis}_ev_per_ang") for axis in "xyz"], axis=1)
    assert_close(held, forces, "float32")
    spread = np.concatenate([one.force_spread.numpy() for one in said])
    assert_close(sites.real("spread_ev_per_ang"), spread, "float32")
    table = read_table(folder / "tables" / "calibration.parquet", "calibration")
    rows = {row["calibration_id"]: row for row in table.rows()}
    for quantity, scale in calibration.scales.items():
        assert rows[f"model/test/all/{quantity}"]["factor"] == scale.factor
        assert scale.n_groups == 1
    widths = np.array([float(one.energy_uncertainty or 0.0) for one in said]) / atoms
    test = predicted.text("split") == "test"
    inside = np.abs((mean - labels) / atoms)[test] <= widths[test]
    assert rows["model/test/all/energy"]["coverage_68"] == inside.mean()


def test_a_training_out_of_time_says_so_and_goes_on(tmp_path: Path) -> None:
    config = campaign(tmp_path, epochs=60)
    short = arguments(tmp_path, config)
    assert main([*short, "--minutes", "0.01"]) == REQUEUE
    assert not (tmp_path / "model").exists()
    kept = list((tmp_path / "checkpoints").glob("00-*/checkpoint.safetensors"))
    assert len(kept) == 1
    assert main(short) == 0
    assert list((tmp_path / "checkpoints").glob("*/checkpoint.safetensors")) == kept
    assert (tmp_path / "model.md").exists()


def test_elements_that_nothing_was_learned_of_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {**SMALL, "elements": ["Cu", "Au", "Pt"]}
    config = campaign(tmp_path, potential={"name": "painn", "options": options}, epochs=1)
    assert main(arguments(tmp_path, config)) == 0
    said = capsys.readouterr()
    assert "warning: no training frame has Pt: what the model says" in said.out + said.err
    # What has been trained before, and knows its elements, is not warned of.
    saved = {"name": str(tmp_path / "model")}
    again = campaign(tmp_path, potential=saved, epochs=1, isolated_energies="keep")
    assert main([*arguments(tmp_path, again)[:-6], "--out", str(tmp_path / "again")]) == 0
    said = capsys.readouterr()
    assert "warning" not in said.out + said.err


def test_the_section_is_required(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = ROOT / "config/test/spine.yaml"
    assert main(arguments(tmp_path, config)) == 2
    assert "training: is required" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": None}, "required without the section 'dataset'"),
        ({"epoch": 3}, "did you mean 'epochs'"),
        ({"isolated_energies": {"cu": -1.0}}, "did you mean 'Cu'"),
        ({"loss": {"kind": "mae"}}, "training.loss.kind"),
        (
            {"loss": {"energy_weight": 0.0, "forces_weight": 0.0, "stress_weight": 0.0}},
            "at least one weight",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(sa.SoftatomsError, match=message):
        load_config(campaign(tmp_path, **change))


def test_the_digest_follows_the_section(tmp_path: Path) -> None:
    one, two = (load_config(campaign(tmp_path, epochs=epochs)) for epochs in (2, 3))
    assert one.section_digest("training") != two.section_digest("training")
    assert one.section_digest("composition") == two.section_digest("composition")
    assert one.training is not None
    assert settings_of(one, one.training).epochs == 2
