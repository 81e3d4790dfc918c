"""pymbar, imported when it is needed and without the advertisements it logs."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from types import ModuleType

import numpy as np

_TALKATIVE = (
    "pymbar.timeseries",
    "pymbar.mbar_solvers",
    "pymbar.other_estimators",
    "numexpr.utils",
)


def pymbar() -> ModuleType:
    """The module ``pymbar``."""
    with _without_messages():
        import pymbar as module
        import pymbar.timeseries
    return module


@contextlib.contextmanager
def calling_pymbar() -> Iterator[ModuleType]:
    """The module for calls of it.

    It changes how numpy treats overflows, and hands its options to solvers of scipy that do not
    have them: the first is undone, the second not told.
    """
    module = pymbar()
    with np.errstate(), warnings.catch_warnings(), _without_messages():
        warnings.filterwarnings("ignore", "Unknown solver options")
        yield module


@contextlib.contextmanager
def _without_messages() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
