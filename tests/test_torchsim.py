"""Potentials inside TorchSim."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk

import softatoms as sa
from softatoms.errors import OptionError
from tolerances import assert_close

ts = pytest.importorskip(
    "torch_sim", reason="TorchSim is not installed; it needs Python 3.12 or later"
)


def crystals() -> list[sa.SoftAtoms]:
    systems = []
    for seed, edge in enumerate((3.7, 3.8)):
        atoms = bulk("Cu", cubic=True, a=edge) * (1 + seed, 1, 1)
        atoms.rattle(0.1, seed=seed)
        systems.append(sa.SoftAtoms.from_ase(atoms))
    return systems


def state_of(systems: list[sa.SoftAtoms]) -> object:
    atoms = [soft.to_ase() for soft in systems]
    for each in atoms:
        each.info.clear()
    return ts.io.atoms_to_state(atoms, torch.device("cpu"), torch.float64)


def model(systems: list[sa.SoftAtoms] | None = None, coupling: str = "mean_field") -> object:
    from softatoms.torchsim import SoftModel

    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    return SoftModel(potential, systems, coupling=coupling)


def test_plain_atoms_have_the_same_energies() -> None:
    systems = crystals()
    found = model()(state_of(systems))
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    expected = sa.evaluate_batch(potential, systems, properties=("energy", "forces", "stress"))
    assert_close(found["energy"], np.array([float(out.energy) for out in expected]), "same")
    assert_close(found["forces"], np.concatenate([out.forces for out in expected]), "same")
    assert_close(found["stress"], np.stack([out.stress for out in expected]), "same")


@pytest.mark.parametrize("coupling", ["mean_field", "replica"])
def test_soft_atoms_have_the_same_energies(coupling: str) -> None:
    first, second = crystals()
    systems = [
        first.with_existence([1], 0.5),
        second.with_candidates([0, 3], {"Cu": 0.4, "Au": 0.6}),
    ]
    found = model(systems, coupling)(state_of(systems))
    potential = sa.load_potential("gupta", elements=["Cu", "Au"])
    expected = sa.evaluate_batch(potential, systems, coupling=coupling)
    assert_close(found["energy"], np.array([float(out.energy) for out in expected]), "same")
    assert_close(found["forces"], np.concatenate([out.forces for out in expected]), "same")


def test_other_systems_than_the_soft_ones_are_refused() -> None:
    first, second = crystals()
    with pytest.raises(OptionError, match=r"\[4\] atoms"):
        model([first.with_existence([0], 0.5), second])(state_of([first]))


def test_systems_may_change_and_wrapping_keeps_the_lists() -> None:
    tested = model()
    systems = crystals()
    state = state_of(systems)
    together = tested(state)["energy"]
    wrapped = state.clone()
    wrapped.positions = state.positions + state.cell.mT[state.system_idx, 0]
    assert_close(tested(wrapped)["energy"], together, "same")
    assert [neighbours.rebuilds for neighbours in tested._lists] == [1, 1]
    assert_close(tested(state_of(systems[1:]))["energy"], together[1:], "same")


def test_energy_is_conserved_in_its_dynamics() -> None:
    tested = model()
    state = ts.nve_init(
        state_of(crystals()), tested, kT=torch.tensor(300.0 * ts.units.MetalUnits.temperature)
    )
    kinetic = ts.calc_kinetic_energy(
        masses=state.masses, momenta=state.momenta, system_idx=state.system_idx
    )
    before = state.energy + kinetic
    for _ in range(100):
        state = ts.nve_step(
            state, tested, dt=torch.tensor(0.001 * ts.units.MetalUnits.time, dtype=torch.float64)
        )
    kinetic = ts.calc_kinetic_energy(
        masses=state.masses, momenta=state.momenta, system_idx=state.system_idx
    )
    assert float((state.energy + kinetic - before).abs().max()) < 1e-3
