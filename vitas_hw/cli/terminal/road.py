"""What ``vitas-hw`` prints without a command: the steps, which of them are done in the default run, and the next."""

from __future__ import annotations

from pathlib import Path

from vitas_hw.cli.options import DEFAULT_RUN, in_run
from vitas_hw.report.runs import RunSummary, list_runs
from vitas_hw.runs.directory import Run

_STEPS = (  # of the manifest; its command; what it is for
    ("profile", "profile --device cpu", "measure some subnets, fit a predictor for the others"),
    ("train", "train", "train one supernet that contains all subnets"),
    ("search", "search", "find the best subnet under a budget, such as --latency 5ms"),
    ("export", "export --onnx", "write the chosen subnet as a plain model, and check it"),
    ("report", "report", "write one page about the run"),
)


def road(run: Path = DEFAULT_RUN) -> list[str]:
    """Lines to print. A run that cannot be read is named as such; ``vitas-hw runs`` then says why."""
    found = list_runs(run) if run.is_dir() else []
    here = found[0] if found else None
    if here is not None and here.problem:
        return [f"The run {run} cannot be read. See: vitas-hw runs {run.parent}"]
    done = {*here.steps, *(["report"] if Run(run).report.exists() else [])} if here is not None else set()
    lines = [f"Steps of the run {run}{_about(here)}:"]
    for step, command, purpose in _STEPS:
        lines.append(f"  {'done' if step in done else '    '}  vitas-hw {command:<22} {purpose}")
    following = next((command for step, command, _ in _STEPS if step not in done), "report")
    if here is None:
        return [*lines, "Next: vitas-hw quickstart (all steps, on handwritten digits), or the steps above one by one"]
    return [*lines, f"Next: {in_run(run, following)}"]


def _about(run: RunSummary | None) -> str:
    if run is None:
        return ", which does not exist yet"
    told = [f"space {run.space}"] if run.space else []
    told += [f"budget {run.budget}"] if run.budget else []
    return f" ({', '.join(told)})" if told else ""
