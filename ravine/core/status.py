"""Why a run ended, as data."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """Why a run ended. Smaller numbers win when several reasons hold at once.

    | status | when | success |
    |---|---|---|
    | CONVERGED | optimality ≤ tol, relative to the problem's own scale | yes |
    | PRECISION | no further decrease can be resolved in this dtype | yes |
    | TARGET | the value that the user asked for was reached | yes |
    | NONFINITE | no point with a finite value and gradient could be found; the best one is returned | no |
    | INFEASIBLE, UNBOUNDED | constraints cannot be met; f falls without end | no |
    | STALLED | steps became tiny away from a solution | no |
    | BREAKDOWN | the method's own assumption failed; the message says which | no |
    | MAX_STEPS, MAX_SECONDS, INTERRUPTED | a budget ended it; best-so-far is returned, it can be resumed | no |

    Example:
        >>> Status.PRECISION.success, Status.STALLED.success
        (True, False)
    """

    RUNNING = 0
    CONVERGED = 1
    PRECISION = 2
    TARGET = 3
    NONFINITE = 4
    UNBOUNDED = 5
    INFEASIBLE = 6
    BREAKDOWN = 7
    STALLED = 8
    MAX_STEPS = 9
    MAX_SECONDS = 10
    INTERRUPTED = 11

    @property
    def success(self) -> bool:
        """Whether the point that comes with it is what was asked for."""
        return self in (Status.CONVERGED, Status.PRECISION, Status.TARGET)


SENTENCES = {
    Status.RUNNING: "still running",
    Status.CONVERGED: "optimality is within the tolerance",
    Status.PRECISION: "no further decrease can be resolved in this floating-point precision",
    Status.TARGET: "the target value was reached",
    Status.NONFINITE: "no point with a finite value and gradient could be found from here; the best one is returned",
    Status.UNBOUNDED: "the function falls without end: below −√(the largest number of its dtype), where squares overflow",
    Status.INFEASIBLE: "the constraints cannot be met",
    Status.BREAKDOWN: "an assumption of the method does not hold for this problem",
    Status.STALLED: "steps became tiny away from a solution",
    Status.MAX_STEPS: "the budget of steps was used up",
    Status.MAX_SECONDS: "the budget of seconds was used up",
    Status.INTERRUPTED: "interrupted",
}

NOWHERE = "no finite value could be found, and the start is returned, where there is none either"
"""The sentence of NONFINITE where no point was finite."""
