"""Writes docs/api.md from the docstrings: ``python docs/make_api.py``. A test says when it is not fresh."""

from __future__ import annotations

import inspect
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import vitas_hw

PAGE = Path(__file__).parent / "api.md"
_INTRO = """# Python API

Made from the docstrings by `python docs/make_api.py`: change those. All names are in `vitas_hw`
(`import vitas_hw as vh`).
"""
_SECTIONS = ("Args:", "Returns:", "Raises:")
_EXAMPLE = "Example:"
_SKIPPED = re.compile(r"  # doctest: \+SKIP$", re.MULTILINE)
_SIMPLER = {  # what inspect writes, and how people read it
    r": '([^']*)'": r": \1",  # annotations are strings
    r"-> '([^']*)'": r"-> \1",
    r"\((?:self|cls)(?:, )?": "(",
    r"<[\w.]+ object at 0x[0-9a-f]+>": "...",
    r"(?:Posix|Windows)Path\(": "Path(",
    r"<factory>": "...",
}


def page() -> str:
    """The whole page, in Markdown."""
    entries = []
    for name in vitas_hw.__all__:
        value = getattr(vitas_hw, name)
        entries.append(_entry("##", name, value))
        if inspect.isclass(value):
            entries += [_entry("###", f"{name}.{member}", found) for member, found in _members(value)]
        if inspect.ismodule(value):
            own = [one for one in vars(value).values() if getattr(one, "__module__", "") == value.__name__]
            for one in own:
                entries.append(_entry("###", f"{name}.{one.__name__}", one))
                members = [found for found in _members(one) if found[0] in vars(one)]
                entries += [_entry("####", f"{name}.{one.__name__}.{member}", found) for member, found in members]
    return "\n\n".join([_INTRO.rstrip(), *entries]) + "\n"


def _members(cls: type) -> list[tuple[str, Any]]:
    """The documented public methods and properties of a class, those of its bases among them where they are ours."""
    ours = [base for base in reversed(cls.__mro__) if base.__module__.startswith("vitas_hw.")]
    found = {name: value for base in ours for name, value in vars(base).items()}
    public = [(name, value) for name, value in sorted(found.items()) if not name.startswith("_")]
    bare = [(name, getattr(value, "__func__", value)) for name, value in public]  # of class and static methods
    return [(n, v) for n, v in bare if (_is_property(v) or inspect.isfunction(v)) and inspect.getdoc(v)]


def _is_property(value: object) -> bool:
    return isinstance(value, (property, cached_property))


def _entry(level: str, name: str, value: Any) -> str:
    text = f"{level} {name}\n\n"
    if not (_is_property(value) or inspect.ismodule(value)):
        signature = str(inspect.signature(value))
        for pattern, simpler in _SIMPLER.items():
            signature = re.sub(pattern, simpler, signature)
        text += f"```text\n{name}{signature}\n```\n\n"
    return text + _markdown(inspect.getdoc(value) or "")


def _markdown(doc: str) -> str:
    """Sections become bold headings, what is indented once in them an item, what is indented further its rest."""
    lines: list[str] = []
    inside = False
    doc, _, example = doc.partition(f"{_EXAMPLE}\n")
    for line in doc.replace("``", "`").rstrip().splitlines():
        if line in _SECTIONS:
            inside = True
            lines += [f"**{line[:-1]}**", ""]
        elif not line.startswith(" "):
            inside = inside and not line
            lines.append(line)
        elif inside and not line.startswith("     "):
            lines.append(f"- {line.strip()}")
        else:
            lines.append(f"  {line.strip()}")
    if example:
        lines += ["", "```pycon", *inspect.cleandoc(_SKIPPED.sub("", example)).splitlines(), "```"]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
