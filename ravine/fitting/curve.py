"""`curve_fit`: parameters of a model y = f(x, *p) from data, in SciPy's shape."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.bounds import as_bounds
from ravine.core.flat import as_arrays
from ravine.core.function import Function
from ravine.core.keywords import with_cures
from ravine.core.pytree import Record, part
from ravine.core.result import Result
from ravine.core.tracing import is_traced
from ravine.fitting.front import least_squares
from ravine.fitting.statistics import Fitted, Statistics, covariance, fit_report, statistics


class CurveResidual(Record):
    """(f(x, *p) − y)/σ, or L⁻¹(f(x, *p) − y) with a covariance matrix LLᵀ."""

    model: Function = part()

    def __call__(self, p: Any, x: Any, y: Any, root: Any) -> Any:
        r = predicted(self.model, p, x) - y
        if root is None:
            return r
        return r / root if jnp.ndim(root) < 2 else jax.scipy.linalg.solve_triangular(root, r, lower=True)


def predicted(model: Function, p: Any, x: Any) -> Any:
    """f(x, *p), or f(x, **p) where the parameters are a dictionary."""
    return model(x, **p) if isinstance(p, dict) else model(x, *p)


def shape_of(model: Function, p: Any, x: Any) -> tuple[int, ...]:
    """The shape of f(x, *p)."""
    _refuse_another_number(model, p, x)
    y = jax.eval_shape(lambda p, x: predicted(model, p, x), p, x)
    if not hasattr(y, "shape"):
        raise TypeError(f"{model.name} must return an array, got {type(y).__name__}: is its `return` missing, or jnp.stack?")
    return y.shape


def _refuse_another_number(model: Function, p: Any, x: Any) -> None:
    """Raises where f does not take as many parameters as p has, or parameters of such names."""
    try:
        signature = inspect.signature(model.whole)
    except (TypeError, ValueError):  # written in C
        return
    named = isinstance(p, dict)
    try:
        signature.bind(x, **p) if named else signature.bind(x, *p)
    except TypeError as wrong:
        given = f"the parameters {', '.join(p)}" if named else f"{len(p)} parameter{'' if len(p) == 1 else 's'}"
        raise TypeError(f"p0 has {given}, and {model.name} is called as {model.name}{signature}: {wrong}") from None


def vector(data: Any) -> Any:
    """Data as arrays; a list, which may be one of rows, as one array."""
    return as_arrays(np.asarray(data) if isinstance(data, list) else data)


@jax.tree_util.register_pytree_node_class
class CurveFit:
    """What `curve_fit` returns: `popt, pcov = curve_fit(…)`, and more.

    Attributes:
        popt: the parameters, in the structure of p0.
        pcov: their covariance, n×n.
        result: of `least_squares`.
        absolute_sigma: as given.
    """

    def __init__(self, popt: Any, pcov: Any, result: Result, absolute_sigma: Any, model: Function, data: Any):
        self.popt, self.pcov, self.result, self.absolute_sigma = popt, pcov, result, absolute_sigma
        self.model, self.data = model, data

    def __iter__(self) -> Iterator[Any]:
        return iter((self.popt, self.pcov))

    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> Any:
        return (self.popt, self.pcov)[i]

    @functools.cached_property
    def statistics(self) -> Statistics:
        """Standard errors, correlations, residuals, and what the data say nothing about."""
        return statistics(self.result, self.absolute_sigma)

    @property
    def stderr(self) -> np.ndarray:
        """Standard errors of the parameters."""
        return self.statistics.stderr

    @property
    def correlation(self) -> np.ndarray:
        """Correlations of the parameters."""
        return self.statistics.correlation

    def fit_report(self, least_correlation: float = 0.1) -> str:
        """The fit as text, laid out as lmfit does."""
        return fit_report(self, least_correlation)

    def band(self, x: Any, sigmas: float = 1.0) -> tuple[Any, Any]:
        """The curve at x, and how far `sigmas` standard errors of it reach: σ √(J C Jᵀ)ⱼⱼ with J its derivatives in p."""
        layout: Any = self.result.aux.problem.layout
        flat = layout.pack(self.popt)

        def curve(p: Any) -> Any:
            return predicted(self.model, layout.unpack(p), jnp.asarray(x))

        J = jax.jacfwd(curve)(flat)
        return curve(flat), sigmas * jnp.sqrt(jnp.sum((J @ self.pcov) * J, axis=-1))

    def plot(self, sigmas: float = 2.0, axes: Any = None) -> Any:
        """Data, curve and confidence band, and residuals; see `plot_fit`."""
        from ravine.fitting.plot import plot_fit

        return plot_fit(self, sigmas, axes)

    def __repr__(self) -> str:
        return f"CurveFit(popt={self.popt}, pcov={self.pcov}, {self.result.message if not is_traced(self.popt) else 'traced'})"

    def tree_flatten(self) -> tuple[Any, Any]:
        return (self.popt, self.pcov, self.result, self.absolute_sigma, self.model, self.data), None

    @classmethod
    def tree_unflatten(cls, _: Any, leaves: Any) -> CurveFit:
        return cls(*leaves)


@with_cures
def curve_fit(
    f: Callable[..., Any],
    xdata: Any,
    ydata: Any,
    p0: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    check_finite: bool = True,
    bounds: Any = None,
    method: Any = "auto",
    *,
    sparsity: Any = None,
    **more: Any,
) -> CurveFit:
    """Fits y = f(x, *p) to data; `popt, pcov = curve_fit(…)` as in SciPy.

    Args:
        f: the model, f(x, p1, p2, …); with a dictionary p0, f(x, **p).
        xdata: what f takes as x: an array, or a tree of arrays.
        ydata: the data, in the shape that f returns.
        p0: the start, a number for each parameter. If None, as many as f has arguments after x, each in the middle of its bounds,
            by 1 within the only one, or 1.
        sigma: standard deviations of ydata, or their covariance matrix.
        absolute_sigma: sigma is the true size of the errors; otherwise only its ratios count, and pcov is scaled by ‖r‖²/(m − n).
        check_finite: refuse data that are not finite.
        bounds: (lower, upper), as in `least_squares`.
        method: as in `least_squares`.
        sparsity: where the derivatives of f in the parameters may be other than zero, as in `least_squares`; for many parameters,
            which are best an array in a dictionary: p0={"heights": …} and f(x, heights). pcov is dense.
        more: `loss`, `f_scale`, `tol`, `stop` … of `least_squares`.

    Returns:
        What unpacks into popt and pcov, and has `.stderr .correlation .band(x) .fit_report() .result`.

    Raises:
        ValueError: data that are not finite (with their place), sigma that is not positive, shapes that do not match.
        TypeError: a model that returns no array, or takes another number of parameters than p0 has.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> t = jnp.linspace(0.0, 4.0, 9)
        >>> popt, pcov = rv.curve_fit(lambda t, a, k: a * jnp.exp(-k * t), t, 3.0 * jnp.exp(-0.5 * t))
        >>> popt.round(4).tolist(), pcov.shape
        ([3.0, 0.5], (2, 2))
    """
    model = Function(f, "f")
    p0 = as_arrays(_guess(f, bounds) if p0 is None else p0)
    p0 = jnp.reshape(p0, 1) if getattr(p0, "shape", None) == () else p0
    xdata, ydata = vector(xdata), vector(ydata)
    root = None if sigma is None else _root(vector(sigma), ydata)
    if check_finite:
        for name, tree in (("xdata", xdata), ("ydata", ydata), ("sigma", root)):
            _refuse_nonfinite(name, tree)
    shape = shape_of(model, p0, xdata)
    if shape != np.shape(ydata):
        raise ValueError(f"{model.name} returns shape {shape}, but ydata has shape {np.shape(ydata)}: they must be the same")
    residual = CurveResidual(model)
    result = least_squares(residual, p0, (xdata, ydata, root), method, bounds=bounds, sparsity=sparsity, **more)
    fitted: Fitted = result.aux
    layout: Any = fitted.problem.layout
    pcov = covariance(fitted.problem, layout.pack(result.x), jnp.bool_(absolute_sigma))
    return CurveFit(result.x, pcov, result, absolute_sigma, model, (xdata, ydata, root))


def _guess(f: Callable[..., Any], bounds: Any) -> Any:
    """A start within the bounds, as SciPy's."""
    names = [p for p in inspect.signature(f).parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(names) < 2:
        raise ValueError("the number of parameters cannot be told from f: give p0")
    start = np.ones(len(names) - 1)
    both = as_bounds(bounds, start, fit=True)
    if both is None or is_traced(both):
        return start
    low, high = both
    below, above = np.isfinite(low), np.isfinite(high)
    middle = 0.5 * (np.where(below, low, 0) + np.where(above, high, 0))
    return np.where(below & above, middle, np.where(below, low + 1, np.where(above, high - 1, start)))


def _root(sigma: Any, y: Any) -> Any:
    """σ, or the Cholesky factor of a covariance matrix."""
    size = int(np.prod(np.shape(y)))
    if jnp.ndim(sigma) == 2 and np.shape(sigma) == (size, size) and jnp.ndim(y) == 1:
        L = jnp.linalg.cholesky(jnp.asarray(sigma))
        if not is_traced(L) and not bool(jnp.all(jnp.isfinite(L))):
            raise ValueError("sigma, a covariance matrix, must be positive definite")
        return L
    if np.shape(sigma) not in ((), np.shape(y)):
        raise ValueError(f"sigma has shape {np.shape(sigma)}; it must have ydata's, {np.shape(y)}, or be a covariance matrix")
    if not is_traced(sigma) and np.any(bad := ~(np.asarray(sigma) > 0)):
        where = int(np.argmax(bad))
        raise ValueError(
            f"sigma[{where}] is {np.ravel(sigma)[where]:g}; standard deviations must be positive: "
            "give points without an error a small positive one, or leave them out"
        )
    return sigma


def _refuse_nonfinite(name: str, tree: Any) -> None:
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if is_traced(leaf) or not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            continue
        bad = np.argwhere(~np.isfinite(np.asarray(leaf)))
        if len(bad):
            where = f"{name}{jax.tree_util.keystr(path)}[{', '.join(map(str, bad[0]))}]"
            raise ValueError(f"{where} is {np.asarray(leaf)[tuple(bad[0])]}, {len(bad)} values are not finite: leave them out")
