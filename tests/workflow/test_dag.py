"""What Snakemake makes of the rules, without running a job."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pytest
import yaml
from snakemake.profiles import ProfileConfigFileParser

from softatoms.config.figures import FigureName

from .conftest import REPOSITORY, Clone, edited, job_counts

HEAVY = {"torch", "ase", "pymatgen", "matplotlib", "scipy"}
SCREENING = "config/screening/fcc-metals.yaml"


def test_lint(clone: Clone) -> None:
    assert "good condition" in clone.snakemake("--lint")


def test_formatting() -> None:
    program = Path(sys.executable).with_name("snakefmt")
    files = ["Snakefile", "workflow", "tests/workflow/jobs"]
    result = subprocess.run([program, "--check", *files], cwd=REPOSITORY, capture_output=True)
    assert result.returncode == 0, result.stderr.decode()


def test_parsing_imports_nothing_heavy(clone: Clone) -> None:
    code = (
        "import sys\n"
        "from snakemake.cli import main\n"
        "try:\n"
        "    main(['--dry-run', '--quiet', 'all'])\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        f"print('heavy:', *sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=clone.root, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "heavy:"


def test_screening_of_ten_thousand_is_planned_quickly(clone: Clone) -> None:
    started = time.monotonic()
    output = clone.snakemake("--dry-run", "--configfile", SCREENING)
    seconds = time.monotonic() - started

    counts = job_counts(output)
    assert counts["scan"] <= 100
    assert counts["manifest"] == counts["collect_composition"] == counts["rank"] == 1
    assert seconds < 20


def test_the_quickstart_trains_on_what_it_generates_and_shows_the_errors(clone: Clone) -> None:
    jobs = clone.planned(Path("config/config.yaml"))
    assert jobs["dataset_frames"] == jobs["dataset"] == jobs["train"] == 1
    assert jobs["dataset_labels"] == 2
    output = clone.snakemake("--dry-run")
    (figures,) = re.findall(r"^rule figures:\n((?: .*\n)+)", output, re.MULTILINE)
    (report,) = re.findall(r"^rule report:\n((?: .*\n)+)", output, re.MULTILINE)
    for table in ("prediction", "force_prediction", "training_history", "evaluation"):
        assert f"tables/{table}.parquet" in figures
        assert f"tables/{table}.parquet" in report
    for name in ("parity", "training"):
        assert f"figures/{name}.pdf" in figures
        assert f"figures/{name}.png" in report


def test_every_rule_says_what_it_needs() -> None:
    rules = re.split(r"^rule ", _rule_files(), flags=re.MULTILINE)[1:]
    assert len(rules) >= 7
    for rule in rules:
        name = rule.split(":", maxsplit=1)[0]
        for directive in ("input", "output", "log", "benchmark", "conda", "threads", "resources"):
            assert re.search(rf"^    {directive}:", rule, re.MULTILINE), f"{name}: {directive}"
        for resource in ("mem_mb", "runtime"):
            assert f"{resource}=attempts(" in rule, f"{name}: {resource}"
        named = re.search(r"^    output:\n        (\w+)=", rule, re.MULTILINE)
        assert named, f"{name}: outputs have no names"


@pytest.mark.parametrize(("device", "gpus"), [("cpu", False), ("cuda", True)])
def test_only_gpu_rules_ask_for_a_gpu(
    clone: Clone, tmp_path: Path, device: str, gpus: bool
) -> None:
    source = clone.root / "config/test/spine.yaml"
    config = edited(source, tmp_path / "edited.yaml", compute={"device": device})
    output = clone.snakemake("--dry-run", "--configfile", config)
    blocks = re.split(r"^(?:local)?rule ", output, flags=re.MULTILINE)[1:]
    asking = {block.split(":", 1)[0] for block in blocks if re.search(r"\bgpu=1\b", block)}
    assert asking == ({"scan"} if gpus else set())


@pytest.mark.parametrize("name", get_args(FigureName))
def test_captions_are_those_of_the_figures(name: str) -> None:
    caption = (REPOSITORY / f"workflow/report/{name}.rst").read_text()
    module = importlib.import_module(f"softatoms.figures.{name}")
    assert caption.split() == module.CAPTION.split()


def test_broken_campaign_is_refused_with_file_and_key(clone: Clone, tmp_path: Path) -> None:
    source = clone.root / "config/test/spine.yaml"
    config = edited(source, tmp_path / "broken.yaml", composition={"shard_sise": 3})
    output = clone.snakemake("--cores", "1", "--configfile", config, ok=False)
    assert "broken.yaml: composition.shard_sise: unknown key: did you mean 'shard_size'?" in output
    assert "Traceback" not in output
    assert not (clone.root / "results").exists()


@pytest.mark.parametrize("name", ["missing.yaml", "broken.yaml"])
def test_make_run_refuses_before_it_writes_anything(clone: Clone, name: str) -> None:
    source = clone.root / "config/test/spine.yaml"
    edited(source, clone.root / "broken.yaml", campaign={"seed": -1})
    before = sorted(clone.root.rglob("*"))
    output = clone.make_run(Path(name), ok=False)
    assert len(output.splitlines()) == 1
    assert output.startswith(f"{name}: ")
    after = {path for path in clone.root.rglob("*") if path.name != "snakemake-output.txt"}
    assert after == set(before)


@pytest.mark.parametrize("started_by", ["snakemake", "make run"])
def test_spaces_and_letters_of_any_language_in_paths(clone: Clone, started_by: str) -> None:
    folder = clone.root / "my campaigns"
    folder.mkdir()
    config = edited(clone.root / "config/test/spine.yaml", folder / "Müller's Kupfer.yaml")
    target = "results/spine/manifest.parquet"
    if started_by == "snakemake":
        clone.snakemake("--cores", "1", target, "--configfile", config)
    else:
        process = clone._start([*clone.run_command(config.relative_to(clone.root)), target])
        clone._finish(process, ok=True)
    assert (clone.root / target).is_file()


def test_every_path_of_a_command_is_quoted() -> None:
    commands = re.findall(r"^    shell:\n((?:        .*\n)+)", _rule_files(), re.MULTILINE)
    assert len(commands) >= 7
    for command in commands:
        named = re.findall(r"\{(?!wildcards\.(?:shard|round)\})[^}]*\}", command)
        assert named, command
        assert all(name.endswith(":q}") for name in named), command
    assert '"$(CONFIG)"' in (REPOSITORY / "Makefile").read_text()


def test_results_that_cannot_be_written_are_found_at_once(clone: Clone) -> None:
    (clone.root / "results").write_text("no folder")
    output = clone.make_run(Path("config/test/spine.yaml"), ok=False)
    assert output == "results: Not a directory\n"
    assert not (clone.root / ".snakemake").exists()


def test_values_on_the_command_line_are_refused(clone: Clone) -> None:
    output = clone.snakemake("--dry-run", "--config", "seed=3", ok=False)
    assert "--config is not supported" in output


@pytest.mark.parametrize(
    ("accounting", "status_command"), [("slurmdbd", "sacct"), ("none", "squeue")]
)
def test_slurm_profile_asks_who_can_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accounting: str, status_command: str
) -> None:
    scontrol = tmp_path / "scontrol"
    setting = f"AccountingStorageType   = accounting_storage/{accounting}"
    scontrol.write_text(f"#!/bin/sh\necho '{setting}'\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with (REPOSITORY / "slurm/profile.yaml").open() as stream:
        values = ProfileConfigFileParser().parse(stream)
    assert values["executor"] == "slurm"
    assert values["slurm-status-command"] == status_command


def test_what_all_runs_share_does_not_undo_other_profiles() -> None:
    def keys(name: str) -> set[str]:
        return set(yaml.safe_load((REPOSITORY / name / "profile.yaml").read_text()))

    assert not keys("profiles/default") & (keys("slurm") | keys("profiles/generic"))


def _rule_files() -> str:
    return "\n".join(path.read_text() for path in sorted((REPOSITORY / "workflow/rules").iterdir()))
