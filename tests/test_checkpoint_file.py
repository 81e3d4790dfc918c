"""A checkpoint gives back what was written, or says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import softatoms as sa
from softatoms.checkpoint_file import load_checkpoint, save_checkpoint

OWN = {"potential": "a", "settings": "b"}
TENSORS = {"x": torch.arange(5.0), "steps": torch.arange(3), "none": torch.zeros(0, 3)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "c.safetensors", "run", OWN, TENSORS, {"epoch": 3})
    return tmp_path / "c.safetensors"


def test_gives_back_what_was_written(path: Path) -> None:
    found = load_checkpoint(path, "run", OWN)
    assert found is not None
    tensors, about = found
    assert about == {"epoch": 3}
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert load_checkpoint(path.with_name("none"), "run", OWN) is None


def test_that_of_something_else_is_refused(path: Path) -> None:
    with pytest.raises(sa.CheckpointError, match="belongs to another run: settings differ"):
        load_checkpoint(path, "run", {**OWN, "settings": "c"})
    with pytest.raises(sa.CheckpointError, match="no checkpoint of a training"):
        load_checkpoint(path, "training", OWN)


def test_every_damaged_byte_is_noticed_or_harmless(path: Path) -> None:
    whole = path.read_bytes()
    reference = load_checkpoint(path, "run", OWN)
    assert reference is not None
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        try:
            found = load_checkpoint(path, "run", OWN)
        except sa.CheckpointError:
            continue
        assert found is not None
        assert all(torch.equal(found[0][name], tensor) for name, tensor in reference[0].items())
    path.write_bytes(whole[:-4])
    with pytest.raises(sa.CheckpointError, match="is damaged"):
        load_checkpoint(path, "run", OWN)
