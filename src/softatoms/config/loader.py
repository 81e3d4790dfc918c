"""From a YAML file to a checked configuration, or to messages that say what to change."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from .base import ConfigError, Key, Problem
from .messages import problems_of, shown
from .root import CampaignConfig
from .yaml_source import dotted, read_yaml


def load_config(path: str | Path) -> CampaignConfig:
    """Read and check the configuration of a campaign.

    Args:
        path: YAML file.

    Raises:
        ConfigError: With one line per problem, each naming file and key.
    """
    source = Path(path)
    values, lines = read_yaml(source)
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: must be a mapping of sections, got {shown(values)}")
    try:
        config = CampaignConfig.model_validate(values)
        problems = config.problems()
    except ValidationError as error:
        problems = problems_of(error, CampaignConfig)
    if problems:
        ordered = sorted(dict.fromkeys(problems), key=lambda p: _line(p.key, lines))
        raise ConfigError("\n".join(_message(source, problem, lines) for problem in ordered))
    return config


def _message(source: Path, problem: Problem, lines: dict[Key, int]) -> str:
    where = f" (line {_line(problem.key, lines)})" if problem.key in lines else ""
    return f"{source}: {dotted(problem.key)}: {problem.message}{where}"


def _line(key: Key, lines: dict[Key, int]) -> int:
    while key and key not in lines:
        key = key[:-1]
    return lines.get(key, 0)
