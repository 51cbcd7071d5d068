"""A saved carry: arrays in an .npz file with a JSON manifest; written whole or not at all, read without pickle."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.files import whole

FORMAT = 1


def save(path: str | os.PathLike[str], tree: Any, extra: dict[str, Any] | None = None) -> None:
    """Writes the arrays of `tree` and a JSON-able `extra` to `path`, atomically."""
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    arrays, kinds = {}, []
    for i, leaf in enumerate(jax.tree.leaves(tree)):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        kinds.append({"key": str(jax.random.key_impl(leaf))} if is_key else {"dtype": str(array.dtype)})
        # NumPy writes dtypes of its own only; bfloat16 travels as its bits.
        arrays[f"a{i}"] = array.view(np.uint16) if array.dtype == jnp.bfloat16 else array
    manifest = {"format": FORMAT, "structure": str(jax.tree.structure(tree)), "kinds": kinds, "extra": extra or {}}
    arrays["manifest"] = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
    with whole(target) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load(path: str | os.PathLike[str], like: Any) -> tuple[Any, dict[str, Any]]:
    """The tree and the extra that were saved.

    Args:
        like: a tree with the structure, shapes and dtypes that are expected.

    Raises:
        ValueError: the file is no checkpoint, or one of another problem or method.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            manifest = json.loads(bytes(file["manifest"]).decode())
            arrays = [file[f"a{i}"] for i in range(len(manifest["kinds"]))]
    except (KeyError, ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path} is not a checkpoint of ravine; delete it to start afresh, or name another file") from error
    leaves, treedef = jax.tree.flatten(like)
    restored = []
    same = manifest.get("format") == FORMAT and len(arrays) == len(leaves)
    for array, kind, leaf in zip(arrays, manifest["kinds"], leaves, strict=False):
        if "key" in kind:
            restored.append(jax.random.wrap_key_data(jnp.asarray(array), impl=kind["key"].strip("'\"")))
            continue
        value = jnp.asarray(array.view(jnp.bfloat16) if kind["dtype"] == "bfloat16" else array)
        same = same and value.shape == leaf.shape and value.dtype == leaf.dtype
        restored.append(value)
    if not same:
        raise ValueError(f"{path} was saved by another method or for other parameters; delete it to start afresh")
    return jax.tree.unflatten(treedef, restored), manifest["extra"]
