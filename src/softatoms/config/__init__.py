"""Configuration files: one strict model per section, errors that name file and key.

Nothing heavy is imported here: a workflow reads its configuration every time it starts a job.
"""

from .base import ConfigError
from .loader import load_config
from .root import CampaignConfig

__all__ = ["CampaignConfig", "ConfigError", "load_config"]
