"""Copies of the workflow to run in, and a Slurm for those who ask for it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from .slurm_node import SlurmNode, what_is_missing

REPOSITORY = Path(__file__).parents[2]
WORKFLOW = ("Snakefile", "workflow", "slurm", "profiles", "config", "envs")


@dataclass
class Clone:
    """A folder with the files of the workflow, as a fresh clone has them, and a way to run it.

    Attributes:
        root: The folder.
        environment: What the programs find in their environment besides that of the tests.
    """

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start Snakemake; what it says goes to a file, see `output`."""
        return self._start([sys.executable, "-m", "snakemake", *map(str, arguments)])

    def snakemake(self, *arguments: str | Path, ok: bool = True) -> str:
        """Run Snakemake and return what it said; `ok` is whether it has to succeed."""
        return self._finish(self.start(*arguments), ok=ok)

    def run_command(self, config: Path) -> list[str]:
        """What `make run` calls."""
        return [sys.executable, "workflow/run.py", str(config), "--cores", "2"]

    def start_run(self, config: Path) -> subprocess.Popen[str]:
        """Start what `make run` does, in this folder."""
        return self._start(self.run_command(config))

    def make_run(self, config: Path, *, ok: bool = True) -> str:
        """Do what `make run` does, to the end, and return what it said."""
        return self._finish(self.start_run(config), ok=ok)

    def planned(self, config: Path, *arguments: str) -> dict[str, int]:
        """How many jobs of each rule a dry run would start."""
        output = self.snakemake("--dry-run", "--quiet", "rules", "--configfile", config, *arguments)
        return job_counts(output)

    @property
    def output(self) -> str:
        """What the last Snakemake has said so far."""
        return self._output.read_text()

    @property
    def _output(self) -> Path:
        return self.root / "snakemake-output.txt"

    def _start(self, command: list[str]) -> subprocess.Popen[str]:
        with self._output.open("w") as output:
            return subprocess.Popen(
                command,
                cwd=self.root,
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
                # A test that runs in the background has SIGINT ignored, and would pass that on.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def _finish(self, process: subprocess.Popen[str], *, ok: bool) -> str:
        code = process.wait(timeout=600)
        assert (code == 0) is ok, f"exit code {code}\n{self.output}"
        return self.output

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "XDG_CACHE_HOME": str(self.root / ".cache"), **self.environment}


def job_counts(output: str) -> dict[str, int]:
    """Read Snakemake's table of jobs."""
    lines = output.split("Job stats:", maxsplit=1)
    if len(lines) == 1:
        return {}
    counts = {}
    for line in lines[1].splitlines()[3:]:
        words = line.split()
        if len(words) != 2 or words[0] == "total":
            break
        counts[words[0]] = int(words[1])
    return counts


def copy_workflow(root: Path, names: Sequence[str] = WORKFLOW) -> Clone:
    """Copy the files of the workflow to a new folder."""
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, root / name)
        else:
            shutil.copy2(source, root / name)
    return Clone(root)


def edited(source: Path, target: Path, **sections: dict[str, object]) -> Path:
    """Write a copy of a campaign file in which some values of some sections are different."""
    values = yaml.safe_load(source.read_text())
    for section, changes in sections.items():
        values.setdefault(section, {}).update(changes)
    target.write_text(yaml.safe_dump(values, sort_keys=False))
    return target


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A fresh clone of the workflow."""
    return copy_workflow(tmp_path / "clone")


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmNode]:
    """A running Slurm of one node; stopped when the tests are over."""
    if reason := what_is_missing():
        pytest.skip(f"Slurm: {reason}")
    # The paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        node = SlurmNode(Path(folder) / "node")
        node.start()
        try:
            yield node
        finally:
            node.stop()
