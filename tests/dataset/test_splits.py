"""Groups stay together, and nothing moves when frames are added."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from dataset_samples import plain_frame

from softatoms.dataset.frames import Frame
from softatoms.dataset.splits import split_frames
from softatoms.errors import OptionError

FRACTIONS = {"train": 0.7, "validation": 0.2, "test": 0.1}


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    frame = plain_frame()
    return [
        dataclasses.replace(frame, frame_id=f"f{i}", group=f"run{i % 400}") for i in range(1000)
    ]


def parts(frames: list[Frame], **options) -> dict[str, str]:
    given = {"fractions": FRACTIONS, "seed": 0, **options}
    return {frame.frame_id: frame.split for frame in split_frames(frames, **given)}


def test_groups_are_never_separated_and_fractions_are_met(frames):
    split = split_frames(frames, fractions=FRACTIONS, seed=0)
    together: dict[str, set[str]] = {}
    for frame in split:
        together.setdefault(frame.group, set()).add(frame.split)
    assert all(len(found) == 1 for found in together.values())
    counts = Counter(next(iter(found)) for found in together.values())
    for part, fraction in FRACTIONS.items():
        assert abs(counts[part] / 400 - fraction) < 0.06


def test_adding_and_reordering_frames_moves_nothing(frames):
    whole = parts(frames)
    some = parts(frames[100:700][::-1])
    assert some == {name: whole[name] for name in some}
    assert parts(frames) == whole
    assert parts(frames, seed=1) != whole


def test_explicit_parts_win(frames):
    split = parts(frames, assigned={"run7": "test", "run1?": "validation"})
    assert split["f7"] == split["f407"] == "test"
    assert {split[f"f{i}"] for i in range(10, 20)} == {"validation"}


def test_parts_that_frames_come_with_are_kept(frames):
    given = dataclasses.replace(frames[3], split="test")
    split = parts([*frames[:3], given, *frames[4:]])
    assert split["f3"] == split["f403"] == split["f803"] == "test"
    other = dataclasses.replace(frames[403], split="train")
    with pytest.raises(OptionError, match="frame f403 comes with the part 'train'"):
        parts([given, other])
    assert set(parts([given, other], assigned={"run3": "validation"}).values()) == {"validation"}


def test_failed_frames_belong_nowhere(frames):
    failed = dataclasses.replace(frames[0], status="failed", split="train")
    assert parts([failed, *frames[1:]])["f0"] == ""


def test_one_part_only(frames):
    assert set(parts(frames, fractions={"train": 1.0}).values()) == {"train"}
    assert set(parts(frames, fractions={"train": 0.0, "test": 1.0}).values()) == {"test"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fractions": {"train": 0.7}}, "sum to 1, got 0.7"),
        ({"fractions": {"train": 1.5, "test": -0.5}}, "fraction of 'train' must lie in"),
        ({"fractions": {"tran": 1.0}}, "did you mean 'train'"),
        ({"assigned": {"run1": "tests"}}, "did you mean 'test'"),
        ({"assigned": {"rum1": "test"}}, "no group is called 'rum1': did you mean 'run1'"),
    ],
)
def test_nonsense_is_refused(frames, options, words):
    with pytest.raises(OptionError, match=words):
        parts(frames, **options)
