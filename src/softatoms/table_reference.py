"""The Markdown page about tables, made from their declarations."""

from __future__ import annotations

from .table_schemas import SCHEMAS

_INTRODUCTION = """\
# Tables

Results are Parquet files, one per kind of table, in `results/<campaign>/tables/`. Any Parquet
reader opens them:

```python
import pandas as pd

table = pd.read_parquet("results/quickstart/tables/composition.parquet")
table[table.method == "mean_field"].plot.scatter("x_Au", "mixing_ev_per_atom")
```

```sql
-- DuckDB
select formula, mixing_ev_per_atom from 'results/quickstart/tables/composition.parquet'
where status = 'ok' order by mixing_ev_per_atom limit 10;
```

Units stand in the names of the columns and in the metadata of the fields, provenance in that of the
schema:

```python
import pyarrow.parquet as pq

schema = pq.read_schema("results/quickstart/tables/composition.parquet")
schema.field("a_ang").metadata[b"unit"]  # Å
schema.metadata[b"softatoms.provenance"]  # revision, configuration, seed, potential, versions, time
```

## What is checked

Whenever a table is written, and again whenever a command reads one:

- columns, their order, types, units and whether values may be missing are those declared below;
- the identifier of every row is there once; numbers are finite; a row with status `ok` has results;
- name and version of the table are those this version of softatoms knows;
- a fingerprint in the metadata fits the values and the provenance, so a file that was edited, or
  written by another program, is refused. Read it with that program as you like, but do not feed it
  back.

A file appears whole or not at all: it is written under another name and renamed. Joining the
tables of jobs fails with the identifiers named if a row is missing, comes twice or was not asked
for, or if parts come from different configurations, potentials or program code.

A composition that cannot be computed is a row all the same: `status` is `unconverged` or `failed`,
`error` says why, and its results are missing. Figures leave such rows out and say how many.

Two runs of one configuration on the same kind of processor give the same values to the last bit; on
a GPU, sums may differ in the last digits. `softatoms.content_sha256` in the metadata of the schema
compares them: it leaves out wall times and times of writing.

Below, *missing* says when a value may be missing: never, unless the status is ok, or always.
`{El}` stands for every element of the campaign.

This page is made from the declarations: `softatoms schema --tables docs/tables.md`.
"""

_MISSING = {"never": "never", "unless_ok": "unless ok", "always": "always"}


def markdown_reference() -> str:
    """All tables with their columns."""
    lines = [_INTRODUCTION]
    for schema in SCHEMAS.values():
        lines.append(f"## `{schema.name}`\n")
        lines.append(f"Version {schema.version}; one row per `{schema.key}`.\n")
        lines += ["| column | type | unit | missing | meaning |", "|---|---|---|---|---|"]
        for column in schema.columns:
            meaning = column.description + (" (differs between runs)" if column.volatile else "")
            lines.append(
                f"| `{column.name}` | {column.kind} | {column.unit} | "
                f"{_MISSING[column.missing]} | {meaning} |"
            )
        lines.append("")
    return "\n".join(lines)
