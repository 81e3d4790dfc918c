"""Jobs on a real Slurm, dispatched with the profile of the clone."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from .conftest import Clone, copy_workflow
from .slurm_node import SlurmNode

pytestmark = pytest.mark.slurm

# The literal call of the documentation, only with less patience between the looks at the queue.
PROFILE = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2")
JOBS = Path(__file__).parent / "jobs"


@pytest.fixture
def jobs(tmp_path: Path, slurm: SlurmNode) -> Clone:
    """A folder with the profiles and the rules that ask for resources, fail or wait."""
    clone = copy_workflow(tmp_path / "jobs", ["slurm", "profiles"])
    (clone.root / "Snakefile").write_text((JOBS / "Snakefile").read_text())
    clone.environment = slurm.environment
    return clone


def jobs_of(slurm: SlurmNode, clone: Clone, rule: str) -> list[dict[str, str]]:
    """The jobs of a rule as Slurm knows them, in order of submission."""
    listing = slurm.client("scontrol", "--oneliner", "show", "jobs")
    found = [
        dict(word.split("=", maxsplit=1) for word in line.split() if "=" in word)
        for line in listing.splitlines()
    ]
    return [
        job
        for job in found
        if job.get("Comment", "").split("_wildcards_")[0] == f"rule_{rule}"
        and job["WorkDir"] == str(clone.root)
    ]


def wait_for(condition: Callable[[], bool], patience_s: float = 60) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.3)


def time_span(job: dict[str, str]) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(job["StartTime"]), datetime.fromisoformat(job["EndTime"])


def overlap(one: dict[str, str], other: dict[str, str]) -> bool:
    (start, end), (other_start, other_end) = time_span(one), time_span(other)
    return start < other_end and other_start < end


def test_resources_reach_slurm_and_gpu_jobs_share_the_one_gpu(
    jobs: Clone, slurm: SlurmNode
) -> None:
    targets = [f"on_{kind}/{name}.txt" for kind in ("gpu", "cpu") for name in ("one", "two")]
    jobs.snakemake(*PROFILE, *targets)

    on_gpu = jobs_of(slurm, jobs, "on_gpu")
    on_cpu = jobs_of(slurm, jobs, "on_cpu")
    assert [len(on_gpu), len(on_cpu)] == [2, 2]
    assert {job["JobState"] for job in on_gpu + on_cpu} == {"COMPLETED"}
    for job in on_gpu:
        assert job["TresPerJob"] == "gres:gpu:1"
        assert [job["NumCPUs"], job["MinMemoryNode"]] == ["1", "100M"]
        assert job["TimeLimit"] == "00:05:00"
    for job in on_cpu:
        assert "TresPerJob" not in job
        assert [job["NumCPUs"], job["MinMemoryNode"]] == ["2", "100M"]
        assert job["TimeLimit"] == "00:07:00"
    assert not overlap(*on_gpu), "two jobs had the one GPU at the same time"
    together = [overlap(one, other) for one in on_gpu for other in on_cpu]
    assert any(together), "jobs that need no GPU need not wait for it"
    assert (jobs.root / targets[0]).read_text() == "CUDA_VISIBLE_DEVICES=0\n"


def test_failing_jobs_are_repeated_with_more_and_reported_with_their_log(
    jobs: Clone, slurm: SlurmNode
) -> None:
    targets = ["failing.txt", "needs_memory.txt"]
    output = jobs.snakemake(*PROFILE, "--retries", "1", "--", *targets, ok=False)

    failing, needs_memory = (jobs_of(slurm, jobs, rule) for rule in ("failing", "needs_memory"))
    assert [job["JobState"] for job in failing] == ["FAILED", "FAILED"]
    assert [job["JobState"] for job in needs_memory] == ["FAILED", "COMPLETED"]
    for attempts in (failing, needs_memory):
        assert [job["MinMemoryNode"] for job in attempts] == ["100M", "200M"]
    assert "Trying to restart job" in output
    assert "logs/failing.log" in output
    assert "this is why" in output


def test_cancelled_job_is_noticed(jobs: Clone, slurm: SlurmNode) -> None:
    process = jobs.start(*PROFILE, "--retries", "0", "waiting.txt")
    wait_for(lambda: [j["JobState"] for j in jobs_of(slurm, jobs, "waiting")] == ["RUNNING"])
    (job,) = jobs_of(slurm, jobs, "waiting")
    slurm.client("scancel", job["JobId"])

    assert process.wait(timeout=120) == 1
    assert f"SLURM-job '{job['JobId']}' failed, SLURM status is: 'CANCELLED'" in jobs.output
    assert not (jobs.root / "waiting.txt").exists()


def test_interrupt_takes_the_jobs_along(jobs: Clone, slurm: SlurmNode) -> None:
    process = jobs.start(*PROFILE, "waiting.txt")
    wait_for(lambda: [j["JobState"] for j in jobs_of(slurm, jobs, "waiting")] == ["RUNNING"])
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=60) != 0
    wait_for(lambda: [j["JobState"] for j in jobs_of(slurm, jobs, "waiting")] == ["CANCELLED"])


def test_killed_snakemake_goes_on_and_ends_like_a_local_run(
    tmp_path: Path, slurm: SlurmNode
) -> None:
    config = Path("config/test/spine.yaml")
    clone = copy_workflow(tmp_path / "clone")
    clone.environment = slurm.environment
    process = clone.start(*PROFILE, "--configfile", config)
    wait_for(lambda: any(j["JobState"] == "RUNNING" for j in jobs_of(slurm, clone, "scan")))
    process.kill()
    process.wait()

    output = clone.snakemake(*PROFILE, "--configfile", config, ok=False)
    assert "cannot be locked" in output
    clone.snakemake("--unlock", "--configfile", config)
    clone.snakemake(*PROFILE, "--configfile", config)

    local = copy_workflow(tmp_path / "local")
    local.make_run(config)
    for name in ("composition", "ranking"):
        path = f"results/spine/tables/{name}.parquet"
        assert pq.read_table(clone.root / path).equals(pq.read_table(local.root / path))


def test_stop_leaves_nothing_behind(tmp_path: Path, slurm: SlurmNode) -> None:
    node = SlurmNode(tmp_path / "node")
    node.start()
    pids = [node.pid(name) for name in ("munged", "slurmctld", "slurmd")]
    node.client("sbatch", "--output=/dev/null", "--wrap=sleep 100")
    node.stop()

    assert not node.root.exists()
    for pid in pids:
        state = subprocess.run(["ps", "-o", "stat=", str(pid)], capture_output=True, text=True)
        assert state.stdout.strip() in ("", "Z", "Zs")
    assert slurm.client("sinfo", "--noheader", "--format=%P").strip() == "main*"


def test_quickstart(tmp_path: Path, slurm: SlurmNode) -> None:
    clone = copy_workflow(tmp_path / "clone")
    clone.environment = slurm.environment
    # Labels and training take minutes and are jobs like any others.
    path = clone.root / "config/config.yaml"
    config = yaml.safe_load(path.read_text())
    del config["dataset"], config["training"], config["physics"]
    names = config["figures"]["names"]
    left_out = ("parity", "training", "physics_checks")
    config["figures"]["names"] = [name for name in names if name not in left_out]
    path.write_text(yaml.safe_dump(config))
    clone.snakemake(*PROFILE)

    results = clone.root / "results/quickstart"
    manifest = pq.read_table(results / "manifest.parquet")
    table = pq.read_table(results / "tables/composition.parquet")
    assert set(table["composition_id"].to_pylist()) == set(manifest["composition_id"].to_pylist())
    assert set(table["status"].to_pylist()) == {"ok"}
    assert (results / "report.html").stat().st_size > 0
    jobs = jobs_of(slurm, clone, "scan")
    assert len(jobs) == pc.max(manifest["shard"]).as_py() + 1
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert {job["MinMemoryNode"] for job in jobs} == {"4000M"}
    assert {job["TimeLimit"] for job in jobs} == {"01:00:00"}
    assert not any("TresPerJob" in job for job in jobs)
    for rule in ("manifest", "collect_composition", "collect_runs", "figures", "report"):
        assert len(jobs_of(slurm, clone, rule)) == 1, rule
    assert "Nothing to be done" in clone.snakemake(*PROFILE)


def test_a_campaign_that_labels_trains_and_scans(tmp_path: Path, slurm: SlurmNode) -> None:
    clone = copy_workflow(tmp_path / "clone")
    clone.environment = slurm.environment
    profile = (*PROFILE, "--configfile", "config/test/trained.yaml")
    clone.snakemake(*profile)

    tables = clone.root / "results/trained/tables"
    assert set(pq.read_table(tables / "dataset.parquet")["status"].to_pylist()) == {"ok"}
    assert pq.read_table(tables / "composition.parquet").num_rows == 5
    for rule in ("dataset_frames", "dataset_labels", "dataset", "train", "scan", "report"):
        assert [job["JobState"] for job in jobs_of(slurm, clone, rule)] == ["COMPLETED"], rule
    _, trained = time_span(jobs_of(slurm, clone, "train")[0])
    scan, _ = time_span(jobs_of(slurm, clone, "scan")[0])
    assert trained <= scan
    assert "Nothing to be done" in clone.snakemake(*profile)
