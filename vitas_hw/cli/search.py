"""``vitas-hw search``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitas_hw.cli.options import (
    DEFAULT_RUN,
    FlopsOption,
    JsonOption,
    ParamsOption,
    RunOption,
    SeedOption,
    TorchDeviceOption,
)

if TYPE_CHECKING:
    from vitas_hw.workflows.run import Run
    from vitas_hw.workflows.search import Searched


_METHOD, _WHERE = "How it searches", "Where and how long"


def search(
    latency: Annotated[
        list[str] | None,
        typer.Option("--latency", help="5ms, 4ms-5ms; also NAME=20ms."),
    ] = None,
    flops: FlopsOption = None,
    params: ParamsOption = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            "--confidence",
            help="That the prediction holds. Default: 0.5; 0.95 if unmeasured.",
        ),
    ] = None,
    pareto: Annotated[str | None, typer.Option("--pareto", help="A front: latency,top1 (flops, params).")] = None,
    choose: Annotated[
        str | None, typer.Option("--choose", help="Of a front: knee (default) or best.", rich_help_panel=_METHOD)
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            "--optimizer",
            help="surrogate (default), nsga2, regularized-evolution, random; paper is nsga2 with 50 x 40.",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    population: Annotated[
        int | None, typer.Option("--population", min=2, help="Default: 16.", rich_help_panel=_METHOD)
    ] = None,
    generations: Annotated[
        int | None,
        typer.Option("--generations", min=1, help="Default: 6 populations.", rich_help_panel=_METHOD),
    ] = None,
    device: TorchDeviceOption = "auto",
    max_time: Annotated[
        str | None,
        typer.Option("--max-time", help="Stop in time with the best so far: 90s, 30m, 8h.", rich_help_panel=_WHERE),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget earlier work.")] = False,
    run: RunOption = DEFAULT_RUN,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Find the most accurate subnet under a budget, measure the finalists, fine-tune the winner.

    Without a budget: a latency that 15% of the space's random subnets meet on the profiled device. Killed at any
    moment, the same command goes on.

    Example: vitas-hw search --latency 5ms
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import Budget, parse_duration
    from vitas_hw.workflows.search_settings import parse_latencies, search_settings

    own, targets = parse_latencies(latency)
    budget = Budget.parse(own, flops, params)
    settings = search_settings(
        optimizer=optimizer,
        population=population,
        generations=generations,
        pareto=pareto,
        choose=choose,
        confidence=confidence,
        seed=seed,
        max_time_s=None if max_time is None else parse_duration(max_time),
        targets=targets,
    )
    from vitas_hw.workflows.run import Run
    from vitas_hw.workflows.search import search_run

    here = Run(run)
    done = search_run(here, budget, settings, device=device, fresh=fresh, progress=console.Reporter())
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
        "violations": len(result.violations),
        "targets": result.targets,
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
