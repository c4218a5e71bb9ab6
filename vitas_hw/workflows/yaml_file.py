"""YAML as a space is written in: plain values only, so that a few lines cannot unfold into gigabytes or into code."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from vitas_hw.core.errors import FileError
from vitas_hw.core.reading import read_text, reason

_MOST_BYTES = 256 * 2**10  # PyYAML reads about a hundred kilobytes a second; a space has one


class _Plain(yaml.SafeLoader):
    """Without anchors that are referred to, and without a name twice in one mapping."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "references (*name) are not read", self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a name stands twice in a mapping", node.start_mark)
        return found


def read_yaml(path: Path, what: str) -> Any:
    """The value of a YAML file.

    Raises FileError if it is missing, no regular file, of more than 256 KiB, no YAML, asks for objects of Python's, or
    refers to other parts of itself.
    """
    text = read_text(path, what, most=_MOST_BYTES)
    try:
        return yaml.load(text, _Plain)  # noqa: S506  # a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, TypeError, AttributeError) as error:
        # the constructors of dates, numbers and truth values raise what they meet
        raise FileError(f"{path} is not YAML: {reason(error)}.") from error
