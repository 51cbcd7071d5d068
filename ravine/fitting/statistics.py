"""What a fit is worth: covariance, standard errors, correlations, and the directions that the data say nothing about.

    C = s² (JᵀJ)⁻¹,   s² = 2f/(m − n)               from the singular values of J with columns of length 1

With a robust loss, J is the corrected J̃, and 2f = Σ C² ρ(rᵢ²/C²) takes the place of ‖r‖², as in SciPy. With the mean cross-entropy
of N examples N J̃ᵀJ̃ is Fisher's information, so C = (N J̃ᵀJ̃)⁻¹, and the deviance 2Nf takes the place of ‖r‖².

[1] D. M. Bates, D. G. Watts, "Nonlinear Regression Analysis and Its Applications", Wiley (1988), sections 2.2 and 2.3.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.problem import LeastSquares
from ravine.core.pytree import Record, part, substitute
from ravine.core.result import Result
from ravine.math.loss import Loss, SoftmaxCrossEntropy
from ravine.math.rank import decomposed

PARTS = 8


class Fitted(Record):
    """What a result keeps of its problem, so that statistics can be made of it."""

    problem: LeastSquares = part()
    start: Any = part()


@jax.jit
def decompose(problem: LeastSquares, x: Any) -> tuple[Any, ...]:
    """f, r, and what is made of J by `decomposed`."""
    loss = problem.loss
    if isinstance(loss, Loss):  # as in SciPy: what has no curvature says nothing about the parameters
        problem = substitute(problem, loss=substitute(loss, least=0.0))
    f, _, J = problem.jacobian(x)
    r = problem.residual(x)  # not the corrected one, which is large where a robust loss has no curvature
    return f, r, *decomposed(J)


@jax.jit
def covariance(problem: LeastSquares, x: Any, absolute: Any) -> Any:
    """C; infinite where J is rank-deficient or, unless the errors' size is known (`absolute`), m ≤ n."""
    return spread(*decompose(problem, x), absolute, _examples(problem))


def _examples(problem: LeastSquares) -> int:
    """Of how many examples f is the mean of a negative log-likelihood; 0 where it is a sum of squares."""
    return len(problem.loss.labels) if isinstance(problem.loss, SoftmaxCrossEntropy) else 0


@functools.partial(jax.jit, static_argnums=7)
def spread(f: Any, r: Any, D: Any, s: Any, Vt: Any, blind: Any, absolute: Any, examples: int) -> Any:
    """C from what `decompose` found."""
    m, n = len(r), len(D)
    V = Vt.T / s[None]
    known = 1 / examples if examples else jnp.where(absolute, 1, 2 * f / max(m - n, 1) if m > n else jnp.inf)
    return jnp.where(~jnp.any(blind), known * (V @ V.T) / (D[:, None] * D[None]), jnp.inf)


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Statistics of a fit; parameters in the order of the flattened tree.

    Attributes:
        names: of the parameters, "a", "x[0]" …
        values, start: of the parameters, (n,).
        cost: f, which was minimised.
        covariance: (n, n); infinite where the data do not determine the parameters.
        residuals: r at the solution, (m,); with cross-entropy √(−2 ln p) of each example's own class, (N,).
        rank: of J.
        unseen: directions in which J is zero, in words: combinations of parameters that the data say nothing about.
        likelihood: whether f is a mean negative log-likelihood, and no sum of squares.
    """

    names: tuple[str, ...]
    values: np.ndarray
    start: np.ndarray
    cost: float
    covariance: np.ndarray
    residuals: np.ndarray
    rank: int
    unseen: tuple[str, ...]
    likelihood: bool = False

    @property
    def stderr(self) -> np.ndarray:
        """Standard errors √Cⱼⱼ."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def correlation(self) -> np.ndarray:
        """Cᵢⱼ/√(Cᵢᵢ Cⱼⱼ); NaN where C is infinite."""
        s = np.where(np.isfinite(self.stderr), self.stderr, np.nan)
        return self.covariance / np.outer(s, s)

    @property
    def chi_square(self) -> float:
        """‖r‖²; with a robust loss Σ C² ρ(rᵢ²/C²), with cross-entropy the deviance."""
        return 2 * self.cost * (len(self.residuals) if self.likelihood else 1)

    @property
    def degrees(self) -> int:
        """m − n."""
        return len(self.residuals) - len(self.values)

    @property
    def reduced_chi_square(self) -> float:
        """χ²/(m − n)."""
        return self.chi_square / self.degrees if self.degrees > 0 else float("nan")


