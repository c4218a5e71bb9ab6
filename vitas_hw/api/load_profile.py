"""Profiles by name or file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitas_hw.profiling import Profile


def load_profile(name_or_path: str | Path) -> Profile:
    """Load a profile, the measurements of many subnets on one target: a file, or a shipped profile by name.

    Raises:
        InputError: an unknown name.
        FileError: a file that is missing, broken, or of another schema.

    Example:
        >>> profile = vh.load_profile("amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits")
        >>> profile.target.backend, len(profile.to_dicts()) == len(profile.measurements)
        ('onnxruntime', True)
    """
    from vitas_hw.predictors import shipped_file
    from vitas_hw.profiling import load_profile as read

    return read(shipped_file("profiles", name_or_path, ".jsonl"))
