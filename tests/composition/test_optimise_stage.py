"""From the configuration to tables, and from weights to explicit supercells."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.image import imread

import softatoms as sa
from softatoms.cli import main
from softatoms.composition.optimise import Domain, Problem, Target, realisable, supercells, verify
from softatoms.composition.optimise.crystals import conventional_axes
from softatoms.config import load_config
from softatoms.figures import draw_all
from softatoms.physics import crystal
from softatoms.report import write_report
from softatoms.tables import read_table

CAMPAIGN: dict[str, Any] = {
    "campaign": {"name": "sought"},
    "potential": {"name": "gupta", "options": {"elements": ["Cu", "Au", "Ni"]}},
    "optimisation": {
        "searches": [
            {
                "name": "cu-au",
                "crystal": {"prototype": "fcc", "elements": ["Cu"]},
                "sublattices": {"metal": {"replaces": "Cu", "elements": ["Cu", "Au"]}},
                "targets": [
                    {
                        "quantity": "in_plane",
                        "substrate": {"prototype": "L1_2", "elements": ["Cu", "Au"]},
                    }
                ],
                "supercell": [2, 2, 2],
            },
            {
                "name": "faces",
                "crystal": {"prototype": "L1_2", "elements": ["Au", "Cu"]},
                "sublattices": {
                    "face": {
                        "replaces": "Cu",
                        "elements": ["Cu", "Au", "Ni"],
                        "bounds": {"Ni": [0.2, 1.0]},
                    }
                },
                "targets": [{"quantity": "volume", "value": 14.0}],
                "supercell": [1, 1, 2],
            },
        ],
        "methods": ["newton", "joint"],
        "starts": 2,
        "verification": {"replicates": 2, "swaps": 50},
    },
    "figures": {"names": ["optimisation"], "dots_per_inch": 50},
}


def written(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of the campaign, one job per search, joined."""
    here = tmp_path_factory.mktemp("sought")
    config = written(here, CAMPAIGN)
    for name in ("cu-au", "faces"):
        out, path = here / f"{name}.parquet", here / f"{name}.path.parquet"
        arguments = ["--search", name, "--out", str(out), "--path-out", str(path)]
        assert main(["optimize", "--config", str(config), *arguments]) == 0
    merged = [str(here / f"{name}.parquet") for name in ("faces", "cu-au")]
    paths = [str(here / f"{name}.path.parquet") for name in ("faces", "cu-au")]
    (here / "tables").mkdir()
    out, path = here / "tables/optimisation.parquet", here / "tables/optimisation_path.parquet"
    arguments = ["--merge", *merged, "--merge-paths", *paths, "--path-out", str(path)]
    assert main(["optimize", "--config", str(config), *arguments, "--out", str(out)]) == 0
    return here


def test_rows_of_all_starts_and_supercells(folder: Path) -> None:
    table = read_table(folder / "tables/optimisation.parquet", "optimisation")
    assert table.elements == ("Au", "Cu", "Ni")
    rows = table.rows()
    assert [row["run_id"] for row in rows[:6]] == [
        *(f"cu-au-newton-{k}" for k in range(2)),
        *(f"cu-au-joint-{k}" for k in range(2)),
        *(f"cu-au-sqs-{k}" for k in range(2)),
    ]
    assert {row["status"] for row in rows} == {"ok"}, [row["error"] for row in rows]
    for search in ("cu-au", "faces"):
        assert sum(row["best"] for row in rows if row["search"] == search) == 1


def test_substrate_sets_the_lattice_parameter(folder: Path) -> None:
    """The primitive cell of fcc is shorter than its a: lengths are of the conventional cell."""
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    (ordered,) = sa.relax_batch(
        potential, [crystal("L1_2", ["Cu", "Au"])], cell="full", fmax=1e-6, smax=1e-8
    )
    expected = float(np.linalg.norm(ordered.soft.cell[0]))
    for row in read_table(folder / "tables/optimisation.parquet", "optimisation").rows()[:4]:
        assert row["a_ang"] == pytest.approx(expected, abs=1e-4)
        assert row["b_ang"] == pytest.approx(row["a_ang"], abs=1e-9)
        assert row["volume_ang3_per_site"] == pytest.approx(row["a_ang"] ** 3 / 4, rel=1e-6)
        assert row["x_Cu"] + row["x_Au"] == pytest.approx(1.0)


def test_supercells_stand_at_the_nearest_composition(folder: Path) -> None:
    rows = read_table(folder / "tables/optimisation.parquet", "optimisation").rows()
    best = {row["search"]: row for row in rows if row["best"]}
    for row in rows:
        if row["method"] != "sqs":
            continue
        sites = {"cu-au": 8, "faces": 6}[row["search"]]
        share = {"cu-au": 1.0, "faces": 0.75}[row["search"]]
        gold = row["x_Au"] - (0.25 if row["search"] == "faces" else 0.0)
        assert gold / share * sites == pytest.approx(round(gold / share * sites), abs=1e-9)
        assert row["rounding"] <= 1.0 / sites
        assert abs(row["x_Au"] - best[row["search"]]["x_Au"]) <= 1.0 / sites
        assert row["evaluations"] > 0
        assert row["a_ang"] == pytest.approx(best[row["search"]]["a_ang"], rel=0.03)


