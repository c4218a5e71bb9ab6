"""``vitas-hw spaces``"""

from __future__ import annotations

from typing import Annotated

import typer

from vitas_hw.cli.options import JsonOption


def spaces(
    name: Annotated[str | None, typer.Argument(help="A preset or a YAML file. Default: all presets.")] = None,
    as_json: JsonOption = False,
) -> None:
    """The search spaces: their size, and what their subnets cost.

    Example: vitas-hw spaces vitas-digits
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import show_cost
    from vitas_hw.core.presets import PRESETS
    from vitas_hw.searching.costs import Costs
    from vitas_hw.workflows.run import load_space

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
