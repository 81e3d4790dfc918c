"""Unusable options are named, with what would be right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from dynamics_systems import argon, copper, lennard_jones

import softatoms as sa
from softatoms.dynamics import Limits, Observer, Schedule, Settings, run_dynamics


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timestep": 0.0}, "timestep must be a positive number, got 0.0"),
        ({"timestep": "1"}, "timestep must be a positive number"),
        ({"temperature": -5.0}, "temperature must be a positive number"),
        ({"thermostat": "nose"}, "unknown thermostat 'nose': did you mean 'none'?"),
        ({"thermostat": "csvr"}, "thermostat 'csvr' needs a temperature (K)"),
        ({"thermostat": "Langevin"}, "did you mean 'langevin'? known: csvr, langevin, none"),
        ({"friction": float("nan")}, "friction must be a positive number"),
        ({"cell": "cubic"}, "unknown cell 'cubic'"),
        ({"cell": "full"}, "cell='full' samples constant pressure and needs a thermostat"),
        ({"pressure": 0.1}, "pressure does nothing to a fixed cell"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"seed": 2**64}, "seed must be below 2"),
        ({"seed": 1.0}, "seed must be a whole number"),
        ({"masses": "mean"}, "unknown masses 'mean'"),
        ({"masses_follow": 1}, "masses_follow must be True or False"),
        ({"schedule": [0, 1]}, "schedule must be a Schedule or None"),
        ({"limits": {"temperature": 5}}, "limits must be Limits(...)"),
        ({"fix_com": 1}, "fix_com must be True, False or None, got 1"),
        ({"fixed_sites": (0,), "fix_com": True}, "fix_com: sites are fixed"),
        ({"fixed_sites": (-1,)}, "fixed_sites must be a list of indices from 0"),
        (
            {"fixed_sites": (0,), "cell": "full", "thermostat": "csvr", "temperature": 300.0},
            "fixed_sites do not go with cell='full'",
        ),
        ({"barostat_interval": 0}, "barostat_interval must be a whole number of at least 1"),
    ],
)
def test_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(sa.OptionError, match=re.escape(message)):
        Settings(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": (0.0,), "end": (1.0, 0.0), "n_steps": 1}, "got 1 and 2"),
        ({"start": (0.0,), "end": (1.0,)}, "schedule: n_steps must be a whole number"),
        ({"start": (0.0,), "end": (1.5,), "n_steps": 1}, "weights outside [0, 1]"),
        ({"start": "a", "end": (1.0,), "n_steps": 1}, "schedule: start must be a list of weights"),
        ({"start": (0.0,), "end": (1.0,), "function": "cubic"}, "unknown function 'cubic'"),
        ({"start": (0.0,), "end": (1.0,), "function": "constant", "at": 2.0}, "between 0 and 1"),
        ({"start": (0.0,), "end": (1.0,), "n_steps": 1, "delay": -1}, "schedule: delay"),
    ],
)
def test_schedules(options: dict[str, Any], message: str) -> None:
    with pytest.raises(sa.OptionError, match=re.escape(message)):
        Schedule(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "a/b", "quantities": ("energy",)}, "observer: name must be made of letters"),
        ({"name": "frames", "quantities": ("energy",)}, "'frames' is what whole structures"),
        ({"name": "a", "quantities": "energy"}, "quantities must be a list of names"),
        ({"name": "a", "quantities": ("energie",)}, "unknown quantity 'energie': did you mean"),
        ({"name": "a", "quantities": ()}, "quantities must be at least one, each once"),
        ({"name": "a", "quantities": ("energy",), "every": 0}, "observer 'a': every must be"),
    ],
)
def test_observers(options: dict[str, Any], message: str) -> None:
    with pytest.raises(sa.OptionError, match=re.escape(message)):
        Observer(**options)


def test_limits() -> None:
    with pytest.raises(sa.OptionError, match="limits: escape must be a positive number"):
        Limits(escape=0.0)
    with pytest.raises(sa.OptionError, match="limits: cell_factor must be above 1"):
        Limits(cell_factor=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_steps": -1}, "n_steps must be a whole number of at least 0, got -1"),
        ({"settings": {}}, "settings must be Settings(...) or a list of them"),
        ({"settings": [Settings()] * 2}, "settings must have one entry per structure: 1, got 2"),
        ({"observers": ("energy",)}, "observers must be a list of Observer(...)"),
        ({"observers": [Observer("a", ("energy",))] * 2}, "observers must have different names"),
        ({"names": ["a", "b"]}, "names must be 1 different ones, one per structure"),
        ({"names": ["a b"]}, "names must be texts without spaces"),
        ({"names": "a"}, "names must be a list of texts"),
        ({"frames_every": 5}, "frames_every and checkpoint_every need a folder"),
        ({"checkpoint_minutes": 0}, "checkpoint_minutes must be a positive number"),
        ({"wall_time": -1.0}, "wall_time must be a positive number"),
        ({"skin": -0.1}, "skin must be a number of at least 0 Å"),
        ({"coupling": "mean"}, "unknown coupling 'mean'"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"systems": "Cu"}, "systems must be a list of SoftAtoms"),
        ({"systems": [Atoms("Cu")]}, "structure 0 is a Atoms, not SoftAtoms"),
        ({"potential": "lj"}, "potential must come from load_potential"),
        ({"folder": 3}, "folder must be a path or None"),
        (
            {"settings": Settings(fixed_sites=(4,))},
            "fixed_sites of structure 0: site 4 does not exist, there are 4 sites",
        ),
        (
            {"settings": Settings(fixed_sites=(0, 1, 2, 3))},
            "structure 0 has no degree of freedom: 4 sites, 4 of them fixed",
        ),
        (
            {"settings": Settings(schedule=Schedule((0.0,), (1.0,), 5))},
            "schedule of structure 0 has 1 weights, the structure has 0 (no soft site)",
        ),
    ],
)
def test_run(options: dict[str, Any], message: str) -> None:
    given = {
        "potential": lennard_jones(),
        "systems": [argon(0, cells=1)],
        "settings": Settings(),
        "n_steps": 1,
        **options,
    }
    leading = [given.pop(name) for name in ("potential", "systems", "settings")]
    with pytest.raises(sa.OptionError, match=re.escape(message)):
        run_dynamics(*leading, **given)


def test_what_does_not_go_together() -> None:
    two = [argon(0, cells=1)] * 2
    mixed = [Settings(temperature=5.0), Settings(temperature=5.0, thermostat="csvr")]
    message = "thermostat must be the same for all systems of a run: 'none' for structure 0, 'csvr'"
    with pytest.raises(sa.OptionError, match=re.escape(message)):
        run_dynamics(lennard_jones(), two, mixed, n_steps=1)
    slab = argon(0, cells=1).select(range(4), pbc=np.array([True, True, False]))
    settings = Settings(temperature=5.0, thermostat="csvr", cell="isotropic")
    with pytest.raises(sa.OptionError, match="is not periodic in all directions"):
        run_dynamics(lennard_jones(), [slab], settings, n_steps=1)
    molecule = sa.SoftAtoms.from_ase(Atoms("Ar2", positions=[[0, 0, 0], [3.8, 0, 0]]))
    with pytest.raises(sa.OptionError, match="observer 'p' needs stresses, but the cell of"):
        run_dynamics(
            lennard_jones(),
            [molecule],
            Settings(),
            n_steps=1,
            observers=Observer("p", ("pressure",)),
        )
    soft = copper(0).with_candidates([0], {"Cu": 0.5, "Au": 0.5})
    schedule = Schedule((0.5, 0.5), (0.8, 0.8), 5)
    with pytest.raises(sa.OptionError, match=r"weights of one site sum to 1\.6 at its end"):
        run_dynamics(lennard_jones(), [soft], Settings(schedule=schedule), n_steps=1)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        run_dynamics(
            lennard_jones(), [argon(0)], Settings(), n_steps=1, folder=tmp_path / "file" / "run"
        )


def test_no_system_is_no_work() -> None:
    assert run_dynamics(lennard_jones(), [], Settings(), n_steps=5) == []
