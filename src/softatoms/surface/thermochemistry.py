"""Chemical potentials of reservoirs: gases at a temperature and pressure, and bulk crystals.

The chemical potential of an element that comes from a diatomic gas is half the energy of the
molecule at rest plus what temperature and pressure add (Reuter and Scheffler, Phys. Rev. B 65,
035406 (2001)). Zero-point vibrations are left out, as they are of the surface.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.optimize import brentq

from ..errors import SoftatomsError, suggest
from ..units import BOLTZMANN_EV_PER_K, EV_PER_KJ_PER_MOL

STANDARD_PRESSURE_BAR = 1.0
"""Pressure of the tabulated data."""


class ThermochemistryError(SoftatomsError):
    """A chemical potential that cannot be given."""


@dataclass(frozen=True)
class Gas:
    """A diatomic gas and its tabulated thermal functions.

    Attributes:
        element: Its element.
        enthalpy_kj_mol: H(298.15 K) − H(0) in kJ/mol.
        ranges: Upper end of each range in K, and the parameters A to G of the Shomate equations
            in J/mol, K and their products, in the order of temperature.
        lowest_k: Lower end of the first range.
        source: Where they are from.
    """

    element: str
    enthalpy_kj_mol: float
    ranges: tuple[tuple[float, tuple[float, ...]], ...]
    lowest_k: float
    source: str

    @property
    def highest_k(self) -> float:
        """Upper end of the last range in K."""
        return self.ranges[-1][0]


_WEBBOOK = "NIST Chemistry WebBook, SRD 69: Chase, NIST-JANAF Thermochemical Tables, 4th ed. (1998)"

GASES: Mapping[str, Gas] = {
    "O2": Gas(
        "O",
        8.683,
        (
            (700.0, (31.32234, -20.23531, 57.86644, -36.50624, -0.007374, -8.903471, 246.7945)),
            (2000.0, (30.03235, 8.772972, -3.988133, 0.788313, -0.741599, -11.32468, 236.1663)),
            (6000.0, (20.91111, 10.72071, -2.020498, 0.146449, 9.245722, 5.337651, 237.6185)),
        ),
        100.0,
        _WEBBOOK,
    ),
    "N2": Gas(
        "N",
        8.670,
        (
            (500.0, (28.98641, 1.853978, -9.647459, 16.63537, 0.000117, -8.671914, 226.4168)),
            (2000.0, (19.50583, 19.88705, -8.598535, 1.369784, 0.527601, -4.935202, 212.3900)),
            (6000.0, (35.51872, 1.128728, -0.196103, 0.014662, -4.553760, -18.97091, 224.9810)),
        ),
        100.0,
        _WEBBOOK,
    ),
    "H2": Gas(
        "H",
        8.467,
        (
            (
                1000.0,
                (33.066178, -11.363417, 11.432816, -2.772874, -0.158558, -9.980797, 172.707974),
            ),
            (
                2500.0,
                (18.563083, 12.257357, -2.859786, 0.268238, 1.977990, -1.147438, 156.288133),
            ),
        ),
        298.0,
        _WEBBOOK,
    ),
}
"""Gases by formula."""


def gas_of(element: str) -> Gas:
    """The gas that is the reservoir of an element.

    Raises:
        ThermochemistryError: If none is tabulated.
    """
    found = {gas.element: gas for gas in GASES.values()}
    if element not in found:
        raise ThermochemistryError(
            f"no gas of {element} is tabulated, so its chemical potential has to be given; "
            f"{suggest(element, found)}"
        )
    return found[element]


def delta_mu(gas: Gas, temperature_k: float, pressure_bar: float) -> float:
    """Chemical potential of an atom of a gas, less half the energy of its molecule, in eV.

    Args:
        gas: The gas.
        temperature_k: Temperature in K.
        pressure_bar: Partial pressure in bar.

    Raises:
        ThermochemistryError: If the temperature lies outside of the table, or the pressure is not
            positive.
    """
    if not gas.lowest_k <= temperature_k <= gas.highest_k:
        raise ThermochemistryError(
            f"{gas.element}2 is tabulated from {gas.lowest_k:g} to {gas.highest_k:g} K, "
            f"not at {temperature_k:g} K"
        )
    if not 0.0 < pressure_bar < math.inf:
        raise ThermochemistryError(f"a pressure must be positive, got {pressure_bar:g} bar")
    a, b, c, d, e, f, g = next(own for high, own in gas.ranges if temperature_k <= high)
    t = temperature_k / 1000.0
    from_298 = a * t + b * t**2 / 2 + c * t**3 / 3 + d * t**4 / 4 - e / t + f
    entropy = a * math.log(t) + b * t + c * t**2 / 2 + d * t**3 / 3 - e / (2 * t**2) + g
    free_energy = from_298 + gas.enthalpy_kj_mol - t * entropy
    pressure = math.log(pressure_bar / STANDARD_PRESSURE_BAR)
    return 0.5 * (free_energy * EV_PER_KJ_PER_MOL + BOLTZMANN_EV_PER_K * temperature_k * pressure)


def pressure_at(gas: Gas, temperature_k: float, delta_mu_ev: float) -> float:
    """Pressure in bar at which :func:`delta_mu` has a value in eV.

    Args:
        gas: The gas.
        temperature_k: Temperature in K.
        delta_mu_ev: Wanted value in eV.
    """
    excess = delta_mu_ev - delta_mu(gas, temperature_k, STANDARD_PRESSURE_BAR)
    return STANDARD_PRESSURE_BAR * math.exp(2.0 * excess / (BOLTZMANN_EV_PER_K * temperature_k))


def temperature_at(gas: Gas, pressure_bar: float, delta_mu_ev: float) -> float | None:
    """Temperature in K at which :func:`delta_mu` has a value; none if that is off the table.

    Args:
        gas: The gas.
        pressure_bar: Partial pressure in bar.
        delta_mu_ev: Wanted value in eV.
    """

    def excess(temperature_k: float) -> float:
        return delta_mu(gas, temperature_k, pressure_bar) - delta_mu_ev

    ends = gas.lowest_k, gas.highest_k
    if excess(ends[0]) * excess(ends[1]) > 0.0:
        return None
    return float(brentq(excess, *ends, xtol=1e-9))


def molecule_from_oxide(
    oxide_ev: float, metals_ev: float, n_atoms: int, formation_ev: float
) -> float:
    """Energy in eV of a diatomic molecule that gives a measured heat of formation.

    Many potentials describe crystals better than molecules. Their own energies of a compound and
    its metals, with the measured heat of formation, are a reference without the molecule.

    Args:
        oxide_ev: Energy of the compound in eV per formula unit.
        metals_ev: Energy of the other atoms of a formula unit in their own crystals, in eV.
        n_atoms: Atoms of the gas in a formula unit.
        formation_ev: Measured heat of formation in eV per formula unit, negative for a stable
            compound.
    """
    return 2.0 * (oxide_ev - metals_ev - formation_ev) / n_atoms


def formation_limit(oxide_ev: float, metals_ev: float, n_atoms: int, molecule_ev: float) -> float:
    """Δμ in eV above which a bulk compound forms from its metals.

    Args:
        oxide_ev: Energy of the compound in eV per formula unit.
        metals_ev: Energy of the other atoms of a formula unit in their reservoirs, in eV.
        n_atoms: Atoms of the gas in a formula unit.
        molecule_ev: Energy of the molecule in eV.
    """
    return (oxide_ev - metals_ev) / n_atoms - 0.5 * molecule_ev
