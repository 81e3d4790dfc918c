"""Tables in Parquet files: declared columns, units and provenance, checked whenever they are used.

A file carries in its schema metadata the name and version of its table, the elements it has columns
for, its provenance, and a fingerprint of its values. A file that was cut short, edited, or written
by another version is refused; it never reaches a figure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .errors import SoftatomsError
from .files import replacing
from .provenance import Provenance
from .table_columns import Column, TableSchema
from .table_schemas import SCHEMAS

_TYPES = {"text": pa.string(), "whole": pa.int64(), "real": pa.float64()}
_ACCEPTED = {"text": (str,), "whole": (int,), "real": (float, int)}
_NAME, _VERSION = b"softatoms.table", b"softatoms.table_version"
_ELEMENTS, _PROVENANCE = b"softatoms.elements", b"softatoms.provenance"
_CONTENT, _SEAL = b"softatoms.content_sha256", b"softatoms.sha256"
_SEALED = (_NAME, _VERSION, _ELEMENTS, _PROVENANCE, _CONTENT)
_SHOWN_IDS = 5


class TableError(SoftatomsError):
    """A table that is damaged, of another version, or does not hold what it should."""


@dataclass(frozen=True)
class Table:
    """A checked table.

    Attributes:
        schema: What kind of table it is.
        elements: Elements it has columns for, in order.
        data: The values.
        provenance: Where they come from.
    """

    schema: TableSchema
    elements: tuple[str, ...]
    data: pa.Table
    provenance: Provenance

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per row."""
        rows: list[dict[str, Any]] = self.data.to_pylist()
        return rows

    def real(self, column: str) -> np.ndarray:
        """A column of numbers as float64; what is missing becomes nan."""
        values: np.ndarray = self.data[column].to_numpy().astype(np.float64)
        return values

    def text(self, column: str) -> np.ndarray:
        """A column of texts."""
        return np.array(self.data[column].to_pylist(), dtype=object)

    def content_hash(self) -> str:
        """Fingerprint of the values that are the same in every run of the same campaign."""
        volatile = {c.name for c in self.schema.columns if c.volatile}
        kept = [name for name in self.data.column_names if name not in volatile]
        return _fingerprint(self.data.select(kept))


def write_table(
    path: str | Path,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    provenance: Provenance,
    elements: Sequence[str] = (),
) -> Table:
    """Check rows against the declaration of their table and write them.

    Args:
        path: The Parquet file; it appears whole or not at all.
        name: Name of the table.
        rows: One mapping of all columns per row; None stands for a missing value.
        provenance: Where the values come from.
        elements: Elements to have columns for.

    Returns:
        The table as written.

    Raises:
        TableError: If a row does not fit the declaration.
    """
    schema = SCHEMAS[name]
    columns = schema.expanded(elements)
    expected = {column.name for column in columns}
    for row in rows:
        if set(row) != expected:
            wrong = sorted(set(row) ^ expected)
            raise TableError(f"{path}: row {row.get(schema.key)!r} lacks or adds columns: {wrong}")
        for column in columns:
            _check_type(path, schema, column, row)
    data = pa.Table.from_pylist([dict(row) for row in rows], schema=arrow_schema(columns))
    _check_values(path, schema, columns, data)
    metadata = {
        _NAME: name.encode(),
        _VERSION: str(schema.version).encode(),
        _ELEMENTS: json.dumps(list(elements)).encode(),
        _PROVENANCE: provenance.to_json().encode(),
    }
    table = Table(schema, tuple(elements), data, provenance)
    metadata[_CONTENT] = table.content_hash().encode()
    metadata[_SEAL] = _seal(data, metadata)
    with replacing(path) as partial:
        pq.write_table(data.replace_schema_metadata(metadata), partial, compression="zstd")
    return table


