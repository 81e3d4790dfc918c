"""Every tolerance of the tests, by quantity and precision, in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

TOLERANCES: dict[str, dict[str, float]] = {
    # Two routes to the same float64 number.
    "same": {"rtol": 1e-10, "atol": 1e-12},
    # Deleting a site of weight 0 changes nothing.
    "deletion": {"rtol": 0.0, "atol": 1e-12},
    # Central differences in float64.
    "difference": {"rtol": 1e-6, "atol": 1e-9},
    "difference_gupta": {"rtol": 1e-7, "atol": 1e-9},
    # Heat flux against the many-pass and the unfolded form, and against a trajectory.
    "flux": {"rtol": 1e-9, "atol": 1e-11},
    "flux_trajectory": {"rtol": 1e-5, "atol": 1e-9},
    # float32 against float64.
    "float32": {"rtol": 2e-4, "atol": 2e-5},
    # CHGNet in float32 against the calculator of its package, and in float64 against its model.
    "chgnet energy": {"rtol": 0.0, "atol": 1e-5},
    "chgnet forces": {"rtol": 0.0, "atol": 1e-4},
    "chgnet stress": {"rtol": 0.0, "atol": 1e-5},
    "chgnet float64": {"rtol": 1e-10, "atol": 1e-11},
    # Converted MACE models in float64 against mace-torch.
    "mace": {"rtol": 1e-9, "atol": 1e-11},
}


def assert_close(actual: Any, expected: Any, kind: str) -> None:
    """Compare arrays or tensors; ``rtol`` is relative to the largest expected entry."""
    a = actual.detach().numpy() if isinstance(actual, torch.Tensor) else np.asarray(actual)
    b = expected.detach().numpy() if isinstance(expected, torch.Tensor) else np.asarray(expected)
    assert a.shape == b.shape, f"shapes differ: {a.shape} and {b.shape}"
    tolerance = TOLERANCES[kind]
    allowed = tolerance["atol"] + tolerance["rtol"] * (np.abs(b).max() if b.size else 0.0)
    worst = np.abs(a - b).max() if b.size else 0.0
    assert np.isfinite(a).all(), "result is not finite"
    assert worst <= allowed, f"differs by {worst:.3e}, allowed {allowed:.3e} ({kind})"
