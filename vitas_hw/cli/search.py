"""``vitas-hw search``"""

from __future__ import annotations

from collections.abc import Callable
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import (
    DEFAULT_RUN,
    WHERE,
    FlopsOption,
    JsonOption,
    MemoryOption,
    ParamsOption,
    RunOption,
    ThroughputOption,
    in_run,
)
from vitas_hw.workflows.search.settings import SearchSettings

if TYPE_CHECKING:
    from vitas_hw.core.target import Target
    from vitas_hw.runs.directory import Run
    from vitas_hw.searching.result import Candidate, SearchResult


@takes(SearchSettings)
def search(
    settings: Callable[..., SearchSettings],
    latency: Annotated[
        list[str] | None,
        typer.Option("--latency", help="Latency budget: 5ms, 4ms-5ms; of a further target: PREDICTOR=20ms."),
    ] = None,
    throughput: ThroughputOption = None,
    flops: FlopsOption = None,
    params: ParamsOption = None,
    memory: MemoryOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard earlier evaluations.", rich_help_panel=WHERE)] = False,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Find the most accurate subnet under a budget: score candidates, measure the finalists, fine-tune the best.

    Default budget: the latency that 15% of random subnets meet on the profiled device. Repeat to resume.

    Example: vitas-hw search --latency 5ms
    """
    from vitas_hw.cli import console
    from vitas_hw.core.budget import THROUGHPUT, Budget, show_cost
    from vitas_hw.core.deadline import Deadline
    from vitas_hw.workflows.search.settings import parse_latencies

    own, targets = parse_latencies(latency)
    budget, asked = Budget.parse(own, flops, params, memory, throughput), settings(targets=targets)
    deadline = Deadline.after(asked.max_time_s)  # what is loaded now counts
    from vitas_hw.runs.artifacts import read_health
    from vitas_hw.runs.directory import Run
    from vitas_hw.searching.result import ties_words
    from vitas_hw.training.health import LARGEST, below_baseline
    from vitas_hw.workflows.search.search import search_run

    here = Run(run)
    result = search_run(here, budget, asked, fresh=fresh, deadline=deadline, progress=console.Reporter())
    if as_json:
        console.print_json(summary(here, result) | {"top1": result.final_top1, "top1_split": "search"})
        return
    finalists_table(result)
    if weight := result.memory_bytes.get(result.choice.subnet.digest):
        weighed = show_cost(weight, "memory_bytes")
        console.OUT.print(fill(f"Memory of the choice: {weighed} ({result.memory_by})", 80), markup=False)
    if result.budget.images_per_s is not None and (rate := _images_per_s(here, result)):
        console.OUT.print(f"Throughput of the choice: {show_cost(rate, THROUGHPUT)}", markup=False)
    health = read_health(here) if result.choice.top1 is not None else None
    largest = [one for one in health.groups if one.name == LARGEST] if health else []
    if largest:
        console.OUT.print(f"Beside it, the largest subnet inherits {largest[0].top1:.1%}.", markup=False)
    for said in filter(None, (ties_words(result), below_baseline(health, result.final_top1))):
        console.OUT.print(fill(said, 80), markup=False)
    console.OUT.print(f"Result: {here.result}", markup=False)
    if result.choice.top1 is None:
        console.OUT.print(f"Next: {in_run(run, 'retrain')} (the choice is not trained)", markup=False)
        return
    console.OUT.print(f"Weights: {here.choice}\nNext: {in_run(run, 'export --onnx', 'report')}", markup=False)


def _images_per_s(run: Run, result: SearchResult) -> float | None:
    """Of the choice: by its measured latency, or else the predicted one; None where neither is known."""
    latency_ms = result.measured_ms.get(result.choice.subnet.digest, result.choice.predicted_ms)
    target = _target(run)
    return None if latency_ms is None or target is None else 1000 * target.batch_size / latency_ms


def _target(run: Run) -> Target | None:
    """Of the run's predictor."""
    from vitas_hw.runs.artifacts import load_run_predictor

    return load_run_predictor(run)[0].target if run.predictors.is_dir() else None


def summary(run: Run, result: SearchResult) -> dict[str, Any]:
    """What a search's JSON holds besides its top-1."""
    subnet, target = result.choice.subnet, _target(run)
    return {
        "subnet": subnet.to_dict(),
        "accuracy": result.accuracy,
        "top1_inherited": result.choice.top1,
        "loss_inherited": result.choice.loss,
        "within_one_error": len(result.ties),
        "budget": result.budget.to_dict(),
        "target": target.slug if target else None,
        "predicted_ms": result.choice.predicted_ms,
        "measured_ms": result.measured_ms.get(subnet.digest),
        "images_per_s": _images_per_s(run, result),
        "memory_bytes": result.memory_bytes.get(subnet.digest),
        "memory_by": result.memory_by or None,
        "violations": len(result.violations),
        "targets": result.targets,
        "targets_measured_ms": {name: found.get(subnet.digest) for name, found in result.targets_ms.items()},
        "final_loss": result.final_loss,
        "macs": subnet.macs,
        "params": subnet.params,
        "run": str(run.path),
        "onnx": str(run.onnx) if run.onnx.exists() else None,
    }


def finalists_table(result: SearchResult) -> None:
    """Predicted beside measured, the loss that they were compared by and top-1 (by size neither), the choice first."""
    from vitas_hw.cli import console
    from vitas_hw.core.statistic import QUIET
    from vitas_hw.searching.result import best_first

    shown = {*result.measured_ms, *result.tuned}
    finalists = [c for c in best_first(result.candidates) if c.subnet.digest in shown]

    def row(candidate: Candidate, chosen: bool) -> list[str]:
        subnet = candidate.subnet
        loss = result.tuned.get(subnet.digest, candidate.loss)
        final = console.percent(result.final_top1) if chosen else "-"
        top1 = ["-" if loss is None else f"{loss:.4f}", console.percent(candidate.top1), final]
        return [
            ("* " if chosen else "  ") + subnet.digest[:8],
            *(top1 if by_top1 else []),
            console.milliseconds(candidate.predicted_ms),
            console.milliseconds(result.measured_ms.get(subnet.digest)),
            *console.sizes(subnet)[: len(sizes)],
        ]

    by_top1 = result.choice.top1 is not None
    sizes = ["MACs"] if by_top1 else ["MACs", "params"]  # more columns are wider than a terminal
    rows = [row(result.choice, True), *(row(candidate, False) for candidate in finalists if candidate != result.choice)]
    ranked = ["loss", "inherited", "final"] if by_top1 else []
    columns = ["subnet", *ranked, "predicted", "measured", *sizes]
    words = "quiet latency" if result.statistic == QUIET else result.statistic
    after = " after a short fine-tuning" if result.tuned else ""
    what = f"loss{after} and top-1 on the search split" if by_top1 else "ranked by parameters, no top-1"
    title = fill(f"Finalists under {result.budget}: {what}, {words}", 80)
    console.table(title, columns, rows, _drawn(result) if by_top1 else ())


def _drawn(result: SearchResult) -> list[str]:
    """Latency, measured where it was, against inherited top-1, and the choice's after its fine-tuning; nothing under a
    budget that is no latency.
    """
    from vitas_hw.cli.terminal.chart import Dots, chart

    bounds = result.budget.latency_ms
    if bounds is None or result.choice.predicted_ms is None:
        return []

    def dot(candidate: Candidate) -> tuple[float, float]:
        predicted = (candidate.predicted_ms or 0.0) * result.correction
        return result.measured_ms.get(candidate.subnet.digest, predicted), candidate.top1 or 0.0

    tuned = result.final_top1 if result.tuned else None
    return chart(Dots([dot(one) for one in result.candidates], dot(result.choice), bounds.high, tuned))
