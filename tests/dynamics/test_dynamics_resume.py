"""Killed runs end with the same numbers, to the last bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from dynamics_systems import argon, lennard_jones
from resumed_run import run

import softatoms as sa
from softatoms.dynamics import (
    REQUEUE,
    Observer,
    Outcome,
    Settings,
    exit_code,
    read_frames,
    read_samples,
    recording,
    run_dynamics,
)
from softatoms.dynamics.recording import of_system
from softatoms.dynamics.run import Run
from softatoms.dynamics.state import State
from softatoms.tables import TableError

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Outcome]]:
    folder = tmp_path_factory.mktemp("reference")
    return folder, run(str(folder))


def started(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join([str(HERE), str(HERE.parent)])
    return subprocess.Popen(
        [sys.executable, str(HERE / "resumed_run.py"), str(folder), *more],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )


def wait_for_checkpoint(folder: Path, process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait until a checkpoint is newer than now, and a little longer."""
    path = folder / "checkpoint.safetensors"
    before = path.stat().st_mtime_ns if path.exists() else 0
    deadline = time.monotonic() + 120.0
    while not path.exists() or path.stat().st_mtime_ns == before:
        assert time.monotonic() < deadline
        if process.poll() is not None:
            return
        time.sleep(0.002)
    time.sleep(seconds)


def assert_same(one: list[Outcome], two: list[Outcome]) -> None:
    for a, b in zip(one, two, strict=True):
        assert (a.status, a.error, a.steps) == (b.status, b.error, b.steps)
        for name in ("energy", "kinetic", "work", "heat", "acceptance"):
            assert getattr(a, name) == getattr(b, name)
        for name in ("positions", "velocities", "cell"):
            np.testing.assert_array_equal(getattr(a.soft, name), getattr(b.soft, name))
        assert a.soft.weights.tolist() == b.soft.weights.tolist()


def assert_same_files(one: Path, two: Path) -> None:
    for observer in ("often", "rare"):
        assert read_samples(one, observer).equals(read_samples(two, observer))
    frames = [[(about, soft.to_extxyz()) for about, soft in read_frames(f)] for f in (one, two)]
    assert frames[0] == frames[1]


