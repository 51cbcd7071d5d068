"""`name[key=value, …]`: how problems and methods are written on the command line, with plain values only."""

from __future__ import annotations

import ast
import re
from typing import Any

_PIECE = re.compile(r"""\s*([A-Za-z_]\w*)\s*=\s*((?:'[^']*'|"[^"]*"|\([^()]*\)|\[[^\[\]]*\]|[^,'"()\[\]])*)(?:,|$)""")
"""`key=value`: a value ends at a comma outside of quotes and brackets."""


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Splits `name[key=value, …]`; values are numbers, strings, booleans, None or lists of such, never code.

    Raises:
        ValueError: brackets that do not close, or a value that is no plain one.

    Example:
        >>> parse("adam[lr=0.01, b1=0.8]")
        ('adam', {'lr': 0.01, 'b1': 0.8})
        >>> parse("matrix_market[path=data/bcsstk01.mtx]")
        ('matrix_market', {'path': 'data/bcsstk01.mtx'})
    """
    name, bracket, inside = text.strip().partition("[")
    if not bracket:
        return name.strip(), {}
    if not inside.endswith("]"):
        raise ValueError(f"{text!r}: the bracket does not close; write name[key=value]")
    inside, values, at = inside[:-1], {}, 0
    while inside[at:].strip():
        piece = _PIECE.match(inside, at)
        if piece is None or not piece[2].strip() or piece[1] in values:
            raise ValueError(f"{text!r}: inside the brackets write key=value, separated by commas, each key once")
        values[piece[1]] = _value(text, piece[1], piece[2].strip())
        at = piece.end()
    return name.strip(), values


def _value(text: str, key: str, value: str) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        if set(value) & set("'\"()[]{}"):
            raise ValueError(f"{text!r}: {key} must be a number, a word, True, False, None or a list of such") from None
        return value  # a bare word or path is a string: start=he, path=data/bcsstk01.mtx
