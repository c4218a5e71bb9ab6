"""``vitas-hw quickstart``"""

from __future__ import annotations

from collections.abc import Callable
from textwrap import fill
from typing import Annotated

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import DEFAULT_RUN, JsonOption, RunOption
from vitas_hw.core.deadline import Deadline, TimeAllowed
from vitas_hw.workflows.train.settings import TrainSettings

_NEXT = """To do the same on your own device, with your own budget and space:
  vitas-hw profile --run runs/mine --space digits --device cpu
  vitas-hw train --run runs/mine --data digits --latency {ms:g}ms
  vitas-hw search --run runs/mine --latency {ms:g}ms"""


@takes(TimeAllowed)
def quickstart(
    settings: Callable[..., TimeAllowed],
    run: RunOption = DEFAULT_RUN,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Epochs to train the supernet.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard earlier measurements of this device.")] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="INT", help="Random seed.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure, train, search and export on handwritten digits and this CPU, in minutes.

    Example: vitas-hw quickstart
    """
    deadline = Deadline.after(settings().max_time_s)
    TrainSettings(epochs=epochs, seed=seed)  # an impossible number ends here, before anything is loaded
    from vitas_hw.cli import console
    from vitas_hw.cli.search import finalists_table, summary
    from vitas_hw.core.budget import show_cost
    from vitas_hw.runs.artifacts import read_health
    from vitas_hw.runs.directory import Run
    from vitas_hw.training.health import below_baseline
    from vitas_hw.workflows.quickstart import quickstart as whole_road

    here, progress = Run(run), console.Reporter()
    result, exported = whole_road(here, seed=seed, epochs=epochs, fresh=fresh, deadline=deadline, progress=progress)
    found = summary(here, result) | {"top1": exported.beside.top1, "top1_split": "test"}
    if as_json:
        console.print_json(found)
        return
    finalists_table(result)
    subnet = result.choice.subnet
    console.table(
        "Quickstart",
        ["", "value"],
        [
            ["choice", f"patch {subnet.patch_size}, width {subnet.embed_dim}, {subnet.depth} blocks ({subnet.digest})"],
            ["top-1 on test, of the ONNX file", f"{exported.beside.top1:.2%}"],
            ["budget", str(result.budget)],
            ["predicted p50", console.milliseconds(result.choice.predicted_ms)],
            ["measured p50", console.milliseconds(result.measured_ms.get(subnet.digest))],
            ["target", found["target"]],
            ["MACs", show_cost(subnet.macs, "macs")],
            ["parameters", f"{subnet.params / 1e6:.2f} M"],
            ["ONNX file", str(exported.path)],
        ],
    )
    if said := below_baseline(read_health(here), result.final_top1):
        console.OUT.print(fill(said, 80), markup=False)
    bounds = result.budget.latency_ms
    assert bounds is not None
    console.OUT.print(_NEXT.format(ms=bounds.high), markup=False)
