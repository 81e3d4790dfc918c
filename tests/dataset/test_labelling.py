"""Labels equal direct evaluation, failures are kept, and a killed job goes on where it was."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from softatoms import SoftAtoms, evaluate, load_potential
from softatoms.config.compute import Compute
from softatoms.config.dataset import Labels
from softatoms.config.potential import PotentialSection
from softatoms.dataset import calculators, labelling
from softatoms.dataset.calculators import make_calculator
from softatoms.dataset.frames import Frame
from softatoms.dataset.label_checkpoint import CheckpointBusyError, LabelCheckpoint
from softatoms.dataset.labelling import label_frames, shard_of
from softatoms.dataset.parquet_frames import frame_digest, read_frames, write_frames
from softatoms.errors import OptionError

GUPTA = Labels(potential=PotentialSection(name="gupta", options={"elements": ["Cu"]}), batch=4)
EMT_LABELS = Labels(calculator="emt")
COMPUTE = Compute()


def frames(count: int = 10, symbol: str = "Cu") -> list[Frame]:
    made = []
    for index in range(count):
        atoms = bulk(symbol, cubic=True, a=3.6).repeat((1, 1, 1 + index % 2))
        atoms.rattle(0.05, rng=np.random.default_rng(index))
        made.append(Frame(f"f{index}", "g", SoftAtoms.from_ase(atoms), split="train"))
    return made


def same(ours: list[Frame], theirs: list[Frame]) -> bool:
    return [frame_digest(frame) for frame in ours] == [frame_digest(frame) for frame in theirs]


def test_labels_of_potentials_equal_direct_evaluation():
    cluster = Frame("c", "g", SoftAtoms.from_ase(Atoms("Cu2", [[0, 0, 0], [0, 0, 2.4]])))
    ghost = frames(1)[0].soft.with_existence([0], 0.4)
    unlabelled = [*frames(), cluster, Frame("s", "g", ghost)]
    potential = load_potential("gupta", elements=["Cu"])
    for frame in (labelled := label_frames(unlabelled, GUPTA, COMPUTE)):
        has_stress = frame.frame_id != "c"
        wanted = ("energy", "forces", "stress") if has_stress else ("energy", "forces")
        out = evaluate(potential, frame.soft, properties=wanted)
        assert frame.energy == pytest.approx(float(out.energy), rel=1e-12)
        np.testing.assert_allclose(frame.forces, out.forces.numpy(), rtol=1e-9, atol=1e-11)
        assert (frame.stress is not None) == has_stress
        if has_stress:
            np.testing.assert_allclose(frame.stress, out.stress.numpy(), rtol=1e-9, atol=1e-11)
        assert (frame.status, frame.labeller, frame.error) == ("ok", "gupta", "")
    assert [frame.frame_id for frame in labelled] == [frame.frame_id for frame in unlabelled]
    assert labelled[0].split == "train"


def test_labels_of_calculators_equal_theirs():
    for frame in label_frames(frames(3), EMT_LABELS, COMPUTE):
        atoms = frame.soft.to_ase()
        atoms.calc = EMT()
        assert frame.energy == atoms.get_potential_energy()
        np.testing.assert_array_equal(frame.forces, atoms.get_forces())
        np.testing.assert_array_equal(frame.stress, atoms.get_stress(voigt=False))
        assert frame.labeller == "emt"


def test_what_fails_is_kept_and_harms_no_other():
    gold = dataclasses.replace(frames(1, "Fe")[0], frame_id="iron")
    ghost = Frame("ghost", "g", frames(1)[0].soft.with_existence([0], 0.4))
    for labels in (GUPTA, EMT_LABELS):
        labelled = label_frames([*frames(5), gold, ghost], labels, COMPUTE)
        by_name = {frame.frame_id: frame for frame in labelled}
        assert [by_name[f"f{i}"].status for i in range(5)] == ["ok"] * 5
        assert by_name["iron"].status == "failed"
        assert "Fe" in by_name["iron"].error
        assert by_name["iron"].energy is None
    assert by_name["ghost"].status == "failed"
    assert by_name["ghost"].error == "ValueError: emt knows no soft sites"


def test_labelled_and_failed_frames_are_left_alone():
    held = [
        dataclasses.replace(frames(1)[0], status="ok", energy=1.0, labeller="dft"),
        dataclasses.replace(frames(2)[1], status="failed", error="no"),
    ]
    assert label_frames(held, GUPTA, COMPUTE) == held


def test_shards_share_all_frames_evenly():
    waiting = frames(11)
    done = dataclasses.replace(waiting[0], frame_id="done", status="ok", energy=1.0)
    shards = [shard_of([*waiting, done], shard, 3) for shard in range(3)]
    assert sorted(f.frame_id for shard in shards for f in shard) == sorted(
        f.frame_id for f in waiting
    )
    assert {len(shard) for shard in shards} == {3, 4}
    sites = [sum(frame.n_sites for frame in shard) for shard in shards]
    assert max(sites) - min(sites) <= 8
    assert shard_of(waiting[:1], 2, 3) == []


def test_a_checkpoint_survives_a_line_cut_short(tmp_path):
    fresh = label_frames(frames(), EMT_LABELS, COMPUTE, checkpoint=tmp_path)
    (path,) = tmp_path.glob("*.jsonl")
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 10
    for cut in (len(whole) - 1, len(whole) - 40, len(lines[0]) + 3, 5, 0):
        path.write_bytes(whole[:cut])
        assert same(label_frames(frames(), EMT_LABELS, COMPUTE, checkpoint=tmp_path), fresh)
        assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b'"status": "ok"', b'"status": "no"', 1))
    assert same(label_frames(frames(), EMT_LABELS, COMPUTE, checkpoint=tmp_path), fresh)


def test_a_damaged_line_costs_no_other_label(tmp_path, monkeypatch):
    fresh = label_frames(frames(), EMT_LABELS, COMPUTE, checkpoint=tmp_path)
    (path,) = tmp_path.glob("*.jsonl")
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    computed: list[str] = []
    label = labelling._by_ase

    def counted(frame, labels, folder):
        computed.append(frame.frame_id)
        return label(frame, labels, folder)

    monkeypatch.setattr(labelling, "_by_ase", counted)
    for _ in range(2):
        assert same(label_frames(frames(), EMT_LABELS, COMPUTE, checkpoint=tmp_path), fresh)
        assert computed == ["f0"]
    assert path.read_bytes().startswith(content)


def test_other_settings_have_labels_of_their_own(tmp_path):
    label_frames(frames(2), GUPTA, COMPUTE, checkpoint=tmp_path)
    label_frames(frames(2), EMT_LABELS, COMPUTE, checkpoint=tmp_path)
    label_frames(frames(2), EMT_LABELS, Compute(dtype="float32"), checkpoint=tmp_path)
    label_frames(frames(2), GUPTA, Compute(dtype="float32"), checkpoint=tmp_path)
    assert len(list(tmp_path.glob("*.jsonl"))) == 3


def test_another_number_of_jobs_finds_the_labels(tmp_path, monkeypatch):
    for shard in range(3):
        mine = shard_of(frames(), shard, 3)
        label_frames(mine, EMT_LABELS, COMPUTE, checkpoint=tmp_path, job=f"{shard}")
    assert len(list(tmp_path.glob("*.jsonl"))) == 3
    expected = label_frames(frames(), EMT_LABELS, COMPUTE)
    monkeypatch.setattr(labelling, "_by_ase", None)
    for shard in range(2):
        mine = shard_of(frames(), shard, 2)
        done = label_frames(mine, EMT_LABELS, COMPUTE, checkpoint=tmp_path, job=f"{shard}")
        assert {frame_digest(frame) for frame in done} <= {frame_digest(f) for f in expected}


def test_two_jobs_never_share_a_checkpoint(tmp_path):
    with LabelCheckpoint(tmp_path, ["a"]):
        with (
            pytest.raises(CheckpointBusyError, match="another job"),
            LabelCheckpoint(tmp_path, ["a"]),
        ):
            pass
        with LabelCheckpoint(tmp_path, ["b"]):
            pass


def test_file_systems_without_locks_are_served(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("softatoms.dataset.label_checkpoint.fcntl.flock", refuse)
    label_frames(frames(2), EMT_LABELS, COMPUTE, checkpoint=tmp_path)
    with LabelCheckpoint(tmp_path, ["a"]) as kept:
        assert len(kept) == 0


SLOW = """
import sys, time
from pathlib import Path
from softatoms.config.compute import Compute
from softatoms.config.dataset import Labels
from softatoms.dataset import labelling
from softatoms.dataset.parquet_frames import read_frames, write_frames

