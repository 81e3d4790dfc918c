"""A campaign that is run once, and what edits, kills and repetitions make of it."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .conftest import Clone, copy_workflow, edited

CONFIG = Path("config/test/spine.yaml")
TABLES = Path("results/spine/tables")
# What may differ from run to run: how long it took, and the revision if a commit came in between.
OF_THE_RUN = {"wall_s", "git_revision"}
AFTER_SCAN = {"collect_composition": 1, "collect_runs": 1, "rank": 1, "figures": 1, "report": 1}
EVERYTHING = {"manifest": 1, "scan": 4, **AFTER_SCAN, "all": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which the campaign has been run without disturbance."""
    clone = copy_workflow(tmp_path_factory.mktemp("finished") / "clone")
    clone.make_run(CONFIG)
    return clone


@pytest.fixture
def copy(finished: Clone, tmp_path: Path) -> Clone:
    """A copy of the finished clone, to edit."""
    shutil.copytree(finished.root, tmp_path / "copy", symlinks=True)
    return Clone(tmp_path / "copy")


def content(root: Path, name: str) -> pa.Table:
    """A table without what differs from run to run."""
    table = pq.read_table(root / TABLES / f"{name}.parquet")
    return table.drop_columns([column for column in table.column_names if column in OF_THE_RUN])


def assert_equal_results(one: Path, other: Path) -> None:
    for name in ("composition", "runs", "ranking"):
        assert content(one, name).equals(content(other, name)), name


def test_everything_is_there(finished: Clone) -> None:
    results = finished.root / "results/spine"
    for name in ("composition", "runs", "ranking"):
        assert content(finished.root, name).num_rows > 0
    for figure in ("lattice", "ranking"):
        assert (results / f"figures/{figure}.png").stat().st_size > 0
        assert (results / f"figures/{figure}.pdf").stat().st_size > 0
    assert "<html" in (results / "report.html").read_text()[:1000]
    assert len(list((results / "benchmarks").rglob("*.tsv"))) == 10
    assert not list(results.rglob("*partial*"))


def test_second_run_has_nothing_to_do(copy: Clone) -> None:
    assert "Nothing to be done" in copy.make_run(CONFIG)


def test_two_runs_give_the_same_tables(finished: Clone, clone: Clone) -> None:
    clone.make_run(CONFIG)
    assert_equal_results(clone.root, finished.root)


def _comment(path: Path) -> None:
    path.write_text("# A remark.\n" + path.read_text() + "\n# Another one.\n")


def _reorder(path: Path) -> None:
    edited(path, path, compute={"dtype": "float64"}, campaign={"seed": 0})


def _threads(path: Path) -> None:
    edited(path, path, compute={"threads": 2})


@pytest.mark.parametrize("edit", [_comment, _reorder, _threads, Path.touch])
def test_cosmetic_edits_repeat_nothing(copy: Clone, edit: Callable[[Path], None]) -> None:
    edit(copy.root / CONFIG)
    assert copy.planned(CONFIG) == {}


def test_remarks_in_rule_files_repeat_nothing(copy: Clone) -> None:
    for path in (copy.root / "workflow/rules").iterdir():
        path.write_text(path.read_text() + "\n\n# A remark.\n")
    assert copy.planned(CONFIG) == {}


@pytest.mark.parametrize(
    ("section", "change", "expected"),
    [
        ("potential", {"options": {"elements": ["Cu", "Au", "Ni"]}}, EVERYTHING),
        ("composition", {"relaxation": {"max_steps": 40}}, EVERYTHING),
        ("compute", {"dtype": "float32"}, EVERYTHING),
        ("campaign", {"seed": 1}, EVERYTHING),
        (
            "screening",
            {"temperature_k": 300},
            {"rank": 1, "figures": 1, "report": 1, "all": 1},
        ),
        ("figures", {"dots_per_inch": 70}, {"figures": 1, "report": 1, "all": 1}),
        ("campaign", {"title": "Another heading"}, {"report": 1, "all": 1}),
    ],
)
def test_a_section_repeats_its_stage_and_what_depends_on_it(
    copy: Clone, section: str, change: dict[str, object], expected: dict[str, int]
) -> None:
    edited(copy.root / CONFIG, copy.root / CONFIG, **{section: change})
    assert copy.planned(CONFIG) == expected


def test_lost_files_are_made_again(copy: Clone, finished: Clone) -> None:
    (copy.root / "results/spine/shards/composition/3.parquet").unlink()
    (copy.root / TABLES / "composition.parquet").unlink()
    assert copy.planned(CONFIG)["scan"] == 1
    copy.make_run(CONFIG)
    assert_equal_results(copy.root, finished.root)


def _jobs(snakemake: psutil.Process) -> list[psutil.Process]:
    """The jobs that a Snakemake has running."""
    return [
        child
        for child in snakemake.children(recursive=True)
        if any(Path(word).name == "softatoms" for word in child.cmdline()[:3])
    ]


def _kill(process: subprocess.Popen[str], what: str) -> bool:
    """Kill Snakemake, a job of it, or both, as the kernel or a power cut would.

    Returns:
        Whether there still was something to kill.
    """
    try:
        snakemake = psutil.Process(process.pid)
        if what in ("job", "both"):
            while not (jobs := _jobs(snakemake)):
                if process.poll() is not None:
                    return False
                time.sleep(0.05)
            jobs[0].send_signal(signal.SIGKILL)
        if what in ("snakemake", "both"):
            snakemake.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:  # has just ended
        return False
    return process.wait(timeout=300) != 0


def test_killed_runs_end_with_the_same_tables(clone: Clone, finished: Clone) -> None:
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    killed = 0
    for what in ("snakemake", "job", "snakemake", "both", "snakemake"):
        process = clone.start_run(CONFIG)
        time.sleep(moments.uniform(1, 5))
        killed += _kill(process, what)
        process.wait(timeout=300)
        # Whatever has its final name is whole, at any time.
        for path in (clone.root / "results").rglob("[!.]*.parquet"):
            pq.read_table(path)
    assert killed >= 3, f"seed {seed}: too fast to be disturbed"
    clone.make_run(CONFIG)
    assert_equal_results(clone.root, finished.root)
    assert clone.planned(CONFIG) == {}, f"seed {seed}"


def test_report_of_the_workflow(copy: Clone) -> None:
    copy.snakemake("--report", "report.html", "--configfile", CONFIG)
    page = (copy.root / "report.html").read_text()
    for text in ("lattice.png", "ranking.png", "Left: the first", "One page that needs"):
        assert text in page, text


def test_lock_of_a_dead_run_is_removed_unless_it_is_of_another_machine(copy: Clone) -> None:
    lock = copy.root / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text("results/spine/report.html\n")
    host = copy.root / ".snakemake/run-host"
    host.write_text("elsewhere")
    (copy.root / "results/spine/report.html").unlink()
    assert "cannot be locked" in copy.make_run(CONFIG, ok=False)

    host.write_text(socket.gethostname())
    assert "1 of 2 steps" in copy.make_run(CONFIG)


def test_lock_of_a_running_campaign_is_respected(clone: Clone) -> None:
    process = clone.start_run(CONFIG)
    locks = clone.root / ".snakemake/locks"
    while not (locks.is_dir() and any(locks.iterdir())):
        assert process.poll() is None, clone.output
        time.sleep(0.1)
    try:
        second = subprocess.run(
            clone.run_command(CONFIG), cwd=clone.root, capture_output=True, text=True, timeout=120
        )
        assert second.returncode != 0
        assert "cannot be locked" in second.stderr + second.stdout
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)
