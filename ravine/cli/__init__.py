"""The command line. Commands are imported when they are called, so that `ravine --help` does not wait for JAX.

Exit codes: 0 done · 1 error in the user's own code · 2 usage · 3 nobody reached the target · 130 interrupted.
"""

from __future__ import annotations

import io
import itertools
import os
import pathlib
import signal
import sys
import sysconfig
import threading
import traceback
from typing import Any


def app(config: str | None = None) -> Any:
    """The command-line application; `config` is a TOML file of flags, one table for each command: `[ravine.compare]`."""
    import cyclopts

    from ravine import __version__

    application = cyclopts.App(
        name="ravine",
        help="Optimisation on JAX: race methods on your own problem, play with update rules, reproduce experiments.",
        version=__version__,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        config=() if config is None else (cyclopts.config.Toml(config, root_keys=["ravine"], must_exist=True),),
    )
    for name, (home, words) in COMMANDS.items():
        application.command(f"ravine.cli.{home}", name=name, help=words)
    return application


COMMANDS = {
    "compare": ("compare:compare", "Race methods on one problem and say which one to take."),
    "minimize": ("minimize:minimize", "Run one method on one problem and say how it went."),
    "tune": ("tune:tune", "Look for the best hyperparameters of methods on a problem."),
    "report": ("report:report", "Make the report of saved races again, several of them as one."),
    "init": ("init:init", "Write a problem and its settings to begin with, which run as they are."),
    "check": ("check:check", "Look at one problem before anything is minimised: derivatives, scaling, speed."),
    "reproduce": ("reproduce:reproduce", "Run a published experiment again: ProxProp on CIFAR-10."),
    "lab": ("lab:lab", "Play with update rules in the browser."),
    "list": ("listing:show", "List the methods, the built-in problems, or the trackers that a run can be logged to."),
    "env": ("listing:env", "Print versions and the device, for bug reports."),
}


def main(arguments: list[str] | None = None) -> None:
    """The entry point of the `ravine` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="replace")  # ≤ and α become question marks, where they would end the command
    # Until a command computes, Ctrl-C ends it at once: JAX's import and its hooks turn a KeyboardInterrupt into other errors.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(_say_interrupted()))
    try:
        code = run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        code = _say_interrupted()
    except BrokenPipeError:  # whoever read what is printed has read enough; nothing may be printed while Python ends
        _print_no_more(sys.stdout)
        code = 0
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Runs one command and returns its exit code."""
    import cyclopts

    try:
        code = app(_config(arguments))(arguments, exit_on_error=False)
    except cyclopts.CycloptsError:  # said on the console already
        return 2
    except KeyboardInterrupt:
        return _say_interrupted()
    except BrokenPipeError:
        raise
    except Exception as error:
        if _interrupted(error):
            return _say_interrupted()
        if type(error).__name__ == "UserError":
            return _show_user_error(error.__cause__ or error, str(error))
        if _users_frames(error):
            return _show_user_error(error)
        if isinstance(error, ValueError | TypeError | OSError):
            where = _users_frames(error.__cause__)[-1:] if error.__cause__ else []
            print(f"ravine: {error}" + "".join(f" ({f.filename}:{f.lineno})" for f in where), file=sys.stderr)
            return 2
        raise
    return code if isinstance(code, int) else 0


def _config(arguments: list[str]) -> str | None:
    """The file that is given by --config, which must be read before the rest is understood."""
    import tomllib

    given = [w.removeprefix("--config=") for w in arguments if w.startswith("--config=")]
    given += [path for flag, path in itertools.pairwise(arguments) if flag == "--config"]
    if not given:
        return None
    try:
        with open(given[-1], "rb") as file:
            tables = tomllib.load(file)
    except ValueError as error:
        raise ValueError(f"--config {given[-1]} is no TOML: {error}") from None
    except OSError as error:
        raise ValueError(f"--config {given[-1]} cannot be read: {error.strerror}") from None
    if not isinstance(tables.get("ravine"), dict) or arguments[0] not in tables["ravine"]:
        raise ValueError(
            f"--config {given[-1]} has no table [ravine.{arguments[0]}]: write the flags into one, for example seeds = 5"
        )
    return given[-1]


def tell(text: str, file: Any = None) -> None:
    """Prints a line of a command that has more to do than to print: it goes on where nobody reads any more."""
    stream = file or sys.stdout
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        _print_no_more(stream)


def _print_no_more(stream: Any) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say_interrupted() -> int:
    print("interrupted", file=sys.stderr)
    return 130


def _interrupted(error: BaseException | None) -> bool:
    """Whether the error came of a Ctrl-C: extension modules turn one that comes while they are imported into an ImportError."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _interrupted(error.__cause__ or error.__context__))


def _users_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of the error that lie neither in this package nor in a library."""
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    ours = (str(pathlib.Path(__file__).parents[1]), *libraries, "<frozen", "<string>")  # a dataclass's own __init__ is a "<string>"
    return [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(ours)]


def _show_user_error(error: BaseException, what: str = "your code raised an error") -> int:
    print(f"ravine: {what}", file=sys.stderr)
    sys.stderr.writelines(traceback.format_list(_users_frames(error)))
    if isinstance(error, SyntaxError):
        sys.stderr.writelines(traceback.format_exception_only(error))
    else:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    if type(error).__name__.startswith("Tracer"):
        print("JAX traces this function: write jax.numpy for numpy, and jnp.where or jax.lax.cond for if", file=sys.stderr)
    return 1


def use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder; the command line may, the library never sets a global flag.

    From here on, Ctrl-C is an exception again: a command that computes ends what it does, and keeps it.
    """
    import jax

    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    try:
        folder = pathlib.Path(base) / "ravine" / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a read-only home costs time, not results
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
