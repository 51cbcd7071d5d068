"""Whole numbers as they are typed: 1.5 is none."""

from __future__ import annotations

import re
from typing import Annotated, Any

from cyclopts import Parameter


def whole(_: Any, tokens: Any) -> int:
    """The number.

    Raises:
        ValueError: it is no whole one.
    """
    text = tokens[0].value
    if not re.fullmatch(r"[+-]?\d[\d_]*", text):
        raise ValueError(f"{text} is no whole number")
    return int(text)


Whole = Annotated[int, Parameter(converter=whole)]
WholeOrNone = Annotated[int | None, Parameter(converter=whole)]
