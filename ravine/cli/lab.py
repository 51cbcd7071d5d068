"""`ravine lab`."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys

from ravine.cli.whole import Whole


def lab(
    scene: str = "",
    /,
    *,
    browser: bool = True,
    port: Whole = 0,
    export: pathlib.Path | None = None,
) -> int:
    """Play with update rules in the browser: paths on a map, sliders, step by step.

    The page is served on this computer only and loads nothing from the network. Ctrl-C ends it.

    Parameters
    ----------
    scene
        What to open: rosenbrock, himmelblau, … (the page has a menu).
    browser
        Open the browser; --no-browser prints the address only.
    port
        The port to listen on; a free one if not given.
    export
        Write a page that stands alone, with recorded runs, and end: for a lecture or a blog.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise ValueError(f"the lab needs the package {error.name}: pip install 'ravine[lab]'") from None
    from ravine.core.registry import nearest
    from ravine.lab.scenes import SCENES

    if scene and scene not in SCENES:
        raise ValueError(f"unknown function {scene!r}{nearest(scene, SCENES)}")
    if not 0 <= port <= 65535:
        raise ValueError(f"a port is a number from 0 to 65535, got {port}")
    if export is not None:
        if not export.parent.is_dir():
            raise ValueError(f"there is no folder {export.parent} to write {export.name} to")
        _prepare()
        from ravine.lab.export import CLASSICS
        from ravine.lab.export import export as write

        size = write(export, (scene,) if scene else CLASSICS)
        print(f"{export}: {size / 1e6:.1f} MB, opens without a server or a network")
        return 0
    from ravine.lab.server import LOOPBACK, listen, serve

    bound = listen(port)
    _prepare()
    address = f"http://{LOOPBACK}:{bound.getsockname()[1]}/" + (f"#scene={scene}" if scene else "")
    print(f"ravine lab: {address}  (Ctrl-C ends it)", flush=True)
    if browser:
        import webbrowser

        webbrowser.open(address)
    with contextlib.suppress(KeyboardInterrupt):
        serve(bound)
    print("ravine lab: ended", file=sys.stderr, flush=True)
    # A compilation in a thread cannot be interrupted, and waiting for its end would look like hanging; there is nothing to save.
    os._exit(0)


def _prepare() -> None:
    import jax

    from ravine.cli import use_compilation_cache

    use_compilation_cache()
    jax.config.update("jax_enable_x64", True)
