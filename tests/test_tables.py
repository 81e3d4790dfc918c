"""Tables: what is written is what is read, and nothing else is."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from softatoms.files import replacing
from softatoms.provenance import Provenance
from softatoms.table_reference import markdown_reference
from softatoms.table_schemas import SCHEMAS
from softatoms.tables import TableError, merge_tables, read_table, write_table

if TYPE_CHECKING:
    from softatoms import tables

ELEMENTS = ("Au", "Cu")
ORIGIN = Provenance(
    campaign="test",
    git_revision="abc",
    config_hash="c0ffee",
    seed=0,
    model_sha256="beef",
    dtype="float64",
    device="cpu",
    packages={"numpy": "2"},
    created_utc="2026-01-01T00:00:00+00:00",
)


def row(identifier: str, **changes: object) -> dict[str, object]:
    """A row of the table ``composition`` that fits its declaration."""
    values: dict[str, object] = {}
    for column in SCHEMAS["composition"].expanded(ELEMENTS):
        values[column.name] = {"text": "", "whole": 1, "real": 0.5}[column.kind]
    values.update(composition_id=identifier, method="mean_field", status="ok", slope_Au_ev=None)
    values.update(changes)
    return values


def failed(identifier: str) -> dict[str, object]:
    """A row without results."""
    absent = {
        column.name: None
        for column in SCHEMAS["composition"].expanded(ELEMENTS)
        if column.missing != "never"
    }
    return row(identifier, **absent, status="failed", error="it broke")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tables" / "composition.parquet"


def write(path: Path, rows: list[dict[str, object]], origin: Provenance = ORIGIN) -> tables.Table:
    return write_table(path, "composition", rows, origin, ELEMENTS)


def rewrite(path: Path, data: pa.Table, **metadata: bytes) -> None:
    """What a program does that keeps the metadata but changes something."""
    kept = {**(pq.read_schema(path).metadata or {}), **{k.encode(): v for k, v in metadata.items()}}
    pq.write_table(data.replace_schema_metadata(kept), path)


def test_round_trip(path):
    rows = [row("a", x_Cu=0.1 + 0.2), failed("b")]
    written = write(path, rows)
    read = read_table(path, "composition")
    assert read.rows() == rows
    assert read.provenance == ORIGIN
    assert read.elements == ELEMENTS
    assert read.content_hash() == written.content_hash()
    assert np.isnan(read.real("a_ang")).tolist() == [False, True]


def test_units_and_provenance_stand_in_the_schema(path):
    write(path, [row("a")])
    schema = pq.read_schema(path)
    assert schema.field("a_ang").metadata[b"unit"] == "Å".encode()
    assert schema.field("mixing_ev_per_atom").metadata[b"unit"] == b"eV"
    assert schema.field("x_Cu").metadata[b"description"] == b"atomic fraction of the element"
    assert not schema.field("composition_id").nullable
    content = read_table(path, "composition").content_hash()
    assert schema.metadata[b"softatoms.content_sha256"].decode() == content
    origin = json.loads(schema.metadata[b"softatoms.provenance"])
    assert origin["git_revision"] == "abc"
    assert set(origin) == {field.name for field in dataclasses.fields(Provenance)}


def test_every_column_of_every_table_has_a_unit_and_a_description():
    for schema in SCHEMAS.values():
        for column in schema.columns:
            assert column.description
            assert bool(column.unit) == (column.kind != "text"), column.name


def test_the_page_about_tables_is_not_stale():
    page = Path(__file__).parents[1] / "docs" / "tables.md"
    assert page.read_text(encoding="utf-8") == markdown_reference()


def test_duckdb_and_pandas_read_it_directly(path):
    write(path, [row("a", mixing_ev_per_atom=-0.5), row("b", mixing_ev_per_atom=0.25), failed("c")])
    query = f"select composition_id from '{path}' where mixing_ev_per_atom < 0"
    assert duckdb.sql(query).fetchall() == [("a",)]
    frame = pd.read_parquet(path)
    assert frame["mixing_ev_per_atom"].sum() == -0.25
    assert frame.loc[2, "error"] == "it broke"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("a"), row("a")], "composition_id comes more than once: a"),
        (
            [row("a", energy_ev_per_atom=None)],
            "'energy_ev_per_atom' is missing in comp",
        ),
        ([row("a", formula=None)], "'formula' is missing in composition_id 'a'"),
        ([row("a"), row("b", x_Cu=float("nan"))], "'x_Cu' is not finite in composition_id 'b'"),
        ([row("a", pressure_gpa=float("inf"))], "'pressure_gpa' is not finite"),
        ([row("a", method="guess")], "'method' is none of mean_field"),
        ([row("a", status="done")], "'status' is none of ok"),
        ([row("a", n_sites="four")], "'n_sites' holds 'four' in composition_id 'a'"),
        ([row("a", n_sites=1.5)], "'n_sites' holds 1.5 in composition_id 'a', declared is int64"),
        ([row("a", a_ang=True)], "'a_ang' holds True in composition_id 'a', declared is double"),
        ([row("a", extra=1)], "lacks or adds columns: ['extra']"),
        ([{"composition_id": "a"}], "lacks or adds columns"),
    ],
)
def test_rows_that_do_not_fit_are_not_written(rows, message, path):
    with pytest.raises(TableError) as raised:
        write(path, rows)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)
    assert not list(path.parent.parent.rglob("*.parquet"))


class TestTampering:
    @pytest.fixture(autouse=True)
    def _written(self, path):
        write(path, [row("a"), row("b", a_ang=4.0, pressure_gpa=0.0)])

    def refused(self, path: Path, message: str, name: str = "composition") -> None:
        with pytest.raises(TableError) as raised:
            read_table(path, name)
        assert str(raised.value).startswith(f"{path}: ")
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)

    def test_a_changed_value(self, path):
        data = pq.read_table(path)
        values = pa.array([0.5, 4.0000001])
        index = data.column_names.index("a_ang")
        rewrite(path, data.set_column(index, data.schema.field("a_ang"), values))
        self.refused(path, "was changed after softatoms wrote it")

    def test_a_row_taken_out(self, path):
        rewrite(path, pq.read_table(path).slice(0, 1))
        self.refused(path, "was changed after softatoms wrote it")

    def test_rows_in_another_order(self, path):
        rewrite(path, pq.read_table(path).take([1, 0]))
        self.refused(path, "was changed after softatoms wrote it")

    def test_a_zero_made_missing(self, path):
        data = pq.read_table(path)
        index = data.column_names.index("pressure_gpa")
        values = pa.array([0.5, None])
        rewrite(path, data.set_column(index, data.schema.field("pressure_gpa"), values))
        self.refused(path, "was changed after softatoms wrote it")

    def test_changed_provenance(self, path):
        origin = dataclasses.replace(ORIGIN, git_revision="def").to_json().encode()
        rewrite(path, pq.read_table(path), **{"softatoms.provenance": origin})
        self.refused(path, "was changed after softatoms wrote it")

    def test_a_changed_content_hash(self, path):
        rewrite(path, pq.read_table(path), **{"softatoms.content_sha256": b"0" * 64})
        self.refused(path, "was changed after softatoms wrote it")

    def test_another_layout_of_the_same_values_is_fine(self, path):
        before = read_table(path, "composition").content_hash()
        pq.write_table(pq.read_table(path), path, row_group_size=1, compression="none")
        assert read_table(path, "composition").content_hash() == before

    def test_a_missing_column(self, path):
        rewrite(path, pq.read_table(path).drop_columns(["error"]))
        self.refused(path, "columns differ from the declared ones: ['error']")

    def test_another_type(self, path):
        data = pq.read_table(path)
        index = data.column_names.index("n_sites")
        field = data.schema.field("n_sites").with_type(pa.int32())
        rewrite(path, data.set_column(index, field, data["n_sites"].cast(pa.int32())))
        self.refused(path, "column 'n_sites' is int32, never missing, declared is int64")

    def test_another_unit(self, path):
        data = pq.read_table(path)
        index = data.column_names.index("a_ang")
        field = data.schema.field("a_ang").with_metadata({"unit": "nm"})
        rewrite(path, data.set_column(index, field, data["a_ang"]))
        self.refused(path, "column 'a_ang' has the unit 'nm', declared is 'Å'")

    def test_an_older_version(self, path):
        rewrite(path, pq.read_table(path), **{"softatoms.table_version": b"0"})
        self.refused(path, "has version 0 of table 'composition', this version of softatoms")

    def test_another_table(self, path):
        self.refused(path, "holds table 'composition', expected 'runs'", name="runs")

    def test_lost_metadata(self, path):
        pd.read_parquet(path).to_parquet(path)
        self.refused(path, "was not written by softatoms, or lost its metadata")

    def test_half_a_file(self, path):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        self.refused(path, "is damaged or no Parquet file")

    def test_no_file(self, path):
        path.unlink()
        self.refused(path, "no such table")


class TestMerge:
    @pytest.fixture
    def parts(self, tmp_path):
        paths = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
        write(paths[0], [row("c"), row("a")])
        write(paths[1], [row("b", a_ang=4.0)])
        return paths

    def refused(self, parts: list[Path], expected: list[str], message: str) -> None:
        with pytest.raises(TableError) as raised:
            merge_tables(parts, "composition", expected, "c0ffee")
        assert message in str(raised.value)

    def test_in_the_order_that_was_asked_for(self, parts):
        for order in (parts, parts[::-1]):
            rows = merge_tables(order, "composition", ["a", "b", "c"], "c0ffee")
            assert rows == [row("a"), row("b", a_ang=4.0), row("c")]

    def test_a_missing_row(self, parts):
        self.refused(parts, ["a", "b", "c", "d"], "missing from the composition tables: d")
        expected = [str(i) for i in range(9)] + ["a", "b", "c"]
        self.refused(parts, expected, "0, 1, 2, 3, 4 and 4 more")

    def test_a_missing_part(self, parts):
        self.refused(parts[:1], ["a", "b", "c"], "missing from the composition tables: b")

    def test_a_part_given_twice(self, parts):
        self.refused([*parts, parts[0]], ["a", "b", "c"], "'c' is also in")

    def test_a_row_in_two_parts(self, parts, tmp_path):
        write(tmp_path / "2.parquet", [row("b")])
        self.refused([*parts, tmp_path / "2.parquet"], ["a", "b", "c"], "'b' is also in")

    def test_a_row_nobody_asked_for(self, parts):
        self.refused(parts, ["a", "c"], "that nobody asked for: b")

    def test_another_configuration(self, parts):
        write(parts[1], [row("b")], dataclasses.replace(ORIGIN, config_hash="0ld"))
        self.refused(parts, ["a", "b", "c"], "comes from another configuration")

    def test_another_potential(self, parts):
        write(parts[1], [row("b")], dataclasses.replace(ORIGIN, model_sha256="0ther"))
        self.refused(parts, ["a", "b", "c"], "comes from another potential")

    def test_a_damaged_part(self, parts):
        parts[1].write_bytes(b"PAR1")
        self.refused(parts, ["a", "b", "c"], f"{parts[1]}: is damaged")


def test_timestamps_and_wall_times_do_not_enter_the_content_hash(tmp_path):
    values = {
        "job_id": "j",
        "rule": "scan",
        "git_revision": "abc",
        "config_hash": "c",
        "seed": 0,
        "device": "cpu",
        "dtype": "float64",
        "wall_s": 1.0,
        "evaluations": 3,
        "rows": 1,
        "rows_not_ok": 0,
        "status": "ok",
    }
    later = dataclasses.replace(ORIGIN, created_utc="2027-01-01T00:00:00+00:00")

    def content(origin: Provenance, **changes: object) -> str:
        table = write_table(tmp_path / "r.parquet", "runs", [{**values, **changes}], origin)
        return table.content_hash()

    assert content(ORIGIN) == content(later, wall_s=2.0)
    assert content(ORIGIN) != content(ORIGIN, evaluations=4)


class TestReplacing:
    def test_an_error_leaves_the_old_file(self, tmp_path):
        target = tmp_path / "a.txt"
        target.write_text("old")

        def break_halfway() -> None:
            with replacing(target) as partial:
                partial.write_text("half")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            break_halfway()
        assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
        assert target.read_text() == "old"

    def test_two_writers_do_not_share_a_file(self, tmp_path, monkeypatch):
        target = tmp_path / "a.txt"
        with replacing(target) as mine:
            mine.write_text("mine")
            monkeypatch.setattr(os, "getpid", os.getppid)
            with replacing(target) as theirs:
                theirs.write_text("theirs")
            assert target.read_text() == "theirs"
        assert target.read_text() == "mine"

    def test_what_a_killed_process_left_is_removed(self, tmp_path):
        target = tmp_path / "a.txt"
        with replacing(target) as partial:
            partial.write_text("")
        # Linux hands out no process identifier as large as this.
        dead = tmp_path / partial.name.replace(str(os.getpid()), "99999999")
        elsewhere = tmp_path / ".a.elsewhere-1.partial.txt"
        ancient = tmp_path / ".a.elsewhere-2.partial.txt"
        other = tmp_path / ".b.elsewhere-2.partial.txt"
        for left in (dead, elsewhere, ancient, other):
            left.write_text("half")
        os.utime(ancient, (0, 0))
        os.utime(other, (0, 0))
        with replacing(target) as partial:
            partial.write_text("new")
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
            ["a.txt", elsewhere.name, other.name]
        )


def test_tables_of_different_code_are_not_merged(tmp_path):
    paths = [tmp_path / f"{name}.parquet" for name in "abc"]
    for path, code in zip(paths, ("new", "old", "new"), strict=True):
        write(path, [row(path.stem)], dataclasses.replace(ORIGIN, code_sha256=code))
    message = rf"other program code .* than {paths[0]}: {paths[1]}; remove them and run"
    with pytest.raises(TableError, match=message):
        merge_tables(paths, "composition", ["a", "b", "c"], "c0ffee")
    merged = merge_tables(paths[::2], "composition", ["a", "c"], "c0ffee")
    assert len(merged) == 2
