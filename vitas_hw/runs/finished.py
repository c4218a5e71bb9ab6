"""Which steps of a run need not be done again."""

from __future__ import annotations

from typing import Any

from vitas_hw.core.reading import file_sha256
from vitas_hw.core.records import to_json
from vitas_hw.runs.directory import Run


def finished(run: Run, step: str, settings: dict[str, Any]) -> bool:
    """Whether the last ``step`` of a run was one with these settings, and all that it read and made is as it was."""
    last = next((one for one in reversed(run.read()["steps"]) if one["step"] == step), None)
    if last is None or any(last["settings"].get(name) != value for name, value in to_json(settings).items()):
        return False
    files = {run.path / name: told for name, told in (last["inputs"] | last["outputs"]).items()}
    return all(path.is_file() and file_sha256(path) == told for path, told in files.items())
