"""The whole stage: all steps at once or in jobs, the table, and what does not belong together."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase.io import read
from dataset_samples import DFT, needs_dft, plain_frame

from campaigns import SMALL
from softatoms.cli import main
from softatoms.config import load_config
from softatoms.dataset.extxyz_frames import write_extxyz
from softatoms.dataset.parquet_frames import frames_digest, read_frames, write_frames
from softatoms.tables import read_table

CU = {"lattice": "fcc", "species": ["Cu"], "a_ang": 3.61}
DATASET: dict[str, Any] = {
    "generators": [
        {"name": "volumes", "parent": CU, "volumes": {"factors": [0.95, 1.0, 1.05]}},
        {"name": "again", "parent": {**CU, "repeat": [2, 1, 1]}, "volumes": {"factors": [1.0]}},
        {"name": "rattled", "parent": CU, "rattled": {"count": 6}},
        {"name": "gold", "parent": {**CU, "a_ang": 4.1}, "rattled": {"count": 2}},
        {"name": "iron", "atoms": {"species": ["Fe"]}},
    ],
    "labels": {"calculator": "emt", "jobs": 3},
    "split": {"assigned": {"gold": "test", "volumes": "train", "rattled": "train"}},
}


def prepared(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump({**SMALL, "dataset": {**DATASET, **changes}}))
    return path


def run(config: Path, *arguments: object) -> int:
    return main(["dataset", "--config", str(config), *map(str, arguments)])


def in_steps(config: Path, folder: Path) -> None:
    plan, skipped = folder / "plan.parquet", folder / "skipped.parquet"
    assert run(config, "--step", "generate", "--out", plan, "--skipped", skipped) == 0
    parts = [folder / f"{shard}.parquet" for shard in range(3)]
    for shard, part in enumerate(parts):
        options = ("--frames", plan, "--shard", shard, "--checkpoint", folder / "labels")
        assert run(config, "--step", "label", *options, "--out", part) == 0
    inputs = ("--frames", plan, "--skipped", skipped, "--labels", *parts)
    outputs = ("--out", folder / "frames.parquet", "--table", folder / "dataset.parquet")
    assert run(config, "--step", "merge", *inputs, *outputs) == 0


def test_steps_and_whole_stage_agree(tmp_path, capsys):
    config = prepared(tmp_path)
    in_steps(config, tmp_path / "steps")
    out, table = tmp_path / "whole" / "frames.parquet", tmp_path / "whole" / "dataset.parquet"
    sound = tmp_path / "whole" / "frames.xyz"
    assert run(config, "--out", out, "--table", table, "--extxyz", sound) == 0
    stepwise = read_frames(tmp_path / "steps" / "frames.parquet").frames
    assert frames_digest(stepwise) == frames_digest(read_frames(out).frames)
    by_steps = read_table(tmp_path / "steps" / "dataset.parquet", "dataset")
    assert by_steps.content_hash() == read_table(table, "dataset").content_hash()
    rows = {row["frame_id"]: row for row in read_table(table, "dataset").rows()}
    assert Counter(row["status"] for row in rows.values()) == {
        "ok": 11,
        "failed": 1,
        "duplicate": 1,
    }
    assert rows["again-0000"]["error"] == "same structure as volumes-0001"
    assert (rows["iron-Fe"]["status"], rows["iron-Fe"]["split"]) == ("failed", "")
    assert "Fe" in rows["iron-Fe"]["error"]
    assert {rows[f"gold-000{i}"]["split"] for i in range(2)} == {"test"}
    assert rows["volumes-0001"]["formula"] == "Cu4"
    assert rows["volumes-0001"]["volume_ang3_per_atom"] == pytest.approx(3.61**3 / 4)
    assert rows["volumes-0000"]["pressure_ev_per_ang3"] > 0
    assert {row["labeller"] for row in rows.values() if row["status"] == "ok"} == {"emt"}
    assert len(read(sound, index=":")) == 11
    assert "11 frames (9 train, 0 validation, 2 test), 1 failed, 1 left out" in (
        capsys.readouterr().out
    )
    origin = read_table(table, "dataset").provenance
    assert origin.config_hash == load_config(config).section_digest("dataset")


def test_selection_keeps_what_covers(tmp_path):
    config = prepared(tmp_path, select=5)
    out, table = tmp_path / "f.parquet", tmp_path / "t.parquet"
    assert run(config, "--out", out, "--table", table) == 0
    counts = Counter(row["status"] for row in read_table(table, "dataset").rows())
    assert counts["unselected"] == 7
    assert counts["ok"] + counts["failed"] == 5
    assert len(read_frames(out).frames) == 5


def test_labels_of_our_own_potential(tmp_path):
    labels = {"potential": {"name": "gupta", "options": {"elements": ["Cu"]}}, "batch": 4}
    config = prepared(tmp_path, labels=labels, generators=DATASET["generators"][:3], split={})
    out, table = tmp_path / "f.parquet", tmp_path / "t.parquet"
    assert run(config, "--out", out, "--table", table) == 0
    assert {row["labeller"] for row in read_table(table, "dataset").rows()} == {"gupta", ""}
    assert len(read_frames(out).provenance.model_sha256) == 64


def test_imports_join_and_are_checked(tmp_path, capsys):
    sound = plain_frame("sound", energy=-14.0, stress=np.eye(3) / 100, labeller="pbe")
    bad = plain_frame("bad", seed=1, forces=np.full((4, 3), np.nan))
    write_extxyz(tmp_path / "old.xyz", [sound, bad])
    write_frames(tmp_path / "new.parquet", [plain_frame("mine", seed=2, energy=-13.9, stress=None)])
    imports = [
        {"format": "extxyz", "paths": [str(tmp_path / "*.xyz")], "labeller": "pbe"},
        {"format": "frames", "paths": [str(tmp_path / "new.parquet")]},
    ]
    config = prepared(tmp_path, imports=imports, generators=[], split={})
    out, table = tmp_path / "f.parquet", tmp_path / "t.parquet"
    assert run(config, "--out", out, "--table", table) == 0
    rows = {row["frame_id"]: row for row in read_table(table, "dataset").rows()}
    assert {name: row["status"] for name, row in rows.items()} == {
        "sound": "ok",
        "mine": "ok",
        "bad": "failed",
    }
    assert "labels come from pbe, test: their energies may have" in capsys.readouterr().out
    assert rows["bad"]["error"] == "12 of 12 values of forces are nan or inf"
    assert len(read_frames(out).frames) == 3


def test_copies_with_other_labels_are_noted(tmp_path, capsys):
    frame = plain_frame("one", energy=-14.0, stress=None)
    other = dataclasses.replace(frame, frame_id="two", energy=-13.6)
    write_frames(tmp_path / "f.parquet", [frame, other])
    imports = [{"format": "frames", "paths": [str(tmp_path / "f.parquet")]}]
    config = prepared(tmp_path, imports=imports, generators=[], split={})
    table = tmp_path / "t.parquet"
    assert run(config, "--out", tmp_path / "o.parquet", "--table", table) == 0
    assert "1 copies differ from their originals by more than 0.01" in capsys.readouterr().out
    rows = {row["frame_id"]: row for row in read_table(table, "dataset").rows()}
    assert rows["two"]["error"] == "same structure as one, energy differs by 0.1 eV/atom"


def test_what_does_not_belong_together_is_refused(tmp_path, capsys):
    config = prepared(tmp_path)
    in_steps(config, tmp_path)
    plan, skipped = tmp_path / "plan.parquet", tmp_path / "skipped.parquet"
    parts = [tmp_path / f"{shard}.parquet" for shard in range(3)]
    merge = ("--step", "merge", "--frames", plan, "--skipped", skipped, "--out", tmp_path / "o")

    def refused(*arguments: object) -> str:
        capsys.readouterr()
        assert run(config, *arguments) == 2
        return capsys.readouterr().err

    assert "frames have no label, the first is" in refused(*merge, "--labels", *parts[:2])
    assert "was labelled by another job too" in refused(*merge, "--labels", *parts, parts[0])
    assert "no job 3" in refused(
        *("--step", "label", "--frames", plan, "--shard", 3, "--out", tmp_path / "o")
    )
    assert "--frames: is required for --step merge" in refused("--step", "merge", "--out", "o")
    prepared(tmp_path, select=4)
    assert "belongs to another configuration" in refused(*merge, "--labels", *parts)
    without = {**SMALL, "dataset": None, "training": None, "figures": {"names": ["mixing"]}}
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(without))
    assert "dataset: is required to make a dataset" in refused("--out", tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_files_are_those_of_imports_and_parents(tmp_path):
    (tmp_path / "a.xyz").write_text("")
    imports = [{"format": "extxyz", "paths": [str(tmp_path / "*.xyz")]}]
    config = load_config(prepared(tmp_path, imports=imports))
    assert config.dataset is not None
    assert config.dataset.files() == [str(tmp_path / "a.xyz")]


@needs_dft
def test_published_data_become_a_dataset(tmp_path, capsys):
    imports = [{"format": "maml", "paths": [str(DFT / "cu" / "*.json.gz")]}]
    config = prepared(tmp_path, imports=imports, generators=[], split={})
    out, table = tmp_path / "f.parquet", tmp_path / "t.parquet"
    assert run(config, "--out", out, "--table", table) == 0
    counts = Counter(row["status"] for row in read_table(table, "dataset").rows())
    assert counts == {"ok": 203, "duplicate": 91}
    assert "do not train on both" in capsys.readouterr().out
    assert json.loads(read_frames(out).provenance.to_json())["campaign"] == "small"
