"""The stage as a user meets it: the command, its tables, figures and page, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.image import imread

from softatoms.cli import main
from softatoms.config import ConfigError, load_config
from softatoms.tables import read_table
from softatoms.transport.stage import build_system, plan_of

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = yaml.safe_load((ROOT / "config/test/transport.yaml").read_text())
OUTPUTS = {
    "--out": "transport.parquet",
    "--correlation-out": "transport_correlation.parquet",
    "--spectrum-out": "transport_spectrum.parquet",
}


def written(folder: Path, change: Callable[[dict[str, Any]], object] = lambda c: None) -> Path:
    campaign = yaml.safe_load(yaml.safe_dump(GOOD))
    campaign["transport"]["systems"]["crystal"]["supercell"] = [[-1, 1, 1], [1, -1, 1], [1, 1, -1]]
    campaign["transport"]["systems"].pop("liquid")
    campaign["transport"]["run"] |= {"production_ps": 1.6, "equilibration_ps": 0.6}
    campaign["potential"]["options"] |= {"cutoff": 5.5, "onset": 4.5}
    change(campaign)
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(campaign))
    return path


def transport(config: Path, folder: Path, *more: str) -> int:
    options = [text for key, name in OUTPUTS.items() for text in (key, str(folder / name))]
    return main(["transport", "--config", str(config), *options, *more])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transport")
    assert transport(written(folder), folder) == 0
    return folder


def test_tables_hold_every_method_and_direction(results: Path) -> None:
    rows = read_table(results / "transport.parquet", "transport").rows()
    assert len(rows) == 12
    for row in rows:
        assert row["status"] == "ok"
        assert row["system"] == "crystal"
        assert row["n_sites"] == 4
        assert row["n_replicas"] == 4
        assert row["length_ps"] == pytest.approx(1.6)
        assert row["volume_ang3"] == pytest.approx(5.3**3, rel=1e-9)
        assert np.isfinite(row["kappa_w_mk"])
        assert row["stderr_w_mk"] > 0.0
    # 1.6 ps are no run: it says so.
    assert all("short" in row["warnings"] for row in rows)
    curves = read_table(results / "transport_correlation.parquet", "transport_correlation").rows()
    first = [row for row in curves if row["time_fs"] == 0.0]
    assert [row["correlation"] for row in first] == pytest.approx([1.0] * 4)
    spectra = read_table(results / "transport_spectrum.parquet", "transport_spectrum").rows()
    states = [row for row in spectra if row["quantity"] == "vibrations"]
    spacing = states[1]["frequency_thz"] - states[0]["frequency_thz"]
    # Three degrees of freedom per site, less the centre of mass: 9 of 4 sites.
    total = spacing * sum(row["value"] for row in states)
    assert total == pytest.approx(2.25, rel=0.4)


def test_figures_and_page_are_drawn(results: Path) -> None:
    figures, page = str(results / "figures"), str(results / "report.html")
    shared = ("--config", str(results / "campaign.yaml"), "--tables", str(results))
    assert main(["figures", *shared, "--out", figures]) == 0
    for name in ("transport", "transport_spectrum"):
        image = imread(results / "figures" / f"{name}.png")
        assert (image[..., :3].min(axis=2) < 0.9).mean() > 0.01
    assert main(["report", *shared, "--figures", figures, "--out", page]) == 0
    text = Path(page).read_text()
    assert "Heat transport" in text
    assert "short: a replica lasts" in text


def test_analysing_anew_runs_nothing_anew(results: Path, tmp_path: Path) -> None:
    samples = sorted((results / "trajectories").rglob("part-*.parquet"))
    times = [path.stat().st_mtime_ns for path in samples]
    assert samples
    other = written(tmp_path, lambda c: c["transport"].update(analysis={"cutoff_thz": 8.0}))
    assert transport(other, tmp_path, "--trajectories", str(results / "trajectories")) == 0
    assert [path.stat().st_mtime_ns for path in samples] == times
    rows = read_table(tmp_path / "transport.parquet", "transport").rows()
    cutoffs = [row["cutoff_thz"] for row in rows if row["method"] == "cepstral"]
    assert cutoffs == pytest.approx([8.0] * 4, abs=0.7)


def test_a_run_that_fails_is_rows_with_the_reason(tmp_path: Path) -> None:
    def hot(campaign: dict[str, Any]) -> None:
        campaign["transport"]["systems"]["crystal"]["temperatures_k"] = [19000]
        campaign["transport"]["run"]["timestep_fs"] = 16.0

    assert transport(written(tmp_path, hot), tmp_path) == 0
    rows = read_table(tmp_path / "transport.parquet", "transport").rows()
    assert {row["status"] for row in rows} == {"failed"}
    assert all("all 4 replicas were lost" in row["error"] for row in rows)
    assert {row["kappa_w_mk"] for row in rows} == {None}


def test_a_stopped_job_asks_to_be_started_again(tmp_path: Path) -> None:
    config = written(tmp_path)
    assert transport(config, tmp_path, "--minutes", "0.0005") == 75
    assert not (tmp_path / "transport.parquet").exists()
    assert transport(config, tmp_path) == 0


def test_jobs_are_joined_and_checked(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = results / "campaign.yaml"

    def joined(*copies: str) -> int:
        names = ("--tables", "--correlations", "--spectra")
        given = [
            text
            for key, file in zip(names, OUTPUTS.values(), strict=True)
            for text in (key, *(str(results / file) for _ in copies))
        ]
        return transport(config, tmp_path, *given)

    assert joined("once") == 0
    before = read_table(results / "transport.parquet", "transport").rows()
    assert read_table(tmp_path / "transport.parquet", "transport").rows() == before
    assert joined("once", "twice") == 2
    assert "each must come once" in capsys.readouterr().err
    assert transport(config, tmp_path, "--tables", str(results / "transport.parquet")) == 2
    assert "--tables, --correlations and --spectra go together" in capsys.readouterr().err
    assert transport(config, tmp_path, "--shard", "7") == 2
    assert "--shard: there is no job 7" in capsys.readouterr().err


def test_partial_occupancies_are_soft_sites(tmp_path: Path) -> None:
    from pymatgen.core import Lattice, Structure

    alloy = Structure(Lattice.cubic(3.0), [{"Cu": 0.5, "Au": 0.5}], [[0.0, 0.0, 0.0]])
    file = tmp_path / "alloy.cif"
    alloy.to(filename=str(file))

    def of_file(campaign: dict[str, Any]) -> None:
        campaign["potential"] = {"name": "gupta", "options": {"elements": ["Cu", "Au"]}}
        campaign["transport"]["systems"]["crystal"] = {
            "file": str(file),
            "supercell": [[2, 0, 0], [0, 2, 0], [0, 0, 2]],
            "temperatures_k": [300],
        }

    config = load_config(written(tmp_path, of_file))
    assert config.transport is not None
    soft = build_system(config.transport.systems["crystal"])
    assert len(soft) == 8
    assert sorted(soft.candidates(7)) == ["Au", "Cu"]
    assert len(soft.weights) == 2


def test_a_plan_is_the_section_in_steps(tmp_path: Path) -> None:
    config = load_config(written(tmp_path))
    plan = plan_of(config, "crystal", 30.0)
    assert (plan.production_steps, plan.flux_every, plan.equilibration_steps) == (400, 4, 150)
    assert plan.seed != plan_of(config, "crystal", 31.0).seed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": {"flux_every_fs": 1.5}}, "transport.run.flux_every_fs: must be a multiple of"),
        ({"run": {"production_ps": 0.1}}, "transport.run.production_ps: must hold 100 samples"),
        ({"run": {"replicas": 1}}, "transport.run.replicas"),
        ({"systems": {}}, "transport.systems"),
        (
            {"systems": {"a": {"prototype": "fcc", "elements": ["Xx"], "temperatures_k": [1.0]}}},
            "transport.systems.a.elements[0]: unknown element 'Xx'",
        ),
        (
            {
                "systems": {
                    "a": {
                        "prototype": "fcc",
                        "elements": ["Ar"],
                        "a_ang": 5.3,
                        "temperatures_k": [1.0, 1.0],
                        "supercell": [[1, 0, 0], [1, 0, 0], [0, 0, 1]],
                    }
                }
            },
            "transport.systems.a.supercell: vectors must span a volume",
        ),
        (
            {"systems": {"a": {"file": "no.cif", "temperatures_k": [1.0]}}},
            "transport.systems.a.file: 'no.cif' is no file",
        ),
    ],
)
def test_bad_sections_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(written(tmp_path, lambda c: c["transport"].update(change)))


def test_figures_need_the_section(tmp_path: Path) -> None:
    def without(campaign: dict[str, Any]) -> None:
        campaign.pop("transport")

    with pytest.raises(ConfigError, match="'transport' needs the section 'transport'"):
        load_config(written(tmp_path, without))
