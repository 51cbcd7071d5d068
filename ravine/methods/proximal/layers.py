"""Layers whose weights get a proximal direction where others get a gradient.

    forward    Z = A W + 1 bᵀ
    backward   ∂L/∂A = E Wᵀ, as always, and instead of (AᵀE, 1ᵀE) the direction d = τ (I + τ ÃᵀÃ)⁻¹ ÃᵀE      [1, eqs. (9) to (11)]

So any optimiser of first order, fed by `jax.grad`, takes proximal steps: θ − d with SGD(1.0). What `jax.grad` returns for these
weights is no gradient of any function: second derivatives and line searches on it mean nothing. A convolution is the same layer
for every patch of its input.

[1] T. Frerix, T. Möllenhoff, M. Möller, D. Cremers, "Proximal Backpropagation", ICLR (2018), arXiv 1706.04638.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ravine.core.pytree import computing, widest
from ravine.math.proximal_direction import from_normal_equations, normal_equations, parse_solver, proximal_direction

PATCH_BYTES = 64 * 2**20


def prox_linear(A: Any, W: Any, b: Any = None, tau: Any = 0.05, solver: str = "exact") -> jax.Array:
    """A W + b, whose backward pass gives (W, b) their proximal direction, for a loss that is a mean over the batch.

    Args:
        A: inputs (…, n); all leading axes together are the examples.
        W: weights (n, m).
        b: biases (m,), or None.
        tau: τ > 0, the step of the layer's proximal problem; it may be traced.
        solver: "exact", "cgK" for K conjugate-gradient iterations (1, 3, 5, 10), or "reference-cgK" for those of the
            published code.

    Returns:
        Outputs (…, m).

    Raises:
        ValueError: τ ≤ 0, an unknown solver, shapes that do not fit; when differentiated: fewer than 2 examples, under `vmap`
            over examples, or inside `shard_map`, because the direction of a batch is not the mean of those of its parts.

    Source:
        Frerix et al., ICLR (2018), Proposition 2.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> A, W, y = jnp.eye(3, 2), jnp.zeros((2, 1)), jnp.ones((3, 1))
        >>> loss = lambda W: 0.5 * jnp.mean((prox_linear(A, W, tau=1.0) - y) ** 2)
        >>> jax.grad(loss)(W).round(3).tolist()  # half the gradient: I + τAᵀA = 2 I
        [[-0.167], [-0.167]]
    """
    n, m = W.shape
    if A.shape[-1] != n or (b is not None and b.shape != (m,)):
        shapes = f"{A.shape}, {W.shape}" + ("" if b is None else f" and {b.shape}")
        raise ValueError(f"prox_linear needs A (…, n), W (n, m) and b (m,); got {shapes}")
    check(tau, solver)
    Z = linear(A.reshape(-1, n), W, b, jnp.asarray(tau, computing(W).dtype), solver, None, None)
    return Z.reshape(*A.shape[:-1], m)


def prox_conv(
    A: Any,
    W: Any,
    b: Any = None,
    tau: Any = 0.05,
    solver: str = "exact",
    *,
    strides: int | Sequence[int] = 1,
    padding: str | Sequence[tuple[int, int]] = "SAME",
    dilation: int | Sequence[int] = 1,
    dimension_numbers: tuple[str, str, str] = ("NHWC", "HWIO", "NHWC"),
) -> jax.Array:
    """A convolution (of any number of spatial axes), whose backward pass gives (W, b) their proximal direction.

    The layer's system has one row for each patch of each image; its (k·k·channels + 1)² normal matrix is formed.

    Args:
        A: images, laid out as `dimension_numbers[0]` says.
        W: filters, as `dimension_numbers[1]` says.
        b: one bias for each filter, or None.
        tau, solver: as in `prox_linear`.
        strides, padding, dilation: as in `jax.lax.conv_general_dilated`.
        dimension_numbers: the layouts of A, W and the result.

    Raises:
        ValueError: as `prox_linear`.

    Source:
        Frerix et al., ICLR (2018), section 5.

    Example:
        >>> import jax.numpy as jnp
        >>> prox_conv(jnp.ones((2, 8, 8, 1)), jnp.ones((3, 3, 1, 4)), jnp.zeros(4), tau=1.0).shape
        (2, 8, 8, 4)
    """
    check(tau, solver)
    spatial = A.ndim - 2
    layout = lax.conv_dimension_numbers(A.shape, W.shape, dimension_numbers)

    def per_axis(v: int | Sequence[int]) -> tuple[int, ...]:
        return (v,) * spatial if isinstance(v, int) else tuple(v)

    strides, dilation = per_axis(strides), per_axis(dilation)
    if isinstance(padding, str):
        window = [(W.shape[i] - 1) * d + 1 for i, d in zip(layout.rhs_spec[2:], dilation, strict=True)]
        padding = lax.padtype_to_pads([A.shape[i] for i in layout.lhs_spec[2:]], window, strides, padding)
    pads = tuple((int(lo), int(hi)) for lo, hi in padding)
    form = Convolution(strides, pads, (1,) * spatial, dilation, layout)
    return conv(A, W, b, jnp.asarray(tau, computing(W).dtype), solver, form)


ONE_EXAMPLE = "a proximal direction is that of a batch, and no mean of per-example directions"


def check(tau: Any, solver: str) -> None:
    """Refuses a τ that is not positive, where its value is known, and an unknown solver.

    Raises:
        ValueError: one of these.
        TypeError: τ is no number.
    """
    if not isinstance(tau, numbers.Real | np.ndarray | jax.Array):
        raise TypeError(f"tau must be a number greater than 0, got {tau!r}")
    if not isinstance(tau, jax.core.Tracer) and not np.all(np.asarray(tau) > 0):
        raise ValueError(f"tau must be greater than 0, got tau={tau}")
    parse_solver(solver)


@partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def linear(A: Any, W: Any, b: Any, tau: Any, solver: str, precision: Any, dtype: Any) -> Any:
    """A W + b of matrices, computed as `jax.lax.dot_general` would with this precision and preferred dtype."""
    Z = jnp.matmul(A, W, precision=precision, preferred_element_type=dtype)
    return Z if b is None else Z + b[None]


def _linear_forward(A: Any, W: Any, b: Any, tau: Any, solver: str, precision: Any, dtype: Any) -> Any:
    _refuse_one_example(len(A))
    return linear(A, W, b, tau, solver, precision, dtype), (whole_batch(A, W), W, b, tau)


def _linear_backward(solver: str, precision: Any, dtype: Any, kept: Any, E: Any) -> Any:
    A, W, b, tau = kept
    wide = widest(A.dtype, W.dtype, E.dtype)
    dW, db = proximal_direction(A.astype(wide), E.astype(wide), tau.astype(wide), solver, bias=b is not None)
    dA = jnp.matmul(E, W.astype(E.dtype).T, precision=precision).astype(A.dtype)
    return dA, dW.astype(W.dtype), None if b is None or db is None else db.astype(b.dtype), jnp.zeros_like(tau)


linear.defvjp(_linear_forward, _linear_backward)


class Convolution(NamedTuple):
    """What a convolution is besides its arrays, in the words of `jax.lax.conv_general_dilated`."""

    window_strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    lhs_dilation: tuple[int, ...]
    rhs_dilation: tuple[int, ...]
    dimension_numbers: Any
    precision: Any = None
    preferred_element_type: Any = None


@partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def conv(A: Any, W: Any, b: Any, tau: Any, solver: str, form: Convolution) -> Any:
    """The convolution of A by W plus b, one number a filter."""
    Z = lax.conv_general_dilated(A, W, **form._asdict())
    if b is None:
        return Z
    channel = form.dimension_numbers.out_spec[1]
    return Z + jnp.expand_dims(b, [i for i in range(Z.ndim) if i != channel])


def _conv_forward(A: Any, W: Any, b: Any, tau: Any, solver: str, form: Convolution) -> Any:
    _refuse_one_example(A.shape[form.dimension_numbers.lhs_spec[0]])
    return conv(A, W, b, tau, solver, form), (whole_batch(A, W), W, b, tau)


def _conv_backward(solver: str, form: Convolution, kept: Any, E: Any) -> Any:
    A, W, b, tau = kept
    (dA,) = jax.linear_transpose(lambda A: lax.conv_general_dilated(A, W, **form._asdict()), A)(E)
    wide = widest(A.dtype, W.dtype, E.dtype)
    lhs, rhs, out = form.dimension_numbers
    order = (*rhs[2:], rhs[1], rhs[0])  # filters as (spatial…, in, out), images as (N, spatial…, channels)
    images = A.astype(wide).transpose(lhs[0], *lhs[2:], lhs[1])
    signals = E.astype(wide).transpose(out[0], *out[2:], out[1])
    shape = tuple(W.shape[i] for i in order)
    # One pass over the patches, as many images at a time as fit.
    rows, n, m = math.prod(signals.shape[1:-1]), math.prod(shape[:-1]), shape[-1]
    most = max(1, PATCH_BYTES // (4 * rows * n))
    size = max(k for k in range(1, len(images) + 1) if len(images) % k == 0 and k <= most)

    def add(sums: Any, pair: Any) -> Any:
        some, signal = pair
        patches = _patches(some, shape[:-2], form).reshape(-1, n)
        return jax.tree.map(jnp.add, sums, normal_equations(patches, signal.reshape(-1, m), b is not None)), None

    blocks = jax.tree.map(lambda v: v.reshape(-1, size, *v.shape[1:]), (images, signals))
    unknowns = n + (b is not None)
    (C, g), _ = lax.scan(add, (jnp.zeros((unknowns, unknowns), wide), jnp.zeros((unknowns, m), wide)), blocks)
    dW, db = from_normal_equations(C, g, tau.astype(wide), solver, bias=b is not None)
    dW = dW.reshape(shape).transpose(np.argsort(order)).astype(W.dtype)
    return dA, dW, None if b is None or db is None else db.astype(b.dtype), jnp.zeros_like(tau)


conv.defvjp(_conv_forward, _conv_backward)


def _patches(images: Any, window: tuple[int, ...], form: Convolution) -> Any:
    """What each output sees: (N, spatial…, window…, channels), by one strided slice for each place in the window."""
    pads = [(lo, hi, d - 1) for (lo, hi), d in zip(form.padding, form.lhs_dilation, strict=True)]
    padded = lax.pad(images, jnp.zeros((), images.dtype), [(0, 0, 0), *pads, (0, 0, 0)])
    reach = [(k - 1) * d + 1 for k, d in zip(window, form.rhs_dilation, strict=True)]
    ends = [n - r for n, r in zip(padded.shape[1:-1], reach, strict=True)]
    slices = []
    for place in np.ndindex(*window):
        first = [p * d for p, d in zip(place, form.rhs_dilation, strict=True)]
        last = [f + e + 1 for f, e in zip(first, ends, strict=True)]
        start, limit = (0, *first, 0), (len(padded), *last, padded.shape[-1])
        slices.append(lax.slice(padded, start, limit, (1, *form.window_strides, 1)))
    return jnp.stack(slices, -2)


def _refuse_one_example(examples: int) -> None:
    if examples < 2:
        raise ValueError(f"ProxProp needs batches of at least 2 examples, got {examples}: {ONE_EXAMPLE}")


def whole_batch(A: Any, W: Any) -> Any:
    """A itself, where it is the whole batch.

    Raises:
        ValueError: A is a part of the batch, because of `vmap` over examples that share W or inside `shard_map` or `pmap`.
    """
    if getattr(jax.typeof(A), "vma", None) or jax.sharding.get_abstract_mesh().manual_axes:
        raise ValueError(
            "ProxProp inside shard_map or pmap would see one device's examples only, and the direction of a batch is not the mean "
            "of those of its parts: use jax.jit with sharded arrays, where the Gram matrix is formed over all devices"
        )
    return _batch_of(A, W)


@jax.custom_batching.custom_vmap
def _batch_of(A: Any, W: Any) -> Any:
    return A


@_batch_of.def_vmap
def _refuse_examples(size: int, batched: Any, A: Any, W: Any) -> Any:
    if batched[0] and not batched[1]:
        raise ValueError(
            f"ProxProp under vmap over examples (per-example gradients) is refused: {ONE_EXAMPLE}; take the gradient of the batch"
        )
    # Other vmaps (models or seeds side by side) pass; those around this one are asked in turn.
    return _batch_of(A, W), batched[0]
