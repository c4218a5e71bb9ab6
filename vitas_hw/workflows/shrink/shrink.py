"""The whole road from a trained model to a smaller one: space, profile, train, search, retrain, export, compare."""

from __future__ import annotations

from dataclasses import replace

from vitas_hw.core.budget import Budget, Range
from vitas_hw.core.deadline import Deadline, TimeIsUpError
from vitas_hw.core.errors import InputError
from vitas_hw.core.progress import SILENT, Numbered, Progress
from vitas_hw.core.settings import as_json, shared, what_decides
from vitas_hw.core.subnet import Subnet
from vitas_hw.data.options import DataOptions
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.profiling.profile import load_profile
from vitas_hw.runs.artifacts import load_run_predictor
from vitas_hw.runs.directory import Run, one_at_a_time
from vitas_hw.runs.finished import finished
from vitas_hw.runs.shrunk import Model, Shrunk, read_shrunk, write_shrunk
from vitas_hw.supernet.weights_file import subnet_of
from vitas_hw.workflows.compare import CompareSettings, Comparison, compare
from vitas_hw.workflows.export.export import export
from vitas_hw.workflows.export.settings import PRECISIONS, ExportSettings
from vitas_hw.workflows.profile.profile import profile
from vitas_hw.workflows.profile.settings import ProfileSettings
from vitas_hw.workflows.search.search import checked_costs, search_run
from vitas_hw.workflows.search.settings import SearchSettings
from vitas_hw.workflows.shrink.original import keep_original
from vitas_hw.workflows.shrink.settings import ShrinkSettings
from vitas_hw.workflows.train.retrain import retrain
from vitas_hw.workflows.train.settings import RetrainSettings, TrainSettings
from vitas_hw.workflows.train.train import train


def shrink(
    run: Run,
    model: str,
    settings: ShrinkSettings,
    *,
    fresh: bool = False,
    deadline: Deadline | None = None,
    progress: Progress = SILENT,
) -> Shrunk:
    """The best part of a trained model under a budget: in a run, which goes on where it was killed.

    A step that is finished, with the same settings and from the same files, is not done again.

    Args:
        run: where files go; one of another space is refused.
        model: see ``load_original``. A classifier of other classes than the data's is replaced by one fitted to them;
            the model is then the largest subnet, the teacher, and the first row of the result.
        settings: images, target, budget.
        fresh: do every step again, and forget earlier timings and evaluations.
        deadline: when to stop; None is after the settings' ``max_time_s``.
        progress: where to report to.

    Raises:
        InputError: a budget that the model is inside of already, or another run; and as each step does.
        InfeasibleBudgetError: no part of the model fits; says so before anything is trained.
        TimeIsUpError: before the choice was exported and compared; a repeated call goes on.
    """
    deadline = deadline or Deadline.after(settings.max_time_s)
    seed, where, threads = settings.seed, settings.train_device, settings.train_threads
    # impossible numbers end here, not after the steps before theirs
    profiling = ProfileSettings(**settings.target, num_subnets=settings.num_subnets, seed=seed)
    training = TrainSettings(
        **shared(settings, DataOptions),
        data=settings.data,
        init=str(run.original),
        epochs=settings.epochs,
        device=where,
        threads=threads,
        workers=settings.workers,
        seed=seed,
    )
    retraining = RetrainSettings(
        init="supernet",
        epochs=settings.retrain_epochs,
        device=where,
        threads=threads,
        workers=settings.workers,
        seed=seed,
    )
    searching = SearchSettings(device=where, threads=threads, seed=seed)
    precision = settings.precision if settings.precision in PRECISIONS else "fp32"
    exporting = ExportSettings(precision=precision, seed=seed)
    comparing = CompareSettings(**settings.target, seed=seed)

    def part(place: int) -> Progress:
        return Numbered(progress, place, 7)

    def is_due(step: str, about: dict[str, object]) -> bool:
        return fresh or not finished(run, step, about)

    keep_original(run, model, settings, fresh, part(1))
    space, original = run.space(None), subnet_of(run.original)
    budget = settings.budget.at_batch(settings.batch_size)
    if budget.latency_ms is None and budget.asked:  # needs no device to be told impossible
        _refuse_what_is_met(budget, original, None)
        checked_costs(space, None, budget)
    if is_due("profile", what_decides(profiling) | {"num_subnets": profiling.count, "whole": True}):
        profiled = profile(run, profiling, fresh=fresh, deadline=deadline, progress=part(2))
        if not profiled.whole:
            raise TimeIsUpError("all subnets were measured")
    predictor, _ = load_run_predictor(run)
    original_ms = _p50(run, predictor, original)
    if settings.speedup is not None:
        budget = Budget(latency_ms=Range(None, original_ms / settings.speedup))
        progress.note(f"the original takes {original_ms:.3g} ms, so the budget is: {budget}")
    _refuse_what_is_met(budget, original, original_ms)
    checked_costs(space, predictor, budget)
    training = replace(training, budget=budget)
    # by content, which a step's inputs tell, not by its place: a run may be moved
    if is_due("train", {name: value for name, value in what_decides(training).items() if name != "init"}):
        # another budget than an unfinished training's is no mistake here: the device may have been measured again
        train(run, training, fresh=True if fresh else None, deadline=deadline, progress=part(3))
        deadline.check("the supernet was trained")
    if is_due("search", {"budget": budget, "seed": seed, "evolution": searching, "whole": True}):
        search_run(run, budget, searching, fresh=fresh, deadline=deadline, progress=part(4))
        deadline.check("the choice was retrained")
    if is_due("retrain", what_decides(retraining)):
        retrain(run, retraining, fresh=fresh, deadline=deadline, progress=part(5))
        deadline.check("the choice was retrained")
    if is_due("export", what_decides(exporting)):
        export(run, exporting, deadline=deadline, progress=part(6))
    if is_due("shrink", as_json(comparing)):
        deadline.check("the original and the choice were compared")
        found = compare(run, [str(run.original), "choice"], comparing, deadline=deadline, progress=part(7))
        if not found.whole:
            raise TimeIsUpError("the original and the choice were compared")
        _keep(run, comparing, found, budget)
    shrunk = read_shrunk(run)
    assert shrunk is not None  # its step is finished
    return shrunk