def read_table(path: str | Path, name: str) -> Table:
    """Read a table and check everything that can be checked.

    Args:
        path: The Parquet file.
        name: Name of the table it must hold.

    Raises:
        TableError: Naming the file and what is wrong with it.
    """
    source = Path(path)
    schema = SCHEMAS[name]
    if not source.is_file():
        raise TableError(f"{source}: no such table")
    try:
        data = pq.read_table(source)
    except (pa.ArrowInvalid, OSError) as error:
        first = str(error).splitlines()[0]
        raise TableError(f"{source}: is damaged or no Parquet file: {first}") from None
    metadata = data.schema.metadata or {}
    if _NAME not in metadata:
        raise TableError(
            f"{source}: was not written by softatoms, or lost its metadata when another program "
            "wrote it; run the stage again"
        )
    held = metadata[_NAME].decode()
    if held != name:
        raise TableError(f"{source}: holds table '{held}', expected '{name}'")
    version = metadata.get(_VERSION, b"none").decode()
    if version != str(schema.version):
        raise TableError(
            f"{source}: has version {version} of table '{name}', this version of softatoms reads "
            f"{schema.version}; run the stage again"
        )
    try:
        elements = tuple(str(element) for element in json.loads(metadata[_ELEMENTS]))
        provenance = Provenance.from_json(metadata[_PROVENANCE])
    except (KeyError, ValueError, TypeError) as error:
        raise TableError(f"{source}: metadata is damaged: {error}") from None
    columns = schema.expanded(elements)
    _check_fields(source, data.schema, arrow_schema(columns))
    if _seal(data, metadata) != metadata.get(_SEAL):
        raise TableError(f"{source}: was changed after softatoms wrote it; run the stage again")
    _check_values(source, schema, columns, data)
    return Table(schema, elements, data, provenance)


class Joined(NamedTuple):
    """Rows of the tables of several jobs.

    Attributes:
        rows: Each row by its identifier.
        files: Where each is from.
        model_sha256: Fingerprint of the potential of all of them, empty without any.
    """

    rows: dict[str, dict[str, Any]]
    files: dict[str, Path]
    model_sha256: str


def join_tables(paths: Iterable[str | Path], name: str, config_hash: str) -> Joined:
    """Read the tables of several jobs, whatever rows they hold.

    Args:
        paths: Their files.
        name: Name of the table.
        config_hash: Fingerprint of the configuration that all must come from.

    Raises:
        TableError: If a row comes twice, or if the tables come from different configurations,
            potentials or program code.
    """
    key = SCHEMAS[name].key
    joined = Joined({}, {}, "")
    models: dict[tuple[str, tuple[str, ...]], Path] = {}
    codes: dict[str, list[Path]] = {}
    for path in map(Path, paths):
        table = read_table(path, name)
        if table.provenance.config_hash != config_hash:
            raise TableError(
                f"{path}: comes from another configuration "
                f"({table.provenance.config_hash[:12]}, expected {config_hash[:12]}); "
                "run its job again"
            )
        models.setdefault((table.provenance.model_sha256, table.elements), path)
        if len(models) > 1:
            first, second = models.values()
            raise TableError(f"{second}: comes from another potential than {first}")
        codes.setdefault(table.provenance.code_sha256, []).append(path)
        for row in table.rows():
            identifier = row[key]
            if identifier in joined.rows:
                raise TableError(
                    f"{path}: {key} '{identifier}' is also in {joined.files[identifier]}; "
                    "each must come once"
                )
            joined.rows[identifier], joined.files[identifier] = row, path
    _check_same_code(list(codes.values()))
    return joined._replace(model_sha256=next((sha256 for sha256, _ in models), ""))


def merge_tables(
    paths: Iterable[str | Path], name: str, expected: Sequence[str], config_hash: str
) -> list[dict[str, Any]]:
    """Join the tables of several jobs.

    Args:
        paths: Their files.
        name: Name of the table.
        expected: Identifiers that must be there, each exactly once.
        config_hash: Fingerprint of the configuration that all must come from.

    Returns:
        All rows, in the order of ``expected``.

    Raises:
        TableError: If a row is missing, comes twice or was not asked for, or if the tables come
            from different configurations, potentials or program code.
    """
    key = SCHEMAS[name].key
    rows, files, _ = join_tables(paths, name, config_hash)
    missing = [identifier for identifier in expected if identifier not in rows]
    if missing:
        raise TableError(f"{key} missing from the {name} tables: {_listed(missing)}")
    wanted = set(expected)
    foreign = [identifier for identifier in rows if identifier not in wanted]
    if foreign:
        where = files[foreign[0]]
        raise TableError(f"{where}: {key} that nobody asked for: {_listed(foreign)}")
    return [rows[identifier] for identifier in expected]


def _check_same_code(groups: Sequence[Sequence[Path]]) -> None:
    """Refuse tables of different programs, given those of each; the smaller groups are named."""
    if len(groups) < 2:
        return
    most, *others = sorted(groups, key=len, reverse=True)
    strange = [str(path) for group in others for path in group]
    raise TableError(
        f"made by other program code or other versions of packages than {most[0]}: "
        f"{_listed(strange)}; remove them and run their jobs again"
    )


