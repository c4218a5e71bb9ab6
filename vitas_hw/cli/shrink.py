"""``vitas-hw shrink``"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Annotated

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import DEFAULT_RUN, FlopsOption, JsonOption, LatencyOption, ParamsOption, RunOption
from vitas_hw.data.options import RECIPE
from vitas_hw.profiling.place import TARGET
from vitas_hw.workflows.shrink.settings import ShrinkSettings

_NEXT = """Another budget, from the same supernet:
  vitas-hw search --run {run} --latency {ms:.3g}ms
  vitas-hw retrain --run {run} --init supernet
  vitas-hw export --run {run} --onnx"""


@takes(ShrinkSettings, leave_out=("device_name", "train_split", "val_split", "search_split"))
def shrink(
    settings: Callable[..., ShrinkSettings],
    model: Annotated[str, typer.Argument(help="A plain ViT: a timm name, NAME:FILE, a file or a folder.")],
    latency: LatencyOption = None,
    throughput: Annotated[
        str | None, typer.Option("--throughput", help="Instead of a latency: 500/s.", rich_help_panel=TARGET)
    ] = None,
    flops: FlopsOption = None,
    params: ParamsOption = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start again from the first step.", rich_help_panel=RECIPE)
    ] = False,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Shrink a trained ViT to a budget, all steps in one command. Repeat to resume.

    Example: vitas-hw shrink deit_small_patch16_224 --data folder:photos --latency 5ms
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import Budget
    from vitas_hw.core.deadline import Deadline

    asked = settings(budget=Budget.parse(latency, flops, params, throughput=throughput))
    deadline = Deadline.after(asked.max_time_s)  # what is loaded now counts
    from vitas_hw.runs.directory import Run
    from vitas_hw.workflows.shrink.shrink import shrink as whole_road

    found = whole_road(Run(run), model, asked, fresh=fresh, deadline=deadline, progress=console.Reporter())
    if as_json:
        console.print_json(found.to_dict() | {"speedup": found.speedup, "lost": found.lost, "run": str(run)})
        return
    console.table(
        f"On {found.target}, top-1 of the test images",
        ["", "top-1", "p50", "MACs", "parameters"],
        [
            [name, console.percent(row.top1), console.milliseconds(row.p50_ms), *console.sizes(row.subnet)]
            for name, row in ((model, found.original), ("choice", found.choice))
        ],
    )
    lost = "" if found.lost is None else f" for {100 * found.lost:.1f} points of top-1"
    console.OUT.print(f"{found.speedup:.2f} times as fast{lost}; asked for: {found.budget}", markup=False)
    console.OUT.print(f"ONNX file: {run / found.exported}", markup=False)
    console.OUT.print(_NEXT.format(run=shlex.quote(str(run)), ms=found.choice.p50_ms / 2), markup=False)
