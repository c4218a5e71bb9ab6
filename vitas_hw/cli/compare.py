"""``vitas-hw compare``"""

from __future__ import annotations

from typing import Annotated

import typer

from vitas_hw.cli.options import DEFAULT_RUN, JsonOption, RunOption, SeedOption

_TARGET = "Target"
_SUBNETS = "Published names, names of plain ViTs in timm, JSON files, trained .safetensors, choice, smallest, largest."


def compare(
    subnets: Annotated[list[str] | None, typer.Argument(help=_SUBNETS)] = None,
    device: Annotated[
        str, typer.Option("--device", help="cpu, cuda:0, mps or gpu (Intel's).", rich_help_panel=_TARGET)
    ] = "cpu",
    backend: Annotated[
        str | None, typer.Option("--backend", help="Default: the device's usual one.", rich_help_panel=_TARGET)
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="fp32, fp16, bf16 or int8.", rich_help_panel=_TARGET)
    ] = "fp32",
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Images per inference.", rich_help_panel=_TARGET)
    ] = 1,
    threads: Annotated[int, typer.Option("--threads", min=1, help="On a CPU.", rich_help_panel=_TARGET)] = 1,
    rounds: Annotated[int, typer.Option("--rounds", help="Visits to each, interleaved.")] = 5,
    data: Annotated[str | None, typer.Option("--data", help="Images for the accuracy. Default: the run's.")] = None,
    run: RunOption = DEFAULT_RUN,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Subnets side by side on one target, measured in one interleaved run.

    Example: vitas-hw compare vitas-c deit-ti deit_tiny_patch16_224
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import show_cost
    from vitas_hw.runs.directory import Run
    from vitas_hw.workflows.compare import compare as compare_subnets

    done = compare_subnets(
        Run(run),
        subnets or (),
        device=device,
        backend=backend,
        precision=precision,
        batch_size=batch_size,
        threads=threads,
        rounds=rounds,
        data=data,
        seed=seed,
        progress=console.Reporter(),
    )
    if as_json:
        rows = [
            {"name": row.name, "subnet": row.subnet.to_dict(), "macs": row.subnet.macs, "params": row.subnet.params}
            | {"p50_ms": row.p50_ms, "p90_ms": row.p90_ms, "failed": row.failed, "top1": row.top1}
            for row in done.rows
        ]
        console.print_json({"target": done.target.slug, "rows": rows})
        return
    console.table(
        f"On {done.target.slug}",
        ["subnet", "MACs", "params", "p50", "p90", "top-1"],
        [
            [
                row.name,
                show_cost(row.subnet.macs, "macs").removesuffix("MACs"),
                f"{row.subnet.params / 1e6:.2f} M",
                console.milliseconds(row.p50_ms),
                console.milliseconds(row.p90_ms),
                console.percent(row.top1),
            ]
            for row in done.rows
        ],
    )
    for row in done.rows:
        if row.failed:
            console.ERR.print(f"{row.name} does not run: {row.failed}", markup=False)
