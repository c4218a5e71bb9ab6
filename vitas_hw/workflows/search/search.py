"""Searching a space, or a run's: candidates, finalists measured, the choice fine-tuned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from vitas_hw.core.budget import Budget, Range
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.reading import file_sha256
from vitas_hw.core.space import SearchSpace
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.runs.directory import Run, one_at_a_time
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.costs import Costs, Limit, two_digits
from vitas_hw.searching.engine import Evaluations
from vitas_hw.searching.result import SearchResult, save_candidates, save_result
from vitas_hw.workflows.search.closed_loop import ClosedLoop, Measure, recorded
from vitas_hw.workflows.search.settings import SearchSettings, axis

_DEFAULT_SHARE = 0.15  # of random subnets that the default budget admits
_SHARE_SAMPLES = 4000
_MOST_MARGIN = 0.03


def search(
    space: SearchSpace,
    *,
    supernet: object = None,
    data: object = None,
    latency: str | None = None,
    flops: str | None = None,
    params: str | None = None,
    predictor: Predictor | None = None,
    measure: Measure | None = None,
    pareto: str | None = None,
    progress: Progress = SILENT,
    **settings: Any,
) -> SearchResult:
    """The subnet with the best top-1 under a budget.

    Args:
        space: what to search.
        supernet: a trained ``Supernet`` of the space; not needed with ``accuracy="params"``.
        data: an ``ImageData``; candidates are compared on its search part. Not needed with ``accuracy="params"``.
        latency, flops, params: the budget in words: ``"5ms"``, ``"1.3G"``, ``"6M"``, or ranges.
        predictor: of the space, for a latency budget.
        measure: subnets to p50 in milliseconds on the target; without it the choice is made by prediction.
        pareto: ``"latency,top1"`` (or flops, params) for the whole front.
        progress: where to report to.
        settings: ``optimizer``, ``population``, ``generations``, ``confidence``, ``choose``, ``accuracy``, ``seed``,
            ``max_time_s``: see ``SearchSettings``. The same seed, supernet and predictor give the same candidates and
            scores.

    Raises:
        InfeasibleBudgetError: no subnet fits; says what the space reaches.
        InputError: a budget that cannot be read, a latency without a predictor, a predictor of another space.
    """
    asked = SearchSettings(pareto=None if pareto is None else axis(pareto), **settings)
    budget = Budget.parse(latency, flops, params)
    costs = checked_costs(space, predictor, budget, asked.confidence_of(measure is not None))
    evaluations = Evaluations(None)
    if asked.by_top1:
        from vitas_hw.workflows.search.scoring import supernet_evaluations

        evaluations = supernet_evaluations(space, supernet, data, Archive())
    return ClosedLoop(costs, budget, evaluations, asked, progress, measure).run()


def checked_costs(
    space: SearchSpace,
    predictor: Predictor | None,
    budget: Budget,
    confidence: float = 0.5,
    others: Mapping[str, Range] | None = None,
) -> Costs:
    """The costs of a space, after making sure that some subnet fits the budget; raises as ``search`` does.

    ``others`` are further targets: predictors by name or path, and the latency allowed on each.
    """
    from vitas_hw.predictors.shipped import load_predictor

    limits = [Limit("latency_ms", bounds, name, load_predictor(name)) for name, bounds in (others or {}).items()]
    for one in [predictor, *(limit.predictor for limit in limits)]:
        if isinstance(one, Predictor) and one.space != space:
            raise InputError(f"The predictor {one.name} was fitted for another space than {space.name!r}.")
    costs = Costs(space, predictor, confidence, others=tuple(limits))
    if costs.limits(budget):
        costs.feasible_code(budget)
    return costs


def default_budget(space: SearchSpace, predictor: Predictor) -> Budget:
    """A latency that binds: 15% of the space's random subnets are predicted to meet it, rounded down to two digits."""
    codes = space.sample_codes(_SHARE_SAMPLES, np.random.default_rng(0))
    latency = float(np.quantile(predictor.predict_columns(space.columns(codes)).latency_ms, _DEFAULT_SHARE))
    return Budget(latency_ms=Range(None, two_digits(latency, np.floor)))


