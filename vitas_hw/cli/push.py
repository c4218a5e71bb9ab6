"""``vitas-hw push``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.options import JsonOption


def push(
    place: Annotated[
        Path, typer.Argument(metavar="RUN_OR_FOLDER", help="A run, or a folder written by export --timm.")
    ],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the Hub; created if missing.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the files without uploading them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Upload an exported timm folder and its model card to the Hugging Face Hub (first: hf auth login).

    Example: vitas-hw push runs/default me/my-vit --private
    """
    from vitas_hw.cli import console
    from vitas_hw.workflows.push import push as send

    done = send(place, repo, private=private or None, dry_run=dry_run, progress=console.Reporter())
    if as_json:
        console.print_json({"repo": done.repo, "url": done.url, "files": done.files})
        return
    title = f"Would be sent to {done.repo}" if dry_run else f"Sent to {done.repo}"
    console.table(title, ["file", "bytes"], [[name, f"{size:,}"] for name, size in done.files.items()])
    if done.url:
        console.OUT.print(f"Commit: {done.url}", markup=False)
