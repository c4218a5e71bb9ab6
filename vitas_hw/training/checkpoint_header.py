"""What a checkpoint was made with, read without torch: another setting is refused before anything heavy is loaded."""

from __future__ import annotations

import json
import pickletools
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from vitas_hw.core.errors import InputError
from vitas_hw.core.reading import parse_json

_MOST_BYTES = 2**24  # of the pickle, which holds names and numbers; weights lie beside it in the archive
_STRINGS = ("BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINUNICODE8")


class OtherSettingsError(InputError):
    """A checkpoint of a training with other settings."""


def refuse_other_settings(path: Path, asked: dict[str, Any], but: Collection[str] = ()) -> None:
    """Whether the settings suit a checkpoint, as far as they alone tell; what is broken is told when it is read.

    Args:
        path: the checkpoint; need not exist.
        asked: settings that decide the result.
        but: names by which a checkpoint holds what came of the setting: they are compared when it is loaded.

    Raises:
        OtherSettingsError: it is of a training with other ones.
    """
    known = _header(path)
    wanted = json.loads(json.dumps(asked))  # as it was written: tuples are lists there
    wanted = {name: value for name, value in wanted.items() if name not in but}
    if known is not None and any(known.get(name) != value for name, value in wanted.items()):
        raise other_settings(path, {name: known.get(name) for name in wanted}, wanted)


def other_settings(path: Path, known: dict[str, Any], wanted: dict[str, Any]) -> OtherSettingsError:
    """The error, which names the settings that differ."""
    names = sorted(key for key in {*known, *wanted} if known.get(key) != wanted.get(key))
    return OtherSettingsError(
        f"{path} is the checkpoint of an unfinished training with other settings ({', '.join(names)}).",
        "Repeat that training's command to finish it, or give `fresh` to begin anew.",
    )


def _header(path: Path) -> dict[str, Any] | None:
    """The settings in a checkpoint; None if there are none to be found. Nothing in the file is run."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            if archive.getinfo(name).file_size > _MOST_BYTES:
                return None
            strings = _strings(archive.read(name))
        for one in strings:
            if one == "settings":
                return dict(parse_json(next(strings)))
    except Exception:  # no archive, no pickle, no JSON: the reader that loads it will say
        return None
    return None


def _strings(pickled: bytes) -> Iterator[str]:
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name in _STRINGS:
            yield str(argument)
