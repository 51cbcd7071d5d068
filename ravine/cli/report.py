"""`ravine report`."""

from __future__ import annotations

import pathlib
from typing import Annotated, Literal

from cyclopts import Parameter


def report(
    runs: list[pathlib.Path],
    *,
    format_: Annotated[Literal["html", "md", "json", "csv", "tex", "text"] | None, Parameter(name=["--format", "-f"])] = None,
    x_axis: Literal["steps", "grads", "time"] = "steps",
    out: Annotated[pathlib.Path | None, Parameter(name=["--out", "-o"])] = None,
    open_: Annotated[bool, Parameter(name="--open", negative="")] = False,
) -> int:
    """Make the report of saved races again, several of them as one.

    Races on the same problem become one ranking; races on different problems are compared by performance profiles.

    Parameters
    ----------
    runs
        Folders that `ravine compare` has written, or their result.json.
    format_
        Print the result in this form, and write nothing.
    x_axis
        What the report draws curves against at first.
    out
        The folder to write to; the one that was read, if it is one.
    open_
        Open the report in the browser.
    """
    from ravine.cli.compare import AXES, check_folder, show
    from ravine.compare.saved import together

    found = together(runs)
    if format_ is None and out is None and (len(runs) > 1 or not runs[0].is_dir()):
        raise ValueError("say where to write to, --out DIR, or what to print, --format md")
    if format_ is not None:
        forms = {"html": "to_html", "md": "markdown", "json": "to_json", "csv": "to_csv", "tex": "latex", "text": "table"}
        print(getattr(found, forms[format_])())
        return 0
    folder = out or runs[0]
    check_folder(folder)
    page = found.save(folder, AXES[x_axis])
    show(found)
    print(f"report: {page}")
    if open_:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
    return 0
