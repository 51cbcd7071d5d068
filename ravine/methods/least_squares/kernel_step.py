"""The damped step of a network with fewer residuals than parameters, without its Jacobian.

    p = −D⁻²Jᵀu   with (J D⁻²Jᵀ + λI) u = r       J D⁻²Jᵀ = Σ over layers of ((A Aᵀ + 1) ∘ (D Dᵀ))/Dₗ²

JJᵀ is made layer by layer (`ravine.methods.least_squares.gram`), Jᵀu by one backward pass. A scale for every parameter would not
let the products of a layer apart, so the parameters of a layer have one scale: the root of the mean of their ‖Jⱼ‖². A layer, or its
inputs, in other units changes nothing then; one parameter of a layer does.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.problem import LeastSquares
from ravine.core.work import count
from ravine.math.damped import Solution, dual_solution, kernel_solve
from ravine.math.rank import lengths
from ravine.methods.least_squares.gram import Network, grams, network
from ravine.methods.least_squares.linear_step import LinearStep, Local


class KernelStep(LinearStep):
    """Cholesky of the m×m matrix J D⁻²Jᵀ + λI, made layer by layer; for networks that treat their examples one by one.

    Raises:
        ValueError: the residual has no linear layers, or mixes examples; there are bounds.

    Example:
        >>> import jax, jax.numpy as jnp, ravine as rv
        >>> X, y = jnp.linspace(-1.0, 1.0, 8)[:, None], jnp.linspace(-1.0, 1.0, 8) ** 2
        >>> net = lambda p: (jnp.tanh(X @ p["W"] + p["b"][None]) @ p["out"])[:, 0] - y
        >>> start = {"W": jnp.ones((1, 20)), "b": jnp.linspace(-1.0, 1.0, 20), "out": jnp.full((20, 1), 0.1)}
        >>> r = rv.least_squares(net, start, method=rv.LevenbergMarquardt(linear=rv.KernelStep()), tol=1e-2)
        >>> r.success, bool(r.fun < 1e-3)
        (True, True)
    """

    def look(self, problem: LeastSquares, x: Any) -> Local:
        net = _taken_apart(problem, x)
        f = problem.value(x)
        r, _, vj = problem.linearize(x)
        K = grams(net, problem, x)
        if problem.loss is not None:
            raw = problem._residual(x)
            weigh = jax.vmap(problem.loss.correct(raw)[1])
            K = jax.vmap(lambda K: weigh(weigh(K).T))(K)
        g = vj(r)
        squares = _by_parameter(net, jnp.trace(K, axis1=1, axis2=2) / np.asarray(_sizes(net), x.dtype))
        local = Local(f, g, squares, None, None, K, r)
        undamped = self._solution(problem, x, local, lengths(squares), jnp.zeros_like(f), net)
        return local._replace(offset=jnp.sqrt(jnp.maximum(undamped.gain, 0)), gauss_newton=undamped.p)

    def step(self, problem: LeastSquares, x: Any, local: Local, D: Any, lam: Any) -> Solution:
        return self._solution(problem, x, local, D, lam, _taken_apart(problem, x))

    def _solution(self, problem: LeastSquares, x: Any, local: Local, D: Any, lam: Any, net: Network) -> Solution:
        count("factor")
        first = np.array([np.flatnonzero(_group_of(net) == i)[0] for i in range(len(_sizes(net)))])
        K = jnp.tensordot(1 / D[first] ** 2, local.J, 1)
        u, w, lam = kernel_solve(K, local.r, lam)
        _, _, vj = problem.linearize(x)
        return dual_solution(-vj(u) / D, local.g, D, w, lam)

    def curvature(self, problem: LeastSquares, x: Any, local: Local, p: Any) -> Any:
        return jnp.sum(problem.linearize(x)[1](p) ** 2)


def _taken_apart(problem: LeastSquares, x: Any) -> Network:
    net = None if problem.lower is not None or problem.upper is not None else network(problem, x)
    if net is None:
        raise ValueError(
            f"KernelStep needs residuals without bounds of a network that treats its examples one by one; {problem.fun.name} is "
            "none, or its layers were not found: take linear=DualStep()"
        )
    return net


def _sizes(net: Network) -> list[int]:
    """How many parameters are in each group."""
    return [sum(int(np.prod(net.shapes[i])) for i in group) for group in net.groups()]


def _group_of(net: Network) -> np.ndarray:
    """The group of each parameter."""
    group = {i: g for g, members in enumerate(net.groups()) for i in members}
    return np.concatenate([np.full(int(np.prod(shape)), group[i]) for i, shape in enumerate(net.shapes)])


def _by_parameter(net: Network, values: Any) -> Any:
    """Values of groups, for each of their parameters."""
    return values[_group_of(net)]
