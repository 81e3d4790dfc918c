"""The command line from manifest to report, its exit codes and what it leaves behind."""

from __future__ import annotations

import errno
import hashlib
import io
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import softatoms as sa
from campaigns import SMALL, Results, prepare
from softatoms import doctor, doctor_potentials
from softatoms.cli import main
from softatoms.config import load_config
from softatoms.progress import Progress
from softatoms.tables import read_table

HERE = Path(__file__).parent


@pytest.fixture
def copied(small_campaign: Results, tmp_path: Path) -> Results:
    """A copy of the small campaign that a test may spoil."""
    shutil.copytree(small_campaign.config.parent, tmp_path / "copy")
    config = tmp_path / "copy" / small_campaign.config.name
    return Results(config, tmp_path / "copy" / "results", small_campaign.shards)


def refused(capsys: pytest.CaptureFixture[str], code: int, *hints: str) -> None:
    """The command must have failed with one clear line."""
    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1
    for hint in hints:
        assert hint in error


class TestPipeline:
    def test_every_task_becomes_one_row(self, small_campaign):
        config = load_config(small_campaign.config)
        table = read_table(small_campaign.tables / "composition.parquet", "composition")
        manifest = read_table(small_campaign.folder / "manifest.parquet", "manifest")
        assert table.data["composition_id"] == manifest.data["composition_id"]
        assert table.data.num_rows == config.n_tasks()
        assert set(table.text("status")) == {"ok"}

    def test_runs_add_up(self, small_campaign):
        runs = pd.read_parquet(small_campaign.tables / "runs.parquet")
        assert runs.job_id.tolist() == [f"scan-{k:05d}" for k in range(small_campaign.shards)]
        assert runs.rows.sum() == load_config(small_campaign.config).n_tasks()
        assert (runs.wall_s > 0).all()
        table = pd.read_parquet(small_campaign.tables / "composition.parquet")
        assert runs.evaluations.sum() > table.evaluations.sum()

    def test_provenance_names_the_potential_and_the_configuration(self, small_campaign):
        import softatoms as sa

        config = load_config(small_campaign.config)
        origin = read_table(small_campaign.tables / "ranking.parquet", "ranking").provenance
        potential = sa.load_potential("gupta", **SMALL["potential"]["options"])
        assert origin.model_sha256 == potential.sha256()
        assert origin.config_hash == config.section_digest("screening")
        assert origin.campaign == "small"
        assert origin.packages["torch"]

    def test_two_runs_give_identical_tables(self, small_campaign, tmp_path):
        second = prepare(tmp_path)
        second.run()
        for name in ("composition", "runs", "ranking"):
            hashes = {
                read_table(results.tables / f"{name}.parquet", name).content_hash()
                for results in (small_campaign, second)
            }
            assert len(hashes) == 1, name
        for name in ("mixing.png", "mixing.pdf"):
            images = {(r.folder / "figures" / name).read_bytes() for r in (small_campaign, second)}
            assert len(images) == 1, name

    def test_all_jobs_at_once_without_a_manifest(self, small_campaign, tmp_path):
        out = tmp_path / "all.parquet"
        assert small_campaign.command("scan", "--out", out) == 0
        together = read_table(out, "composition").data.to_pandas()
        merged = pd.read_parquet(small_campaign.tables / "composition.parquet")
        pd.testing.assert_frame_equal(together, merged, rtol=1e-9, atol=1e-9)
        assert [path.name for path in tmp_path.iterdir()] == ["all.parquet"]

    def test_nothing_is_left_but_what_was_asked_for(self, small_campaign):
        names = {path.name for path in small_campaign.folder.rglob("*") if path.is_file()}
        assert not [name for name in names if name.startswith(".")]
        figures = {f"{name}.{e}" for name in SMALL["figures"]["names"] for e in ("png", "pdf")}
        assert figures <= names


