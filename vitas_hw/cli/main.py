"""The entry point: commands, and how errors end."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Annotated

import typer

from vitas_hw.cli.config import with_config
from vitas_hw.cli.from_settings import in_options
from vitas_hw.cli.options import is_first
from vitas_hw.cli.terminal.streams import all_written, fit_streams, print_object
from vitas_hw.core.errors import InputError, VitasError, brief, printable
from vitas_hw.core.waiting import sleep_while_waiting
from vitas_hw.runs.directory import HOLDERS

COMMANDS = (  # each a function of its name in a module of its name, in the order of the help
    "quickstart", "shrink", "doctor", "profile", "fit", "predict", "train", "search", "retrain", "evaluate", "compare",
    "export", "classify", "push", "report", "runs", "spaces",
)  # fmt: skip
INTERRUPTED, TERMINATED = 130, 143  # as shells know them: 128 and the number of the signal
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
_WHAT = "Find the best vision transformer for your own device: measure, predict, train, search, export."
_ALL = "All commands: vitas-hw --help"
_COMPLETING = "_VITAS_HW_COMPLETE"  # set by the shell that asks what could stand next
_CACHE = "TORCHINDUCTOR_CACHE_DIR"  # set by torch once it has made the folder
_NO_MEMORY = re.compile(
    r"failed to map segment|cannot allocate memory|can't allocate memory|not enough memory|can't start new thread"
    r"|std::bad_alloc|out of memory",
    re.IGNORECASE,
)
# typer carries a copy of click in some versions and uses the installed one in others: ask it for its exceptions
_CLICK_ERROR = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,  # noqa: ARG001  # read in main
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"vitas-hw {installed('vitas-hw')}")
    elif context.invoked_subcommand is None:
        from vitas_hw.cli.terminal.road import road

        print("\n".join([_WHAT, "", *road(), _ALL]))
    else:
        return
    raise typer.Exit


def program(names: Sequence[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands: a process that was told which one loads no other."""
    made = typer.Typer(
        name="vitas-hw",
        help=_WHAT,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback(invoke_without_command=True)(options)
    for name in names:
        made.command()(with_config(getattr(import_module(f"vitas_hw.cli.{name}"), name)))
    return made


def _needed(words: Sequence[str]) -> Sequence[str]:
    """The commands that words are about: one, or all where they are listed, completed or misspelt."""
    if not words and _COMPLETING not in os.environ:
        return ()
    first = next((word for word in words if not word.startswith("-")), None)
    return (first,) if first in COMMANDS else COMMANDS


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; its exit status: 0 done, 2 bad input, 1 anything else, 130 by Ctrl-C, 143 by SIGTERM."""
    words = sys.argv[1:] if arguments is None else arguments
    fit_streams()
    if arguments is None:  # a process of our own
        sleep_while_waiting()
    ended = INTERRUPTED

    def interrupt(*_: object) -> None:
        """SIGTERM, which a cluster sends before it kills, ends the work as Ctrl-C does: nothing is half written."""
        nonlocal ended
        ended = TERMINATED
        raise KeyboardInterrupt

    handles = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, interrupt) if handles else None
    try:
        with _no_empty_cache():
            status = _run(words)
        if arguments is None and not all_written():
            status = status or 1
    finally:
        if handles:
            signal.signal(signal.SIGTERM, before)
    if status != INTERRUPTED:
        return status
    if is_first():
        _say_how_to_go_on(words, ended)
    return ended


@contextmanager
def _no_empty_cache() -> Iterator[None]:
    """Torch makes a folder for what it compiles, among the temporary files, even if it compiles nothing."""
    told = _CACHE in os.environ
    yield
    if not told and (made := os.environ.get(_CACHE)):
        with suppress(OSError):  # it is not empty, or another process has removed it
            os.rmdir(made)


def _run(words: list[str]) -> int:
    try:
        status = program(_needed(words))(args=words, prog_name="vitas-hw", standalone_mode=False)
        with suppress(BrokenPipeError):  # who reads no more is told nothing
            sys.stdout.flush()  # here, where what it does not take is told
    except typer.Exit as stop:
        status = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as error:
        if "--debug" in words:
            traceback.print_exc()
        status, problem, hint = _answer(error, words)
        if not isinstance(error, VitasError) or is_first():  # under torchrun one process says it
            with suppress(OSError):  # where not even this can be written, the status tells
                print(f"Error: {problem}", *filter(None, [hint]), sep="\n", file=sys.stderr, flush=True)
                _print_as_json(words, status, problem, hint, error)
    return status if isinstance(status, int) else 0  # some versions of typer turn Ctrl-C into 130 themselves


def _say_how_to_go_on(words: Sequence[str], status: int) -> None:
    """One line on stderr on what is kept, and the command that goes on."""
    again = [word for word in words if word != "--fresh"]
    name = next((word for word in words if not word.startswith("-")), "")
    how = "Interrupted." if status == INTERRUPTED else "Ended by SIGTERM."
    kept = "No half-written file is left; to do it again:"
    if name in HOLDERS and name != "export":
        kept = "Timings, evaluations and checkpoints so far are kept; to resume:"
    print(f"{how} {kept}\nvitas-hw {shlex.join(again)}", file=sys.stderr)
    _print_as_json(words, status, how, f"vitas-hw {shlex.join(again)}")


def _print_as_json(words: Sequence[str], status: int, problem: str, hint: str, error: object = None) -> None:
    """On stdout, where the result would be, if that was asked for as JSON."""
    if "--json" not in words:
        return
    told = {"status": status, "problem": problem, "hint": hint}
    about = {name: getattr(error, name) for name in ("field", "value", "allowed", "step") if hasattr(error, name)}
    print_object({"error": told | {name: value for name, value in about.items() if value not in (None, "")}})


def _answer(error: Exception, words: Sequence[str]) -> tuple[int, str, str]:
    """The exit status of an error, what is wrong, and what to do about it."""
    if isinstance(error, VitasError):
        problem, hint = in_options(error)
        run = _run_typed(words)
        if error.step and not error.hint and run:
            hint += f" --run {printable(shlex.quote(run))}"
        return error.exit_status, problem, hint
    if (lacking := _lacking_memory(error)) is not None:
        return 1, lacking, "Allow it more (ulimit -v, the limits of a container or a job), or end other programs."
    if isinstance(error, _CLICK_ERROR):
        asked = getattr(error, "ctx", None)
        command = asked.command_path if asked else "vitas-hw"
        return InputError.exit_status, error.format_message(), f"See: {command} --help"  # type: ignore[attr-defined]
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        file = "" if error.filename is None else f" {error.filename!r}"
        hint = "Make room or give permission there, then repeat the command."
        return 1, f"Cannot write{file}: {error.strerror}.", hint
    hint = "This is a bug in vitas-hw, or a full disk or memory. For the traceback: vitas-hw --debug ..."
    return 1, f"unexpected {type(error).__name__}: {error}", hint


def _run_typed(words: Sequence[str]) -> str | None:
    for place, word in enumerate(words):
        if word == "--run" and place + 1 < len(words):
            return words[place + 1]
        if word.startswith("--run="):
            return word.removeprefix("--run=")
    return None


def _lacking_memory(error: Exception) -> str | None:
    """A sentence if an error comes of too little memory, whatever its kind: libraries say it in many ways."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    for one in chain:
        if isinstance(one, MemoryError) or getattr(one, "errno", None) == errno.ENOMEM or _NO_MEMORY.search(str(one)):
            return f"There is not enough memory for this: {brief(str(one)) or type(one).__name__}."
    return None
