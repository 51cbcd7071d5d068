"""`name[key=value, …]`: how problems and methods are written on the command line, with plain values only."""

from __future__ import annotations

import ast
import itertools
import re
from typing import Any

_PIECE = re.compile(r"""\s*([A-Za-z_]\w*)\s*=\s*((?:'[^']*'|"[^"]*"|\([^()]*\)|\[[^\[\]]*\]|[^,'"()\[\]])*)(?:,|$)""")
"""`key=value`: a value ends at a comma outside of quotes and brackets."""


class Elements(list[float]):
    """The elements of a start, one after the other; the problem's own start says in which arrays."""


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
    return name.strip(), {key: _value(text, key, value) for key, value in _pieces(text, inside)}


def _pieces(text: str, inside: str) -> list[tuple[str, str]]:
    """The keys and values of what stands behind the opening bracket."""
    if not inside.endswith("]"):
        raise ValueError(f"{text!r}: the bracket does not close; write name[key=value]")
    inside, at = inside[:-1], 0
    values: dict[str, str] = {}
    while inside[at:].strip():
        piece = _PIECE.match(inside, at)
        if piece is None or not piece[2].strip() or piece[1] in values:
            raise ValueError(f"{text!r}: inside the brackets write key=value, separated by commas, each key once")
        values[piece[1]] = piece[2].strip()
        at = piece.end()
    return list(values.items())


def expand(text: str) -> list[str]:
    """The names that `name[key=a|b, …]` stands for: one for each choice of values, in order.

    Raises:
        ValueError: brackets that cannot be read; see `parse`.

    Example:
        >>> expand("rosenbrock[n=2|10]")
        ['rosenbrock[n=2]', 'rosenbrock[n=10]']
        >>> expand("sphere")
        ['sphere']
    """
    if "|" not in text.partition("[")[2]:
        return [text]
    name, _, inside = text.strip().partition("[")
    pieces = _pieces(text, inside)
    choices = [[f"{key}={value}" for value in _choices(text, value)] for key, value in pieces]
    return [f"{name}[{', '.join(chosen)}]" for chosen in itertools.product(*choices)]


def _choices(text: str, value: str) -> list[str]:
    """The values between `|`, where these stand outside of quotes and brackets."""
    covered = re.sub(r"""'[^']*'|"[^"]*"|\([^()]*\)|\[[^\[\]]*\]""", lambda m: "_" * len(m[0]), value)
    cuts = [-1, *(i for i, letter in enumerate(covered) if letter == "|"), len(value)]
    words = [value[a + 1 : b].strip() for a, b in itertools.pairwise(cuts)]
    if not all(words):
        raise ValueError(f"{text!r}: a value is missing beside |")
    return words


def _value(text: str, key: str, value: str) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        if set(value) & set("'\"()[]{}"):
            raise ValueError(f"{text!r}: {key} must be a number, a word, True, False, None or a list of such") from None
        return value  # a bare word or path is a string: start=he, path=data/bcsstk01.mtx