class TestKill:
    def test_a_job_killed_again_and_again_ends_with_the_same_table(self, small_campaign, tmp_path):
        results = prepare(tmp_path, compute={"edges_per_batch": 300})
        undisturbed = prepare(tmp_path / "undisturbed", compute={"edges_per_batch": 300})
        for each in (results, undisturbed):
            each.command("manifest", "--out", each.folder / "manifest.parquet")
        undisturbed.scan(0)
        checkpoints = results.folder / "checkpoints" / "0"
        code = (
            "import sys, time, pathlib; sys.path.insert(0, sys.argv[1])\n"
            "from campaigns import Results; from softatoms.composition.scan import Scanner\n"
            "run = Scanner._run_batch\n"
            "Scanner._run_batch = lambda *a: (time.sleep(0.1), run(*a))[1]\n"
            "Results(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), 1).scan(0)"
        )
        command = [sys.executable, "-c", code, *map(str, (HERE, results.config, results.folder))]
        kept = 0
        for _ in range(2):
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            while len(list(checkpoints.glob("[!.]*"))) < kept + 2:
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
            process.wait()
            kept = len(list(checkpoints.glob("[!.]*")))
            assert not results.part(0).exists()
        assert results.scan(0) == 0
        assert len(list(checkpoints.iterdir())) > kept
        for kind, table in (("", "composition"), (".runs", "runs")):
            first, second = (read_table(r.part(0, kind), table) for r in (results, undisturbed))
            assert first.content_hash() == second.content_hash()


