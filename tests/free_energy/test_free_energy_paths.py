"""Paths whose ends are known exactly: springs that stiffen, atoms that go, whole crystals."""

from __future__ import annotations

from pathlib import Path as FilePath

import numpy as np
import pytest
from ase.build import bulk
from scipy.stats import binom
from spring_crystals import CELL_VOLUME, crystal, exact_free_energy, force_constants, springs

import softatoms as sa
from softatoms.dynamics import Outcome, run_dynamics
from softatoms.errors import OptionError, StructureError
from softatoms.free_energy import switching
from softatoms.free_energy.defects import (
    Known,
    formation,
    vacancy_from_crystals,
    vacancy_from_removal,
)
from softatoms.free_energy.einstein import thermal_energy
from softatoms.free_energy.estimators import bar, dissipation_mean, mbar
from softatoms.free_energy.paths import Path, frenkel_ladd, removal, substitution
from softatoms.free_energy.places import Places
from softatoms.free_energy.switching import Case, Protocol, Works, switch
from softatoms.free_energy.windows import WindowProtocol, energies_along, sample_windows

TEMPERATURE = 300.0
FAST = Protocol(
    equilibration_steps=120,
    switching_steps=200,
    timestep=5.0,
    friction=0.02,
    n_replicas=4,
    n_checks=4,
    n_profile=20,
)


def doped() -> sa.SoftAtoms:
    atoms = crystal().to_ase()
    atoms.symbols[2] = "Sc"
    return sa.SoftAtoms.from_ase(atoms)


def exact_paths() -> dict[str, tuple[Path, float]]:
    """Paths and what their values have to be in eV."""
    pure, mixed = crystal(), doped()
    own = float(force_constants(pure, springs())[0, 0])
    energies = [exact_free_energy(soft, TEMPERATURE) for soft in (pure, mixed)]
    # A third of the mass goes: (M/M')³ is 1.2 kT.
    heavy = pure.with_isotopes(np.arange(8) == 7, np.full(8, 90.0))
    without = exact_free_energy(pure.select(range(7)), TEMPERATURE)
    unlike = np.linspace(0.5 * own, own, 8)
    return {
        "substitution": (substitution(pure, {2: "Sc"}), energies[1] - energies[0]),
        "removal": (
            removal(heavy, 7, own),
            without - exact_free_energy(heavy, TEMPERATURE),
        ),
        "crystal": (frenkel_ladd(mixed, unlike, cell_volume=CELL_VOLUME), energies[1]),
    }


def test_intervals_hold_the_exact_value_as_often_as_they_say() -> None:
    """12 repeats of 4 works each way of three paths; the bounds fail once in 10⁴ times."""
    repeats, known = 12, exact_paths()
    protocol = Protocol(**{**vars(FAST), "n_replicas": 4 * repeats})
    cases = [Case(name, path, TEMPERATURE) for name, (path, _) in known.items()]
    hits: dict[str, list[bool]] = {"bar": [], "mean": []}
    for works in switch(springs(), cases, protocol):
        assert (works.status, works.error) == ("ok", "")
        path, exact = known[works.case.name]
        forward, backward = works.forward.reshape(repeats, 4), works.backward.reshape(repeats, 4)
        assert works.dissipation < 0.5 * thermal_energy(TEMPERATURE)
        wanted = path.sign * (exact - path.constant(TEMPERATURE))
        for one, two in zip(forward, backward, strict=True):
            hits["bar"].append(bar(one, two, temperature=TEMPERATURE).contains(wanted))
            hits["mean"].append(dissipation_mean(one, two).contains(wanted))
        whole = bar(works.forward, works.backward, temperature=TEMPERATURE)
        assert whole.stderr < 0.08 * thermal_energy(TEMPERATURE)
        value = path.value(whole.value, TEMPERATURE)
        assert value == pytest.approx(exact, rel=0.0, abs=4.0 * whole.stderr)
    for found in hits.values():
        assert sum(found) >= binom.ppf(1e-4, len(found), 0.95)


