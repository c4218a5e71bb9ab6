"""A search space by name, or from a YAML file of plain values that cannot unfold into gigabytes or into code."""

from __future__ import annotations

import math
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from vitas_hw.core.errors import FileError, InputError, shown
from vitas_hw.core.presets import preset
from vitas_hw.core.reading import read_text, reason
from vitas_hw.core.space import SearchSpace

_MOST_BYTES = 256 * 2**10  # PyYAML reads about a hundred kilobytes a second; a space has one


class _Plain(yaml.SafeLoader):
    """Without anchors that are referred to, a name twice in one mapping, and numbers that are not finite."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "references (*name) are not read", self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a name stands twice in a mapping", node.start_mark)
        return found

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        number: float = super().construct_yaml_float(node)
        if not math.isfinite(number):
            raise yaml.constructor.ConstructorError(None, None, f"{node.value} is no finite number", node.start_mark)
        return number


_Plain.add_constructor("tag:yaml.org,2002:float", _Plain.construct_yaml_float)


def read_yaml(path: Path, what: str) -> Any:
    """The value of a YAML file.

    Raises FileError if it is missing, no regular file, of more than 256 KiB, no YAML, asks for objects of Python's,
    refers to other parts of itself, or holds a number that is not finite.
    """
    text = read_text(path, what, most=_MOST_BYTES)
    try:
        return yaml.load(text, _Plain)  # noqa: S506  # a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, TypeError, AttributeError) as error:
        # the constructors of dates, numbers and truth values raise what they meet
        raise FileError(f"{path} is not YAML: {reason(error)}.") from error


def load_space(name_or_path: str | Path) -> SearchSpace:
    """Load a search space: a preset by name, or a YAML file with the fields of ``SearchSpace``.

    Raises:
        InputError: an unknown name.
        FileError: a file that is missing, broken or describes no space.

    Example:
        >>> vh.load_space("vitas-digits").embed_dims, vh.load_space("small.yaml").embed_dims
        ((192, 256, 320, 384, 448, 512), (64, 128))
    """
    text = str(name_or_path)
    if not text.endswith((".yaml", ".yml")):
        return preset(text)
    from pydantic import TypeAdapter, ValidationError

    path = Path(name_or_path)
    try:
        data = read_yaml(path, "the space")
        if not isinstance(data, dict):
            raise FileError(f"{path} describes no space: it has no fields.")
        unknown = sorted(set(map(str, data)) - set(SearchSpace.__dataclass_fields__))
        if unknown:
            raise FileError(f"{path} describes no space: unknown field {shown(unknown[0])}.")
        return TypeAdapter(SearchSpace).validate_python({"name": path.stem.lower(), **data}, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise FileError(f"{path} describes no space: {where}: {first['msg']}.") from error
    except FileError:
        raise
    except (InputError, ValueError) as error:
        raise FileError(f"{path} describes no space: {error}") from error
