"""A look far along a direction in which the model has no minimum: there f may fall without end.

Where the curvature along a direction is negative, the length that the model gives it means nothing, and a search that ends at the
first minimum on its way, a ripple say, goes by such lengths for ever. So a step that the search has accepted is compared with one
10⁶ times as long. If that is lower, one 10⁶ times as long again is tried, until f overflows or rises; else the step is taken.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ravine.steps.line_search import SEARCHING, SETTLED, Line

FAR = 1e6


def far(line: Line, judged: Line, endless: Any, f: Any, m: Any) -> Line:
    """The search after a look far along its direction, where that is `endless`.

    Args:
        line, judged: before and after a search has judged the trial with the value f and the slope m.
    """
    origin, _, _, best = line.read()
    looking = endless & (best.t > 0) & (line.t >= FAR * best.t)
    begin = endless & judged.accepted & ~line.settled & ~looking
    lower = jnp.isfinite(f) & jnp.isfinite(m) & (f < jnp.where(looking, best.f, origin.f))
    on, back = (begin | looking) & lower, looking & ~lower
    trial = jnp.stack([line.t, f, m])
    return judged._replace(
        t=jnp.where(on, FAR * line.t, jnp.where(back, best.t, judged.t)),
        ends=judged.ends.at[3].set(jnp.where(on, trial, judged.ends[3])),
        outcome=jnp.where(on, SEARCHING, jnp.where(back, SETTLED, judged.outcome)),
    )
