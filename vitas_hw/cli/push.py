"""``vitas-hw push``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.options import JsonOption


def push(
    place: Annotated[Path, typer.Argument(metavar="RUN_OR_FOLDER", help="A run, or what export --timm wrote.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the hub; made if it is missing.")],
    private: Annotated[bool, typer.Option("--private", help="If the repository is new, make it private.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send an exported timm folder with its card to the Hugging Face hub (log in to it first).

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
