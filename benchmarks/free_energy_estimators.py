"""How often 95 % intervals from few works hold the free energy, by exact normal works."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from softatoms.free_energy.estimators import Estimate, bar, dissipation_mean, jarzynski
from softatoms.units import BOLTZMANN_EV_PER_K

TEMPERATURE, DELTA = 300.0, 1.0
KT = BOLTZMANN_EV_PER_K * TEMPERATURE

ESTIMATORS: dict[str, Callable[[np.ndarray, np.ndarray], Estimate]] = {
    "bar": lambda one, two: bar(one, two, temperature=TEMPERATURE),
    "bar, bootstrap": lambda one, two: bar(one, two, temperature=TEMPERATURE, bootstrap=200),
    "mean": dissipation_mean,
    "jarzynski": lambda one, _: jarzynski(one, temperature=TEMPERATURE),
}


def main() -> None:
    """Print coverage and mean bias in kT, by works per direction and dissipation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    print("works  lost/kT  " + "  ".join(f"{name:>18}" for name in ESTIMATORS))
    for count in (4, 8, 16):
        for lost in (0.1, 0.5, 1.0, 2.0, 4.0):
            covered = dict.fromkeys(ESTIMATORS, 0)
            bias = dict.fromkeys(ESTIMATORS, 0.0)
            for seed in range(repeats):
                random = np.random.default_rng([seed, count])
                width = np.sqrt(2.0 * lost) * KT
                forward = random.normal(DELTA + lost * KT, width, count)
                backward = random.normal(-DELTA + lost * KT, width, count)
                for name, estimate in ESTIMATORS.items():
                    found = estimate(forward, backward)
                    covered[name] += found.contains(DELTA)
                    bias[name] += (found.value - DELTA) / KT / repeats
            cells = [f"{covered[name] / repeats:8.3f} {bias[name]:+8.3f}" for name in ESTIMATORS]
            print(f"{count:5d}  {lost:7.1f}  " + "  ".join(f"{cell:>18}" for cell in cells))
            # Both directions together are trustworthy up to 2 kT, whatever the number of works.
            if lost <= 2.0:
                assert min(covered["bar"], covered["mean"]) > 0.9 * repeats


if __name__ == "__main__":
    main()
