"""Rounds by their commands: what joins the frames, what the tables say, what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import softatoms as sa
from softatoms.cli import main
from softatoms.config import ConfigError, load_config
from softatoms.dataset.frames import Frame
from softatoms.dataset.parquet_frames import read_frames, write_frames
from softatoms.figures import active_learning, draw_all
from softatoms.figures.data import CampaignTables
from softatoms.figures.style import close
from softatoms.tables import read_table

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "config/test/active-learning.yaml"


def campaign(folder: Path, **sections: Any) -> Path:
    values = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    for section, changes in sections.items():
        if changes is None:
            values.pop(section)
        else:
            values[section] = {**values.get(section, {}), **changes}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


class Rounds:
    """A campaign of one round in a folder."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        labels = {"potential": {"name": "gupta", "options": {"elements": ["Cu"]}}, "jobs": 2}
        self.config = campaign(
            folder, dataset={"labels": labels}, active_learning={"rounds": 1, **changes}
        )

    def run(self, command: str, *arguments: object, ok: bool = True) -> None:
        code = main([command, "--config", str(self.config), *map(str, arguments)])
        assert code == (0 if ok else 2)

    def at(self, number: int, *parts: str) -> Path:
        return self.folder.joinpath(str(number), *parts)

    def begin(self) -> None:
        """The dataset and the models of round 0."""
        self.run("dataset", "--out", self.at(0, "frames.parquet"))
        self.train(0)

    def train(self, number: int, *options: object, ok: bool = True) -> None:
        self.run(
            "train",
            *("--frames", self.at(number, "frames.parquet"), "--out", self.at(number, "model")),
            *("--tables", self.at(number, "tables"), "--round", number, *options),
            ok=ok,
        )

    def explore(self) -> None:
        self.run(
            "explore",
            *("--round", 0, "--frames", self.at(0, "frames.parquet")),
            *("--model", self.at(0, "model"), "--out", self.at(0, "selected.parquet")),
            *("--candidates", self.at(0, "candidates.parquet")),
            *("--table", self.at(0, "exploration.parquet")),
        )

    def label(self, shard: int) -> None:
        self.run(
            *("dataset", "--step", "label", "--round", 0, "--shard", shard),
            *("--frames", self.at(0, "selected.parquet"), "--checkpoint", self.folder / "labels"),
            *("--out", self.at(0, f"labels-{shard}.parquet")),
        )

    def merge(self, *, ok: bool = True, shards: tuple[int, ...] = (0, 1)) -> None:
        self.run(
            *("active-learning", "--step", "merge", "--round", 0),
            *("--frames", self.at(0, "frames.parquet")),
            *("--selected", self.at(0, "selected.parquet")),
            *("--labels", *(self.at(0, f"labels-{shard}.parquet") for shard in shards)),
            *("--out", self.at(1, "frames.parquet"), "--table", self.at(1, "dataset.parquet")),
            ok=ok,
        )

    def sum_up(self) -> None:
        tables = self.folder / "tables"
        self.run(
            *("active-learning", "--step", "table"),
            *("--frames", *(self.at(n, "frames.parquet") for n in (0, 1))),
            *("--models", *(self.at(n, "model") for n in (0, 1))),
            *("--evaluations", *(self.at(n, "tables", "evaluation.parquet") for n in (0, 1))),
            *("--candidates", self.at(0, "candidates.parquet")),
            *("--explorations", self.at(0, "exploration.parquet")),
            *("--out", tables / "active_learning.parquet"),
            *("--exploration-out", tables / "exploration.parquet"),
        )

    def frames(self, number: int, name: str = "frames") -> list[Frame]:
        return list(read_frames(self.at(number, f"{name}.parquet")).frames)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Rounds:
    """A whole round; tests must not change it."""
    rounds = Rounds(tmp_path_factory.mktemp("rounds"))
    rounds.begin()
    rounds.explore()
    rounds.label(0)
    rounds.label(1)
    rounds.merge()
    rounds.train(1, "--start", rounds.at(0, "model"))
    rounds.sum_up()
    return rounds


def parts(frames: list[Frame], *wanted: str) -> dict[str, Frame]:
    return {frame.frame_id: frame for frame in frames if frame.split in wanted}


