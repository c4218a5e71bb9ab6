"""``vitas-hw search``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitas_hw.cli.options import (
    DEFAULT_RUN,
    FlopsOption,
    JsonOption,
    LatencyOption,
    ParamsOption,
    RunOption,
    SeedOption,
    TorchDeviceOption,
)

if TYPE_CHECKING:
    from vitas_hw.workflows.run import Run
    from vitas_hw.workflows.search import Searched


def search(
    latency: LatencyOption = None,
    flops: FlopsOption = None,
    params: ParamsOption = None,
    population: Annotated[int, typer.Option("--population", min=2, help="Subnets in a generation.")] = 16,
    generations: Annotated[int, typer.Option("--generations", min=1, help="Generations of the evolution.")] = 6,
    device: TorchDeviceOption = "auto",
    run: RunOption = DEFAULT_RUN,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Find the most accurate subnet under a budget, measure the finalists, fine-tune the winner.

    Without a budget: a latency that 15% of the space's random subnets meet on the profiled device.

    Example: vitas-hw search --latency 5ms
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import Budget

    budget = Budget.parse(latency, flops, params)
    from vitas_hw.searching.evolution import Evolution
    from vitas_hw.workflows.run import Run
    from vitas_hw.workflows.search import search_run

    here = Run(run)
    evolution = Evolution(population=population, generations=generations)
    done = search_run(here, budget, evolution=evolution, seed=seed, device=device, progress=console.Reporter())
    if as_json:
        console.print_json(summary(here, done) | {"top1": done.result.final_top1, "top1_split": "search"})
        return
    finalists_table(done)
    console.OUT.print(f"Result: {here.result}\nPlot: {here.plot}\nWeights: {here.choice}", markup=False)
    console.OUT.print("Next: vitas-hw export --onnx", markup=False)


def summary(run: Run, done: Searched) -> dict[str, Any]:
    """What a search's JSON holds besides its top-1."""
    result, subnet = done.result, done.result.choice.subnet
    return {
        "subnet": subnet.to_dict(),
        "top1_inherited": result.choice.top1,
        "budget": result.budget.to_dict(),
        "target": None if done.predictor is None else done.predictor.target.slug,
        "predicted_ms": result.choice.predicted_ms,
        "measured_ms": result.measured_ms.get(subnet.digest),
        "macs": subnet.macs,
        "params": subnet.params,
        "run": str(run.path),
        "onnx": str(run.onnx) if run.onnx.exists() else None,
    }


def finalists_table(done: Searched) -> None:
    """Predicted beside measured, inherited beside final top-1, the choice first."""
    from vitas_hw.cli import console
    from vitas_hw.core.budget import show_cost
    from vitas_hw.searching.result import best_first

    result = done.result
    finalists = [c for c in best_first(result.candidates) if c.subnet.digest in result.measured_ms]
    rest = [candidate for candidate in finalists if candidate != result.choice]
    rows = []
    for candidate in [result.choice, *rest]:
        subnet = candidate.subnet
        chosen = candidate == result.choice
        rows.append(
            [
                ("* " if chosen else "  ") + subnet.digest[:8],
                console.percent(candidate.top1),
                console.percent(result.final_top1) if chosen else "-",
                console.milliseconds(candidate.predicted_ms),
                console.milliseconds(result.measured_ms.get(subnet.digest)),
                show_cost(subnet.macs, "macs").removesuffix("MACs"),
                f"{subnet.params / 1e6:.2f} M",
            ]
        )
    columns = ["subnet", "inherited", "final", "predicted", "measured", "MACs", "params"]
    console.table(f"Finalists under {result.budget}: top-1 on the search split, p50", columns, rows)
