"""Which elements sit on which sublattice, told from a formula or from fractions alone.

Fixed sites take their atoms first. Elements that only one sublattice may hold go there. What an
element leaves over is settled where a sublattice has one such element left: it fills the rest. If
that settles everything, it is the only way; if not, the composition is refused, never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..config.elements import SYMBOLS
from ..errors import SoftatomsError, suggest
from .formulas import parse_formula
from .listed import PREFIX, Entry, Listing, refuse

if TYPE_CHECKING:
    from .tasks import Occupation

ROUNDED = 2e-3
"""How far a formula may be from fractions beside it: formulas are often rounded."""

_NOTHING = 1e-12
"""Fractions up to this are rounding errors."""

_EQUAL_DIGITS = 9
"""Compositions that agree to so many digits are the same."""


@dataclass(frozen=True)
class Layout:
    """What a parent lattice offers.

    Attributes:
        sites: Number of sites of each shared sublattice.
        elements: Elements that each may hold, in order.
        fixed: Atoms of each element on all other sites.
    """

    sites: dict[str, int]
    elements: dict[str, tuple[str, ...]]
    fixed: dict[str, float] = field(default_factory=dict)

    @property
    def size(self) -> float:
        """Number of all sites."""
        return sum(self.sites.values()) + math.fsum(self.fixed.values())

    def holders(self, symbol: str) -> list[str]:
        """Sublattices that may hold an element."""
        return [name for name, allowed in self.elements.items() if symbol in allowed]

    def described(self) -> str:
        """All of it in one line."""
        parts = [f"{n} {s} of {', '.join(self.elements[s])}" for s, n in self.sites.items()]
        return ", ".join([*parts, *(f"{amount:g} {e}" for e, amount in self.fixed.items())])


def place_all(listing: Listing, layout: Layout, tolerance: float) -> list[tuple[Occupation, str]]:
    """Occupations of all compositions of a file, with the user's own names.

    Args:
        listing: The compositions.
        layout: What the parent lattice offers.
        tolerance: How far fractions may be from 1 in sum.

    Raises:
        SoftatomsError: Naming the file and the first line that cannot be placed or repeats
            another.
    """
    columns = _columns(listing, layout)
    found: list[tuple[Occupation, str]] = []
    errors: list[str] = []
    seen: dict[tuple[float, ...], str] = {}
    for entry in listing.entries:
        try:
            occupation = _place(entry, columns, layout, tolerance)
            point = tuple(
                round(occupation[name].get(symbol, 0.0), _EQUAL_DIGITS)
                for name, allowed in layout.elements.items()
                for symbol in allowed
            )
            if point in seen:
                raise SoftatomsError(f"repeats the composition of {seen[point]}")
            seen[point] = entry.place
            found.append((occupation, entry.label))
        except SoftatomsError as error:
            errors.append(f"{entry.place}: {error}")
    refuse(listing.file, errors)
    return found


def place_amounts(amounts: Mapping[str, float], layout: Layout, tolerance: float) -> Occupation:
    """The only occupation with these amounts of the elements.

    Args:
        amounts: Relative amounts, above 0.
        layout: What the parent lattice offers.
        tolerance: How far fractions may be from 1 in sum.

    Raises:
        SoftatomsError: If there is none, or more than one.
    """
    for symbol in amounts:
        if symbol not in layout.fixed and not layout.holders(symbol):
            raise SoftatomsError(
                f"no site of the parent holds {symbol}: it has {layout.described()}"
            )
    left = _free_atoms(amounts, layout, tolerance)
    room = {name: float(sites) for name, sites in layout.sites.items()}
    placed: dict[str, dict[str, float]] = {name: {} for name in room}
    slack = {name: tolerance * sites for name, sites in layout.sites.items()}
    open_to = {symbol: layout.holders(symbol) for symbol in left}
    while left:
        step = _next(left, open_to, room)
        if step is None:
            raise SoftatomsError(_ambiguous(left, open_to))
        symbol, name, takes_all = step
        open_to[symbol].remove(name)
        amount = left[symbol] if takes_all else min(left[symbol], room[name])
        if takes_all or amount > slack[name]:
            placed[name][symbol] = amount
            room[name] -= amount
            left[symbol] -= amount
        if left[symbol] <= tolerance * layout.size:
            del left[symbol]
        elif not open_to[symbol]:
            raise SoftatomsError(f"{left[symbol]:g} of {symbol} per cell find no site")
    for name, sites in layout.sites.items():
        total = math.fsum(placed[name].values())
        if abs(total - sites) > slack[name]:
            held = " + ".join(f"{e} {x:.6g}" for e, x in placed[name].items()) or "none"
            raise SoftatomsError(
                f"sublattice '{name}' has {sites} sites per cell, but would hold {total:.6g} atoms "
                f"({held})"
            )
    return _normalised(placed, layout)


def _free_atoms(amounts: Mapping[str, float], layout: Layout, tolerance: float) -> dict[str, float]:
    """Atoms per cell that are not on fixed sites."""
    scale = _atoms_per_unit(amounts, layout, tolerance)
    left: dict[str, float] = {}
    for symbol in (*amounts, *(s for s in layout.fixed if s not in amounts)):
        rest = scale * amounts.get(symbol, 0.0) - layout.fixed.get(symbol, 0.0)
        if abs(rest) <= tolerance * layout.size:
            continue
        if rest < 0.0 or not layout.holders(symbol):
            raise SoftatomsError(
                f"has {scale * amounts.get(symbol, 0.0):.6g} of {symbol} per {layout.size:g} "
                f"sites, where the parent has {layout.fixed.get(symbol, 0.0):g}: it has "
                f"{layout.described()}"
            )
        left[symbol] = rest
    return left


def _atoms_per_unit(amounts: Mapping[str, float], layout: Layout, tolerance: float) -> float:
    """Factor from the amounts to atoms per cell: by what only fixed sites hold, or by the sum."""
    only_fixed = [symbol for symbol in layout.fixed if not layout.holders(symbol)]
    held = math.fsum(amounts.get(symbol, 0.0) for symbol in only_fixed)
    if held > 0.0:
        return math.fsum(layout.fixed[symbol] for symbol in only_fixed) / held
    total = math.fsum(amounts.values())
    if abs(total - round(total)) > tolerance * max(1.0, total):
        raise SoftatomsError(f"amounts sum to {total:.6g}; they must sum to 1, or a whole number")
    return layout.size / total


def _next(
    left: Mapping[str, float], open_to: Mapping[str, list[str]], room: Mapping[str, float]
) -> tuple[str, str, bool] | None:
    """An element with one sublattice left, or a sublattice with one element left."""
    for symbol in left:
        if len(open_to[symbol]) == 1:
            return symbol, open_to[symbol][0], True
    for name in room:
        waiting = [symbol for symbol in left if name in open_to[symbol]]
        if len(waiting) == 1:
            return waiting[0], name, False
    return None


def _ambiguous(left: Mapping[str, float], open_to: Mapping[str, list[str]]) -> str:
    symbol = next(iter(left))
    names = open_to[symbol]
    return (
        f"does not say how much {symbol} is on {' and '.join(repr(name) for name in names)}: "
        f"give columns such as '{PREFIX}{names[0]}_{symbol}'"
    )


def _normalised(placed: Mapping[str, Mapping[str, float]], layout: Layout) -> Occupation:
    found: Occupation = {}
    for name, allowed in layout.elements.items():
        total = math.fsum(placed[name].values())
        held = {symbol: placed[name].get(symbol, 0.0) / total for symbol in allowed}
        found[name] = {symbol: x for symbol, x in held.items() if x > _NOTHING}
    return found


def _columns(listing: Listing, layout: Layout) -> dict[str, tuple[str, str]]:
    """Sublattice, empty for none, and element of each column of fractions."""
    found: dict[str, tuple[str, str]] = {}
    for column in listing.columns:
        name, _, symbol = column.rpartition("_")
        where = f"{listing.file}: column '{PREFIX}{column}'"
        if name and name not in layout.sites:
            raise SoftatomsError(
                f"{where}: unknown sublattice '{name}': {suggest(name, layout.sites)}"
            )
        if symbol not in SYMBOLS:
            raise SoftatomsError(f"{where}: '{symbol}' is no chemical element")
        if name and symbol not in layout.elements[name]:
            raise SoftatomsError(
                f"{where}: {symbol} is not among the elements of sublattice '{name}': "
                f"{', '.join(layout.elements[name])}"
            )
        found[column] = name, symbol
    named = [column for column, (name, _) in found.items() if name]
    plain = [column for column, (name, _) in found.items() if not name]
    if named and plain:
        raise SoftatomsError(
            f"{listing.file}: columns '{PREFIX}{named[0]}' and '{PREFIX}{plain[0]}' do not go "
            "together: name the sublattice in all of them or in none"
        )
    return found


def _place(
    entry: Entry, columns: Mapping[str, tuple[str, str]], layout: Layout, tolerance: float
) -> Occupation:
    if not columns:
        return _place_formula(entry.formula, layout, tolerance)
    named = any(name for name, _ in columns.values())
    held = {columns[column]: x for column, x in entry.fractions.items() if x > 0.0}
    occupation = (
        _by_sublattice(held, layout, tolerance)
        if named
        else _by_element({symbol: x for (_, symbol), x in held.items()}, layout, tolerance)
    )
    if entry.formula:
        _check_formula(entry.formula, occupation, layout)
    return occupation


def _place_formula(formula: str, layout: Layout, tolerance: float) -> Occupation:
    try:
        return place_amounts(parse_formula(formula), layout, tolerance)
    except SoftatomsError as error:
        prefix = "" if f"'{formula}'" in str(error) else f"{formula}: "
        raise SoftatomsError(f"{prefix}{error}") from None


def _by_sublattice(
    held: Mapping[tuple[str, str], float], layout: Layout, tolerance: float
) -> Occupation:
    placed: dict[str, dict[str, float]] = {}
    for name, allowed in layout.elements.items():
        own = {symbol: x for (where, symbol), x in held.items() if where == name}
        if not own and len(allowed) == 1:
            own = {allowed[0]: 1.0}
        _check_sum(own, tolerance, f"of sublattice '{name}' ")
        placed[name] = own
    return _normalised(placed, layout)


def _by_element(held: Mapping[str, float], layout: Layout, tolerance: float) -> Occupation:
    """Fractions of the only sublattice, or overall ones where they name fixed atoms."""
    is_overall = len(layout.sites) > 1 or any(symbol in held for symbol in layout.fixed)
    if is_overall and any(layout.holders(symbol) for symbol in layout.fixed if symbol in held):
        shared = next(symbol for symbol in layout.fixed if symbol in held)
        name = layout.holders(shared)[0] if layout.holders(shared) else next(iter(layout.sites))
        raise SoftatomsError(
            f"x_{shared} may mean the sublattice or the whole: name the sublattice, "
            f"'{PREFIX}{name}_{shared}'"
        )
    _check_sum(held, tolerance, "")
    if is_overall:
        return place_amounts(held, layout, tolerance)
    ((name, allowed),) = layout.elements.items()
    strange = [symbol for symbol in held if symbol not in allowed]
    if strange:
        raise SoftatomsError(
            f"{strange[0]} is not among the elements of sublattice '{name}': {', '.join(allowed)}"
        )
    return _normalised({name: held}, layout)


def _check_sum(held: Mapping[str, float], tolerance: float, of: str) -> None:
    total = math.fsum(held.values())
    if abs(total - 1.0) > tolerance:
        raise SoftatomsError(f"fractions {of}must sum to 1, got {total:.6g}")


def _check_formula(formula: str, occupation: Occupation, layout: Layout) -> None:
    """Refuse a formula that says something else than the fractions beside it."""
    amounts = parse_formula(formula)
    total = math.fsum(amounts.values())
    overall = {symbol: atoms / layout.size for symbol, atoms in layout.fixed.items()}
    for name, weights in occupation.items():
        for symbol, x in weights.items():
            overall[symbol] = overall.get(symbol, 0.0) + layout.sites[name] / layout.size * x
    for symbol in dict.fromkeys([*amounts, *overall]):
        if abs(amounts.get(symbol, 0.0) / total - overall.get(symbol, 0.0)) > ROUNDED:
            raise SoftatomsError(
                f"{formula}: says {amounts.get(symbol, 0.0) / total:.4g} of {symbol} per atom, the "
                f"fractions beside it {overall.get(symbol, 0.0):.4g}"
            )
