"""Random numbers that depend on a system's seed and step and on nothing else.

numpy's Philox is a function of a key and a counter: what a system draws in a step needs no state
that could be lost, and is the same in any batch, on any device, and after any restart.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Stream = Literal["velocities", "thermostat", "barostat"]

_STREAMS: dict[Stream, int] = {"velocities": 0, "thermostat": 1, "barostat": 2}


def generator(seed: int, stream: Stream, step: int) -> np.random.Generator:
    """What one system draws from for one purpose in one step.

    Args:
        seed: Seed of the system, 0 to 2⁶⁴ − 1.
        stream: Purpose.
        step: Step of the system.
    """
    key = np.array([seed, _STREAMS[stream]], dtype=np.uint64)
    # Draws count up the lowest word, so those of two steps never meet.
    counter = np.array([0, 0, 0, step], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
