"""The JSON schema and the Markdown page of all configuration keys, made from the models."""

from __future__ import annotations

import json
from typing import Any

from .potential_options import OPTIONS
from .root import CampaignConfig

_INTRODUCTION = """\
# Configuration

One YAML file describes a campaign. `config/config.yaml` is the quickstart; `config/schema.json`
lets editors complete keys and show mistakes. Unknown keys, values of another type and combinations
that make no sense are refused with one line each, naming file, key and line:

```text
config/config.yaml: compute.dvice: unknown key: did you mean 'device'? known: ... (line 12)
```

Truth values are `true` and `false` only, so that `No` can be nobelium, and `1e-3` is a number.

A stage runs again when a value changes on which it depends. Comments, layout, and whether a default
is written out make no difference, nor does `compute.threads`.

This page is made from the models: `softatoms schema --out config/schema.json --reference
docs/configuration.md`.
"""


def json_schema() -> str:
    """JSON schema of configuration files, as text."""
    schema = CampaignConfig.model_json_schema()
    schema["title"] = "softatoms campaign"
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def markdown_reference() -> str:
    """All keys with type, default and meaning, one table per section."""
    schema = CampaignConfig.model_json_schema()
    definitions = schema["$defs"]
    lines = [_INTRODUCTION]
    waiting = [("", schema)]
    for model in dict.fromkeys(OPTIONS.values()):
        options = model.model_json_schema()
        definitions.update(options.get("$defs", {}))
        names = ", ".join(name for name, own in OPTIONS.items() if own is model)
        waiting.append((f"potential.options ({names})", options))
    while waiting:
        path, section = waiting.pop(0)
        lines.append(f"## {f'`{path}`' if path else 'Sections'}\n")
        if path:
            lines.append(f"{section['description']}\n")
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        required = section.get("required", [])
        for name, field in section["properties"].items():
            kind, reference, many = _kind(field, definitions)
            default = "required" if name in required else _default(field)
            cells = [f"`{name}`", kind, default, _meaning(field, reference, definitions)]
            lines.append(f"| {' | '.join(cell.replace('|', 'or') for cell in cells)} |")
            if reference:
                below = f"{path}.{name}" if path else name
                waiting.append((f"{below}{many}", definitions[reference]))
        lines.append("")
    return "\n".join(lines)


def _kind(field: dict[str, Any], definitions: dict[str, Any]) -> tuple[str, str, str]:
    """Type of a field in words, the section it refers to, and how that is reached."""
    if "type" not in field and not {"anyOf", "$ref"} & set(field):
        return "number, or mapping of element to number", "", ""
    if "anyOf" in field:
        choices = [choice for choice in field["anyOf"] if choice.get("type") != "null"]
        return _kind(choices[0], definitions)
    if "$ref" in field:
        return "section", field["$ref"].rsplit("/", 1)[1], ""
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"]), "", ""
    if field.get("type") == "array":
        inner, reference, many = _kind(field["items"], definitions)
        return f"list of {inner}", reference, f"[]{many}"
    if field.get("type") == "object":
        values = field.get("additionalProperties")
        if isinstance(values, dict) and values:
            inner, reference, many = _kind(values, definitions)
            return f"mapping of name to {inner}", reference, f".<name>{many}"
        return "mapping", "", ""
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "yes/no"}
    bounds = {
        "minimum": "≥ {}",
        "exclusiveMinimum": "> {}",
        "maximum": "≤ {}",
        "exclusiveMaximum": "< {}",
    }
    limits = [text.format(field[key]) for key, text in bounds.items() if key in field]
    return " ".join([words[field["type"]], ", ".join(limits)]).strip(), "", ""


def _meaning(field: dict[str, Any], reference: str, definitions: dict[str, Any]) -> str:
    """Description of a field, or that of the section it refers to."""
    described = field.get("description") or definitions.get(reference, {}).get("description", "")
    return str(described)


def _default(field: dict[str, Any]) -> str:
    if "default" not in field:
        return "see below"
    value = field["default"]
    return "none" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"
