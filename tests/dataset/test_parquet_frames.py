"""Frames in Parquet files come back bit for bit, or are refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from dataset_samples import plain_frame

from softatoms import SoftAtoms
from softatoms.dataset.frames import Frame
from softatoms.dataset.parquet_frames import (
    FramesError,
    frame_digest,
    read_frames,
    write_frames,
)
from softatoms.provenance import Provenance

ORIGIN = Provenance("c", "r", "h", 0, "", "float64", "cpu", {"ase": "3"}, "2026-01-01T00:00:00")


def all_kinds() -> list[Frame]:
    moving = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    moving.set_velocities(np.random.default_rng(0).normal(size=(8, 3)))
    heavy = Atoms("HD2".replace("D", "H"), [[0, 0, 0], [0, 0, 1.0], [0, 1, 0]])
    heavy.set_masses([1.008, 2.014, 2.014])
    slab = SoftAtoms.from_ase(fcc111("Cu", (2, 2, 3), vacuum=8.0))
    mixed = SoftAtoms.from_ase(bulk("Al", cubic=True))
    return [
        plain_frame("labelled"),
        dataclasses.replace(plain_frame("no-forces", seed=1), forces=None, split="test"),
        dataclasses.replace(plain_frame("no-stress", seed=2), stress=None, energy=None),
        Frame("bad", "h", slab, energy=np.nan, forces=np.full((12, 3), np.inf), status="failed"),
        Frame("moving", "h", SoftAtoms.from_ase(moving), error="Ångström; \n\0", status="failed"),
        Frame("heavy", "h", SoftAtoms.from_ase(heavy), energy=-0.0, labeller="x"),
        Frame("ghost", "h", slab.with_existence([1, 2], 0.1 + 0.2, tie="top")),
        Frame("mixed", "h", mixed.with_candidates([0, 3], {"Al": 1 / 3, "Sc": 0.5})),
    ]


def test_round_trip_is_exact(tmp_path):
    frames = all_kinds()
    path = tmp_path / "new" / "frames.parquet"
    write_frames(path, frames, ORIGIN)
    back = read_frames(path)
    assert back.provenance == ORIGIN
    assert [frame_digest(a) for a in back.frames] == [frame_digest(a) for a in frames]
    for new, old in zip(back.frames, frames, strict=True):
        for name in ("frame_id", "group", "split", "status", "error", "labeller"):
            assert getattr(new, name) == getattr(old, name)
        assert (new.energy is None) == (old.energy is None)
        if old.energy is not None:
            assert np.float64(new.energy).tobytes() == np.float64(old.energy).tobytes()
        for name in ("forces", "stress"):
            ours, theirs = getattr(new, name), getattr(old, name)
            assert (ours is None) == (theirs is None)
            if theirs is not None:
                np.testing.assert_array_equal(ours, theirs)
        for name in ("positions", "cell", "pbc", "site_number", "site_mass", "site_group"):
            np.testing.assert_array_equal(getattr(new.soft, name), getattr(old.soft, name))
        np.testing.assert_array_equal(new.soft.groups.theta, old.soft.groups.theta)
        assert new.soft.weight_labels == old.soft.weight_labels
    np.testing.assert_array_equal(back.frames[4].soft.velocities, frames[4].soft.velocities)
    assert list(tmp_path.rglob("*partial*")) == []


def test_no_frames(tmp_path):
    write_frames(tmp_path / "none.parquet", [])
    assert read_frames(tmp_path / "none.parquet").frames == ()


def test_units_stand_beside_the_columns(tmp_path):
    write_frames(tmp_path / "f.parquet", [plain_frame()])
    schema = pq.read_schema(tmp_path / "f.parquet")
    assert schema.field("forces").metadata[b"unit"].decode() == "eV/Å"
    assert schema.field("stress").metadata[b"unit"].decode() == "eV/Å³"


def test_a_name_that_comes_twice_is_refused(tmp_path):
    with pytest.raises(FramesError, match="frame a comes more than once"):
        write_frames(tmp_path / "f.parquet", [plain_frame("a"), plain_frame("a", seed=1)])
    assert not (tmp_path / "f.parquet").exists()


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "f.parquet"
    write_frames(path, [plain_frame(f"f{i}", seed=i) for i in range(5)])
    good = path.read_bytes()
    with pytest.raises(FramesError, match="no such file"):
        read_frames(tmp_path / "g.parquet")
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(FramesError, match="is damaged or no Parquet file"):
        read_frames(path)
    path.write_bytes(good)
    table = pq.read_table(path)
    changed = table.set_column(
        table.schema.get_field_index("energy"),
        table.schema.field("energy"),
        pa.array([1.0] * 5),
    )
    pq.write_table(changed, path)
    with pytest.raises(FramesError, match="do not match their fingerprint"):
        read_frames(path)
    pq.write_table(table.replace_schema_metadata({"softatoms.frames_version": "99"}), path)
    with pytest.raises(FramesError, match="version 99"):
        read_frames(path)
    pq.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(FramesError, match="holds no frames"):
        read_frames(path)
