"""Parts of a step that a processor runs one after another.

On a processor XLA shares out the kernels of a program to threads, where any of them touches more than 512 bytes and more than eight
are ready at once. To wake a thread takes longer than whole steps of a small problem. A section is a program within
the program: what it holds is one thing to do for what is around it, and where all of its own arrays are small it is not shared out.

`python benchmarks/least_squares.py single` on two cores: 0.14 ms a fit with ALONE = 0, so without sections, 0.07 to 0.10 with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.xla_metadata import set_xla_metadata

from ravine.core import work

ALONE = 512
"""Bytes of an array up to which a processor computes with it in the thread that is there."""


def section(part: Callable[..., Any], largest: int) -> Callable[..., Any]:
    """`part`, kept together when it is compiled for a processor. Its work is counted as before.

    Args:
        largest: bytes of the largest array that is made between looks at the user's function. Where it is above `ALONE`, the
            parts of a section are shared out all the same, and the section only adds to that.
    """
    if largest > ALONE or jax.default_backend() != "cpu":
        return part

    def kept_together(*args: Any) -> Any:
        fixed: dict[str, int] = {}

        def counted(*args: Any) -> Any:
            with work.tallied() as tally:
                made = part(*args)
            fixed.update(tally.static)
            return made, tally.traced

        made, traced = set_xla_metadata(jax.jit(counted)(*args), inlineable="false")
        for name, n in fixed.items():
            work.count(name, n)
        if traced is not None:
            work.count_vector(traced)
        return made

    return kept_together