def test_the_reference_is_worth_comparing_with(reference: tuple[Path, list[Outcome]]) -> None:
    folder, out = reference
    assert [o.status for o in out] == ["ok"] * 4 + ["failed"]
    assert 40 < out[4].steps < 250
    assert out[2].work != 0.0
    rows = read_samples(folder, "often")
    for index, end in enumerate(out):
        steps = of_system(rows, str(index))["step"].to_pylist()
        assert steps == list(range(0, end.steps + 1, 3))
    assert len(read_frames(folder)) == sum(o.steps // 50 + 1 for o in out)


def test_killed_at_any_time(tmp_path: Path, reference: tuple[Path, list[Outcome]]) -> None:
    folder, expected = reference
    kills = 0
    # At once after a checkpoint, while samples are pending, and in the middle of writing.
    for pause in (0.0, 0.15, 0.004):
        process = started(tmp_path)
        wait_for_checkpoint(tmp_path, process, pause)
        kills += process.poll() is None
        process.kill()
        process.communicate()
    assert kills >= 2
    assert_same(run(str(tmp_path)), expected)
    assert_same_files(tmp_path, folder)


def test_a_run_without_a_folder_is_the_same(reference: tuple[Path, list[Outcome]]) -> None:
    folder, expected = reference
    out = run(None)
    assert_same(out, expected)
    rows = read_samples(folder, "rare")
    for index, end in enumerate(out):
        assert end.samples["rare"].equals(of_system(rows, str(index)))


def test_sigterm_stops_with_a_checkpoint(
    tmp_path: Path, reference: tuple[Path, list[Outcome]]
) -> None:
    folder, expected = reference
    process = started(tmp_path)
    wait_for_checkpoint(tmp_path, process, 0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == REQUEUE == 75, errors.decode()
    resumed = started(tmp_path)
    resumed.communicate(timeout=120)
    assert resumed.returncode == 0
    assert_same(run(str(tmp_path)), expected)
    assert_same_files(tmp_path, folder)


def test_the_wall_time_is_kept(tmp_path: Path, reference: tuple[Path, list[Outcome]]) -> None:
    folder, expected = reference
    out: list[Outcome] = []
    for _ in range(100):
        begun = time.monotonic()
        out = run(str(tmp_path), wall_time=1.5)
        assert time.monotonic() - begun < 3.0
        if exit_code(out) == 0:
            break
        ended = {o.status for o in out}
        assert "interrupted" in ended
        assert "the wall time of 1.5 s is used up" in [o.error for o in out]
    assert_same(out, expected)
    assert_same_files(tmp_path, folder)


def test_a_slow_start_is_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes before the first step is not kept in reserve for the next one."""
    started = Run._started

    def slowly(run: Run) -> State:
        time.sleep(1.0)
        return started(run)

    monkeypatch.setattr(Run, "_started", slowly)
    out = run_dynamics(
        lennard_jones(),
        [argon(0, cells=1)],
        Settings(temperature=40.0),
        n_steps=10,
        folder=tmp_path,
        wall_time=2.5,
    )
    assert (out[0].status, out[0].steps) == ("ok", 10)


def test_large_samples_do_not_wait_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts are cut by what rows and frames take, not by how many there are."""
    monkeypatch.setattr(recording, "MOST_BYTES", 100_000)
    run_dynamics(
        lennard_jones(),
        [argon(0)],
        Settings(temperature=40.0),
        n_steps=60,
        observers=Observer("positions", ("positions",)),
        frames_every=1,
        folder=tmp_path,
    )
    for name in ("samples/positions", "frames"):
        assert 3 <= len(list((tmp_path / name).glob("part-*"))) < 10
    assert read_samples(tmp_path, "positions")["step"].to_pylist() == list(range(61))
    assert [about["step"] for about, _ in read_frames(tmp_path)] == list(range(61))


def test_a_finished_run_is_only_read(tmp_path: Path) -> None:
    def again(n_steps: int) -> list[Outcome]:
        return run_dynamics(
            lennard_jones(),
            [argon(0, cells=1)],
            Settings(temperature=40.0),
            n_steps=n_steps,
            observers=Observer("energy", ("energy",), every=4),
            folder=tmp_path,
        )

    first = again(20)
    written = sorted(p.stat().st_mtime_ns for p in tmp_path.rglob("part-*"))
    assert_same(again(20), first)
    assert sorted(p.stat().st_mtime_ns for p in tmp_path.rglob("part-*")) == written
    longer = again(30)
    assert longer[0].steps == 30
    assert read_samples(tmp_path, "energy")["step"].to_pylist() == list(range(0, 30, 4))
    with pytest.raises(sa.CheckpointError, match="is at step 30 already, beyond n_steps=20"):
        again(20)


def test_the_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    def attempt(**changes: object) -> None:
        settings = Settings(temperature=40.0, seed=changes.pop("seed", 0))  # type: ignore[arg-type]
        given = {"n_steps": 2, "folder": tmp_path, **changes}
        run_dynamics(lennard_jones(), [argon(0, cells=1)], settings, **given)  # type: ignore[arg-type]

    attempt()
    attempt(seed=np.int64(0))
    for changes, named in (
        ({"seed": 1}, "settings"),
        ({"dtype": "float32"}, "options"),
        ({"observers": Observer("energy", ("energy",))}, "observers"),
    ):
        with pytest.raises(sa.CheckpointError, match=f"belongs to another run: {named} differ"):
            attempt(**changes)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"broken")
    with pytest.raises(sa.CheckpointError, match="is damaged"):
        attempt()


def test_samples_declare_units_and_say_what_is_wrong(tmp_path: Path) -> None:
    run_dynamics(
        lennard_jones(),
        [argon(0, cells=1)],
        Settings(temperature=40.0),
        n_steps=4,
        names=["first"],
        observers=Observer("flux", ("heat_flux", "cell", "stress", "velocities"), every=2),
        folder=tmp_path,
    )
    table = read_samples(tmp_path, "flux")
    units = {f.name: f.metadata[b"unit"].decode() for f in table.schema}
    assert units["heat_flux_x_ev_ang_per_fs"] == "eV Å/fs"
    assert units["cell_ax_ang"] == "Å"
    assert units["velocities_ang_per_fs"] == "Å/fs"
    assert table["system"].to_pylist() == ["first"] * 3
    assert table["time_fs"].to_pylist() == [0.0, 2.0, 4.0]
    assert table.schema.field("velocities_ang_per_fs").type == pa.list_(pa.float64())
    with pytest.raises(TableError, match="holds no samples"):
        read_samples(tmp_path, "fluxes")
    (part,) = (tmp_path / "samples" / "flux").glob("part-*")
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(TableError, match="is damaged or no Parquet file"):
        read_samples(tmp_path, "flux")
