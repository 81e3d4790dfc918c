"""The stage through the command line: jobs, what joins them, going on, figures and the report."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.image import imread

from softatoms.cli import main
from softatoms.config import load_config
from softatoms.free_energy.stage import expected_ids
from softatoms.stopping import REQUEUE
from softatoms.tables import read_table

ROOT = Path(__file__).parents[2]
CAMPAIGN: dict[str, Any] = yaml.safe_load((ROOT / "config/test/free-energies.yaml").read_text())
TABLES = ("free_energy", "works", "switching_profile", "phase_stability")


def write(folder: Path, campaign: dict[str, Any]) -> Path:
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(campaign, sort_keys=False))
    return path


def free_energy(config: Path, out: Path, *arguments: object) -> int:
    named = ["free-energy", "--config", config, "--out", out / "free_energy.parquet"]
    named += ["--works-out", out / "works.parquet"]
    named += ["--profile-out", out / "switching_profile.parquet", *arguments]
    return main([str(argument) for argument in named])


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The shipped campaign in one go."""
    folder = tmp_path_factory.mktemp("free-energies")
    stability = ("--stability-out", folder / "phase_stability.parquet")
    assert free_energy(write(folder, CAMPAIGN), folder, *stability) == 0
    return folder


def test_every_free_energy_has_a_row(whole: Path) -> None:
    rows = read_table(whole / "free_energy.parquet", "free_energy").rows()
    assert [row["run_id"] for row in rows] == expected_ids(load_config(whole / "campaign.yaml"))
    assert len(rows) == 11
    assert {row["status"] for row in rows} == {"ok"}
    static = {row["system"]: row["value_ev"] for row in rows if row["method"] == "static"}
    for row in rows:
        # Rough as the runs are, they are about the same thing.
        if row["system"] in static:
            scale = 0.2 if row["quantity"] == "vacancy" else 0.05
            assert row["value_ev"] == pytest.approx(static[row["system"]], rel=0.0, abs=scale)
    change = next(row for row in rows if row["run_id"] == "cu-to-ni-alchemical-300k")
    assert (change["n_atoms"], change["n_changed"]) == (16, 16)
    assert change["isolated_ev"] == 0.0


def test_works_are_the_areas_below_their_profiles(whole: Path) -> None:
    works = read_table(whole / "works.parquet", "works")
    profile = read_table(whole / "switching_profile.parquet", "switching_profile")
    assert works.data.num_rows == 2 * 2 * (3 * 2 + 2)
    ends = {"forward": 1.0, "backward": -1.0}
    for direction, sign in ends.items():
        own = (works.text("path") == "substitution") & (works.text("direction") == direction)
        own &= works.text("system") == "cu-to-ni"
        shown = (profile.text("path") == "substitution") & (profile.text("direction") == direction)
        shown &= profile.text("system") == "cu-to-ni"
        x, y = profile.real("lambda")[shown], profile.real("slope_ev")[shown]
        assert (np.diff(x) >= 0.0).all()
        area = sign * np.trapezoid(y, x)
        assert works.real("work_ev")[own].mean() == pytest.approx(area, rel=2e-3, abs=0.0)


def test_jobs_that_are_joined_say_the_same(whole: Path, tmp_path: Path) -> None:
    config = write(tmp_path, CAMPAIGN)
    parts = []
    for shard in range(4):
        out = tmp_path / str(shard)
        out.mkdir()
        assert free_energy(config, out, "--shard", shard) == 0
        parts.append(out)
    tables = [part / "free_energy.parquet" for part in parts]
    works = [part / "works.parquet" for part in parts]
    profiles = [part / "switching_profile.parquet" for part in parts]
    joined = tmp_path / "joined"
    joined.mkdir()
    assert (
        free_energy(
            config,
            joined,
            *("--stability-out", joined / "phase_stability.parquet"),
            *("--tables", *tables, "--works", *works, "--profiles", *profiles),
        )
        == 0
    )
    for name in TABLES:
        one, two = (read_table(folder / f"{name}.parquet", name) for folder in (whole, joined))
        assert one.content_hash() == two.content_hash()
    assert (
        free_energy(
            config,
            joined,
            "--tables",
            *tables[1:],
            "--works",
            *works[1:],
            "--profiles",
            *profiles[1:],
        )
        == 2
    )


def test_a_stopped_job_goes_on_to_the_same_numbers(whole: Path, tmp_path: Path) -> None:
    config = write(tmp_path, CAMPAIGN)
    checkpoint = ("--checkpoint", tmp_path / "checkpoint")
    stops = 0
    while free_energy(config, tmp_path, *checkpoint, "--minutes", 0.02 + 0.06 * stops) == REQUEUE:
        assert not (tmp_path / "free_energy.parquet").exists()
        stops += 1
        assert stops < 60
    assert stops > 0
    for name in ("free_energy", "works", "switching_profile"):
        one, two = (read_table(folder / f"{name}.parquet", name) for folder in (whole, tmp_path))
        assert one.content_hash() == two.content_hash()


def test_polymorphs_are_compared_at_common_temperatures(whole: Path) -> None:
    rows = read_table(whole / "free_energy.parquet", "free_energy").rows()
    values = {row["run_id"]: row for row in rows}
    legs = [values[f"{name}-alchemical-300k"] for name in ("cu-to-ni", "other-cu-to-ni")]
    (found,) = read_table(whole / "phase_stability.parquet", "phase_stability").rows()
    expected = -0.001 + legs[1]["value_ev"] - legs[0]["value_ev"]
    assert found["end_ev"] == pytest.approx(expected, rel=1e-9)
    errors = [0.001, *(leg["stderr_ev"] for leg in legs)]
    assert found["end_stderr_ev"] == pytest.approx(np.linalg.norm(errors), rel=1e-9)


def test_figures_and_the_report_show_them(whole: Path) -> None:
    config = whole / "campaign.yaml"
    figures = whole / "figures"
    assert (
        main(["figures", "--config", str(config), "--tables", str(whole), "--out", str(figures)])
        == 0
    )
    for name in CAMPAIGN["figures"]["names"]:
        assert imread(figures / f"{name}.png").std() > 0.05
        caption = (ROOT / f"workflow/report/{name}.rst").read_text().split()
        module = __import__(f"softatoms.figures.{name}", fromlist=["CAPTION"])
        assert module.CAPTION.split() == caption
    page = whole / "report.html"
    arguments = ["--tables", str(whole), "--figures", str(figures), "--out", str(page)]
    assert main(["report", "--config", str(config), *arguments]) == 0
    text = page.read_text()
    for words in (
        "Free energies",
        "Formation of vacancies",
        "Stability of polymorphs",
        "removal: few works",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shard", "9"), "--shard: there is no job 9; the jobs are numbered 0 to 3"),
        (("--tables", "a.parquet"), "--tables, --works and --profiles go together"),
        (
            ("--shard", "0", "--stability-out", "b.parquet"),
            "--stability-out: needs all runs, so it goes without --shard",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple, message: str
) -> None:
    assert free_energy(write(tmp_path, CAMPAIGN), tmp_path, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_site_that_does_not_exist_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign = copy.deepcopy(CAMPAIGN)
    campaign["free_energies"]["runs"]["cu-vacancy"]["site"] = 7
    assert free_energy(write(tmp_path, campaign), tmp_path) == 2
    message = "free_energies.runs.cu-vacancy.site: the cell has the sites 0 to 3"
    assert message in capsys.readouterr().err