def statistics(result: Result, absolute_sigma: bool = False) -> Statistics:
    """The statistics of a `least_squares` result.

    Args:
        absolute_sigma: residuals are already in units of their standard deviations, so that s² = 1.

    Raises:
        TypeError: not a result of `least_squares`.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> r = rv.least_squares(lambda x: x[0] + x[1] - jnp.array([1.0, 2.0, 3.0]), jnp.zeros(2))
        >>> rv.statistics(r).unseen
        ('x[0] - x[1]',)
    """
    if not isinstance(result.aux, Fitted):
        raise TypeError("statistics are made of a result of least_squares or curve_fit")
    problem, layout = result.aux.problem, result.aux.problem.layout
    x = jnp.asarray(result.x) if layout is None else layout.pack(result.x)
    found = decompose(problem, x)
    f, r, D, _, Vt, blind = map(np.asarray, found)
    examples = _examples(problem)
    names = parameter_names(result.x)
    return Statistics(
        names=names,
        values=np.asarray(x, float),
        start=np.asarray(result.aux.start, float),
        cost=float(f),
        covariance=np.asarray(spread(*found, absolute_sigma, examples), float),
        residuals=np.asarray(problem.loss.deviances(r) if examples else r, float),
        rank=int(np.sum(~blind)),
        unseen=tuple(in_words(v / D, names) for v in Vt[blind]),
        likelihood=examples > 0,
    )


def parameter_names(tree: Any) -> tuple[str, ...]:
    """A name for every number in a tree."""
    names = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        base = ".".join(str(getattr(k, "key", getattr(k, "name", getattr(k, "idx", k)))) for k in path) or "x"
        shape = np.shape(leaf)
        names += [f"{base}[{', '.join(map(str, i))}]" for i in np.ndindex(shape)] if shape else [base]
    return tuple(names)


def in_words(direction: np.ndarray, names: tuple[str, ...]) -> str:
    """A direction as a sum of the names that have a part in it, the first `PARTS` of them, the largest part 1."""
    direction = direction / direction[np.argmax(np.abs(direction))]
    words, parts = "", np.flatnonzero(np.abs(direction) > 1e-6)
    for i in parts[:PARTS]:
        size = abs(direction[i])
        sign = ("-" if direction[i] < 0 else "") if not words else (" - " if direction[i] < 0 else " + ")
        words += f"{sign}{'' if abs(size - 1) < 1e-6 else f'{size:.3g} '}{names[i]}"
    return words if len(parts) <= PARTS else f"{words} and {len(parts) - PARTS} more parameters"


def fit_report(result: Any, least_correlation: float = 0.1) -> str:
    """The statistics of a fit as text, laid out as lmfit does.

    Args:
        result: of `least_squares` or `curve_fit`.
        least_correlation: smaller correlations are left out.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> t = jnp.arange(6.0)
        >>> r = rv.least_squares(lambda p: p["a"] + p["b"] * t - jnp.array([1.0, 3.1, 4.9, 7.0, 9.1, 11.0]), {"a": 0.0, "b": 0.0})
        >>> print(rv.fit_report(r).splitlines()[-3].strip()[:9])
        b: 2.0028
    """
    fit = getattr(result, "result", result)
    about: Statistics = result.statistics if hasattr(result, "statistics") else statistics(fit)
    m, n = len(about.residuals), len(about.values)
    chi, reduced, entropy = "chi-square", "reduced chi-square", m * np.log(max(about.chi_square, np.finfo(float).tiny) / m)
    if about.likelihood:
        chi, reduced, entropy = "deviance", "mean deviance", about.chi_square
    lines = ["[[Fit Statistics]]"]
    for name, value in (
        ("fitting method", type(fit.method).__name__),
        ("function evals", fit.nfev),
        ("data points", m),
        ("variables", n),
        (chi, f"{about.chi_square:.8g}"),
        (reduced, f"{about.reduced_chi_square:.8g}"),
        ("Akaike info crit", f"{entropy + 2 * n:.8g}"),
        ("Bayesian info crit", f"{entropy + n * np.log(m):.8g}"),
    ):
        lines.append(f"    {name:<18} = {value}")
    if m < n and not about.likelihood:
        lines.append(f"    {m} residuals of {n} variables: of all solutions, one near the start")
    for unseen in about.unseen:
        lines.append(f"    the data say nothing about {unseen}")
    if not fit.success:
        lines.append(f"    {fit.message}")
    lines.append("[[Variables]]")
    width = max(map(len, about.names)) + 1
    for name, value, error, start in zip(about.names, about.values, about.stderr, about.start, strict=True):
        share = f"{abs(100 * error / value):.2f}%" if value else "inf%"
        sure = f"+/- {error:.8f} ({share})" if np.isfinite(error) else "(not determined)"
        lines.append(f"    {name + ':':<{width}} {value:.8f} {sure} (init = {start:.8g})")
    C = np.triu(about.correlation, 1)
    pairs = np.argwhere(np.abs(C) >= least_correlation)
    if len(pairs):
        lines.append(f"[[Correlations]] (unreported correlations are < {least_correlation:.3f})")
        order = np.argsort(-np.abs(C[*pairs.T]), kind="stable")
        lines += [f"    C({about.names[i]}, {about.names[j]}) = {C[i, j]:+.4f}" for i, j in pairs[order]]
    return "\n".join(lines)
