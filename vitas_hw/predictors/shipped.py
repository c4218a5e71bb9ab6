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


def shipped_file(kind: str, name_or_path: str | Path, ending: str) -> Path:
    """A shipped file by name, or what is a path already. Raises InputError on an unknown name."""
    text = str(name_or_path)
    if text.endswith(ending) or Path(text).is_file():
        return Path(text)
    known = {path.stem: path for path in sorted(shipped(kind).glob(f"*{ending}"))}
    if text not in known:
        raise one_of(text, known, kind.removesuffix("s"))
    return known[text]


def load_predictor(name_or_path: str | Path) -> Predictor:
    """Load a predictor: a file, or a shipped predictor by name.

    Raises:
        InputError: an unknown name.
        FileError: a file that is missing, broken, or of another schema.

    Example:
        >>> predictor = vh.load_predictor("amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits")
        >>> found = predictor.predict([predictor.space.smallest, predictor.space.largest])
        >>> bool(found.latency_ms[0] < found.latency_ms[1])
        True
    """
    return read_predictor(shipped_file("predictors", name_or_path, ".json"))
