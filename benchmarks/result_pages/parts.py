"""What a page of numbers is made of: parts, each from files of results.

One whose files are not there is listed as not measured yet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Found = Mapping[str, Any]
BENCHMARKS = Path(__file__).parent.parent


@dataclass(frozen=True)
class Part:
    """A table or some sentences.

    Args:
        what: the question that it answers, without a number.
        command: what measures it.
        files: the results that it needs, below ``benchmarks/``. A JSON file is given to ``text`` as it was read, a
            JSON Lines file as a list; of a name with a star the files that there are, in order, as a list of both.
        text: what they say, as Markdown; None where the files lack it.
    """

    what: str
    command: str
    files: tuple[str, ...]
    text: Callable[..., str | None]

    def made(self, benchmarks: Path) -> str | None:
        """The part of the page, or None where it is not measured yet."""
        there = [sorted(benchmarks.glob(name)) for name in self.files]
        if not all(there):
            return None
        found = [
            [read(path) for path in paths] if "*" in name else read(paths[0])
            for name, paths in zip(self.files, there, strict=True)
        ]
        text = self.text(*found)
        if text is None:
            return None
        about = [source(self.command, [str(path.relative_to(benchmarks)) for paths in there for path in paths])]
        about += dict.fromkeys(machine(one) for one in found if isinstance(one, dict) and "environment" in one)
        return f"{text.strip()}\n\n{' '.join(about)}\n"


@dataclass(frozen=True)
class Section:
    title: str
    parts: Sequence[Part]


def read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines) + "\n"


def against(shown: str, goal: str, met: bool) -> str:
    """A number beside its goal.

    >>> against("3.5%", "2%", False)
    '3.5% (goal 2%: missed)'
    """
    return f"{shown} (goal {goal}{'' if met else ': missed'})"


def source(command: str, files: Sequence[str]) -> str:
    links = ", ".join(f"[{Path(name).name}](../benchmarks/{name})" for name in files)
    return f"From `{command}`: {links}."


def machine(found: Found) -> str:
    """The machine behind a result, in a sentence."""
    about = found["environment"]
    hardware, libraries = about["hardware"], about["libraries"]
    kind = f"{hardware['cpu']} (family {hardware['cpu_family']}, model {hardware['model']}), {hardware['cpus']} CPUs"
    versions = [f"{name} {libraries[name]}" for name in ("torch", "onnxruntime") if name in libraries]
    return f"{kind}; Python {about['python']}, {', '.join(versions)}."
