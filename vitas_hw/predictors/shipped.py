"""The predictors and profiles that come with the package."""

from __future__ import annotations

from pathlib import Path

from vitas_hw.core.errors import one_of
from vitas_hw.predictors.predictor import Predictor, read_predictor

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped(kind: str) -> Path:
    """The folder of shipped ``predictors`` or ``profiles``: inside the wheel, or beside the package in a checkout."""
    packed = _PACKAGE / "shipped" / kind
    return packed if packed.is_dir() else _PACKAGE.parent / kind


def load_predictor(name_or_path: str | Path) -> Predictor:
    """A shipped predictor by name, or the file of one.

    Raises:
        InputError: an unknown name.
        FileError: a file that is missing, broken, or of another schema.
    """
    text = str(name_or_path)
    if text.endswith(".json"):
        return read_predictor(Path(text))
    known = {path.stem: path for path in sorted(shipped("predictors").glob("*.json"))}
    if text not in known:
        raise one_of(text, known, "predictor")
    return read_predictor(known[text])
