"""A result as JSON can hold it: nested lists, words and finite numbers."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ravine.core.report import settings
from ravine.core.status import Status


def as_dict(result: Any) -> dict[str, Any]:
    """What a result says, in plain values. The carry and `aux`, which hold a method's and a family's own objects, are not in it.

    Raises:
        ValueError: the result is being traced, so it has no numbers yet.
    """
    if isinstance(result.code, jax.core.Tracer):
        raise ValueError("a result inside jit has no numbers yet: return it, and call to_dict() outside")
    codes = np.asarray(result.code)
    return plain(
        {
            **{name: getattr(result, name) for name in ("x", "fun", "jac")},
            "status": [Status(int(c)).name for c in codes.ravel()] if codes.ndim else result.status.name,
            **{name: getattr(result, name) for name in ("success", "message", "nit", "nfev", "njev", "nhev", "work")},
            **{name: getattr(result, name) for name in ("optimality", "scale")},
            "best": None if result.best is None else result.best._asdict(),
            "history": {name: _written(v, result) for name, v in result.history.items()},
            "method": None if result.method is None else settings(result.method),
            "given": result.given if result.given is None or isinstance(result.given, str) else settings(result.given),
            "why": result.why,
            "remark": result.remark,
            "seconds": {"compile": result.seconds.compile, "run": result.seconds.run, "total": result.seconds.total},
        }
    )


def _written(column: Any, result: Any) -> Any:
    """The rows that were written: inside `jit` there is room for more."""
    rows = jax.tree.leaves(column)
    many = np.ndim(result.nit) or not rows or "iteration" in result.history or rows[0].shape[0] <= int(result.nit) + 1
    return column if many else jax.tree.map(lambda v: v[: int(result.nit) + 1], column)


def plain(value: Any) -> Any:
    """A tree in lists, dicts, words and numbers; a number that is not finite becomes None.

    A container that JSON does not know, such as a module, becomes a dict of its leaves by their paths.

    >>> plain({"a": np.array([1.0, np.inf]), "n": np.int32(3)})
    {'a': [1.0, None], 'n': 3}
    """
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, np.generic | np.ndarray | jax.Array):
        return plain(_numpy(value).tolist())
    leaves = jax.tree_util.tree_leaves_with_path(value)
    if len(leaves) == 1 and leaves[0][1] is value:
        return str(value)
    return {jax.tree_util.keystr(path): plain(leaf) for path, leaf in leaves}


def _numpy(array: Any) -> np.ndarray:
    """As NumPy's own numbers: it has no bfloat16."""
    v = np.asarray(array)
    return v if v.dtype.kind in "biu" else v.astype(np.float64)