@one_at_a_time
def search_run(
    run: Run,
    budget: Budget,
    settings: SearchSettings = SearchSettings(),  # noqa: B008  # frozen
    *,
    fresh: bool = False,
    progress: Progress = SILENT,
) -> SearchResult:
    """Search with a run's supernet and predictor, measure the finalists, fine-tune and keep the choice.

    Every evaluation is kept in the run: the same search, killed at any moment and repeated, goes on and ends as if
    never killed. Ranked by size, it needs no supernet and leaves a choice without weights.

    Args:
        run: has been trained; for a latency, profiled too.
        budget: an empty one takes ``default_budget``, unless a front is asked for.
        settings: how to search.
        fresh: forget earlier evaluations and measurements.
        progress: where to report to.
    """
    from vitas_hw.profiling.place import place_of
    from vitas_hw.runs.artifacts import load_run_predictor, run_anchor_ms

    space, by_top1 = run.space(None), settings.by_top1
    if by_top1 and not run.supernet.exists():
        raise InputError(f"The run {run.path} has no supernet.", step="train")
    unbound = not budget.asked and not settings.targets
    needs_predictor = budget.latency_ms is not None or (unbound and settings.pareto in (None, "latency_ms"))
    predictor, predictor_path = None, None
    if needs_predictor or run.predictors.is_dir():
        predictor, predictor_path = load_run_predictor(run)
    if unbound and settings.pareto is None:
        assert predictor is not None
        budget = default_budget(space, predictor)
        progress.note(f"no budget given, so one that binds: {budget}")
    place = place_of(predictor.target, predictor.fingerprint) if predictor else None
    confidence = settings.confidence_of(place is not None)
    # before torch is loaded: an impossible budget ends at once
    costs = checked_costs(space, predictor, budget, confidence, _targets(run, settings))

    from vitas_hw.supernet.weights_file import save_model
    from vitas_hw.workflows.search.finetune import finetuned
    from vitas_hw.workflows.search.measure_finalists import finalist_meter, refitting_of
    from vitas_hw.workflows.search.scoring import run_evaluations

    run.begin(space)
    staged = run.begin_search()
    inputs = [path for path in (run.supernet if by_top1 else None, predictor_path) if path is not None]
    hashes = {path.name: file_sha256(path) for path in inputs}
    name = _search_name(budget, settings, costs, hashes)
    refitting = refitting_of(run, predictor, staged)
    noise = predictor.metrics.get("noise_floor") if predictor else None
    margin = min(noise or 0.0, _MOST_MARGIN)  # so that the choice measures inside on another day too
    with run_evaluations(run, space, settings, fresh, progress) as (evaluations, trained):
        measure = None
        if place and predictor:
            meter = finalist_meter(place, run_anchor_ms(run, predictor), settings.seed, progress)
            measure = recorded(meter, evaluations.archive, name)
        else:
            progress.note(_unmeasured(budget, settings, confidence))
        refit = refitting.fit if refitting else None
        loop = ClosedLoop(costs, budget, evaluations, settings, progress, measure, margin, refit)
        try:
            result = loop.run()
        except VitasError:
            evaluations.archive.end(name)  # whoever tries again wants to measure again
            raise
    if refitting and loop.measured:
        refitting.add(loop.measured)
    tuned = finetuned(*trained, result.choice, settings.seed, progress) if trained else None
    result = replace(result, inputs=hashes, final_top1=tuned.top1 if tuned else None)
    save_candidates(result.candidates, staged.candidates)
    if tuned:
        save_model(tuned.model.cpu(), result.choice.subnet, staged.choice)
    save_result(result, staged.result)
    run.end_search(staged)
    evaluations.archive.end(name)
    about = {"budget": budget.to_dict(), "targets": result.targets, "seed": settings.seed}
    about |= {"evolution": settings.to_dict(), "finetune": tuned.about if tuned else None}
    kept = [run.candidates, run.result, run.choice, run.searched_profile, run.searched_predictor]
    run.record("search", space, about, inputs, [path for path in kept if path.exists()])
    return result


def _targets(run: Run, settings: SearchSettings) -> dict[str, Range]:
    """The further targets; a name that this run has fitted a predictor by is that file."""
    own = {name: run.predictors / f"{name}.json" for name in settings.targets}
    return {str(own[name]) if own[name].exists() else name: bounds for name, bounds in settings.targets.items()}


def _search_name(budget: Budget, settings: SearchSettings, costs: Costs, hashes: dict[str, str]) -> str:
    """The same for the same search: by it a resumed one finds its measurements."""
    targets = {other.target: str(other.bounds) for other in costs.others}
    said = [budget.to_dict(), settings.to_dict(), settings.seed, costs.confidence, targets, hashes]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _unmeasured(budget: Budget, settings: SearchSettings, confidence: float) -> str:
    if budget.latency_ms is None and not settings.targets:
        return "the target is not at hand: latencies are predicted, not measured"
    return (
        "the target is not at hand: the choice is made by the prediction's upper bound, which holds with a confidence"
        f" of {confidence:.0%}, and not measured"
    )
