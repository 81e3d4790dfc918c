"""YAML files as plain values, with the line on which every key stands.

Two traps of YAML 1.1 are closed: only ``true`` and ``false`` are truth values (``No`` is nobelium),
and ``1e-3`` is a number. A key that stands twice in one mapping is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from .base import ConfigError, Key

DEEPEST = 50
"""Most mappings and lists within each other; a campaign has fewer than ten."""

MOST_REPEATED = 10_000
"""Most values that aliases may repeat: aliases of aliases grow without end."""

MOST_DIGITS = 32
"""Most digits of a whole number; longer ones fit no option and no message."""

_PLAIN = ("null", "str", "seq", "map")
"""Types of values that can be read from any text."""


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


def _whole_number(_: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    if len(node.value) > MOST_DIGITS:
        raise ValueError
    return int(node.value)


def _checked(construct: Callable[[yaml.SafeLoader, Any], Any]) -> Callable[..., Any]:
    """A constructor that says where the value stands that it cannot read."""

    def constructed(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
        try:
            return construct(loader, node)
        except (ValueError, KeyError, TypeError, AttributeError):
            kind = node.tag.rpartition(":")[2]
            message = f"a value cannot be read as {kind}"
            raise yaml.constructor.ConstructorError(None, None, message, node.start_mark) from None

    return constructed


_KNOWN = yaml.SafeLoader.yaml_constructors
_Loader.yaml_constructors = {
    None: _KNOWN[None],
    **{f"tag:yaml.org,2002:{tag}": _KNOWN[f"tag:yaml.org,2002:{tag}"] for tag in _PLAIN},
    "tag:yaml.org,2002:int": _checked(_whole_number),
    **{
        f"tag:yaml.org,2002:{tag}": _checked(_KNOWN[f"tag:yaml.org,2002:{tag}"])
        for tag in ("bool", "float")
    },
}


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
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        collected = _Lines(path)
        if root is None:
            return None, collected.of_key
        collected.add(root, (), ())
        return loader.construct_document(root), collected.of_key
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply, more than {DEEPEST} levels") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{path}: is not valid YAML: {what}{where}") from None
    finally:
        if loader is not None:
            loader.dispose()


def dotted(key: Key) -> str:
    """A key as it is written in messages, such as ``composition.scans[0].name``."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


class _Lines:
    """The line of every key of a file.

    Attributes:
        of_key: Lines, counted from 1.
    """

    def __init__(self, path: Path) -> None:
        self.of_key: dict[Key, int] = {}
        self._path = path
        self._seen: set[int] = set()
        self._repeated = 0

    def add(self, node: yaml.Node, key: Key, above: tuple[yaml.Node, ...]) -> None:
        """Take in a node and all below it.

        Raises:
            ConfigError: If it contains itself, a key twice, too much or too deep a nesting.
        """
        path, lines = self._path, self.of_key
        if any(node is parent for parent in above):
            raise ConfigError(f"{path}: {dotted(key)}: refers to itself")
        line = node.start_mark.line + 1
        if len(above) > DEEPEST:
            raise ConfigError(
                f"{path}: is nested too deeply, more than {DEEPEST} levels (line {line})"
            )
        self._repeated += id(node) in self._seen
        self._seen.add(id(node))
        if self._repeated > MOST_REPEATED:
            raise ConfigError(
                f"{path}: aliases repeat more than {MOST_REPEATED} values (line {line})"
            )
        above = (*above, node)
        lines.setdefault(key, line)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.add(item, (*key, index), above)
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                here = (*key, str(name.value))
                line = name.start_mark.line + 1
                if here in lines:
                    raise ConfigError(
                        f"{path}: {dotted(here)}: stands twice, lines {lines[here]} and {line}"
                    )
                lines[here] = line
                self.add(value, here, above)
