"""The entry point: commands, and how errors end."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from vitas_hw.cli.doctor import doctor
from vitas_hw.cli.evaluate import evaluate
from vitas_hw.cli.export import export
from vitas_hw.cli.fit import fit
from vitas_hw.cli.predict import predict
from vitas_hw.cli.profile import profile
from vitas_hw.cli.quickstart import quickstart
from vitas_hw.cli.search import search
from vitas_hw.cli.spaces import spaces
from vitas_hw.cli.train import train
from vitas_hw.core.errors import InputError, VitasError

app = typer.Typer(
    name="vitas-hw",
    help="The best vision transformer for your own device: measure it, predict it, search under it, export it.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (quickstart, doctor, profile, fit, predict, train, search, evaluate, export, spaces):
    app.command()(command)
_INTERRUPTED = 130
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
    """Run the command line and return its exit status: 0 done, 2 bad input, 1 anything else, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        status = app(args=words, prog_name="vitas-hw", standalone_mode=False)
    except typer.Exit as stop:
        status = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        status = _INTERRUPTED
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
            print(f"Error: {error.problem}", file=sys.stderr)
            if error.next_step:
                print(error.next_step, file=sys.stderr)
            return error.exit_status
        print(f"Error: unexpected {type(error).__name__}: {error}", file=sys.stderr)
        print(
            "This is a bug in vitas-hw, or a full disk or memory. For the traceback: vitas-hw --debug ...",
            file=sys.stderr,
        )
        return 1
    if status == _INTERRUPTED:  # some versions of typer turn Ctrl-C into this status themselves
        print("Interrupted. Timings and checkpoints so far are kept; repeat the command to go on.", file=sys.stderr)
    return status if isinstance(status, int) else 0
