"""What is installed, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from . import __version__
from .doctor_finding import Finding
from .doctor_potentials import examine_files, examine_potentials
from .provenance import git_revision

_NEEDED = (
    "ase",
    "matplotlib",
    "numpy",
    "pyarrow",
    "pydantic",
    "pymatgen",
    "pyyaml",
    "safetensors",
    "scipy",
    "torch",
    "tqdm",
    "vesin",
)
_WORKFLOW = (
    "snakemake",
    "snakemake-executor-plugin-slurm",
    "snakemake-executor-plugin-cluster-generic",
)
_SLURM_COMMANDS = ("sbatch", "squeue", "sinfo", "scancel")
_ANSWER_WITHIN_S = 10


def examine(stream: TextIO, models: Sequence[Path] = ()) -> int:
    """Print all findings; 1 if something needed is missing, else 0.

    Args:
        stream: Where to print.
        models: Saved potentials and files of models to look at too.
    """
    findings = [
        Finding("ok", "softatoms", f"{__version__}, revision {git_revision()}"),
        Finding("ok", "python", f"{platform.python_version()} on {platform.platform()}"),
        Finding("ok", "processors", f"{_processors()} usable"),
        *_packages(_NEEDED, "missing", "make env"),
        *_packages(_WORKFLOW, "info", "pip install -e '.[workflow]' (make env does)"),
        *_devices(),
        *examine_potentials(),
        *examine_files(models),
        *_slurm(),
    ]
    for finding in findings:
        remedy = f"  → {finding.remedy}" if finding.remedy else ""
        stream.write(f"{finding.level:8}{finding.what}: {finding.found}{remedy}\n")
    missing = sum(finding.level == "missing" for finding in findings)
    stream.write(f"{missing} missing\n" if missing else "nothing is missing\n")
    return 1 if missing else 0


def _processors() -> int:
    """Processors this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _packages(names: tuple[str, ...], level: str, remedy: str) -> list[Finding]:
    findings = []
    for name in names:
        try:
            findings.append(Finding("ok", name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(level, name, "not installed", remedy))
    return findings


def _devices() -> list[Finding]:
    try:
        import torch
    except ImportError as error:
        return [Finding("missing", "torch", f"cannot be imported ({error})", "make env")]
    if not torch.cuda.is_available():
        build = torch.version.cuda or "without CUDA"
        return [
            Finding(
                "info",
                "cuda",
                f"no GPU usable (torch built {build})",
                "compute.device: cpu works everywhere; for a GPU install torch built for CUDA",
            )
        ]
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return [Finding("ok", "cuda", f"{torch.version.cuda}: {', '.join(names)}")]


def _slurm() -> list[Finding]:
    absent = [name for name in _SLURM_COMMANDS if shutil.which(name) is None]
    if absent:
        return [
            Finding(
                "info",
                "slurm",
                f"no {', '.join(absent)} on PATH",
                "only the profile 'slurm' needs it; make run works without",
            )
        ]
    try:
        answer = _output("sinfo", "--noheader", "--format=%P %D %G")
    except (OSError, subprocess.SubprocessError):
        return [Finding("info", "slurm", "installed, but no controller answers", "scontrol ping")]
    partitions = "; ".join(line.strip() for line in answer.splitlines())
    findings = [Finding("ok", "slurm", f"partitions (nodes, gres): {partitions}")]
    try:
        _output("sacct", "--noheader", "--allocations", "--format=JobID")
        findings.append(Finding("ok", "slurm accounting", "sacct answers"))
    except (OSError, subprocess.SubprocessError):
        findings.append(
            Finding("info", "slurm accounting", "none", "job states then come from squeue")
        )
    return findings


def _output(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_ANSWER_WITHIN_S, check=True
    )
    return done.stdout
