"""A command's options, made of the settings that its workflow takes; and errors in the words of those options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import wraps
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

from vitas_hw.core.errors import InputError, VitasError, written
from vitas_hw.core.records import from_json
from vitas_hw.core.settings import Setting, setting_of

# options that are not called as their setting; the others are, with hyphens and without a unit
FLAGS = {
    "old": "--from",
    "compute_capabilities": "--compute-capability",
    "predictors": "--predictor",
    "table": "--import",
    "macs": "--flops",
}
_UNITS = ("_s", "_ms")


@dataclass(frozen=True)
class FromFile:
    """A setting's value as a configuration file holds it: text as it is typed, or the value itself as JSON has it."""

    value: Any


def flag(name: str) -> str:
    """The option of a setting or argument: ``max_time_s`` is ``--max-time``."""
    if name in FLAGS:
        return FLAGS[name]
    unit = next((unit for unit in _UNITS if name.endswith(unit)), "")
    return "--" + name.removesuffix(unit).replace("_", "-")


def in_options(error: VitasError) -> tuple[str, str]:
    """Problem and hint of an error, arguments as options, with the command that makes what is missing."""
    problem, hint = error.written(flag, equals=" ")
    return problem, hint or (f"Run: vitas-hw {error.step}" if error.step else "")


def takes(kind: type, *, leave_out: tuple[str, ...] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of settings in place of its first parameter.

    The body is called with a function there, from the settings that are no options to the whole.

    Args:
        kind: a class of ``settings``.
        leave_out: fields that the command fills itself.
    """
    hints = get_type_hints(kind)
    options = {
        one.name: _option(hints[one.name], one, about)
        for one in fields(kind)
        if (about := setting_of(one)) is not None and one.name not in leave_out
    }

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        @wraps(body)
        def command(**given: Any) -> None:
            values = {name: read(given.pop(name)) for name, (_, read) in options.items()}
            body(lambda **rest: kind(**values, **rest), **given)

        _, *rest = inspect.signature(body, eval_str=True).parameters.values()
        others = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in rest]
        parameters = [*(parameter for parameter, _ in options.values()), *others]
        parameters.sort(key=lambda one: one.name in ("seed", "as_json"))  # what every command has stands last
        command.settings = frozenset(options)  # type: ignore[attr-defined]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        del command.__wrapped__  # typer would read the body's own signature
        return command

    return decorate


def _option(hint: Any, one: Field[Any], about: Setting) -> tuple[inspect.Parameter, Callable[[Any], Any]]:
    """The parameter that typer makes an option of, and what makes the setting's value of what it hands over."""
    assert one.default is not MISSING
    default, make, kind = one.default, about.reads, hint
    if make is not None:
        hint, default = str | None, None
    elif get_origin(hint) is tuple:
        hint, default, make = list[get_args(hint)[0]] | None, None, tuple  # type: ignore[misc]

    def read(typed: Any) -> Any:
        if isinstance(typed, FromFile):
            typed = typed.value
            if make is None or not isinstance(typed, str) or typed in about.choices:
                return from_json(kind, typed, one.name)
        if make is None:
            return typed
        try:
            return one.default if typed in (None, []) else make(typed)
        except InputError as error:
            if error.field:
                raise
            problem = f"`{one.name}`: {error.problem}"  # a parser does not know whose value it reads
            raise InputError(problem, error.hint, field=one.name, value=typed) from error

    shows: Mapping[str, Any] = {"rich_help_panel": about.group} if about.group else {}
    says = written(about.help, flag, equals=" ")
    option = typer.Option(flag(one.name), help=says, metavar=_metavar(hint), hidden=about.study, **shows)
    annotation = Annotated[hint, option]
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation), read


def _metavar(hint: Any) -> str | None:
    """What typer shows, without the range, which an error tells."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return "INT" if int in kinds else None
