"""Section ``free_energies``: what it counts, what its results depend on, and what it refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from softatoms.config import ConfigError, load_config

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = yaml.safe_load((ROOT / "config/test/free-energies.yaml").read_text())
Change = Callable[[dict[str, Any]], Any]


def loaded(tmp_path: Path, change: Change) -> Any:
    campaign = copy.deepcopy(GOOD)
    change(campaign["free_energies"])
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump(campaign, sort_keys=False))
    return load_config(path)


def vacancy(section: dict[str, Any]) -> dict[str, Any]:
    return section["runs"]["cu-vacancy"]


def nickel(section: dict[str, Any]) -> dict[str, Any]:
    return section["runs"]["cu-to-ni"]


def test_temperatures_are_shared_out_among_jobs(tmp_path: Path) -> None:
    section = loaded(tmp_path, lambda s: None).free_energies
    assert section.jobs() == [
        ("cu-vacancy", (200.0,)),
        ("cu-vacancy", (300.0,)),
        ("cu-to-ni", (300.0,)),
        ("other-cu-to-ni", (300.0,)),
    ]
    whole = loaded(tmp_path, lambda s: s.pop("temperatures_per_job")).free_energies
    assert whole.jobs()[0] == ("cu-vacancy", (200.0, 300.0))


def test_results_depend_on_values_but_not_on_jobs(tmp_path: Path) -> None:
    def digest(change: Change) -> str:
        return loaded(tmp_path, change).section_digest("free_energies")

    plain = digest(lambda s: None)
    assert digest(lambda s: s.update(temperatures_per_job=2, checkpoint_minutes=1.0)) == plain
    assert digest(lambda s: s["switching"].update(steps=41)) != plain
    assert digest(lambda s: vacancy(s).update(temperatures_k=[200])) != plain


def test_the_papers_campaigns_are_as_published() -> None:
    iron = load_config(ROOT / "config/paper/vacancy.yaml").free_energies
    assert iron is not None
    (run,) = iron.runs.values()
    assert (run.repeat, run.temperatures_k) == ([5, 5, 5], [50.0, 100.0, 150.0, 200.0])
    switching = iron.switching
    assert (switching.timestep_fs, switching.replicas) == (2.0, 4)
    assert (switching.equilibration_steps, switching.steps) == (20_000, 30_000)
    perovskite = load_config(ROOT / "config/paper/perovskite.yaml").free_energies
    assert perovskite is not None
    repeats = {name: run.repeat for name, run in perovskite.runs.items()}
    assert repeats == {"alpha": [6, 6, 6], "delta": [3, 6, 3]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: vacancy(s).update(changes={"Cu": "Ni"}),
            "free_energies.runs.cu-vacancy.changes: goes with the quantity 'composition_change'",
        ),
        (
            lambda s: vacancy(s).update(crystal={"prototype": "B2", "elements": ["Cu", "Ni"]}),
            "free_energies.runs.cu-vacancy.crystal.elements: must be one element for a vacancy",
        ),
        (
            lambda s: nickel(s).update(changes={}),
            "free_energies.runs.cu-to-ni.changes: is required for a composition_change",
        ),
        (
            lambda s: nickel(s).update(changes={"Ni": "Cu"}),
            "free_energies.runs.cu-to-ni.changes.Ni: the crystal holds no Ni: Cu",
        ),
        (
            lambda s: nickel(s).update(changes={"Cu": "Cu"}),
            "free_energies.runs.cu-to-ni.changes.Cu: must be another element",
        ),
        (
            lambda s: nickel(s).update(site=2),
            "free_energies.runs.cu-to-ni.site: goes with the quantity 'vacancy' only",
        ),
        (
            lambda s: [
                s["runs"][name].update(changes={"Cu": "Au"})
                for name in ("cu-to-ni", "other-cu-to-ni")
            ],
            "free_energies.runs.cu-to-ni: Au is not covered by the potential, which has Cu, Ni",
        ),
        (
            lambda s: s["equilibration"].update(sampling_steps=9),
            "free_energies.equilibration.sampling_steps: must be at least four times sample_every",
        ),
        (
            lambda s: s.update(target={"stderr_ev": 0.01, "budget_steps": 10}),
            "free_energies.target.budget_steps: must be at least 200, which the first round of",
        ),
        (
            lambda s: s.update(bootstrap=1),
            "free_energies.bootstrap: must be 0 or at least 50",
        ),
        (
            lambda s: s["runs"]["other-cu-to-ni"].update(
                crystal={"prototype": "fcc", "elements": ["Ni"]}, changes={"Ni": "Cu"}
            ),
            "free_energies.stability.copper: all its runs must make the same changes",
        ),
        (
            lambda s: s["stability"]["copper"].update(second=["cu-to-nii"]),
            "free_energies.stability.copper.second[0]: unknown run 'cu-to-nii': did you mean",
        ),
        (
            lambda s: s["stability"]["copper"].update(second=["cu-vacancy"]),
            "free_energies.stability.copper.second[0]: 'cu-vacancy' is no composition_change",
        ),
        (
            lambda s: nickel(s).update(share=0.5),
            "free_energies.stability.copper: both polymorphs need runs to the same shares",
        ),
        (
            lambda s: nickel(s).update(temperatures_k=[500]),
            "free_energies.stability.copper: its runs have no temperature in common",
        ),
        (
            lambda s: vacancy(s).update(temperatures_k=[300, 300]),
            "free_energies.runs.cu-vacancy.temperatures_k[1]: '300' is named twice",
        ),
        (
            lambda s: vacancy(s).update(metods=[]),
            "free_energies.runs.cu-vacancy.metods",
        ),
        (
            lambda s: (
                [run.update(methods=["static"]) for run in s["runs"].values()]
                and s.pop("stability")
            ),
            "figures.names[0]: 'switching' needs 'alchemical' or 'frenkel_ladd' among methods",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, change)
    assert message in str(caught.value)
