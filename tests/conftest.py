"""Helpers of the tests are importable from every test module."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

# Test systems are tiny: threads would only wait for each other.
torch.set_num_threads(1)
sys.path.insert(0, str(Path(__file__).parent))

from campaigns import Results, prepare  # noqa: E402


@pytest.fixture(scope="session")
def small_campaign(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The results of a small campaign; tests must not change them."""
    results = prepare(tmp_path_factory.mktemp("campaign"))
    results.run()
    return results