def test_frames_join_those_that_were_there(done: Rounds) -> None:
    before, after = done.frames(0), done.frames(1)
    known = {frame.frame_id for frame in before}
    fresh = [frame for frame in after if frame.frame_id not in known]
    assert len(fresh) == 4
    assert {frame.status for frame in fresh} == {"ok"}
    # The test part is the same to the last bit, and no group stands in two parts.
    assert_equal_frames(parts(before, "test"), parts(after, "test"))
    assert_equal_frames(
        parts(before, "train"), {k: v for k, v in parts(after, "train").items() if k in known}
    )
    by_group = {(frame.group, frame.split) for frame in after}
    assert len({group for group, _ in by_group}) == len(by_group)
    gupta = sa.load_potential("gupta", elements=["Cu"])
    for frame in fresh:
        assert frame.group.startswith("active-learning/0/")
        out = sa.evaluate(gupta, frame.soft, properties=("energy", "forces"))
        assert frame.energy == pytest.approx(float(out.energy), rel=1e-9, abs=1e-9)
        np.testing.assert_allclose(frame.forces, out.forces.numpy(), rtol=1e-7, atol=1e-9)


def assert_equal_frames(one: dict[str, Frame], other: dict[str, Frame]) -> None:
    assert list(one) == list(other)
    for name, frame in one.items():
        assert frame.energy == other[name].energy
        np.testing.assert_array_equal(frame.soft.positions, other[name].soft.positions)


def test_the_tables(done: Rounds) -> None:
    table = read_table(done.folder / "tables/active_learning.parquet", "active_learning")
    first, last = table.rows()
    after = done.frames(1)
    assert (first["round"], first["frames"], first["labelled"]) == (0, 12, 4)
    assert (last["round"], last["frames"], last["labelled"]) == (1, 16, 0)
    assert first["test_frames"] == last["test_frames"] == 4
    assert last["train_frames"] == len(parts(after, "train"))
    assert last["validation_frames"] == len(parts(after, "validation"))
    candidates = done.frames(0, "candidates")
    assert first["candidates"] == len(candidates) == 20
    models = [
        [sa.load_potential(done.at(number, name)) for name in ("model", "model-01")]
        for number in (0, 1)
    ]
    for when, pair in zip(("before", "after"), models, strict=True):
        largest = []
        for frame in candidates:
            one, two = (
                sa.evaluate(model, frame.soft, properties=("forces",), dtype="float64").forces
                for model in pair
            )
            # Two values lie half their difference from their mean.
            largest.append(float(((one - two) ** 2).sum(1).div(2).sqrt().max()))
        assert first[f"mean_uncertainty_{when}"] == pytest.approx(np.mean(largest), rel=1e-3)
        assert first[f"max_uncertainty_{when}"] == pytest.approx(np.max(largest), rel=1e-3)
        assert last[f"mean_uncertainty_{when}"] is None
    for number, row in enumerate((first, last)):
        errors = {
            (found["quantity"], kind): found[kind]
            for found in read_table(
                done.at(number, "tables", "evaluation.parquet"), "evaluation"
            ).rows()
            if found["model"] == "model"
            and (found["split"], found["group"], found["element"]) == ("test", "all", "all")
            for kind in ("mae", "rmse")
        }
        assert row["test_energy_mae_ev_per_atom"] == errors["energy", "mae"]
        assert row["test_forces_rmse_ev_per_ang"] == errors["force", "rmse"]
        assert row["test_stress_mae_ev_per_ang3"] == errors["stress", "mae"]
    walks = read_table(done.folder / "tables/exploration.parquet", "exploration").rows()
    assert len(walks) == 5
    assert sum(walk["selected"] for walk in walks) == 4
    assert sum(walk["split"] == "validation" for walk in walks) == 1


def test_the_figure(done: Rounds, tmp_path: Path) -> None:
    control = str(done.folder / "tables/active_learning.parquet")
    for extra in ({}, {"control": control}):
        config = load_config(campaign(tmp_path, figures={"names": ["active_learning"], **extra}))
        for path in draw_all(config, done.folder / "tables", tmp_path):
            assert path.stat().st_size > 1000


