"""Searching a space, or a run's: candidates, finalists measured, the choice fine-tuned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vitas_hw.core.budget import Budget, Range
from vitas_hw.core.deadline import Deadline, TimeIsUpError
from vitas_hw.core.depths import Shares
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.reading import file_sha256
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.statistic import P50, PERCENT
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.runs.directory import Run, one_at_a_time
from vitas_hw.searching.archive import Archive, Final
from vitas_hw.searching.choosing import Measure, recorded, recorded_each
from vitas_hw.searching.costs import Costs, Limit, two_digits
from vitas_hw.searching.engine import Evaluations
from vitas_hw.searching.memory import MemoryEstimate
from vitas_hw.searching.result import SearchResult, save_candidates, save_result
from vitas_hw.workflows.search.closed_loop import MEMORY, OWN, ClosedLoop
from vitas_hw.workflows.search.settings import SearchSettings

if TYPE_CHECKING:  # a refusal loads none of these
    from pathlib import Path

    from torch import nn

    from vitas_hw.data.load import ImageData
    from vitas_hw.profiling.place import Place
    from vitas_hw.supernet.supernet import Supernet
    from vitas_hw.workflows.search.finetune import Finetuned, Finetuning

_DEFAULT_SHARE = 0.15  # of random subnets that the default budget admits
_SHARE_SAMPLES = 4000
_MOST_MARGIN = 0.03
_MEASURING, _TUNING = 0.2, 0.2  # of the time, if it is limited, left for what follows the evaluations


def search(
    space: SearchSpace,
    budget: Budget,
    settings: SearchSettings = SearchSettings(),  # noqa: B008  # frozen
    *,
    supernet: Supernet | None = None,
    data: ImageData | None = None,
    predictor: Predictor | None = None,
    measure: Measure | None = None,
    depths: Shares | None = None,
    progress: Progress = SILENT,
) -> SearchResult:
    """The subnet of least loss under a budget.

    Args:
        space: what to search.
        budget: what the subnet may cost.
        settings: how to search; the same seed, supernet and predictor give the same candidates and scores.
        supernet: trained, of the space; not needed with ``accuracy="params"``.
        data: candidates are compared on its search part. Not needed with ``accuracy="params"``.
        predictor: of the space, for a latency budget.
        measure: subnets to p50 in milliseconds on the target; without it the choice is made by prediction.
        depths: how often each depth was trained, from the fewest blocks to the most; None is equally often.
        progress: where to report to.

    Raises:
        InfeasibleBudgetError: no subnet fits; says what the space reaches.
        InputError: a latency or throughput without a predictor, a predictor of another space.
    """
    from vitas_hw.predictors.shipped import load_predictor

    budget = at_target(budget, predictor)
    limits = [  # nothing is measured there
        Limit("latency_ms", bounds, name, load_predictor(name), settings.confidence_of(False))
        for name, bounds in settings.targets.items()
    ]
    costs = checked_costs(space, predictor, budget, settings.confidence_of(measure is not None), limits)
    measures = {} if measure is None else {OWN: measure}
    evaluations = Evaluations(None)
    if settings.by_top1:
        from vitas_hw.workflows.search.scoring import supernet_evaluations

        evaluations = supernet_evaluations(space, supernet, data, Archive())
    deadline = Deadline.after(settings.max_time_s)
    return ClosedLoop(costs, budget, evaluations, settings, progress, measures, depths=depths, deadline=deadline).run()


def checked_costs(
    space: SearchSpace,
    predictor: Predictor | None,
    budget: Budget,
    confidence: float = 0.5,
    limits: Sequence[Limit] = (),
    memory: MemoryEstimate | None = None,
) -> Costs:
    """The costs of a space, after making sure that some subnet fits the budget; raises as ``search`` does.

    ``limits`` are those of further targets, ``memory`` estimates that of subnets.
    """
    for one in [predictor, *(limit.predictor for limit in limits)]:
        if isinstance(one, Predictor) and one.space != space:
            raise InputError(f"The predictor {one.name} was fitted for another space than {space.name!r}.")
    costs = Costs(space, predictor, confidence, others=tuple(limits), memory=memory)
    if costs.limits(budget):
        costs.feasible_code(budget)
    return costs


def at_target(budget: Budget, predictor: Predictor | None) -> Budget:
    """The same with its throughput, if any, as the latency that it is at the batch size of the predictor's target."""
    return budget if predictor is None else budget.at_batch(predictor.target.batch_size)


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
    deadline: Deadline | None = None,
    progress: Progress = SILENT,
) -> SearchResult:
    """Search with a run's supernet and predictor, measure the finalists, fine-tune and keep the choice.

    Every evaluation is kept in the run: the same search, killed at any moment and repeated, goes on and ends as if
    never killed; one that the time has cut short leaves the best so far, and goes on too. Before the fine-tuning the
    choice is in the run with the supernet's weights, to be exported if it is all that there is time for. Ranked by
    size, a search needs no supernet and leaves a choice without weights.

    Args:
        run: has been trained; for a latency, profiled too.
        budget: an empty one takes ``default_budget``, unless a front is asked for.
        settings: how to search.
        fresh: forget earlier evaluations and measurements.
        deadline: when to stop; None is after the settings' ``max_time_s``.
        progress: where to report to.
    """
    from vitas_hw.profiling.place import place_of
    from vitas_hw.runs.artifacts import load_run_predictor, run_depth_shares, run_profile

    deadline = deadline or Deadline.after(settings.max_time_s)
    space, by_top1 = run.space(None), settings.by_top1
    if by_top1 and not run.supernet.exists():
        raise InputError(f"The run {run.path} has no supernet.", step="train")
    unbound = budget.is_empty and not settings.targets
    timed = budget.latency_ms is not None or budget.images_per_s is not None
    needs_predictor = timed or (unbound and settings.pareto in (None, "latency_ms"))
    predictor, predictor_path = None, None
    if needs_predictor or run.predictors.is_dir():
        predictor, predictor_path = load_run_predictor(run)
    if unbound and settings.pareto is None:
        assert predictor is not None
        budget = default_budget(space, predictor)
        progress.note(f"no budget given; using one that {_DEFAULT_SHARE:.0%} of random subnets meet: {budget}")
    budget = at_target(budget, predictor)
    place = place_of(predictor.target, predictor.fingerprint) if predictor else None
    confidence = settings.confidence_of(place is not None)
    others, places = _others(run, settings)
    if place and predictor:
        places[OWN] = place, predictor
    depths = run_depth_shares(run) if by_top1 else None
    # before torch is loaded: an impossible budget ends at once
    memory = _memory(run, place, predictor) if budget.memory_bytes is not None else None
    costs = checked_costs(space, predictor, budget, confidence, others, memory)

    from vitas_hw.supernet.weights_file import save_model
    from vitas_hw.training.evaluate import AT_ONCE
    from vitas_hw.training.threads import working_threads
    from vitas_hw.workflows.search.measure_finalists import finalist_meter, refitting_of
    from vitas_hw.workflows.search.memory import memory_meter
    from vitas_hw.workflows.search.scoring import run_evaluations

    run.begin(space)
    staged = run.begin_search()
    inputs = [path for path in (run.supernet if by_top1 else None, predictor_path) if path is not None]
    hashes = {path.name: file_sha256(path) for path in inputs}
    name = _search_name(budget, settings, costs, hashes)
    if fresh:
        run.forget_search_state()
    folder = run.search_state / name
    refitting = refitting_of(run, predictor, staged)
    noise = predictor.metrics.get("noise_floor") if predictor else None
    margin = min(noise or 0.0, _MOST_MARGIN)  # so that the choice measures inside on another day too
    with run_evaluations(run, space, settings, fresh, progress) as (evaluations, trained):
        archive = evaluations.archive
        first = archive.begin(name)
        measures, earlier_ms = {}, {}
        for target, (at, told_by) in places.items():
            statistic = told_by.statistic
            meter = finalist_meter(
                at,
                run_profile(run, told_by),
                settings.seed,
                progress,
                percent=PERCENT[statistic],
                deadline=deadline,
                folder=folder,
            )
            where = at.target.slug if statistic == P50 else f"{at.target.slug} {statistic}"
            measures[target] = recorded(meter, archive, name, where, deadline)
            earlier_ms[target] = archive.latencies(where)
        memory_by = ""
        if memory is not None and place is not None:
            weigh, memory_by = memory_meter(place, progress)
            measures[MEMORY] = recorded_each(weigh, archive, name, f"memory of {place.target.slug}", deadline)
            earlier_ms[MEMORY] = archive.latencies(f"memory of {place.target.slug}")
            progress.note(f"memory is {memory_by}")
        if place is None:
            progress.note(_unmeasured(budget, settings, confidence))
        loop = ClosedLoop(
            costs,
            budget,
            evaluations,
            settings,
            progress,
            measures,
            margin,
            refit=refitting.fit if refitting else None,
            depths=depths,
            first=first,
            earlier_ms=earlier_ms,
            deadline=deadline,
            evaluating=1 - _MEASURING * bool(measures) - _TUNING * _is_tuned(space, trained),
        )
        try:
            result = loop.run()
        except TimeIsUpError:
            raise
        except VitasError:
            archive.end(name)  # whoever tries again wants to measure again
            run.forget_search_state(name)
            raise
    if refitting and loop.measured:
        refitting.add(loop.measured)
    result, about_tuning, whole = replace(result, inputs=hashes, memory_by=memory_by), None, not loop.cut

    def put_in_place(result: SearchResult, model: nn.Module | None) -> None:
        if model is not None:
            save_model(model.cpu(), result.choice.subnet, staged.choice)
        save_candidates(result.candidates, staged.candidates)
        save_result(result, staged.result)
        run.end_search(staged)

    if trained is None:
        put_in_place(result, None)
    else:
        where = str(trained[1].search.labels.device)
        with working_threads(settings.threads, space, AT_ONCE, where):
            tuning = _finetuning(loop, *trained, predictor, hashes, folder)
            if tuning.recipe(result.choice) is not None:
                inherited = tuning.inherited(result.choice)
                put_in_place(_chosen(loop, result, inherited, tuning), inherited.model)
                staged = run.begin_search(going_on=True)
            best = _best(loop, result, tuning)
            result, about_tuning, whole = (
                _chosen(loop, result, best, tuning),
                tuning.described(best),
                whole and best.whole,
            )
            put_in_place(result, best.model)
    if whole:
        archive.end(name)
        run.forget_search_state(name)
    else:
        progress.note("time is up: the best so far is kept as the choice; repeat the command to resume")
    about = {"budget": budget.to_dict(), "targets": result.targets, "seed": settings.seed, "whole": whole}
    about |= {"evolution": settings.to_dict(), "finetune": about_tuning}
    kept = [run.candidates, run.result, run.choice, run.searched_profile, run.searched_predictor]
    run.record("search", space, about, inputs, [path for path in kept if path.exists()])
    return result


