"""``vitas-hw spaces``"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.options import DEFAULT_RUN, JsonOption, in_run


def spaces(
    name: Annotated[str | None, typer.Argument(help="Show this preset or YAML file. Default: all presets.")] = None,
    data: Annotated[
        str | None, typer.Option("--for", help="Write a space for these images: folder:PATH, torch/NAME ...")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--init", help="Build it around a pretrained ViT: a timm name, NAME:FILE, a folder."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write it to. Default: the data's name.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the search spaces with their sizes and costs, or write one that fits your data.

    Example: vitas-hw spaces --for folder:photos --init deit_small_patch16_224
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import show_cost
    from vitas_hw.core.errors import InputError
    from vitas_hw.core.presets import PRESETS
    from vitas_hw.runs.directory import Run
    from vitas_hw.runs.space_file import load_space
    from vitas_hw.searching.costs import Costs

    if (data is None and (output or init) is not None) or (data is not None and name is not None):
        raise InputError("Give the name of a space, or --for DATA with or without --init and --output.")
    proposal = None
    if data is not None:
        from vitas_hw.workflows.propose_space import propose_space

        proposal = propose_space(data, output, init)
        name = str(proposal.path)
    found = [load_space(name)] if name else [load_space(known) for known in PRESETS]
    params = {space.name: Costs(space).reachable("params") for space in found}
    if as_json:
        console.print_json(
            {
                "rows": [
                    {
                        "space": space.to_dict(),
                        "size": space.size,
                        "macs": [space.smallest.macs, space.largest.macs],
                        "params": [int(bound) for bound in params[space.name]],
                    }
                    for space in found
                ]
            }
            | ({} if proposal is None else {"path": str(proposal.path), "images": proposal.images})
        )
        return
    rows = [
        [
            space.name,
            f"{space.image_size[0]}x{space.image_size[1]}",
            f"{space.size:.2g}",
            f"{show_cost(space.smallest.macs, 'macs')} - {show_cost(space.largest.macs, 'macs')}",
            " - ".join(f"{bound / 1e6:.2f} M" for bound in params[space.name]),
        ]
        for space in found
    ]
    console.table("Search spaces", ["space", "image", "subnets", "MACs", "parameters"], rows)
    if proposal is not None:
        path = proposal.path
        assert path is not None
        about = f"{proposal.images} images of {found[0].num_classes} classes"
        console.OUT.print(f"Space: {path}, for {about}", markup=False)
        start = f" --init {shlex.quote(init)}" if init else ""
        known = Run(DEFAULT_RUN).read()["space"]
        # the usual run may be one of another space already, a quick start's perhaps
        run = DEFAULT_RUN if known in (None, found[0].to_dict()) else DEFAULT_RUN.parent / path.stem
        steps = f"profile --space {shlex.quote(str(path))}", f"train --data {shlex.quote(str(data))}{start}"
        console.OUT.print(f"Next: {in_run(run, *steps)}", markup=False)