def test_windows_give_the_exact_value_too() -> None:
    path, exact = exact_paths()["removal"]
    windows = sample_windows(
        springs(),
        [Case("removal", path, TEMPERATURE)],
        WindowProtocol(
            lambdas=(0.0, 0.25, 0.5, 0.75, 1.0),
            equilibration_steps=100,
            sampling_steps=400,
            sample_every=20,
            n_replicas=6,
            timestep=5.0,
            friction=0.02,
        ),
    )[0]
    assert (windows.status, windows.error) == ("ok", "")
    assert windows.counts.tolist() == [120] * 5
    assert windows.energies.shape == (5, 600)
    kt = thermal_energy(TEMPERATURE)
    found = mbar(
        windows.energies / kt, windows.counts, temperature=TEMPERATURE, replicas=windows.replicas
    ).difference
    assert found.stderr < 0.1 * kt
    value = path.value(found.value, TEMPERATURE)
    assert value == pytest.approx(exact, rel=0.0, abs=4.0 * found.stderr)
    assert windows.integral() == pytest.approx(found.value, rel=0.0, abs=0.2 * kt)


def test_energies_along_a_path_are_those_of_the_simulation() -> None:
    path, _ = exact_paths()["removal"]
    moved = path.soft.positions + np.random.default_rng(0).normal(0.0, 0.05, (8, 3))
    lambdas = np.array([0.0, 0.4, 1.0])
    found = energies_along(springs(), path, moved[None], lambdas)[:, 0]
    settings = [
        sa.dynamics.Settings(
            schedule=path.schedule(1, function="constant", at=value), tethers=path.tethers
        )
        for value in lambdas
    ]
    starts = [path.soft.with_positions(moved)] * 3
    ends = run_dynamics(springs(), starts, settings, n_steps=0)
    np.testing.assert_allclose(found, [end.energy for end in ends], rtol=1e-12, atol=1e-12)


def test_two_ways_to_a_vacancy_are_the_same_sum() -> None:
    """F(N−1) − (N−1)/N F(N), and ħ and masses cancel: it is a function of the springs alone."""
    pure = crystal()
    full, gone = (exact_free_energy(pure.select(range(count)), TEMPERATURE) for count in (8, 7))
    one = vacancy_from_crystals(Known(gone, 0.3), Known(full, 0.8), 8)
    two = vacancy_from_removal(Known(gone - full, 0.3), Known(full, 0.8), 8)
    assert one.value == pytest.approx(two.value, rel=1e-12)
    assert one.stderr == pytest.approx(np.hypot(0.3, 0.7))
    assert two.stderr == pytest.approx(np.hypot(0.3, 0.1))
    heavy = pure.with_isotopes(np.ones(8, dtype=bool), np.full(8, 100.0))
    others = [exact_free_energy(heavy.select(range(count)), TEMPERATURE) for count in (8, 7)]
    isotope = vacancy_from_crystals(Known(others[1]), Known(others[0]), 8)
    assert isotope.value == pytest.approx(one.value, rel=1e-10)
    assert vacancy_from_removal(Known(1.0), Known(8.0), 8, work=4.0).value == 2.5
    found = formation(Known(1.0, 0.3), {"Al": 1, "Sc": -1}, {"Al": Known(0.5, 0.4), "Sc": Known(2)})
    assert (found.value, found.stderr) == (-0.5, 0.5)


def test_masses_enter_a_substitution_only_by_their_logarithm() -> None:
    path = substitution(crystal(), {0: "Sc", 5: "Sc"})
    expected = 2 * 1.5 * thermal_energy(500.0) * np.log(26.9815385 / 44.955908)
    assert path.constant(500.0) == pytest.approx(expected, rel=1e-9)
    assert path.soft.groups.theta.tolist() in ([1.0, 0.0], [0.0, 1.0])
    assert path.end == tuple(1.0 - path.soft.groups.theta)


def test_springs_go_with_their_atoms_in_any_order() -> None:
    one, two = removal(crystal(), [6, 2], [1.0, 3.0]), removal(crystal(), [2, 6], [3.0, 1.0])
    assert one.tethers == two.tethers
    assert one.tethers is not None
    assert one.tethers.stiffness == (3.0, 1.0)


def test_a_run_that_is_called_again_gives_the_same_works(tmp_path: FilePath) -> None:
    path, _ = exact_paths()["removal"]
    case = Case("removal", path, TEMPERATURE)
    short = Protocol(**{**vars(FAST), "n_replicas": 1})
    straight = switch(springs(), [case], short)[0]
    again = [
        switch(springs(), [case], short, folder=tmp_path, wall_time=limit, checkpoint_every=50)[0]
        for limit in (1e-6, None)
    ]
    assert again[0].status == "interrupted"
    assert again[0].forward.size == 0
    assert again[1].forward.tolist() == straight.forward.tolist()
    assert again[1].backward.tolist() == straight.backward.tolist()
    for one, two in zip(again[1].runs, straight.runs, strict=True):
        np.testing.assert_array_equal(one.slopes, two.slopes)


