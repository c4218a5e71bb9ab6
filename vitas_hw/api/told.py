"""Functions whose keyword arguments are the fields of settings: one list of them, for type checkers and ``help``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from vitas_hw.core import InputError
from vitas_hw.core.settings import setting_of

P = ParamSpec("P")
Asked = TypeVar("Asked")
Owner = TypeVar("Owner")
Made = TypeVar("Made")
_AFTER = ("Returns:", "Raises:", "Example:")  # sections of a docstring that stand below the arguments


def told(kind: Callable[P, Asked]) -> Callable[[Callable[[Asked], Made]], Callable[P, Made]]:
    """A function that is called with the fields of ``kind``, a class of ``settings``; its body gets them as one.

    Text for a setting that is no text is read as the command line reads it: ``speedup="2x"``.
    """

    def decorate(body: Callable[[Asked], Made]) -> Callable[P, Made]:
        @wraps(body)
        def called(*args: P.args, **kwargs: P.kwargs) -> Made:
            return body(_made(kind, body.__name__, args, kwargs))

        _describe(called, kind, body, [])
        return called

    return decorate


def told_method(
    kind: Callable[P, Asked],
) -> Callable[[Callable[[Owner, Asked], Made]], Callable[Concatenate[Owner, P], Made]]:
    """The same of a method."""

    def decorate(body: Callable[[Owner, Asked], Made]) -> Callable[Concatenate[Owner, P], Made]:
        @wraps(body)
        def called(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> Made:
            return body(self, _made(kind, body.__name__, args, kwargs))

        _describe(called, kind, body, [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)])
        return called

    return decorate


def _made(kind: Callable[..., Asked], name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Asked:
    """The settings. Raises TypeError, in the name of the function, for an argument that is none of them."""
    try:
        given = inspect.signature(kind).bind(*args, **kwargs).arguments
    except TypeError as error:
        raise TypeError(f"{name}() {error}") from None
    return kind(**{one: _read(kind, one, value) for one, value in given.items()})


def _read(kind: Any, name: str, value: Any) -> Any:
    about = next(setting_of(one) for one in fields(kind) if one.name == name)
    if about is None or about.reads is None or not isinstance(value, str) or value in about.choices:
        return value
    try:
        return about.reads(value)
    except InputError as error:
        if error.field:
            raise
        # a parser does not know whose value it reads
        raise InputError(f"`{name}`: {error.problem}", error.hint, field=name, value=value) from error


def _describe(called: Any, kind: Any, body: Callable[..., Any], first: list[inspect.Parameter]) -> None:
    """Gives it the signature of the settings, and their help in its docstring."""
    parameters = list(inspect.signature(kind).parameters.values())
    made = inspect.signature(body).return_annotation
    called.__signature__ = inspect.Signature([*first, *parameters], return_annotation=made)
    called.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": made}
    del called.__wrapped__  # whose signature help would show
    helps = {one.name: about.help for one in fields(kind) if (about := setting_of(one)) is not None and about.help}
    args = ["Args:", *(f"    {one.name}: {_item(helps[one.name])}" for one in parameters if one.name in helps), ""]
    lines = inspect.cleandoc(body.__doc__ or "").splitlines()
    place = next((number for number, line in enumerate(lines) if line.startswith(_AFTER)), len(lines))
    called.__doc__ = "\n".join([*lines[:place], *args, *lines[place:]])


def _item(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
