"""Free energies of mixing from Monte Carlo in which atoms change their element at given Δμ.

Every proposal is kept, accepted or not. Two estimates come from them: the mean composition at each
Δμ, and acceptance ratios between neighbouring compositions (Bennett, J. Comput. Phys. 22, 245
(1976)).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import NDArray

from softatoms.free_energy.defects import Known
from softatoms.free_energy.einstein import thermal_energy

Floats = NDArray[np.float64]

DEGREE, NEWTON_STEPS = 3, 30

MIDDLE = 0.1
"""Replicas with a composition this near to 1/2 tell the short-range order."""


@dataclass(frozen=True)
class Proposals:
    """All proposals of a run, in time.

    Attributes:
        potentials: Δμ of each replica in eV, shape (n_replicas,).
        before: Atoms of the second element before, shape (n_times, n_replicas).
        up: Whether one more was proposed, same shape.
        change: Energy of it in eV, same shape.
        after: Atoms of the second element afterwards, same shape.
        unlike: Part of the first-shell pairs with unlike atoms at the end of each sweep, shape
            (n_sweeps, n_replicas).
    """

    potentials: Floats
    before: NDArray[np.int64]
    up: NDArray[np.bool_]
    change: Floats
    after: NDArray[np.int64]
    unlike: Floats


@dataclass(frozen=True)
class Exchanged:
    """Free energies of mixing by Monte Carlo, without the ideal entropy, in eV/atom.

    Attributes:
        ratios: From acceptance ratios at each composition, n/54.
        integral: From mean compositions, integrated over composition, likewise.
        order: First-shell Warren–Cowley parameter near x = 1/2, against a random arrangement of as
            many atoms.
    """

    ratios: list[Known]
    integral: list[Known]
    order: Known


def excess_from_proposals(proposals: Proposals, kelvin: float, count: int) -> Exchanged:
    """Free energy of mixing without that of an ideal solution, at every composition n/count.

    Args:
        proposals: Of all replicas.
        kelvin: Temperature in K.
        count: Number of sites.
    """
    thermal, sweeps = thermal_energy(kelvin), len(proposals.unlike)
    # Replicas are independent of each other, parts of one in time may not be.
    replicas = np.arange(len(proposals.potentials))
    kept = [replicas >= 0] + [replicas != one for one in replicas]
    integral, ratios = [], []
    for keep in kept:
        cubic = _by_composition(proposals, keep, count, thermal)
        integral.append(_of_mixing_at(cubic, count))
        ratios.append(_of_mixing_at(_by_ratios(proposals, keep, count, thermal, cubic), count))
    x = proposals.after.mean(axis=0) / count
    middle = np.flatnonzero(abs(x - 0.5) < MIDDLE)
    now = proposals.after.reshape(sweeps, -1, len(x))[:, -1][:, middle]
    random = 2.0 * now * (count - now) / (count * (count - 1.0))
    means = (1.0 - proposals.unlike[:, middle] / random).mean(axis=0)
    return Exchanged(
        _known(np.stack(ratios)),
        _known(np.stack(integral)),
        Known(float(means.mean()), float(means.std(ddof=1)) / np.sqrt(len(means))),
    )


def _known(values: Floats) -> list[Known]:
    """The first row, with jackknife errors from the others."""
    return [
        Known(float(value), float(error))
        for value, error in zip(values[0], _jackknife(values[1:]), strict=True)
    ]


def _jackknife(parts: Floats) -> Floats:
    deviation = parts - parts.mean(axis=0)
    return np.sqrt((len(parts) - 1.0) / len(parts) * np.sum(deviation**2, axis=0))


def _by_composition(
    proposals: Proposals, keep: NDArray[np.bool_], count: int, thermal: float
) -> Polynomial:
    """Δμ less its ideal part over composition, a cubic, from the mean composition at each Δμ."""
    x = proposals.after[:, keep].mean(axis=0) / count
    excess = proposals.potentials[keep] - thermal * np.log(x / (1.0 - x))
    # Fluctuations of x make an error of Δμ of kT/√(N x (1 − x)).
    return Polynomial.fit(x, excess, DEGREE, domain=[0, 1], w=np.sqrt(x * (1.0 - x)))


def _by_ratios(
    proposals: Proposals,
    keep: NDArray[np.bool_],
    count: int,
    thermal: float,
    start: Polynomial,
) -> Polynomial:
    """The same cubic from the energies of all proposals.

    The sites to exchange are chosen at random, so with f the Fermi function

        ⟨f((ΔE − d)/kT)⟩ up from n = ⟨f((ΔE + d)/kT)⟩ down from n + 1,   d = F(n+1) − F(n)

    where F lacks −kT ln of the number of arrangements. d is the polynomial that meets it on average
    over n, by Newton's method; an n with few proposals counts little.
    """
    before, up, change = (
        part[:, keep].ravel() for part in (proposals.before, proposals.up, proposals.change)
    )
    lower = np.where(up, before, before - 1)
    rising, falling = (np.bincount(lower[which], minlength=count) for which in (up, ~up))
    weight = rising * falling / np.maximum(rising + falling, 1)
    each = np.where(up, weight[lower] / np.maximum(rising[lower], 1), 0.0)
    each -= np.where(up, 0.0, weight[lower] / np.maximum(falling[lower], 1))
    sign = np.where(up, 1.0, -1.0)
    # Scaled to −1 to 1, as the coefficients of a fitted polynomial are.
    powers = np.vander(2.0 * (lower + 0.5) / count - 1.0, DEGREE + 1, increasing=True)
    coefficients = start.coef.copy()
    for _ in range(NEWTON_STEPS):
        argument = (change - sign * (powers @ coefficients)) / thermal
        fermi = 1.0 / (1.0 + np.exp(argument))
        missing = powers.T @ (each * fermi)
        slope = powers.T @ ((each * sign * fermi * (1.0 - fermi) / thermal)[:, None] * powers)
        change_of = np.linalg.solve(slope, missing)
        coefficients -= change_of
    assert np.abs(change_of).max() < 1e-8, "acceptance ratios: Newton's method did not converge"
    return Polynomial(coefficients, domain=[0, 1])


def _of_mixing_at(excess: Polynomial, count: int) -> Floats:
    """Integral over composition less the straight line between the metals, in eV/atom."""
    integral, shares = excess.integ(), np.arange(count + 1) / count
    free = integral(shares) - integral(0.0)
    return np.asarray(free - shares * free[-1])


def exact_proposals(
    kelvin: float, count: int, sweeps: int, aimed: Floats, seed: int
) -> tuple[Proposals, Floats]:
    """The same Monte Carlo of a solution whose free energy is known.

    Sites have fields of their own, 60 meV wide, and all atoms attract each other by the mean
    composition. The sum over all arrangements of n atoms is an elementary symmetric polynomial of
    the Boltzmann factors of the fields.

    Args:
        kelvin: Temperature in K.
        count: Number of sites.
        sweeps: Sweeps of count/2 proposals; as many as a tenth more are dropped at first.
        aimed: Compositions that Δμ are chosen for.
        seed: Of everything.

    Returns:
        All proposals, and the exact free energy of mixing without the ideal entropy in eV/atom at
        n/count, shape (count + 1,).
    """
    rng, thermal = np.random.default_rng(seed), thermal_energy(kelvin)
    fields, attraction, more = rng.normal(0.0, 0.06, count), -0.05, -2.1
    potentials = more + attraction * (1.0 - 2.0 * aimed) + thermal * np.log(aimed / (1.0 - aimed))
    rows = np.arange(len(aimed))
    held = np.stack([rng.permutation(count) < round(share * count) for share in aimed])
    records = []
    dropped = max(sweeps // 10, 1) * (count // 2)
    for time in range(-dropped, sweeps * (count // 2)):
        sites = rng.integers(count, size=len(rows))
        up, before = ~held[rows, sites], held.sum(axis=1)
        sign = np.where(up, 1, -1)
        mean = attraction * sign * (1.0 - (2.0 * before + sign) / count)
        change = sign * (more + fields[sites]) + mean
        accept = np.log(rng.random(len(rows))) < -(change - sign * potentials) / thermal
        held[rows[accept], sites[accept]] ^= True
        if time >= 0:
            records.append((before, up, change, held.sum(axis=1)))
    before, up, change, after = (np.stack(column) for column in zip(*records, strict=True))
    sums = np.zeros(count + 1)
    sums[0] = 1.0
    for factor in np.exp(-fields / thermal):
        sums[1:] += factor * sums[:-1]
    shares = np.arange(count + 1) / count
    ways = np.array([float(comb(count, n)) for n in range(count + 1)])
    free = attraction * count * shares * (1.0 - shares) - thermal * np.log(sums / ways)
    exact = (free - shares * free[-1]) / count
    unlike = np.full((sweeps, len(rows)), 0.5)
    return Proposals(potentials, before, up, change, after, unlike), exact