def test_one_round_is_told_apart_by_markers(done: Rounds, tmp_path: Path) -> None:
    config = load_config(campaign(tmp_path, figures={"names": ["active_learning"]}))
    figure = active_learning.draw(config, CampaignTables(done.folder / "tables"))
    errors, _, uncertainties = figure.axes
    # Lines of a single point have no style.
    looks = {(line.get_color(), line.get_marker()) for line in uncertainties.lines}
    assert len(looks) == len(uncertainties.lines) == 4
    legend = errors.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["RMSE", "first training", "MAE"]
    close(figure)


def test_a_round_goes_on_from_the_models_before(done: Rounds, tmp_path: Path) -> None:
    """Without a single step the models of a round would be those it starts from."""
    tiny = {"epochs": 1}
    origin = sa.load_potential(done.at(0, "model-01"))
    ends = {}
    for start in ("previous", "scratch"):
        rounds = Rounds(tmp_path / start, start=start, **tiny)
        values = yaml.safe_load(rounds.config.read_text())
        values["training"]["learning_rate"] = 1e-12
        rounds.config.write_text(yaml.safe_dump(values))
        frames = read_frames(done.at(1, "frames.parquet")).frames
        write_frames(rounds.at(1, "frames.parquet"), frames)
        begin = ("--start", done.at(0, "model"))
        rounds.train(1, *(begin if start == "previous" else ()))
        # The wrong one of the two is refused.
        rounds.train(1, *(() if start == "previous" else begin), ok=False)
        ends[start] = sa.load_potential(rounds.at(1, "model-01"))
    own = dict(origin.named_parameters())
    for name, value in ends["previous"].named_parameters():
        np.testing.assert_allclose(
            value.detach().numpy(), own[name].detach().numpy(), rtol=1e-5, atol=1e-6
        )
    assert any(
        np.abs(value.detach().numpy() - own[name].detach().numpy()).max() > 1e-3
        for name, value in ends["scratch"].named_parameters()
    )


def copied(done: Rounds, folder: Path, **changes: Any) -> Rounds:
    rounds = Rounds(folder, **changes)
    for path in done.at(0).glob("*.parquet"):
        rounds.at(0).mkdir(exist_ok=True)
        rounds.at(0, path.name).write_bytes(path.read_bytes())
    return rounds


def test_an_impossible_label_is_a_failed_row(done: Rounds, tmp_path: Path) -> None:
    rounds = copied(done, tmp_path)
    rewrite(rounds.at(0, "labels-0.parquet"), absurd)
    rounds.merge()
    (bad,) = [frame for frame in rounds.frames(1) if frame.status == "failed"]
    assert "force on site 0" in bad.error
    assert bad.split == ""
    (row,) = [
        row
        for row in read_table(rounds.at(1, "dataset.parquet"), "dataset").rows()
        if row["status"] == "failed"
    ]
    assert row["frame_id"] == bad.frame_id
    assert len(rounds.frames(1)) == 16


def absurd(frames: list[Frame]) -> list[Frame]:
    assert frames[0].forces is not None
    forces = frames[0].forces.copy()
    forces[0] = [1e4, 0.0, 0.0]
    return [dataclasses.replace(frames[0], forces=forces), *frames[1:]]


def moved(frames: list[Frame]) -> list[Frame]:
    soft = frames[0].soft
    return [
        dataclasses.replace(frames[0], soft=soft.with_positions(soft.positions + 0.1)),
        *frames[1:],
    ]


def rewrite(path: Path, change: Callable[[list[Frame]], list[Frame]]) -> None:
    read = read_frames(path)
    write_frames(path, change(list(read.frames)), read.provenance)


