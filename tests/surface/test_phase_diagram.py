"""Lower envelopes of Ω(Δμ)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softatoms.errors import OptionError
from softatoms.surface.phase_diagram import Line, stable_at, stable_in_gas, stable_windows
from softatoms.surface.thermochemistry import GASES, delta_mu

CLEAN, ROW, OXIDE = Line("clean", 0.0, 0.0), Line("row", -0.05, 0.02), Line("oxide", 0.02, 0.06)


def test_windows_end_where_lines_cross():
    windows = stable_windows([OXIDE, CLEAN, ROW], -4.0, 3.0)
    assert [window.name for window in windows] == ["clean", "row", "oxide"]
    assert [window.low for window in windows] == pytest.approx([-4.0, -2.5, 1.75], rel=1e-12)
    assert [window.high for window in windows] == pytest.approx([-2.5, 1.75, 3.0], rel=1e-12)


def test_what_is_never_stable_has_no_window():
    above = Line("above", 0.5, 0.03)
    names = [window.name for window in stable_windows([CLEAN, ROW, OXIDE, above], -4.0, 3.0)]
    assert "above" not in names


numbers = st.floats(-1.0, 1.0).map(lambda x: round(x, 3))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8))
def test_windows_are_those_of_the_lowest_line(pairs):
    lines = [Line(str(i), omega, excess) for i, (omega, excess) in enumerate(pairs)]
    windows = stable_windows(lines, -2.0, 2.0)
    assert windows[0].low == -2.0
    assert windows[-1].high == 2.0
    by_name = {line.name: line for line in lines}
    for window, following in zip(windows, [*windows[1:], None], strict=True):
        middle = 0.5 * (window.low + window.high)
        lowest = min(float(line.at(middle)) for line in lines)
        assert float(by_name[window.name].at(middle)) == pytest.approx(lowest, rel=0, abs=1e-12)
        assert window.low < window.high
        if following is not None:
            assert window.high == following.low


def test_gas_gives_what_its_chemical_potential_gives():
    temperatures, pressures = np.array([400.0, 800.0, 1200.0]), np.array([1e-12, 1e-3, 1.0])
    lines = [CLEAN, Line("row", -0.02, 0.02)]
    found = stable_in_gas(lines, GASES["O2"], temperatures, pressures)
    for i, temperature in enumerate(temperatures):
        for j, pressure in enumerate(pressures):
            expected = stable_at(lines, np.array([delta_mu(GASES["O2"], temperature, pressure)]))
            assert found[i, j] == expected[0]
    assert set(found.ravel().tolist()) == {0, 1}


def test_bad_ranges_are_told():
    with pytest.raises(OptionError, match="at least one structure"):
        stable_windows([], -1.0, 0.0)
    with pytest.raises(OptionError, match="lower to a higher value, got 0 to -1 eV"):
        stable_windows([CLEAN], 0.0, -1.0)
