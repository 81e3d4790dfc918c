"""Figures of scans with parents: fractions on a sublattice, and maps over three elements."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import yaml

import softatoms as sa
from softatoms import provenance
from softatoms.composition.controls import agreements
from softatoms.composition.scan import run_shard
from softatoms.composition.tasks import list_tasks
from softatoms.config import CampaignConfig, load_config
from softatoms.figures import bulk_modulus, free_energy, lattice, mixing, ternary
from softatoms.figures.data import CampaignTables, binaries
from softatoms.progress import Progress
from softatoms.tables import write_table

GOLD = {"prototype": "L1_2", "species": ["Au", "Cu"], "name": "au-x3"}
FACES = {"sites": "face", "elements": ["Cu", "Ni"], "divisions": 4}
CONFIG = {
    "campaign": {"name": "parents", "seed": 0},
    "potential": {"name": "gupta", "options": {"elements": ["Cu", "Au", "Ni"]}},
    "composition": {
        "scans": [
            {
                "name": "faces",
                "parent": GOLD,
                "sublattices": {"face": FACES},
                "methods": ["mean_field", "vegard"],
            },
            {
                "name": "faces-cells",
                "parent": GOLD,
                "sublattices": {"face": {**FACES, "divisions": 3}},
                "methods": ["sqs"],
                "supercell": [2, 1, 1],
            },
            {
                "name": "three",
                "parent": {"prototype": "fcc", "species": ["Cu"], "name": "solution"},
                "sublattices": {
                    "site": {"sites": "Cu", "elements": ["Cu", "Au", "Ni"], "divisions": 3}
                },
            },
        ],
        "sqs": {"replicates": 2, "shells": 1, "swaps": 20},
    },
    "figures": {"names": ["lattice", "mixing", "free_energy", "bulk_modulus", "ternary"]},
}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory) -> tuple[CampaignConfig, CampaignTables]:
    folder: Path = tmp_path_factory.mktemp("figures")
    path = folder / "parents.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    config = load_config(path)
    potential = sa.load_potential(config.potential.name, **config.potential.options)
    tasks = list_tasks(config)
    with Progress(len(tasks), label="test", stream=io.StringIO()) as progress:
        rows = run_shard(config, potential, tasks, checkpoint=None, progress=progress).rows
    origin = provenance.collect(config, "composition", "0")
    write_table(folder / "composition.parquet", "composition", rows, origin, config.elements())
    return config, CampaignTables(folder)


def test_fractions_are_those_on_the_sublattice(campaign):
    config, tables = campaign
    (binary,) = binaries(config)
    assert binary.title == "Cu–Ni, au-x3"
    assert binary.scans == ("faces", "faces-cells")
    series = binary.series(tables.composition, "mean_field", "a_ang")
    np.testing.assert_allclose(series.x, np.linspace(0, 1, 5), atol=1e-12)
    cells = binary.series(tables.composition, "sqs", "a_ang")
    np.testing.assert_allclose(cells.x, np.linspace(0, 1, 4), atol=1e-9)
    # Three of four sites share the two elements.
    assert binary.share(tables.composition, "mean_field") == pytest.approx(0.75, rel=1e-9)


def test_the_straight_line_joins_the_end_members(campaign):
    config, tables = campaign
    (binary,) = binaries(config)
    table = tables.composition
    line = binary.series(table, "vegard", "a_ang")
    series = binary.series(table, "mean_field", "a_ang")
    expected = np.interp(series.x, [0, 1], series.y[[0, -1]])
    np.testing.assert_allclose(line.y, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        lattice.straight_line(binary, table, series), expected, rtol=1e-9, atol=1e-9
    )
    part = series._replace(x=series.x[:3], y=series.y[:3])
    np.testing.assert_allclose(
        lattice.straight_line(binary, table, part), expected[:3], rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("module", [lattice, mixing, bulk_modulus, free_energy])
def test_curves_have_a_fraction_on_their_axis(campaign, module):
    figure = module.draw(*campaign)
    assert figure.axes[-1].get_xlabel() == "fraction of Ni on face"
    assert any(len(axes.get_lines()) for axes in figure.axes)


def test_a_ternary_map_shows_values_and_gradients(campaign):
    config, tables = campaign
    figure = ternary.draw(config, tables)
    shown = [axes for axes in figure.axes if axes.get_title()]
    rows = [row for row in tables.composition.rows() if row["scan"] == "three"]
    known = sum(row["bulk_modulus_gpa"] is not None for row in rows)
    assert 3 < known <= len(rows) == 10
    assert [axes.get_title().split(":")[0] for axes in shown] == ["solution"] * 2
    for axes in shown:
        (arrows,) = [c for c in axes.collections if hasattr(c, "U")]
        # Lengths have no slope where a crystal does not hold its shape, energies always have.
        is_energy = "energy" in axes.get_title()
        assert len(arrows.U) == (10 if is_energy else known)
        assert np.isfinite(arrows.U).all()


def test_arrows_are_the_slope_of_the_map(campaign):
    """Along the edge from copper to gold, against differences of the scanned lattice parameters."""
    config, tables = campaign
    (triple,) = ternary.ternaries(config)
    rows = [row for row in tables.composition.rows() if row["scan"] == "three"]
    edge = [row for row in rows if row["x_Ni"] == 0.0]
    x = np.array([row["x_Au"] for row in edge])
    a = np.array([row["a_ang"] for row in edge])
    zero = dict.fromkeys(triple.elements, 0.0)
    slopes = [ternary.gradient(row, triple, "da_dx_ang", zero) for row in edge]
    # Simpson's rule of the slopes gives back the differences to the order of the step.
    order = np.argsort(x)
    along = np.array(slopes)[order][:, 0]
    simpson = (along[0] + 3 * along[1] + 3 * along[2] + along[3]) / 8
    assert simpson == pytest.approx(np.ptp(a), rel=0.03)
    np.testing.assert_allclose(ternary.place("site:Ni=1", triple), [0.5, np.sqrt(0.75)], atol=1e-12)


def test_agreement_with_supercells_is_the_mean_over_mixed_compositions():
    def row(method: str, x: float, a: float, energy: float = 0.0) -> dict[str, object]:
        return {
            "prototype": "p",
            "occupation": f"s:Cu={1 - x:g},Ni={x:g}",
            "method": method,
            "status": "ok",
            "volume_ang3_per_atom": a**3,
            "mixing_ev_per_atom": energy,
            **dict.fromkeys(("a_ang", "b_ang", "c_ang"), a),
            **dict.fromkeys(("alpha_deg", "beta_deg", "gamma_deg"), 90.0),
        }

    rows = [
        *(row("sqs", 0.5, 4.0 + d, 0.010) for d in (-0.01, 0.01)),
        *(row("sqs", 0.25, 3.0) for _ in range(2)),
        *(row("mean_field", x, a, 0.012) for x, a in ((0.5, 4.04), (0.25, 2.97))),
        row("vegard", 0.5, 4.4),
        {**row("vegard", 0.25, 9.0), "status": "failed"},
        {**row("sqs", 1.0, 2.0), "occupation": "s:Ni=1"},
    ]
    mean_field, line = agreements(rows)
    assert (mean_field.method, mean_field.points) == ("mean_field", 2)
    assert mean_field.length == pytest.approx(0.01, rel=1e-9)
    assert mean_field.mixing == pytest.approx(0.007, rel=1e-9)
    assert (line.method, line.points) == ("vegard", 1)
    assert line.length == pytest.approx(0.1, rel=1e-9)
    assert mean_field.bowing == line.length
    assert mean_field.cells_length == pytest.approx(0.5 * 0.01 / 4.0, rel=1e-9)
