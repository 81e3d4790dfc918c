"""Section ``potential``: the energy function."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from ..errors import suggest
from .base import Key, Problem, Section
from .potential_options import OPTIONS, option_problems

BACKENDS = tuple(OPTIONS)
"""Names of the potentials that come with the package."""

TRAINED = "trained"
"""Instead of a name: the potential that the campaign trains."""

DESCRIPTION_FILE = "potential.json"
"""The file that makes a directory a saved potential."""


class PotentialSection(Section):
    """A potential by name with its options, or a saved one."""

    name: str = Field(
        description=f"One of {', '.join(BACKENDS)}, or the directory of a saved potential; for the "
        "scans of a campaign also 'trained', the potential that the campaign trains."
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="Options of a potential given by name, such as its elements.",
    )

    @property
    def is_saved(self) -> bool:
        """Whether the name is a directory."""
        return self.name not in BACKENDS and not self.is_trained

    @property
    def is_trained(self) -> bool:
        """Whether it is the one that the campaign trains."""
        return self.name == TRAINED

    def description(self) -> dict[str, Any]:
        """Content of the description of a saved potential."""
        text = (Path(self.name) / DESCRIPTION_FILE).read_text(encoding="utf-8")
        loaded = json.loads(text)
        return loaded if isinstance(loaded, dict) else {}

    def elements(self) -> tuple[str, ...]:
        """Elements that the options name; empty if they name none."""
        options = self.description().get("options", {}) if self.is_saved else self.options
        named = options.get("elements")
        if named is None:
            # A potential with parameters per element names them there.
            named = next((v for v in options.values() if isinstance(v, dict) and v), None)
            named = [key for key in named or () if "-" not in str(key)]
        return tuple(str(symbol) for symbol in named)

    def problems(self, key: Key, *, may_be_trained: bool = False) -> list[Problem]:
        """What is wrong beyond types."""
        if self.is_trained:
            found = []
            if not may_be_trained:
                message = f"'{TRAINED}' is only the potential of the campaign itself"
                found.append(Problem((*key, "name"), message))
            if self.options:
                found.append(Problem((*key, "options"), "a trained potential takes no options"))
            return found
        if not self.is_saved:
            return option_problems(self.name, self.options, (*key, "options"))
        here = (*key, "name")
        if not Path(self.name).exists():
            return [
                Problem(
                    here,
                    f"'{self.name}' is neither a potential nor an existing directory: "
                    f"{suggest(self.name, BACKENDS)}",
                )
            ]
        try:
            described = self.description()
        except (OSError, ValueError):
            described = {}
        is_potential = described.get("format") == "softatoms-potential"
        if not is_potential or not isinstance(described.get("options"), dict):
            return [
                Problem(
                    here,
                    f"'{self.name}' holds no saved potential ({DESCRIPTION_FILE} is missing "
                    "or damaged)",
                )
            ]
        if self.options:
            return [Problem((*key, "options"), "a saved potential takes no options")]
        return []
