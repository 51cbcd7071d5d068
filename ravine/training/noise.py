"""How noisy minibatch gradients are, and the batch size beyond which more examples do not pay.

With g the gradient of one example drawn at random, G = E g that of the whole data set and Σ = Cov g, a batch of B examples gives
a gradient g_B with

    E |g_B − G|² = tr(Σ) / B                        noise
    B_simple = tr(Σ) / |G|²                         the gradient noise scale: the batch at which noise equals signal

A step with the best step size for its batch makes the part 1 / (1 + B_simple/B) of the progress of a step with all the data, if
the curvature is alike in all directions ([1], eq. 2.7 and 2.9): up to about B_simple, twice the batch does nearly twice the work a
step; far beyond it, nothing more.

[1] S. McCandlish, J. Kaplan, D. Amodei et al., "An Empirical Model of Large-Batch Training", arXiv:1812.06162 (2018).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.flat import Layout
from ravine.core.function import Function
from ravine.core.pytree import Record, computing, part
from ravine.core.run import as_key
from ravine.core.tracing import on_host_only
from ravine.training.batches import examples, is_whole
from ravine.training.evaluate import mean_over
from ravine.training.model import check_loss, of_arrays, parameters


@dataclasses.dataclass(frozen=True)
class GradientNoise:
    """What `gradient_noise` measured; printing it shows a table.

    Attributes:
        batch_sizes: B.
        variance: the measured mean of |g_B − G|², one for each B.
        trace: tr(Σ), the mean of B · variance.
        signal: |G|².
    """

    batch_sizes: tuple[int, ...]
    variance: np.ndarray
    trace: float
    signal: float

    @property
    def noise_scale(self) -> float:
        """B_simple = tr(Σ) / |G|²: infinite at a stationary point, where all is noise."""
        return self.trace / self.signal if self.signal > 0 else float("inf")

    @property
    def progress(self) -> np.ndarray:
        """1 / (1 + B_simple/B): the part of a full-data step's progress that a step with each batch size makes."""
        return 1 / (1 + self.noise_scale / np.array(self.batch_sizes))

    def __str__(self) -> str:
        lines = [f"{'batch':>8} {'|g_B − G|²':>12} {'tr(Σ)/B':>12} {'noise/signal':>13} {'progress a step':>16}"]
        for B, v, p in zip(self.batch_sizes, self.variance, self.progress, strict=True):
            ratio = v / self.signal if self.signal > 0 else np.inf
            lines.append(f"{B:>8,} {v:>12.3g} {self.trace / B:>12.3g} {ratio:>13.3g} {p:>15.0%}")
        lines.append(f"gradient noise scale tr(Σ)/|G|² = {self.noise_scale:.3g}: batches much larger than that do not pay here.")
        return "\n".join(lines)


def gradient_noise(
    loss: Callable[[Any, Any], Any],
    params: Any,
    data: Any,
    *,
    key: Any = None,
    batch_sizes: Sequence[int] | int | None = None,
    draws: int = 100,
) -> GradientNoise:
    """Measures the variance of the minibatch gradient against the batch size, and the gradient noise scale.

    Batches are drawn with replacement, so that the variance is tr(Σ)/B at every B; without replacement, as `train` draws within an
    epoch, it is smaller by (n − B)/(n − 1). The noise scale belongs to these parameters: it usually grows during training.

    Args:
        loss: loss(params, batch), the mean over the batch, as for `train`.
        params: any pytree of floating-point arrays; the noise is measured here.
        data: a pytree of arrays with the n examples along the first axis.
        key: a seed or a JAX key; 0 if not given.
        batch_sizes: the sizes B to measure at; powers of 4 up to n if not given. Each is compiled by itself.
        draws: batches drawn at each size.

    Raises:
        ValueError: fewer than two or inconsistent examples, a size or number of draws below 1, a gradient that is not finite.

    Source:
        S. McCandlish et al., arXiv:1812.06162 (2018), eq. 2.2 and 2.9.

    Example:
        >>> import jax.numpy as jnp, ravine as rv
        >>> def loss(w, x):
        ...     return jnp.mean(0.5 * (w - x) ** 2)
        >>> x = jnp.array([1.0, 3.0])  # at w = 0: gradients −1 and −3, mean −2, variance 1
        >>> noise = rv.gradient_noise(loss, jnp.zeros(()), x, batch_sizes=(1, 4), draws=1000)
        >>> round(noise.signal, 2), round(noise.trace, 1), bool(0.2 < noise.noise_scale < 0.3)
        (4.0, 1.0, True)
    """
    on_host_only("gradient_noise", "call it outside")
    n = examples(data)
    if n < 2:
        raise ValueError("data has one example: the noise is how much examples differ, so pass two at least")
    if batch_sizes is None:
        batch_sizes = [4**i for i in range(32) if 4**i <= n]
    if not isinstance(batch_sizes, Sequence):
        batch_sizes = (batch_sizes,)
    if not batch_sizes or not all(is_whole(B) and B >= 1 for B in batch_sizes):
        raise ValueError(f"batch_sizes must be whole numbers of at least 1, got {batch_sizes!r}")
    if not is_whole(draws) or draws < 1:
        raise ValueError(f"draws must be a whole number of at least 1, got {draws!r}")
    key = as_key(0 if key is None else key)
    params, constants = parameters(params)
    Layout.leafwise(params, "params")  # refuses what are no parameters
    fun = of_arrays(Function(loss, "loss"), constants)
    data = jax.tree.map(jnp.asarray, data)
    check_loss(fun, params, jax.tree.map(lambda v: jax.ShapeDtypeStruct((1, *v.shape[1:]), v.dtype), data))
    G = mean_over(Function(_Gradient(fun)), params, data)
    signal = float(_squared_norm(G))
    if not np.isfinite(signal):
        raise ValueError("the gradient over all the data is not finite: measure the noise at other parameters")
    keys = jax.random.split(key, len(batch_sizes))
    sizes = tuple(int(B) for B in batch_sizes)
    variance = np.array(
        [float(_variance(fun, params, data, G, k, size=B, draws=int(draws))) for B, k in zip(sizes, keys, strict=True)]
    )
    return GradientNoise(sizes, variance, float(np.mean(np.array(sizes) * variance)), signal)


class _Gradient(Record):
    """∇ of a function of (params, batch), in at least float32."""

    fun: Function = part()

    def __call__(self, params: Any, batch: Any) -> Any:
        return jax.tree.map(computing, jax.grad(self.fun)(params, batch))


@partial(jax.jit, static_argnames=("size", "draws"))
def _variance(fun: Function, params: Any, data: Any, G: Any, key: Any, *, size: int, draws: int) -> Any:
    """The mean of |g_B − G|² over draws, one batch at a time."""

    def one(key: Any) -> Any:
        rows = jax.random.randint(key, (size,), 0, examples(data))
        g = _Gradient(fun)(params, jax.tree.map(lambda v: v[rows], data))
        return _squared_norm(jax.tree.map(jnp.subtract, g, G))

    return jnp.mean(jax.lax.map(one, jax.random.split(key, draws)))


@jax.jit
def _squared_norm(tree: Any) -> Any:
    return sum(jnp.vdot(v, v).astype(jnp.result_type(float)) for v in jax.tree.leaves(tree))
