"""``vitas-hw search``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitas_hw.cli.options import (
    DEFAULT_RUN,
    WHERE,
    FlopsOption,
    JsonOption,
    ParamsOption,
    RunOption,
    SeedOption,
)

if TYPE_CHECKING:
    from vitas_hw.runs.directory import Run
    from vitas_hw.searching.result import Candidate
    from vitas_hw.workflows.search.search import Searched


_METHOD = "How it searches"


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
            rich_help_panel=_METHOD,
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
    accuracy: Annotated[
        str,
        typer.Option(
            "--accuracy",
            help="supernet (default), or a weak training-free proxy.",
            show_default=False,
            rich_help_panel=_METHOD,
        ),
    ] = "supernet",
    device: Annotated[
        str,
        typer.Option(
            "--device", help="auto (default) is a GPU if any; cpu, cuda:1.", show_default=False, rich_help_panel=WHERE
        ),
    ] = "auto",
    ray: Annotated[
        str | None,
        typer.Option("--ray", help="Evaluate on a Ray cluster: auto, or its address.", rich_help_panel=WHERE),
    ] = None,
    ray_gpus: Annotated[
        float | None,
        typer.Option("--ray-gpus", help="GPUs of a worker: 1, 0.25; 0 takes CPUs.", rich_help_panel=WHERE),
    ] = None,
    max_time: Annotated[
        str | None,
        typer.Option("--max-time", help="Stop in time with the best so far: 90s, 30m, 8h.", rich_help_panel=WHERE),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget earlier work.", rich_help_panel=WHERE)] = False,
    run: RunOption = DEFAULT_RUN,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Find the most accurate subnet under a budget, measure the finalists, fine-tune the winner.

    Without a budget: a latency that 15% of random subnets meet on the profiled device. Killed at any moment, the same
    command goes on.

    Example: vitas-hw search --latency 5ms
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import Budget, parse_duration
    from vitas_hw.core.errors import InputError
    from vitas_hw.workflows.search.settings import parse_latencies, search_settings

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
        accuracy=accuracy,
    )
    if ray_gpus is not None and ray is None:
        raise InputError("--ray-gpus needs a cluster.", "Add --ray auto")
    from vitas_hw.cluster.evaluation_pool import RayWorkers
    from vitas_hw.runs.directory import Run
    from vitas_hw.workflows.search.search import search_run

    here, workers = Run(run), None if ray is None else RayWorkers(ray, ray_gpus)
    progress = console.Reporter()
    done = search_run(here, budget, settings, device=device, workers=workers, fresh=fresh, progress=progress)
    if as_json:
        console.print_json(summary(here, done) | {"top1": done.result.final_top1, "top1_split": "search"})
        return
    finalists_table(done)
    console.OUT.print(f"Result: {here.result}", markup=False)
    if done.result.choice.proxy:
        console.OUT.print("Next: vitas-hw retrain (the choice is not trained)", markup=False)
        return
    console.OUT.print(f"Weights: {here.choice}\nNext: vitas-hw export --onnx, then vitas-hw report", markup=False)


def summary(run: Run, done: Searched) -> dict[str, Any]:
    """What a search's JSON holds besides its top-1."""
    result, subnet, proxy = done.result, done.result.choice.subnet, done.result.choice.proxy
    return {
        "subnet": subnet.to_dict(),
        "accuracy": result.accuracy,
        "top1_inherited": None if proxy else result.choice.top1,
        **({"proxy_score": result.choice.top1} if proxy else {}),
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
    """Predicted beside measured, inherited beside final top-1 or the proxy's score alone, the choice first."""
    from vitas_hw.cli import console
    from vitas_hw.core.budget import show_cost
    from vitas_hw.searching.result import best_first

    result = done.result
    finalists = [c for c in best_first(result.candidates) if c.subnet.digest in result.measured_ms]
    rest = [candidate for candidate in finalists if candidate != result.choice]

    def scores(candidate: Candidate, chosen: bool) -> list[str]:
        if candidate.proxy:
            return [f"{candidate.top1:.4g}"]
        return [console.percent(candidate.top1), console.percent(result.final_top1) if chosen else "-"]

    rows = []
    for candidate in [result.choice, *rest]:
        subnet = candidate.subnet
        chosen = candidate == result.choice
        rows.append(
            [
                ("* " if chosen else "  ") + subnet.digest[:8],
                *scores(candidate, chosen),
                console.milliseconds(candidate.predicted_ms),
                console.milliseconds(result.measured_ms.get(subnet.digest)),
                show_cost(subnet.macs, "macs").removesuffix("MACs"),
                f"{subnet.params / 1e6:.2f} M",
            ]
        )
    ranked = ["proxy score"] if result.choice.proxy else ["inherited", "final"]
    columns = ["subnet", *ranked, "predicted", "measured", "MACs", "params"]
    what = "training-free proxy, no top-1" if result.choice.proxy else "top-1 on the search split"
    console.table(f"Finalists under {result.budget}: {what}, p50", columns, rows)
