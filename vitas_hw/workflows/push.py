"""The exported choice of a run on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vitas_hw.core.errors import InputError
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.export.hub import CONFIG, Pushed, send
from vitas_hw.runs.directory import Run

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_EXPORT = "choice-timm"  # of a run, as export names it


def push(
    place: Path,
    repo: str,
    *,
    private: bool | None = None,
    dry_run: bool = False,
    api: HfApi | None = None,
    progress: Progress = SILENT,
) -> Pushed:
    """Send an exported timm folder with its card, see ``send``.

    Args:
        place: a run whose choice was exported with ``timm``, or such a folder, its card beside it.
        repo, private, dry_run, api, progress: see ``send``.

    Raises:
        InputError: nothing was exported there, or as ``send``, which raises FileError and VitasError too.

    Example:
        >>> push(Path("runs/default"), "me/my-vit", dry_run=True).files.keys()  # doctest: +SKIP
        dict_keys(['README.md', 'config.json', 'model.safetensors', 'vitas_subnet.py'])
    """
    return send(_exported(place), repo, private=private, dry_run=dry_run, api=api, progress=progress)


def _exported(place: Path) -> Path:
    """The folder. Raises InputError if nothing was exported there."""
    if Run(place).manifest.exists():
        folder = place / _EXPORT
        if not (folder / CONFIG).is_file():
            raise InputError(f"The run {place} has no timm folder of its choice.", "First: export with `timm`.")
        return folder
    if not (place / CONFIG).is_file():
        raise InputError(f"{place} is neither a run nor a folder that export wrote with `timm`.")
    return place