class TestBadInput:
    def test_a_job_that_does_not_exist(self, copied, capsys):
        refused(capsys, copied.scan(99), "--shard: there is no job 99", f"0 to {copied.shards - 1}")

    def test_a_manifest_of_another_configuration(self, copied, capsys):
        text = copied.config.read_text().replace("divisions: 4", "divisions: 8")
        copied.config.write_text(text)
        refused(capsys, copied.scan(0), "manifest.parquet", "belongs to another configuration")

    def test_a_saved_potential_without_its_weights(self, tmp_path, capsys):
        import softatoms as sa

        model = tmp_path / "model"
        sa.save_potential(sa.load_potential("gupta", elements=["Cu", "Au", "Ni"]), model)
        (model / "weights.safetensors").unlink()
        results = prepare(tmp_path, potential={"name": str(model)})
        results.command("manifest", "--out", results.folder / "manifest.parquet")
        capsys.readouterr()
        refused(capsys, results.scan(0), "small.yaml: potential: ", "no such file")
        assert not results.part(0).exists()

    def test_a_device_that_is_not_there(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        results = prepare(tmp_path, compute={"device": "cuda"})
        results.command("manifest", "--out", results.folder / "manifest.parquet")
        refused(capsys, results.scan(0), "small.yaml: compute.device: device 'cuda' is not")

    def test_a_job_missing(self, copied, capsys):
        before = (copied.tables / "composition.parquet").read_bytes()
        copied.part(0).unlink()
        refused(capsys, copied.collect("composition"), "0.parquet: no such table")
        assert (copied.tables / "composition.parquet").read_bytes() == before

    def test_a_job_in_place_of_another(self, copied, capsys):
        shutil.copy(copied.part(1), copied.part(0))
        refused(capsys, copied.collect("composition"), "is also in", "each must come once")

    def test_a_job_table_cut_short(self, copied, capsys):
        content = copied.part(0).read_bytes()
        copied.part(0).write_bytes(content[:-100])
        refused(capsys, copied.collect("composition"), "0.parquet: is damaged")

    def test_a_job_of_other_program_code(self, copied, capsys, monkeypatch):
        before = (copied.tables / "composition.parquet").read_bytes()
        shutil.rmtree(copied.folder / "checkpoints")
        monkeypatch.setattr("softatoms.provenance.code_digest", lambda: "of other code")
        assert copied.scan(1) == 0
        capsys.readouterr()
        for table in ("composition", "runs"):
            refused(capsys, copied.collect(table), "made by other program code", "run their jobs")
        assert (copied.tables / "composition.parquet").read_bytes() == before

    def test_rows_keep_the_code_that_computed_them(self, copied, monkeypatch):
        made = read_table(copied.part(0), "composition").provenance
        monkeypatch.setattr("softatoms.provenance.code_digest", lambda: "of other code")
        monkeypatch.setattr("softatoms.provenance.git_revision", lambda: "later")
        assert copied.collect("composition") == 0
        joined = read_table(copied.tables / "composition.parquet", "composition").provenance
        assert (joined.code_sha256, joined.git_revision) == (made.code_sha256, made.git_revision)

    def test_a_table_where_a_folder_is(self, copied, capsys):
        folder = copied.folder / "tables"
        refused(capsys, copied.command("manifest", "--out", folder), f"{folder}: Is a directory")

    def test_a_folder_where_a_file_is(self, copied, capsys):
        out = copied.config / "manifest.parquet"
        code = copied.command("manifest", "--out", out)
        refused(capsys, code, f"{copied.config}: Not a directory")
        code = copied.command("figures", "--tables", copied.tables, "--out", copied.config)
        refused(capsys, code, f"{copied.config}: Not a directory")

    def test_a_place_that_cannot_be_written_to(self, copied, capsys, monkeypatch):
        monkeypatch.setattr("softatoms.files.os.access", lambda *_: False)
        code = copied.command("manifest", "--out", copied.folder / "new" / "manifest.parquet")
        refused(capsys, code, f"{copied.folder}: cannot be written to")
        assert not (copied.folder / "new").exists()

    def test_a_full_disk(self, copied, capsys, monkeypatch):
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("softatoms.files.os.fsync", full)
        out = copied.folder / "new" / "manifest.parquet"
        assert copied.command("manifest", "--out", out) == 1
        assert capsys.readouterr().err == f"{out}: No space left on device\n"
        assert not list(out.parent.iterdir())

    def test_runs_of_a_job_missing(self, copied, capsys):
        shutil.copy(copied.part(1, ".runs"), copied.part(0, ".runs"))
        refused(capsys, copied.collect("runs"), "job_id 'scan-00001' is also in")

    def test_a_ranking_without_its_section(self, small_campaign, tmp_path, capsys):
        results = prepare(tmp_path, screening=None, figures={"names": ["mixing"]})
        table = small_campaign.tables / "composition.parquet"
        code = results.command("rank", "--table", table, "--out", tmp_path / "r.parquet")
        refused(capsys, code, "screening: is required for a ranking")

    def test_a_report_without_its_figures(self, copied, capsys):
        (copied.folder / "figures" / "mixing.png").unlink()
        code = copied.command(
            "report",
            *("--tables", copied.tables, "--figures", copied.folder / "figures"),
            *("--out", copied.folder / "new.html"),
        )
        refused(capsys, code, "mixing.png: no such figure")
        assert not (copied.folder / "new.html").exists()

    def test_figures_of_an_edited_table(self, copied, capsys):
        path = copied.tables / "composition.parquet"
        pd.read_parquet(path).to_parquet(path)
        code = copied.command("figures", "--tables", copied.tables, "--out", copied.folder / "new")
        refused(capsys, code, "composition.parquet: was not written by softatoms")
        assert not (copied.folder / "new").exists()

    @pytest.mark.parametrize(
        "arguments", [[], ["scam"], ["scan"], ["manifest", "--config"], ["scan", "--shard", "one"]]
    )
    def test_a_command_line_that_makes_no_sense(self, arguments, capsys):
        with pytest.raises(SystemExit) as raised:
            main(arguments)
        assert raised.value.code == 2
        assert "usage: softatoms" in capsys.readouterr().err


def test_a_schema_of_nothing(capsys):
    refused(capsys, main(["schema"]), "give at least one of --out, --reference and --tables")


def test_an_unexpected_error_has_another_exit_code():
    code = (
        "import sys, softatoms.cli as cli, softatoms.config as config\n"
        "def broken(path): raise ZeroDivisionError\n"
        "config.load_config = broken\n"
        "sys.exit(cli.main(['manifest', '--config', 'a', '--out', 'b']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.parametrize(
    "command", ["manifest", "scan", "collect", "rank", "figures", "report", "schema", "doctor"]
)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as raised:
        main([command, "--help"])
    assert raised.value.code == 0
    text = capsys.readouterr().out
    if command != "doctor":
        assert "--out" in text
    if command not in ("schema", "doctor"):
        assert "--config" in text


def test_the_manifest_does_not_import_torch(tmp_path):
    code = (
        "import sys; from softatoms.cli import main\n"
        "main(['manifest', '--config', 'config/config.yaml', '--out', sys.argv[1]])\n"
        "sys.exit(' '.join({'torch', 'ase', 'pymatgen'} & set(sys.modules)) or 0)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "manifest.parquet")]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "manifest.parquet").exists()


class TestProgress:
    def test_one_line_at_the_end_of_short_work(self):
        stream = io.StringIO()
        with Progress(5, label="job", unit="rows", stream=stream) as progress:
            for _ in range(5):
                progress.advance(1)
        assert re.fullmatch(r"job: 5/5 rows in \d+\.\d s\n", stream.getvalue())

    def test_at_most_one_line_per_minute(self, monkeypatch):
        now = [0.0]
        monkeypatch.setattr("softatoms.progress.time.monotonic", lambda: now[0])
        stream = io.StringIO()
        with Progress(300, label="job", stream=stream) as progress:
            for _ in range(300):
                now[0] += 1.0
                progress.advance(1)
        assert [line.split()[1] for line in stream.getvalue().splitlines()] == [
            *("60/300", "120/300", "180/300", "240/300", "300/300"),
            "300/300",
        ]

    def test_a_bar_on_a_terminal(self):
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        stream = Terminal()
        with Progress(4, label="job", unit="rows", stream=stream) as progress:
            progress.advance(4)
        assert "100%" in stream.getvalue()
        assert "4/4" in stream.getvalue()


class TestDoctor:
    def test_all_is_well_here(self, capsys):
        assert main(["doctor"]) == 0
        text = capsys.readouterr().out
        for wanted in ("softatoms", "torch", "potential gupta", "slurm", "cuda"):
            assert re.search(rf"^(ok|info) +{wanted}", text, re.MULTILINE), wanted

    def test_potentials_tell_their_elements_and_where_they_come_from(self, tmp_path, capsys):
        saved = tmp_path / "saved"
        sa.save_potential(sa.load_potential("gupta", elements=["Cu", "Au"]), saved)
        pickled = tmp_path / "x.model"
        pickled.write_bytes(b"abc")
        assert main(["doctor", str(saved), str(pickled)]) == 0
        lines = capsys.readouterr().out.splitlines()
        found = {line[8:].partition(":")[0]: line for line in lines}
        assert "Ni, Cu, Pd" in found["potential gupta"]
        assert "chgnet 0." in found["potential chgnet"]
        assert "89 elements from H to Pu; file sha256 d14ab7c0" in found["chgnet 0.3.0"]
        assert {"chgnet r2scan", "chgnet 0.2.0"} <= set(found)
        assert "gupta, Cu, Au" in found[str(saved)]
        assert f"sha256 {hashlib.sha256(b'abc').hexdigest()}; not opened" in found[str(pickled)]
        assert main(["doctor", str(tmp_path / "none")]) == 1
        assert "neither a potential nor" in capsys.readouterr().out

    def test_what_cannot_be_read_spoils_nothing(self, capsys):
        assert main(["doctor", "/proc/self/mem"]) == 1
        assert "/proc/self/mem: cannot be read" in capsys.readouterr().out

    def test_downloaded_and_missing_packages(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        (tmp_path / "mace").mkdir()
        (tmp_path / "mace" / "small.model").write_bytes(b"abc")
        absent = ("a-package-that-is-not-there", "not_there")
        monkeypatch.setitem(doctor_potentials.PACKAGES, "chgnet", absent)
        findings = {found.what: found for found in doctor_potentials.examine_potentials()}
        assert str(tmp_path / "mace" / "small.model") in findings["mace model"].found
        assert findings["potential chgnet"].remedy == "pip install 'softatoms[chgnet]'"
        assert "chgnet 0.3.0" not in findings

    def test_what_is_missing_is_named_with_its_remedy(self, monkeypatch):
        monkeypatch.setattr(doctor, "_NEEDED", ("numpy", "a-package-that-is-not-there"))
        stream = io.StringIO()
        assert doctor.examine(stream) == 1
        line = next(x for x in stream.getvalue().splitlines() if x.startswith("missing"))
        assert line.split(": ", 1)[1] == "not installed  → make env"
        assert stream.getvalue().endswith("1 missing\n")

    def test_a_slurm_whose_controller_is_dead(self, monkeypatch, tmp_path):
        for name in doctor._SLURM_COMMANDS:
            (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert [f.found for f in doctor._slurm()] == ["installed, but no controller answers"]

    def test_a_slurm_that_answers(self, monkeypatch, tmp_path):
        for name in (*doctor._SLURM_COMMANDS, "sacct"):
            (tmp_path / name).write_text("#!/bin/sh\necho 'debug* 1 gpu:1'\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
        first, second = doctor._slurm()
        assert first.found.endswith("debug* 1 gpu:1")
        assert second.found == "sacct answers"
