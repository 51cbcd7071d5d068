"""Warnings that point at the user's line."""

from __future__ import annotations

import sys
import warnings


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """`warnings.warn` for the line of the user's that led here, however many functions of the library lie between."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "ravine":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
