"""YAML files as plain values, with the line on which every key stands.

Two traps of YAML 1.1 are closed: only ``true`` and ``false`` are truth values (``No`` is nobelium),
and ``1e-3`` is a number. A key that stands twice in one mapping is an error.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from .base import ConfigError, Key


class _Loader(yaml.SafeLoader):
    """Safe loader with the scalars of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|false)$", "tf"),
    ("null", r"^(?:~|null|)$", ["~", "n", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    (
        "float",
        r"^[-+]?(?:\.[0-9]+|[0-9]+\.?[0-9]*)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|nan)$",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))


def read_yaml(path: Path) -> tuple[Any, dict[Key, int]]:
    """Read a YAML file.

    Args:
        path: The file.

    Returns:
        Its content, and the line of every key and list entry, counted from 1.

    Raises:
        ConfigError: If there is no such file, or it is no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        lines: dict[Key, int] = {}
        if root is None:
            return None, lines
        _collect_lines(root, (), lines, path, ())
        return loader.construct_document(root), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{path}: is not valid YAML: {what}{where}") from None
    finally:
        loader.dispose()


def dotted(key: Key) -> str:
    """A key as it is written in messages, such as ``composition.scans[0].name``."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _collect_lines(
    node: yaml.Node, key: Key, lines: dict[Key, int], path: Path, above: tuple[yaml.Node, ...]
) -> None:
    if any(node is parent for parent in above):
        raise ConfigError(f"{path}: {dotted(key)}: refers to itself")
    above = (*above, node)
    lines.setdefault(key, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _collect_lines(item, (*key, index), lines, path, above)
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            here = (*key, str(name.value))
            line = name.start_mark.line + 1
            if here in lines:
                raise ConfigError(
                    f"{path}: {dotted(here)}: stands twice, lines {lines[here]} and {line}"
                )
            lines[here] = line
            _collect_lines(value, here, lines, path, above)
