"""Chemical formulas with fractional amounts, such as ``(Ba0.5Sr0.5)TiO3``."""

from __future__ import annotations

import math
import re

from ..config.elements import SYMBOLS
from ..errors import SoftatomsError

_TOKEN = re.compile(r"(?P<symbol>[A-Z][a-z]?)|(?P<open>[(\[{])|(?P<close>[)\]}])")
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def parse_formula(text: str) -> dict[str, float]:
    """Amount of each element in a formula.

    Args:
        text: Symbols with amounts, 1 where none stands; brackets may be nested; white space and
            elements with the amount 0 do not count.

    Raises:
        SoftatomsError: Saying what cannot be read.
    """
    formula = "".join(text.translate(_SUBSCRIPTS).split())
    stack: list[tuple[str, dict[str, float]]] = [("", {})]
    position = 0
    while position < len(formula):
        match = _TOKEN.match(formula, position)
        if match is None:
            raise SoftatomsError(f"'{formula[position:]}' in '{text}' is no part of a formula")
        position = match.end()
        if match["open"]:
            stack.append((_CLOSING[match["open"]], {}))
            continue
        group: dict[str, float]
        if match["symbol"]:
            if match["symbol"] not in SYMBOLS:
                raise SoftatomsError(f"'{match['symbol']}' in '{text}' is no chemical element")
            group = {match["symbol"]: 1.0}
        else:
            closing, group = stack.pop()
            if closing != match["close"]:
                raise SoftatomsError(f"brackets do not match in '{text}'")
        number = _NUMBER.match(formula, position)
        factor = float(number[0]) if number else 1.0
        position = number.end() if number else position
        held = stack[-1][1]
        for symbol, amount in group.items():
            held[symbol] = held.get(symbol, 0.0) + factor * amount
    if len(stack) > 1:
        raise SoftatomsError(f"brackets do not match in '{text}'")
    found = {symbol: amount for symbol, amount in stack[0][1].items() if amount > 0.0}
    if not found or not all(map(math.isfinite, found.values())):
        raise SoftatomsError(f"'{text}' holds no atoms")
    return found