def _is_tuned(space: SearchSpace, trained: tuple[Supernet, ImageData] | None) -> bool:
    """Whether fine-tuning follows."""
    from vitas_hw.training.recipe import finetune_recipe

    if trained is None:
        return False
    data = trained[1]
    return finetune_recipe(data.name, space.smallest.macs, len(data.train)) is not None


def _finetuning(
    loop: ClosedLoop,
    supernet: Supernet,
    data: ImageData,
    predictor: Predictor | None,
    hashes: dict[str, str],
    folder: Path,
) -> Finetuning:
    from vitas_hw.workflows.search.finetune import Finetuning
    from vitas_hw.workflows.search.quantised import quantised_judge
    from vitas_hw.workflows.train.resumable import images_sha256

    int8 = None if predictor is None or predictor.target.precision != "int8" else predictor.target
    judge = None if int8 is None else quantised_judge(data, int8)
    about = {"inputs": hashes, "images": images_sha256(data)}
    return Finetuning(
        supernet, data, loop.settings.seed, loop.progress, judge, loop.deadline, folder=folder, about=about
    )


def _best(loop: ClosedLoop, result: SearchResult, tuning: Finetuning) -> Finetuned:
    """The finalist that does best after fine-tuning, or an earlier choice that came to less."""
    archive, by_loss = loop.evaluations.archive, loop.settings.choose == "best"
    precision = "fp32" if tuning.judge is None else "int8"
    earlier = {}
    if by_loss:
        known = {(one.subnet.digest, one.layers): one for one in loop.may_be_taken(result.candidates)}
        ended = {where: final for where, final in archive.final.items() if final.precision == precision}
        earlier = {known[where]: ended[where] for where in ended if where in known}
    best = tuning.best_of(loop.finalists(result) if by_loss else [result.choice], earlier)
    if best.whole and not loop.cut and tuning.recipe(best.candidate) is not None:
        archive.add_final((best.candidate.subnet.digest, best.candidate.layers), Final(best.loss, precision, best.seed))
    return best