def test_what_does_not_belong_together_is_refused(
    done: Rounds, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = copied(done, tmp_path / "a")
    rounds.merge(ok=False, shards=(0,))
    assert "2 frames have no label" in capsys.readouterr().err
    rounds.merge(ok=False, shards=(0, 0, 1))
    assert "labelled by another job too" in capsys.readouterr().err
    rewrite(rounds.at(0, "labels-1.parquet"), moved)
    rounds.merge(ok=False)
    assert "is none of" in capsys.readouterr().err
    other = copied(done, tmp_path / "b", per_round=5)
    other.merge(ok=False)
    assert "belongs to another configuration" in capsys.readouterr().err
    # A round more changes nothing of the rounds before.
    copied(done, tmp_path / "c", rounds=2).merge()


def test_nothing_uncertain_is_said_and_goes_on(
    done: Rounds, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = Rounds(tmp_path, uncertainty={"upper": 1e-6})
    rounds.begin()
    capsys.readouterr()
    rounds.explore()
    said = capsys.readouterr().out
    assert "5 stopped by a limit" in said
    assert "nothing to label" in said
    for shard in (0, 1):
        rounds.label(shard)
    rounds.merge()
    rounds.train(1, "--start", rounds.at(0, "model"))
    rounds.sum_up()
    first, last = read_table(
        rounds.folder / "tables/active_learning.parquet", "active_learning"
    ).rows()
    assert first["trajectories_stopped"] == 5
    assert first["frames"] == last["frames"] == 12
    assert first["mean_uncertainty_before"] is None
    walks = read_table(rounds.folder / "tables/exploration.parquet", "exploration").rows()
    assert {(walk["status"], walk["steps"]) for walk in walks} == {("stopped", 5)}
    assert all("the limit is 1e-06 eV/Å" in walk["error"] for walk in walks)


GOOD = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
DYNAMICS = GOOD["active_learning"]["explore"][0]
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "one model": ({"training": {"size": 1}}, "training.size: must be at least 2"),
    "no dataset": (
        {"dataset": None},
        "active_learning: needs the section 'dataset'",
    ),
    "own frames": ({"training": {"frames": "a.parquet"}}, "training.frames: must be empty"),
    "no rounds": (
        {"active_learning": {"rounds": 0}},
        "active_learning.rounds: must be at least 1, got 0",
    ),
    "too many": ({"active_learning": {"rounds": 11}}, "rounds: must be at most 10, got 11"),
    "limits": (
        {"active_learning": {"uncertainty": {"lower": 2.0, "upper": 1.0}}},
        "active_learning.uncertainty.upper: must be above 'lower', which is 2, got 1",
    ),
    "no upper limit": (
        {"active_learning": {"uncertainty": {"lower": 2.0}}},
        "active_learning.uncertainty.upper",
    ),
    "no kind": (
        {"active_learning": {"explore": [{"name": "a", "parent": DYNAMICS["parent"]}]}},
        "active_learning.explore[0]: needs one of: dynamics",
    ),
    "two starts": (
        {"active_learning": {"explore": [{**DYNAMICS, "frames": "a"}]}},
        "active_learning.explore[0]: needs either 'parent' or 'frames'",
    ),
    "twice": (
        {"active_learning": {"explore": [DYNAMICS, DYNAMICS]}},
        "active_learning.explore[1]: 'bulk' is named twice",
    ),
    "pressure": (
        {"active_learning": {"explore": [{**DYNAMICS, "dynamics": {"pressure_gpa": 1.0}}]}},
        "explore[0].dynamics.pressure_gpa: does nothing to a fixed cell",
    ),
    "short": (
        {"active_learning": {"explore": [{**DYNAMICS, "dynamics": {"cell": "full", "every": 5}}]}},
        "explore[0].dynamics.every: must be at least 10",
    ),
    "figure": (
        {"active_learning": None},
        "figures.names[3]: 'active_learning' needs the section 'active_learning'",
    ),
    "typing error": (
        {"active_learning": {"per_rond": 3}},
        "active_learning.per_rond: unknown key: did you mean 'per_round'?",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_section_is_one_clear_line(name: str, tmp_path: Path) -> None:
    changes, hint = BROKEN[name]
    with pytest.raises(ConfigError) as caught:
        load_config(campaign(tmp_path, **changes))
    lines = str(caught.value).splitlines()
    assert any(hint in line for line in lines), lines
    assert name == "no dataset" or len(lines) == 1


def test_fingerprints(tmp_path: Path) -> None:
    base = load_config(campaign(tmp_path / "a"))
    more = load_config(campaign(tmp_path / "b", active_learning={"rounds": 3}))
    other = load_config(campaign(tmp_path / "c", active_learning={"per_round": 3}))
    without = load_config(
        campaign(tmp_path / "d", active_learning=None, figures={"names": ["lattice"]})
    )
    for section in ("dataset", "training"):
        digests = {config.section_digest(section) for config in (base, more, other, without)}
        assert len(digests) == 1
    # How many rounds will follow changes none of them.
    assert base.section_digest("active_learning") == more.section_digest("active_learning")
    assert base.section_digest("active_learning") != other.section_digest("active_learning")