def test_paths_lead_to_the_results(folder: Path) -> None:
    rows = read_table(folder / "tables/optimisation.parquet", "optimisation").rows()
    path = read_table(folder / "tables/optimisation_path.parquet", "optimisation_path").rows()
    for row in rows:
        own = [step for step in path if step["step_id"].startswith(f"{row['run_id']}-")]
        assert len(own) == (0 if row["method"] == "sqs" else row["steps"])
        if own:
            assert own[-1]["evaluations"] == row["evaluations"]
            assert min(step["objective"] for step in own) <= row["objective"] + 1e-12
            counts = [step["evaluations"] for step in own]
            assert counts == sorted(counts)


def test_figure_and_report_name_every_search(folder: Path) -> None:
    config = load_config(folder / "campaign.yaml")
    drawn = list(draw_all(config, folder / "tables", folder / "figures"))
    assert [path.suffix for path in drawn] == [".png", ".pdf"]
    image = imread(drawn[0])
    assert (image[..., :3].min(axis=2) < 0.9).mean() > 0.01
    write_report(config, folder / "tables", folder / "figures", folder / "report.html")
    page = (folder / "report.html").read_text()
    assert "Optimised compositions" in page
    assert "2 of 2 starts ok" in page
    assert "supercells of 8 sites" in page
    assert "faces" in page


def test_a_search_that_cannot_begin_is_rows_with_the_reason(tmp_path: Path) -> None:
    """Here a substrate that takes longer to relax than is allowed."""
    values = copy.deepcopy(CAMPAIGN)
    values["optimisation"]["relaxation"] = {"max_steps": 1}
    out = tmp_path / "table.parquet"
    config = written(tmp_path, values)
    assert main(["optimize", "--config", str(config), "--out", str(out)]) == 0
    rows = read_table(out, "optimisation").rows()
    assert len(rows) == 12
    rows = [row for row in rows if row["search"] == "cu-au"]
    assert {row["status"] for row in rows} == {"failed"}
    assert all("substrate cannot be relaxed" in row["error"] for row in rows)
    assert all(row["a_ang"] is None for row in rows)


def test_tables_of_another_configuration_are_not_joined(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = copy.deepcopy(CAMPAIGN)
    values["optimisation"]["tolerance"] = 0.5
    arguments = ["--merge", *(str(folder / f"{name}.parquet") for name in ("cu-au", "faces"))]
    arguments += ["--merge-paths"]
    arguments += [str(folder / f"{name}.path.parquet") for name in ("cu-au", "faces")]
    out = ["--out", str(tmp_path / "o.parquet")]
    assert main(["optimize", "--config", str(written(tmp_path, values)), *arguments, *out]) == 2
    assert "comes from another configuration" in capsys.readouterr().err


def changed(key: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    values: dict[str, Any] = copy.deepcopy(CAMPAIGN)
    place: Any = values["optimisation"]["searches"][1]
    for part in key[:-1]:
        place = place[part]
    place[key[-1]] = value
    return values


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (("name",), "cu-au", "is the name of another search"),
        (("sublattices", "face", "replaces"), "Ag", "the crystal holds no Ag: Au, Cu"),
        (("sublattices", "face", "elements"), ["Cu", "Cuu"], "unknown element 'Cuu'"),
        (("sublattices", "face", "elements"), ["Ni", "Pt"], "Pt is not covered by the potential"),
        (("sublattices", "face", "bounds"), {"Ag": [0, 1.0]}, "bounds.Ag"),
        (("sublattices", "face", "bounds"), {"Ni": [0.4, 0.2]}, "0 ≤ low ≤ high ≤ 1"),
        (
            ("sublattices", "face", "bounds"),
            {"Ni": [0.7, 1.0], "Cu": [0.7, 1.0]},
            "leave nothing",
        ),
        (("sublattices", "face", "sites"), [1], "either 'replaces' or 'sites'"),
        (("targets", 0, "value"), None, "needs 'value' to match"),
        (("targets", 0, "goal"), "minimise", "goes with the goal 'match' only"),
        (("targets", 0, "quantity"), "volum", "volume"),
        (("targets", 0, "substrate"), {"prototype": "fcc", "elements": ["Cu"]}, "substrate"),
        (("targets", 0, "quantity"), "exchange_energy", "exchanged: is required"),
        (("targets", 0, "exchanged"), ["Cu", "Au"], "goes with nothing else"),
        (("crystal", "elements"), ["Au"], "L1_2 holds 2"),
    ],
)
def test_broken_sections_are_refused(
    tmp_path: Path, key: tuple[str | int, ...], value: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=r"optimisation\.searches") as caught:
        load_config(written(tmp_path, changed(key, value)))
    assert message in str(caught.value)


