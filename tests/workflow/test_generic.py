"""The profile for schedulers other than Slurm, with a queue of one line."""

from __future__ import annotations

import os
from pathlib import Path

from .conftest import copy_workflow

# Takes the options of PBS Pro, writes them down and starts the job at once.
QSUB = """\
#!/bin/sh
echo "$@" >> "$QUEUE"
for script; do :; done
sh "$script" > "$script.out" 2>&1 &
echo "$$.server"
"""

JOBS = Path(__file__).parent / "jobs"


def test_jobs_are_submitted_with_their_resources_and_their_end_is_noticed(tmp_path: Path) -> None:
    clone = copy_workflow(tmp_path / "jobs", ["profiles"])
    (clone.root / "Snakefile").write_text((JOBS / "Snakefile").read_text())
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "qsub").write_text(QSUB)
    (programs / "qsub").chmod(0o755)
    queue = tmp_path / "queue.txt"
    clone.environment = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "QUEUE": str(queue),
    }

    options = ("--profile", "profiles/generic", "--seconds-between-status-checks", "1")
    output = clone.snakemake(*options, "needs_memory.txt", "failing.txt", ok=False)

    submitted = queue.read_text().splitlines()
    memory = [line for line in submitted if "-N softatoms-needs_memory" in line]
    assert ["mem=100mb" in line for line in memory] == [True, False]
    assert "-l select=1:ncpus=1:mem=200mb:ngpus=0 -l walltime=5:00" in memory[1]
    assert (clone.root / "needs_memory.txt").exists()
    assert len([line for line in submitted if "-N softatoms-failing" in line]) == 3
    assert "logs/failing.log" in output
