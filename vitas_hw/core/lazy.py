"""Names of a package that are loaded when they are first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazily(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package (PEP 562).

    The package says the same to type checkers by imports under ``TYPE_CHECKING``, with these three in the ``else``, so
    that a name that it does not have is an error of theirs too.

    Args:
        package: its ``__name__``.
        homes: which names each of its modules has for others. A name that a home does not hold is a module in it.
    """
    found = {name: home for home, names in homes.items() for name in names}

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in found:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = import_module(f"{package}.{found[name]}")
        # asked for each time: what a test puts in the home's place is what is found here
        return getattr(home, name) if hasattr(home, name) else import_module(f"{home.__name__}.{name}")

    def __dir__() -> list[str]:  # noqa: N807
        return sorted({*vars(import_module(package)), *found})

    return __getattr__, __dir__, sorted(found)