def test_sites_that_do_not_exist_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = changed(("sublattices", "face", "sites"), [7])
    values["optimisation"]["searches"][1]["sublattices"]["face"]["replaces"] = None
    config = written(tmp_path, values)
    assert main(["optimize", "--config", str(config), "--out", str(tmp_path / "o.parquet")]) == 2
    assert "site 7 does not exist" in capsys.readouterr().err


def test_digest_follows_the_section_and_the_potential(tmp_path: Path) -> None:
    def digest(values: dict[str, Any], section: str) -> str:
        return load_config(written(tmp_path, values)).section_digest(section)

    other = copy.deepcopy(CAMPAIGN)
    other["optimisation"]["starts"] = 3
    assert digest(CAMPAIGN, "optimisation") != digest(other, "optimisation")
    assert digest(CAMPAIGN, "figures") != digest(other, "figures")
    assert digest(CAMPAIGN, "composition") == digest(other, "composition")
    seeded = copy.deepcopy(CAMPAIGN)
    seeded["campaign"]["seed"] = 5
    assert digest(CAMPAIGN, "optimisation") != digest(seeded, "optimisation")


def simplex(count: int, lower: float = 0.0) -> Domain:
    bound = np.zeros(count)
    bound[0] = lower
    return Domain(np.zeros(count, dtype=np.int64), np.ones(1), bound, np.ones(count))


@pytest.mark.parametrize("seed", range(5))
def test_realisable_numbers_are_the_nearest(seed: int) -> None:
    domain = simplex(3, lower=0.3)
    theta = domain.random(np.random.default_rng(seed))
    (counts,) = realisable(theta, domain, [7])
    assert sum(counts) == 7
    distances = [
        float(np.sum((np.array([i, j, 7 - i - j]) - 7 * theta) ** 2))
        for i in range(3, 8)
        for j in range(8 - i)
    ]
    assert np.sum((np.array(counts) - 7 * theta) ** 2) == pytest.approx(min(distances), abs=1e-9)


def test_vacancies_are_left_out_of_supercells() -> None:
    domain = Domain(np.zeros(1, dtype=np.int64), np.array([0.75]), np.zeros(1), np.full(1, 0.75))
    assert realisable(np.array([0.75]), domain, [8]) == [[6]]
    soft = crystal("fcc", "Cu", 3.6).with_candidates([0], {"Cu": 0.75}, tie="site")
    ((made, _),) = supercells(soft, [[6]], (2, 2, 2), replicates=1, shells=2, swaps=0, seed=0)
    assert len(made) == 6
    assert set(made.site_number) == {29}


def test_supercells_differ_and_come_again() -> None:
    soft = crystal("wurtzite", ["Al", "N"], 3.11)
    soft = soft.with_candidates(
        np.flatnonzero(soft.site_number == 13), {"Al": 0.75, "Sc": 0.25}, tie="cation"
    )
    options = {"replicates": 3, "shells": 3, "seed": 4}
    first = supercells(soft, [[12, 4]], (2, 2, 2), swaps=500, **options)
    again = supercells(soft, [[12, 4]], (2, 2, 2), swaps=500, **options)
    rough = supercells(soft, [[12, 4]], (2, 2, 2), swaps=0, **options)
    numbers = [made.site_number for made, _ in first]
    assert all((a == b.site_number).all() for a, (b, _) in zip(numbers, again, strict=True))
    assert not (numbers[0] == numbers[1]).all()
    assert all((own == 21).sum() == 4 and (own == 7).sum() == 16 for own in numbers)
    assert np.mean([e for _, e in first]) < np.mean([e for _, e in rough])


def test_ordered_end_members_verify_exactly() -> None:
    """At a corner a supercell is the soft crystal again."""
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    soft = crystal("fcc", "Cu", 3.6).with_candidates([0], {"Cu": 1.0, "Au": 0.0}, tie="site")
    targets = [Target("bulk_modulus", goal="maximise"), Target("mixing_energy", goal="minimise")]
    problem = Problem(potential, soft, targets, fmax=1e-7, smax=1e-9)
    point = problem.at(np.array([1.0, 0.0]))
    (found,) = verify(problem, point.theta, point.soft, (2, 1, 2), replicates=1)
    assert found.status == "ok", found.error
    for name, value in point.quantities.items():
        assert found.quantities[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
    assert found.objective == pytest.approx(point.objective, rel=1e-6)


@pytest.mark.parametrize(
    ("prototype", "species", "lengths"),
    [
        ("fcc", ["Cu"], [4.0, 4.0, 4.0]),
        ("bcc", ["Cu"], [4.0, 4.0, 4.0]),
        ("wurtzite", ["Ga", "N"], [4.0, 4.0, 4.0 * (8 / 3) ** 0.5]),
        ("L1_2", ["Cu", "Au"], [4.0, 4.0, 4.0]),
    ],
)
def test_conventional_axes(prototype: str, species: list[str], lengths: list[float]) -> None:
    soft = crystal(prototype, species, 4.0)
    found = np.linalg.norm(conventional_axes(soft) @ soft.cell, axis=1)
    np.testing.assert_allclose(found, lengths, rtol=1e-9, atol=1e-9)
