"""Tables that alchemlyb reads, tried with alchemlyb itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from softatoms.free_energy.alchemlyb_tables import (
    dhdl_of_windows,
    u_nk_of_windows,
    u_nk_of_works,
    write_frame,
)
from softatoms.free_energy.estimators import EstimateError, bar, mbar
from softatoms.free_energy.pymbar_quietly import calling_pymbar
from softatoms.units import BOLTZMANN_EV_PER_K

TEMPERATURE = 300.0
KT = BOLTZMANN_EV_PER_K * TEMPERATURE
LAMBDAS = np.linspace(0.0, 1.0, 5)


@pytest.fixture(autouse=True)
def _with_alchemlyb() -> None:
    with calling_pymbar():
        pytest.importorskip("alchemlyb")


def windows(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Oscillators of stiffness 1 + 3 λ: reduced energies, counts and dE/dλ in eV."""
    random = np.random.default_rng(0)
    stiffness = 1.0 + 3.0 * LAMBDAS
    positions = np.concatenate([random.normal(scale=k**-0.5, size=count) for k in stiffness])
    return (
        0.5 * stiffness[:, None] * positions**2,
        np.full(len(LAMBDAS), count),
        1.5 * KT * positions**2,
    )


def test_bar_of_works_is_the_same_there(tmp_path: Path) -> None:
    from alchemlyb.estimators import BAR
    from alchemlyb.parsing.parquet import extract_u_nk

    random = np.random.default_rng(1)
    width = np.sqrt(2.0) * KT
    forward, backward = random.normal(1.0 + KT, width, 200), random.normal(-1.0 + KT, width, 150)
    path = tmp_path / "u_nk.parquet"
    write_frame(path, u_nk_of_works(forward, backward, temperature=TEMPERATURE))
    with calling_pymbar():
        fitted = BAR().fit(extract_u_nk(path, TEMPERATURE))
    own = bar(forward, backward, temperature=TEMPERATURE)
    assert KT * fitted.delta_f_.loc[0.0, 1.0] == pytest.approx(own.value, rel=1e-7, abs=1e-7)
    assert KT * fitted.d_delta_f_.loc[0.0, 1.0] == pytest.approx(own.stderr, rel=0.1, abs=0.0)


def test_mbar_of_windows_is_the_same_there() -> None:
    from alchemlyb.estimators import MBAR

    reduced, counts, _ = windows(300)
    frame = u_nk_of_windows(reduced, counts, lambdas=LAMBDAS, temperature=TEMPERATURE)
    with calling_pymbar():
        fitted = MBAR().fit(frame)
    own = mbar(reduced, counts, temperature=TEMPERATURE)
    np.testing.assert_allclose(
        KT * fitted.delta_f_.loc[0.0].to_numpy(), own.free_energies, rtol=1e-6, atol=1e-8
    )


def test_integral_of_slopes_is_the_free_energy_there(tmp_path: Path) -> None:
    from alchemlyb.estimators import TI
    from alchemlyb.parsing.parquet import extract_dHdl

    _, counts, slopes = windows(4000)
    path = tmp_path / "dHdl.parquet"
    frame = dhdl_of_windows(slopes, counts, lambdas=LAMBDAS, temperature=TEMPERATURE)
    write_frame(path, frame)
    fitted = TI().fit(extract_dHdl(path, TEMPERATURE))
    # The mean slope is 3/2 over the stiffness; five points of it by the trapezoidal rule.
    exact = np.trapezoid(1.5 / (1.0 + 3.0 * LAMBDAS), LAMBDAS)
    error = fitted.d_delta_f_.loc[0.0, 1.0]
    assert abs(fitted.delta_f_.loc[0.0, 1.0] - exact) < 4.0 * error
    assert error < 0.02


def test_shapes_that_do_not_fit_are_refused() -> None:
    reduced, counts, slopes = windows(4)
    with pytest.raises(EstimateError, match=r"5 states must have shape \(5, 20\)"):
        u_nk_of_windows(reduced[:3], counts, lambdas=LAMBDAS, temperature=TEMPERATURE)
    with pytest.raises(EstimateError, match=r"must have shape \(20,\)"):
        dhdl_of_windows(slopes[:3], counts, lambdas=LAMBDAS, temperature=TEMPERATURE)
