"""Frames for the tests of datasets, and where published data are."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from softatoms import SoftAtoms
from softatoms.dataset.frames import Frame

DFT = Path(__file__).parents[3] / "shared" / "data" / "dft"

needs_dft = pytest.mark.skipif(
    not DFT.is_dir(), reason=f"published DFT data are not at {DFT}; nothing else needs them"
)


def plain_frame(frame_id: str = "a", *, seed: int = 0, group: str = "g", **changes: Any) -> Frame:
    """A rattled cell of four copper atoms with random labels."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, rng=rng)
    tension = rng.normal(size=(3, 3))
    labels: dict[str, Any] = {
        "energy": float(rng.normal()),
        "forces": rng.normal(size=(4, 3)),
        "stress": tension + tension.T,
        "status": "ok",
        "labeller": "test",
    }
    return Frame(frame_id, group, SoftAtoms.from_ase(atoms), **{**labels, **changes})


def write_json(path: Path, records: Any) -> Path:
    """A JSON file, gzipped if its name says so."""
    text = json.dumps(records).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path
