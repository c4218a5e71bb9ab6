"""Settings as frozen dataclasses whose fields say what they may be: the one place of a name, type, default and range.

The command line makes its options of them, a run's manifest and a checkpoint's header are them as JSON.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from numbers import Real
from typing import Any, TypeVar, dataclass_transform

from vitas_hw.core.errors import invalid
from vitas_hw.core.records import to_json

_KEY = "setting"
T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """What a field may be; an allowed None is not checked.

    Args:
        help: a few words; other settings stand in backticks, as in an error.
        group: heading that it stands under in a help.
        at_least, above, at_most, below: bounds of a number.
        choices: allowed words.
        reads: the value of what a person types, where that is no plain number or word; raises InputError.
        study: it is of use in studies of the method only: an option that no help lists.
        runs: it says where and how long to work, and changes no result: not part of ``what_decides``.
    """

    help: str = ""
    group: str = ""
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    reads: Callable[[str], Any] | None = None
    study: bool = False
    runs: bool = False

    @property
    def allowed(self) -> str:
        """In words: ``at least 1``."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        bounds = {"at least": self.at_least, "above": self.above, "at most": self.at_most, "below": self.below}
        return " and ".join(f"{words} {bound}" for words, bound in bounds.items() if bound is not None)

    def allows(self, value: Any) -> bool:
        """Whether a value is inside all bounds; what is no finite number never is."""
        if self.choices:
            return value in self.choices
        if not self.allowed:
            return True
        return (
            _is_finite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )


def setting(
    *,
    default: Any = MISSING,
    help: str = "",  # noqa: A002
    like: type | None = None,
    kw_only: bool = True,
    **about: Any,
) -> Any:
    """A field of ``settings``.

    Args:
        default: its value if none is given.
        help: a few words.
        like: other settings with a field of the same name: its help and range are this one's.
        kw_only: whether it is given by its name alone.
        about: see ``Setting``.
    """
    metadata = {_KEY: Setting(help, **about)} if like is None else {"like": like, "about": about}
    return field(default=default, metadata=metadata, kw_only=kw_only)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting, field))
def settings(kind: type[T]) -> type[T]:
    """Makes a class a frozen dataclass of keywords whose fields are checked when it is made.

    Its ``__post_init__`` checks what concerns several fields. Raises InputError, by the name of the field.
    """
    across: Callable[[Any], None] | None = kind.__dict__.get("__post_init__")

    def __post_init__(self: Any) -> None:  # noqa: N807
        for name, one in settings_of(type(self)).items():
            value = getattr(self, name)
            if value is not None and not one.allows(value):
                raise invalid(name, value, one.allowed)
        if across is not None:
            across(self)

    kind.__post_init__ = __post_init__  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(kind)


def setting_of(one: Field[Any]) -> Setting | None:
    """What a field may be; None if it is no ``setting``."""
    if "like" in one.metadata:
        there = settings_of(one.metadata["like"])[one.name]
        return Setting(**(vars(there) | one.metadata["about"]))
    found: Setting | None = one.metadata.get(_KEY)
    return found


def settings_of(kind: type) -> dict[str, Setting]:
    """What the fields of settings may be, by name."""
    return {one.name: found for one in fields(kind) if (found := setting_of(one)) is not None}


def shared(given: object, kind: type) -> dict[str, Any]:
    """The values of settings that ``kind`` has fields for too, but for those that are None: to make or change one."""
    names = {one.name for one in fields(kind)} & {one.name for one in fields(given)}  # type: ignore[arg-type]
    return {name: getattr(given, name) for name in sorted(names) if getattr(given, name) is not None}


def as_json(given: Any) -> dict[str, Any]:
    """Settings as JSON types."""
    return {one.name: to_json(getattr(given, one.name)) for one in fields(given)}


def what_decides(given: Any) -> dict[str, Any]:
    """Those that decide the result, as JSON types."""
    about = settings_of(type(given))
    return {name: value for name, value in as_json(given).items() if name not in about or not about[name].runs}


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, Real)
    return is_number and abs(value) < math.inf
