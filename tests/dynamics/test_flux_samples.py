"""The heat flux that is sampled along a run is that of the structure as it stands then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from dynamics_systems import copper, sampled

import softatoms as sa
from softatoms.dynamics import Observer, Schedule, Settings, Tethers, run_dynamics

BATH = {"temperature": 300.0, "thermostat": "csvr"}
QUANTITIES = ("positions", "velocities", "weights", "cell", "heat_flux")


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 300.0},
        BATH,
        {**BATH, "cell": "full", "barostat_interval": 1},
        {"temperature": 300.0, "schedule": "given"},
    ],
)
@pytest.mark.parametrize("network", [False, True])
def test_samples_are_what_the_structures_have(options: dict[str, Any], network: bool) -> None:
    name = "painn" if network else "gupta"
    size = {"n_features": 8, "n_layers": 2} if network else {}
    potential = sa.load_potential(name, elements=["Cu", "Au"], **size)
    systems = [copper(0), copper(1, soft=True)]
    if "schedule" in options:
        systems = systems[1:]
        theta = tuple(systems[0].weights.tolist())
        schedule = Schedule(start=theta, end=(0.3, 0.7, 0.8), n_steps=3, function="linear")
        options = {**options, "schedule": schedule}
    ends = run_dynamics(
        potential,
        systems,
        [Settings(timestep=1.0, seed=seed, **options) for seed in range(len(systems))],
        n_steps=3,
        observers=Observer("all", QUANTITIES),
    )
    for soft, end in zip(systems, ends, strict=True):
        positions = sampled(end, "all", "positions_ang").reshape(4, -1, 3)
        velocities = sampled(end, "all", "velocities_ang_per_fs").reshape(4, -1, 3)
        weights = sampled(end, "all", "weights")
        cells = np.stack(
            [sampled(end, "all", f"cell_{v}{a}_ang") for v in "abc" for a in "xyz"], axis=1
        )
        for step in range(4):
            there = soft.with_positions(positions[step], cells[step].reshape(3, 3))
            out = sa.evaluate(
                potential,
                there.with_weights(weights[step]),
                properties=("heat_flux",),
                velocities=velocities[step],
            )
            assert out.heat_flux is not None
            assert out.convective_heat_flux is not None
            for stem, expected in (
                ("heat_flux", out.heat_flux),
                ("convective_heat_flux", out.convective_heat_flux),
            ):
                found = [
                    sampled(end, "all", f"{stem}_{axis}_ev_ang_per_fs")[step] for axis in "xyz"
                ]
                scale = float(np.abs(expected.numpy()).max())
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10 * scale)


@pytest.mark.parametrize("bias", ["tethers", "scale"])
def test_a_flux_of_other_dynamics_than_the_potential_is_refused(bias: str) -> None:
    """Springs and a scaled potential move sites, but are not in the flux of the potential."""
    system = copper(1, soft=True)
    theta = tuple(system.weights.tolist())
    options: dict[str, Any] = {
        "tethers": {"tethers": Tethers((0,), 1.0, system.positions[:1])},
        "scale": {"schedule": Schedule(start=theta, end=theta, n_steps=3, scale=(1.0, 0.5))},
    }[bias]
    plain = Settings(timestep=1.0, temperature=300.0)
    biased = Settings(timestep=1.0, temperature=300.0, **options)
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    with pytest.raises(sa.OptionError, match=r"observer 'j': heat_flux .* structure 1 has tethers"):
        run_dynamics(
            potential,
            [system, system] if bias == "scale" else [copper(0), system],
            [plain if bias == "tethers" else replace(biased, schedule=unscaled(biased)), biased],
            n_steps=3,
            observers=Observer("j", ("heat_flux",)),
        )
    run_dynamics(potential, [system], biased, n_steps=1, observers=Observer("e", ("energy",)))


def unscaled(settings: Settings) -> Schedule:
    """The same schedule of the weights alone."""
    assert settings.schedule is not None
    return replace(settings.schedule, scale=(1.0, 1.0))