def _p50(run: Run, predictor: Predictor, original: Subnet) -> float:
    """Measured in the run's profile. Raises InputError if the model does not run on the target."""
    measured = {one.subnet: one for one in load_profile(run.profiles / f"{predictor.name}.jsonl").measurements}
    found = measured.get(original)
    if found is None:  # a model of unlike blocks, which is not the largest subnet
        return float(predictor.predict([original]).latency_ms[0])
    if found.failed:
        raise InputError(f"The model does not run on {predictor.target.slug}: {found.failed}")
    return found.latency_ms


def _refuse_what_is_met(budget: Budget, original: Subnet, latency_ms: float | None) -> None:
    costs = {"latency_ms": latency_ms, "macs": original.macs, "params": original.params}
    told = {cost: (bounds, costs[cost]) for cost, bounds in budget.asked.items()}
    if all(cost is not None and bounds.excess(cost) <= 0 for bounds, cost in told.values()):
        raise InputError(f"The model is inside the budget ({budget}) as it is.", "Ask for less.")


@one_at_a_time
def _keep(run: Run, settings: CompareSettings, found: Comparison, budget: Budget) -> None:
    rows = []
    for row in found.rows:
        if row.p50_ms is None:
            raise InputError(f"{row.name} does not run on {found.target.slug}: {row.failed}")
        rows.append(Model(row.subnet, row.p50_ms, row.top1))
    exported = next(one for one in reversed(run.read()["steps"]) if one["step"] == "export")
    file = next(iter(exported["outputs"]))
    shrunk = Shrunk(found.target.slug, budget, rows[0], rows[1], file)
    write_shrunk(run, shrunk)
    inputs = [run.original, run.path / file]
    run.record("shrink", run.space(None), as_json(settings), inputs, [run.shrunk])