def _chosen(loop: ClosedLoop, result: SearchResult, best: Finetuned, tuning: Finetuning) -> SearchResult:
    """The result with that choice, and what its model does."""
    from vitas_hw.training.evaluate import accuracy

    digest = best.candidate.subnet.digest  # an earlier choice that is taken again was measured then
    before = {name: found[digest] for name, found in loop.earlier_ms.items() if digest in found}
    own_ms = {digest: before[OWN]} if OWN in before else {}
    weight = {digest: before[MEMORY]} if MEMORY in before else {}
    return replace(
        result,
        measured_ms=own_ms | result.measured_ms,
        memory_bytes=weight | result.memory_bytes,
        choice=best.candidate,
        final_top1=accuracy(best.model, tuning.data.search).top1,
        final_loss=best.loss,
        tuned=tuning.tuned,
    )


def _others(run: Run, settings: SearchSettings) -> tuple[list[Limit], dict[str, tuple[Place, Predictor]]]:
    """The limits of the further targets, and where those are that are here, with what predicts them; a name that this
    run has fitted a predictor by is that file.
    """
    from vitas_hw.predictors.shipped import load_predictor
    from vitas_hw.profiling.place import place_of
    from vitas_hw.runs.artifacts import known_predictor

    limits, places = [], {}
    for asked, bounds in settings.targets.items():
        name = known_predictor(run, asked)
        predictor = load_predictor(name)
        place = place_of(predictor.target, predictor.fingerprint)
        if place is not None:
            places[name] = place, predictor
        limits.append(Limit("latency_ms", bounds, name, predictor, settings.confidence_of(place is not None)))
    return limits, places


def _memory(run: Run, place: Place | None, predictor: Predictor | None) -> MemoryEstimate | None:
    """None where the target is not here: there memory cannot be measured, and so not be promised."""
    from vitas_hw.profiling.profile import load_profile
    from vitas_hw.workflows.search.memory import memory_estimate

    if place is None or predictor is None:
        return None
    path = run.profiles / f"{predictor.name}.jsonl"
    return memory_estimate(place, load_profile(path) if path.exists() else None)


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