by_ase = labelling._by_ase

def slow(frame, labels, folder):
    with open(sys.argv[3], "a") as log:
        log.write(frame.frame_id + "\\n")
    time.sleep(0.02)
    return by_ase(frame, labels, folder)

labelling._by_ase = slow
frames = read_frames(sys.argv[1]).frames
done = labelling.label_frames(
    frames, Labels(calculator="emt"), Compute(), checkpoint=Path(sys.argv[2])
)
write_frames(sys.argv[4], done)
"""


def test_a_job_killed_at_random_moments_loses_nothing(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(SLOW)
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    checkpoint, log = tmp_path / "labels", tmp_path / "log.txt"
    write_frames(source, frames(40))
    arguments = [sys.executable, str(script), *map(str, (source, checkpoint, log, out))]
    draw = random.Random(0)
    kills = 0
    for _ in range(60):
        before = _lines(checkpoint)
        job = subprocess.Popen(arguments, env={**os.environ, "OMP_NUM_THREADS": "1"})
        deadline = time.monotonic() + 60
        # Labels come every 20 ms; a kill after a random share of them and at a random moment.
        wanted = before + draw.randint(3, 12)
        while job.poll() is None and _lines(checkpoint) < wanted:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        if job.poll() is not None:
            break
        time.sleep(draw.uniform(0, 0.03))
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
        kills += 1
        assert _lines(checkpoint) >= wanted
    assert job.wait() == 0
    assert kills >= 3
    assert same(list(read_frames(out).frames), label_frames(frames(40), EMT_LABELS, COMPUTE))
    (path,) = checkpoint.glob("*.jsonl")
    lines = path.read_text().splitlines()
    kept = [json.loads(line.partition(" ")[2])["frame_id"] for line in lines]
    assert sorted(kept) == sorted(f"f{index}" for index in range(40))
    # Only what a kill interrupted was started again.
    assert len(log.read_text().split()) <= 40 + kills


def _lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))


def test_calculators_are_made_from_a_list_only(tmp_path, monkeypatch):
    with pytest.raises(OptionError, match=r"unknown calculator 'os\.system': "):
        make_calculator("os.system", {})
    with pytest.raises(OptionError, match="'espresso' cannot be made: "):
        label_frames(frames(1), Labels(calculator="espresso"), COMPUTE)
    made = make_calculator("vasp", {"encut": 520}, command="mpirun -n 2 vasp_std", folder=tmp_path)
    assert made.command == "mpirun -n 2 vasp_std"
    made = make_calculator(
        "espresso",
        {"input_data": {"ecutwfc": 40}, "pseudopotentials": {"Cu": "Cu.upf"}},
        command="pw.x -nk 2",
        pseudopotentials=str(tmp_path),
        folder=tmp_path,
    )
    assert made.profile.command == "pw.x -nk 2"
    monkeypatch.setitem(calculators.KNOWN, "gpaw", "no_such_package:GPAW")
    with pytest.raises(OptionError, match="needs no_such_package, which is not installed"):
        make_calculator("gpaw", {})


def test_siesta_is_fed_its_input_and_pseudopotentials(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import sys; open('seen', 'w').write(sys.stdin.read())")
    (tmp_path / "Cu.psml").write_text("")
    labels = Labels(
        calculator="siesta",
        options={"mesh_cutoff": 2000.0},
        command=f"{sys.executable} {program}",
        pseudopotentials=str(tmp_path),
    )
    (frame,) = label_frames(frames(1), labels, COMPUTE, checkpoint=tmp_path / "kept")
    (seen,) = tmp_path.glob("kept/runs/*/seen")
    assert "MeshCutoff\t2000.0\teV" in seen.read_text()
    assert "NumberOfAtoms\t4" in seen.read_text()
    assert frame.status == "failed"
