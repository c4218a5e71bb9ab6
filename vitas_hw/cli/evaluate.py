"""``vitas-hw evaluate``"""

from __future__ import annotations

from typing import Annotated

import typer

from vitas_hw.cli.options import DEFAULT_RUN, JsonOption, RunOption, SeedOption, TorchDeviceOption


def evaluate(
    subnets: Annotated[
        list[str] | None,
        typer.Argument(help="smallest, largest, a published name, or files of JSON: a subnet, or one a line."),
    ] = None,
    random: Annotated[int, typer.Option("--random", min=0, help="Random subnets besides.")] = 0,
    split: Annotated[str, typer.Option("--split", help="test, or search.")] = "test",
    device: TorchDeviceOption = "auto",
    run: RunOption = DEFAULT_RUN,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Top-1 and top-5 of subnets with the weights of the super-transformer.

    Example: vitas-hw evaluate smallest largest --random 10
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import show_cost
    from vitas_hw.runs.directory import Run
    from vitas_hw.workflows.evaluate import evaluate as evaluate_subnets

    rows = evaluate_subnets(
        Run(run), subnets or (), random=random, split=split, seed=seed, device=device, progress=console.Reporter()
    )
    if as_json:
        found = [
            {"subnet": row.subnet.to_dict(), "top1": row.accuracy.top1, "top5": row.accuracy.top5}
            | {"macs": row.subnet.macs, "params": row.subnet.params}
            for row in rows
        ]
        console.print_json({"split": split, "rows": found})
        return
    console.table(
        f"Subnets with the super-transformer's weights, on {split}",
        ["subnet", "top-1", "top-5", "MACs", "params"],
        [
            [
                row.subnet.digest[:8],
                console.percent(row.accuracy.top1),
                console.percent(row.accuracy.top5),
                show_cost(row.subnet.macs, "macs").removesuffix("MACs"),
                f"{row.subnet.params / 1e6:.2f} M",
            ]
            for row in rows
        ],
    )
