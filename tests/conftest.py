"""Helpers of the tests are importable from every test module."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

# Test systems are tiny: threads would only wait for each other.
torch.set_num_threads(1)
sys.path.insert(0, str(Path(__file__).parent))
