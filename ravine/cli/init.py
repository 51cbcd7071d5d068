"""`ravine init`."""

from __future__ import annotations

import pathlib
import shlex

STARTER = ("problem.py", "ravine.toml")


def init(folder: pathlib.Path = pathlib.Path(), /) -> int:
    """Write a problem and its settings to begin with, which run as they are.

    Parameters
    ----------
    folder
        Where problem.py and ravine.toml are to be; made if it is not there. Nothing is overwritten.
    """
    from ravine.core.files import write_whole

    there = [name for name in STARTER if (folder / name).exists()]
    if there:
        raise ValueError(f"{folder / there[0]} is there already and is left as it is: name another folder, as in ravine init race")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"{folder} is not a folder, nor can it be made one: name another") from None
    for name in STARTER:
        write_whole(folder / name, (pathlib.Path(__file__).parent / "starter" / name).read_text("utf-8"))
    print(f"{' and '.join(str(folder / name) for name in STARTER)} are written. Next:\n")
    go = "" if folder.resolve() == pathlib.Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    print(f"  {go}ravine check problem.py")
    print(f"  {go}ravine compare --config ravine.toml")
    return 0
