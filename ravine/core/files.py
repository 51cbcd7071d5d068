"""Files that are never seen half-written. No JAX here: commands that only write must not wait for it."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write to, which takes its name when the block ends; after an error there is none, or the one from before.

    A link is followed, and the file that is replaced keeps its permissions.

    Raises:
        ValueError: the path is that of a folder, or of a device.
    """
    target = pathlib.Path(os.path.realpath(path))
    _require_file(path, target)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(name, mode)
        os.replace(name, target)
    except BaseException:
        pathlib.Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """What new files do not grant; it can be read only by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def file_name(text: str) -> str:
    """A name that a file can have.

    >>> file_name("../rosenbrock[n=2]")
    'rosenbrock-n-2'
    """
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text).strip("-")[:60] or "problem"


def require_place(path: str | os.PathLike[str]) -> None:
    """Refuses, before the work and not after it, a file that cannot be written.

    Raises:
        ValueError: it cannot; the message says why.
    """
    target = pathlib.Path(os.path.realpath(path))
    _require_file(path, target)
    hindrance = hindered(target.parent)
    if hindrance:
        raise ValueError(f"{path} cannot be written ({hindrance[0]}: {hindrance[1]}): name a file in another folder")


def hindered(folder: pathlib.Path) -> tuple[pathlib.Path, str] | None:
    """What hinders files in a folder that may not be there yet: the nearest path that is, and why; None where nothing does."""
    there = next(p for p in (folder, *folder.parents) if p.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        return there, str(error.strerror)
    return None


def _require_file(path: str | os.PathLike[str], target: pathlib.Path) -> None:
    if target.exists() and not target.is_file():
        raise ValueError(f"{path} is no file that can be replaced: name another")


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes a file, whole or not at all; text in UTF-8."""
    with whole(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)
