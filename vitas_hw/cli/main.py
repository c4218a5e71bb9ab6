"""The entry point: commands, and how errors end."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Annotated

import typer

from vitas_hw.cli.compare import compare
from vitas_hw.cli.doctor import doctor
from vitas_hw.cli.evaluate import evaluate
from vitas_hw.cli.export import export
from vitas_hw.cli.fit import fit
from vitas_hw.cli.from_settings import in_options
from vitas_hw.cli.predict import predict
from vitas_hw.cli.profile import profile
from vitas_hw.cli.quickstart import quickstart
from vitas_hw.cli.report import report
from vitas_hw.cli.retrain import retrain
from vitas_hw.cli.runs import runs
from vitas_hw.cli.search import search
from vitas_hw.cli.spaces import spaces
from vitas_hw.cli.stopping import INTERRUPTED, say_how_to_go_on, sigterm_as_interrupt
from vitas_hw.cli.train import train
from vitas_hw.core.errors import InputError, VitasError

app = typer.Typer(
    name="vitas-hw",
    help="The best vision transformer for your own device: measure it, predict it, search under it, export it.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    quickstart, doctor, profile, fit, predict, train, search, retrain, evaluate, compare, export, report, runs, spaces,
):  # fmt: skip
    app.command()(command)
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
# typer carries a copy of click in some versions and uses the installed one in others: ask it for its exceptions
_CLICK_ERROR = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,  # noqa: ARG001  # read in main
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"vitas-hw {installed('vitas-hw')}")
    elif context.invoked_subcommand is None:
        print(context.get_help())
    else:
        return
    raise typer.Exit


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; its exit status: 0 done, 2 bad input, 1 anything else, 130 by Ctrl-C, 143 by SIGTERM."""
    words = sys.argv[1:] if arguments is None else arguments
    with sigterm_as_interrupt() as stop:
        status = _run(words)
    if status != INTERRUPTED:
        return status
    if os.environ.get("RANK", "0") == "0":
        say_how_to_go_on(words, stop.status)
    return stop.status


def _run(words: list[str]) -> int:
    try:
        status = app(args=words, prog_name="vitas-hw", standalone_mode=False)
    except typer.Exit as stop:
        status = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as error:
        if "--debug" in words:
            traceback.print_exc()
        if isinstance(error, _CLICK_ERROR):
            asked = getattr(error, "ctx", None)
            print(f"Error: {error.format_message()}", file=sys.stderr)  # type: ignore[attr-defined]
            print(f"See: {asked.command_path if asked else 'vitas-hw'} --help", file=sys.stderr)
            return InputError.exit_status
        if isinstance(error, VitasError) and os.environ.get("RANK", "0") != "0":
            return error.exit_status  # under torchrun: the first process says it
        if isinstance(error, VitasError):
            problem, hint = in_options(error)
            print(f"Error: {problem}", file=sys.stderr)
            if hint:
                print(hint, file=sys.stderr)
            return error.exit_status
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            print(f"Error: Cannot write{_file(error)}: {error.strerror}.", file=sys.stderr)
            print("Make room or give permission there, then repeat the command.", file=sys.stderr)
            return 1
        print(f"Error: unexpected {type(error).__name__}: {error}", file=sys.stderr)
        print(
            "This is a bug in vitas-hw, or a full disk or memory. For the traceback: vitas-hw --debug ...",
            file=sys.stderr,
        )
        return 1
    return status if isinstance(status, int) else 0  # some versions of typer turn Ctrl-C into 130 themselves


def _file(error: OSError) -> str:
    return "" if error.filename is None else f" {error.filename!r}"