def test_samples_of_the_slope_integrate_to_the_work() -> None:
    """Every step is sampled, so the trapezoidal rule is the very sum that the work is."""
    path, _ = exact_paths()["removal"]
    dense = Protocol(**{**vars(FAST), "n_replicas": 1, "switching_steps": 80, "n_profile": 80})
    dense = Protocol(**{**vars(dense), "equilibration_steps": 40})
    for run in switch(springs(), [Case("removal", path, TEMPERATURE)], dense)[0].runs:
        ends = [0.0, 1.0] if run.direction == "forward" else [1.0, 0.0]
        assert run.lambdas[[0, -1]].tolist() == ends
        assert np.trapezoid(run.slopes, run.lambdas) == pytest.approx(run.work, rel=1e-9)


def test_other_replicas_are_other_runs() -> None:
    path, _ = exact_paths()["removal"]
    short = Protocol(**{**vars(FAST), "n_replicas": 1, "switching_steps": 50})
    case = Case("removal", path, TEMPERATURE)
    first, second = (switch(springs(), [case], short, first_replica=n)[0] for n in (0, 1))
    both = first.joined(second)
    assert both.forward.tolist() == [*first.forward, *second.forward]
    assert len({*both.forward, *both.backward}) == 4
    assert both.evaluations == 4 * short.n_steps


def test_an_atom_that_hops_into_the_vacancy_is_noticed() -> None:
    path, _ = exact_paths()["removal"]
    places = Places(path)
    reference = path.soft.positions
    assert places.change(reference + np.random.default_rng(1).normal(0, 0.15, (8, 3))) == ""
    # The crystal as a whole may drift, and the atom that is gone may be anywhere.
    drifted = reference + np.array([0.0, 1.7, 0.0])
    drifted[7] = reference[7] - np.array([2.0, 0.0, 0.0])
    assert places.change(drifted) == ""
    hopped = reference.copy()
    hopped[3] = reference[7]
    assert "the atom of site 3 is at site 7" in places.change(hopped)
    hopped[3] = reference[3] + path.soft.cell[0]
    assert "another image" in places.change(hopped)


def test_a_run_with_a_hop_is_a_failed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = exact_paths()["removal"]

    def hopping(*arguments: object, **options: object) -> list[Outcome]:
        outcomes = run_dynamics(*arguments, **options)  # type: ignore[arg-type]
        moved = outcomes[1].soft.positions.copy()
        moved[3] = path.soft.positions[7] + 0.01
        moved[7] += 1.0
        soft = outcomes[1].soft.with_positions(moved)
        return [outcomes[0], Outcome(**{**vars(outcomes[1]), "soft": soft}), *outcomes[2:]]

    monkeypatch.setattr(switching, "run_dynamics", hopping)
    short = Protocol(**{**vars(FAST), "n_replicas": 2, "switching_steps": 20})
    works: Works = switch(springs(), [Case("removal", path, TEMPERATURE)], short)[0]
    assert [run.status for run in works.runs] == ["ok", "failed", "ok", "ok"]
    assert works.status == "ok"
    assert "1 of 4 runs failed" in works.error
    assert "has changed its place" in works.error
    assert (works.forward.size, works.backward.size) == (1, 2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: removal(crystal(), [0, 0], 1.0), "different indices from 0 to 7"),
        (lambda: removal(crystal(), 9, 1.0), "different indices from 0 to 7"),
        (lambda: removal(crystal(), range(8), 1.0), "at least one atom has to stay"),
        (lambda: removal(crystal(), 1, -1.0), "stiffness must be positive"),
        (lambda: substitution(crystal(), {3: "Al"}), "site 3 holds Al already"),
        (lambda: frenkel_ladd(crystal(), 1.0, cell_volume=0.0), "cell_volume"),
        (lambda: Protocol(switching_steps=0), "switching_steps"),
        (lambda: Protocol(function="cubic"), "function must be"),  # type: ignore[arg-type]
        (lambda: WindowProtocol(lambdas=(0.0, 0.5)), "increase from 0 to 1"),
        (
            lambda: switch(springs(), [Case("a", removal(crystal(), 0, 1.0), 9.0)] * 2, FAST),
            "names",
        ),
    ],
)
def test_paths_and_protocols_without_sense_are_refused(build: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build()  # type: ignore[operator]


def test_a_path_starts_from_plain_sites() -> None:
    soft = sa.SoftAtoms.from_ase(bulk("Al", cubic=True)).with_existence([0], 0.5)
    with pytest.raises(StructureError, match="without soft sites"):
        removal(soft, 1, 1.0)