def _listed(identifiers: Sequence[str]) -> str:
    shown = ", ".join(identifiers[:_SHOWN_IDS])
    more = len(identifiers) - _SHOWN_IDS
    return f"{shown} and {more} more" if more > 0 else shown


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """Declared columns as fields, with unit and description in their metadata."""
    return pa.schema(
        [
            pa.field(
                column.name,
                _TYPES[column.kind],
                nullable=column.missing != "never",
                metadata={"unit": column.unit, "description": column.description},
            )
            for column in columns
        ]
    )


def _check_fields(path: Path, found: pa.Schema, expected: pa.Schema) -> None:
    if found.names != expected.names:
        wrong = sorted(set(found.names) ^ set(expected.names))
        raise TableError(f"{path}: columns differ from the declared ones: {wrong or 'their order'}")
    for field in expected:
        own = found.field(field.name)
        if own.type != field.type or own.nullable != field.nullable:
            raise TableError(
                f"{path}: column '{field.name}' is {_kind(own)}, declared is {_kind(field)}"
            )
        unit, declared = (own.metadata or {}).get(b"unit"), field.metadata[b"unit"]
        if unit != declared:
            raise TableError(
                f"{path}: column '{field.name}' has the unit {(unit or b'none').decode()!r}, "
                f"declared is {declared.decode()!r}"
            )


def _check_type(
    path: str | Path, schema: TableSchema, column: Column, row: Mapping[str, Any]
) -> None:
    """Refuse what pyarrow would convert without a word, such as 1.5 to 1."""
    value = row[column.name]
    fits = value is None or isinstance(value, _ACCEPTED[column.kind])
    if not fits or isinstance(value, bool):
        raise TableError(
            f"{path}: column '{column.name}' holds {value!r} in {schema.key} "
            f"'{row[schema.key]}', declared is {_TYPES[column.kind]}"
        )


def _check_values(
    path: str | Path, schema: TableSchema, columns: Sequence[Column], data: pa.Table
) -> None:
    identifiers = data[schema.key]
    counts = pc.value_counts(identifiers)
    twice = [entry["values"].as_py() for entry in counts if entry["counts"].as_py() > 1]
    if twice:
        raise TableError(f"{path}: {schema.key} comes more than once: {_listed(twice)}")
    has_status = "status" in data.column_names and any(c.missing == "unless_ok" for c in columns)
    ok = pc.equal(data["status"], "ok") if has_status else None
    for column in columns:
        values = data[column.name]
        absent = pc.is_null(values)
        bad = absent if column.missing == "never" else None
        if column.missing == "unless_ok" and ok is not None:
            bad = pc.and_(absent, ok)
        _refuse(path, schema, column, identifiers, bad, "is missing")
        if column.kind == "real":
            _refuse(
                path, schema, column, identifiers, pc.invert(pc.is_finite(values)), "is not finite"
            )
        if column.choices:
            known = pc.is_in(values, value_set=pa.array(column.choices))
            message = f"is none of {', '.join(column.choices)}"
            _refuse(path, schema, column, identifiers, pc.invert(known), message)


def _refuse(
    path: str | Path,
    schema: TableSchema,
    column: Column,
    identifiers: pa.ChunkedArray,
    bad: pa.ChunkedArray | None,
    message: str,
) -> None:
    if bad is not None and pc.any(bad).as_py():
        first = identifiers.filter(pc.fill_null(bad, False))[0].as_py()
        raise TableError(f"{path}: column '{column.name}' {message} in {schema.key} '{first}'")


def _fingerprint(data: pa.Table) -> str:
    """SHA-256 of names and values, whatever the layout of the file."""
    digest = hashlib.sha256()
    for name in data.column_names:
        column = data[name].combine_chunks()
        absent = np.asarray(pc.is_null(column))
        digest.update(json.dumps([name, str(column.type), len(column)]).encode())
        digest.update(np.packbits(absent).tobytes())
        if pa.types.is_string(column.type):
            digest.update(json.dumps(column.to_pylist()).encode())
        else:
            filled = pc.fill_null(column, pa.scalar(0, column.type))
            digest.update(np.ascontiguousarray(filled.to_numpy(zero_copy_only=False)).tobytes())
    return digest.hexdigest()


def _seal(data: pa.Table, metadata: Mapping[bytes, bytes]) -> bytes:
    """Fingerprint of the values and of what the metadata says about them."""
    parts = [metadata.get(key, b"") for key in _SEALED]
    digest = hashlib.sha256(b"\0".join([_fingerprint(data).encode(), *parts]))
    return digest.hexdigest().encode()


def _kind(field: pa.Field) -> str:
    return f"{field.type}, may be missing" if field.nullable else f"{field.type}, never missing"
