"""Searching a run's space: evolution, finalists measured, the choice fine-tuned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from vitas_hw.core.budget import Budget, Range
from vitas_hw.core.errors import InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.evolution import Evolution, evolve
from vitas_hw.searching.finalists import Verdict, choose_measured
from vitas_hw.searching.result import Candidate, SearchResult, best_first, save_candidates, save_result
from vitas_hw.workflows.progress import SILENT, Progress
from vitas_hw.workflows.run import Run, file_sha256

Measure = Callable[[Sequence[Subnet]], Sequence[float]]
_DEFAULT_SHARE = 0.15  # of random subnets that the default budget admits
_SHARE_SAMPLES = 4000


@dataclass(frozen=True)
class Searched:
    """A finished search of a run; ``measured`` tells whether the target was at hand."""

    result: SearchResult
    measured: bool
    predictor: Predictor | None


def search(
    space: SearchSpace,
    *,
    supernet: object,
    data: object,
    latency: str | None = None,
    flops: str | None = None,
    params: str | None = None,
    predictor: Predictor | None = None,
    measure: Measure | None = None,
    evolution: Evolution = Evolution(),  # noqa: B008  # frozen
    seed: int = 0,
    progress: Progress = SILENT,
) -> SearchResult:
    """The subnet with the best top-1 under a budget.

    Args:
        space: what to search.
        supernet: a trained ``Supernet`` of the space.
        data: an ``ImageData``; candidates are compared on its search part.
        latency, flops, params: the budget in words: ``"5ms"``, ``"1.3G"``, ``"6M"``, or ranges.
        predictor: of the space, for a latency budget.
        measure: subnets to p50 in milliseconds on the target; without it the choice is made by prediction.
        evolution: population and generations.
        seed: the same seed, supernet and predictor give the same candidates and scores.
        progress: where to report to.

    Raises:
        InfeasibleBudgetError: no subnet fits; says what the space reaches.
        InputError: a budget that cannot be read, a latency without a predictor, a predictor of another space.
    """
    budget = Budget.parse(latency, flops, params)
    costs = checked_costs(space, predictor, budget)
    return _search(space, supernet, data, budget, costs, measure, evolution, seed, progress, inputs={})


def checked_costs(space: SearchSpace, predictor: Predictor | None, budget: Budget) -> Costs:
    """The costs of a space, after making sure that some subnet fits the budget; raises as ``search`` does."""
    if predictor is not None and predictor.space != space:
        raise InputError(f"The predictor {predictor.name} was fitted for another space than {space.name!r}.")
    costs = Costs(space, predictor)
    if budget.asked:
        costs.feasible_code(budget)
    return costs


def default_budget(space: SearchSpace, predictor: Predictor) -> Budget:
    """A latency that binds: 15% of the space's random subnets are predicted to meet it, rounded down to two digits."""
    codes = space.sample_codes(_SHARE_SAMPLES, np.random.default_rng(0))
    latency = float(np.quantile(predictor.predict_columns(space.columns(codes)).latency_ms, _DEFAULT_SHARE))
    step = 10.0 ** (np.floor(np.log10(latency)) - 1)
    return Budget(latency_ms=Range(None, float(f"{np.floor(latency / step) * step:.2g}")))


def search_run(
    run: Run,
    budget: Budget,
    *,
    evolution: Evolution = Evolution(),  # noqa: B008  # frozen
    seed: int = 0,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Searched:
    """Search with a run's super-transformer and predictor, measure the finalists, fine-tune and keep the choice.

    Args:
        run: has been trained; for a latency, profiled too.
        budget: an empty one takes ``default_budget``.
        evolution: population and generations.
        seed: of evolution and fine-tuning.
        device: that evaluates and fine-tunes; ``auto`` is a GPU if there is one. Latency is measured on the target.
        progress: where to report to.
    """
    from vitas_hw.workflows.finalists import finalist_meter, load_run_predictor, run_anchor_ms
    from vitas_hw.workflows.targets import place_of

    space = run.space(None)
    if not run.supernet.exists():
        raise InputError(f"The run {run.path} has no super-transformer.", "Run: vitas-hw train")
    needs_predictor = budget.latency_ms is not None or not budget.asked
    predictor, predictor_path = None, None
    if needs_predictor or run.predictors.is_dir():
        predictor, predictor_path = load_run_predictor(run)
    if not budget.asked:
        assert predictor is not None
        budget = default_budget(space, predictor)
        progress.note(f"no budget given, so one that binds: {budget}")
    costs = checked_costs(space, predictor, budget)  # before torch is loaded: an impossible budget ends at once

    from vitas_hw.supernet.checkpoint import save_model
    from vitas_hw.supernet.supernet import extract
    from vitas_hw.training.evaluate import accuracy
    from vitas_hw.training.loop import Runtime, fit
    from vitas_hw.training.objective import ModelObjective
    from vitas_hw.training.ranks import Ranks, pick_device
    from vitas_hw.training.recipe import finetune_recipe
    from vitas_hw.workflows.train import load_run_data, load_run_supernet

    run.forget_search()
    where = pick_device(device, Ranks())
    supernet = load_run_supernet(run).to(where)
    data = load_run_data(run, space)
    data = replace(data, search=data.search.to(where))
    place = place_of(predictor.target, predictor.fingerprint) if predictor else None
    meter = finalist_meter(place, run_anchor_ms(run, predictor), seed, progress) if place and predictor else None
    if meter is None:
        progress.note("the target is not at hand: the choice is made by prediction")
    inputs = [run.supernet] if predictor_path is None else [run.supernet, predictor_path]
    hashes = {path.name: file_sha256(path) for path in inputs}
    result = _search(space, supernet, data, budget, costs, meter, evolution, seed, progress, hashes)
    choice = result.choice
    sides = [extract(supernet, choice.subnet, side or None, choice.layers) for side in supernet.sides]
    model = max(sides, key=lambda side: accuracy(side, data.search).top1) if len(sides) > 1 else sides[0]
    recipe = finetune_recipe(data.name, choice.subnet.macs, len(data.train))
    if recipe is None:
        progress.note("the choice keeps the super-transformer's weights: fine-tuning on these data is not brief")
    else:
        with progress.step("fine-tuning the choice", recipe.epochs) as advance:
            fit(
                ModelObjective(model, recipe),
                data.train,
                recipe,
                seed=seed,
                num_classes=space.num_classes,
                runtime=Runtime(device=where),
                on_epoch=lambda epoch: advance(f"loss {epoch.loss:.3f}"),
            )
    result = replace(result, final_top1=accuracy(model, data.search).top1)
    save_candidates(result.candidates, run.candidates)
    save_result(result, run.result)
    _plot(result, run.plot)
    save_model(model.cpu(), result.choice.subnet, run.choice)  # last: where it is, the rest is too
    settings = {
        "budget": budget.to_dict(),
        "evolution": asdict(evolution),
        "seed": seed,
        "finetune": None if recipe is None else asdict(recipe),
    }
    run.record("search", space, settings, inputs, [run.candidates, run.result, run.plot, run.choice])
    return Searched(result, meter is not None, predictor)


def _plot(result: SearchResult, path: Path) -> None:
    from vitas_hw.report.plots import Point, plot_search

    timed = result.choice.predicted_ms is not None

    def point(candidate: Candidate) -> Point:
        measured = result.measured_ms.get(candidate.subnet.digest) if timed else None
        cost = candidate.predicted_ms if candidate.predicted_ms is not None else candidate.subnet.macs / 1e6
        return Point(cost, candidate.top1, measured)

    bounds = result.budget.latency_ms if timed else result.budget.macs
    scale = 1.0 if timed else 1e6
    plot_search(
        [point(candidate) for candidate in result.candidates],
        [point(candidate) for candidate in result.front],
        point(result.choice),
        cost_label="predicted p50, ms (red: measured)" if timed else "MMACs",
        ceiling=bounds.high / scale if bounds and bounds.high else None,
        path=path,
    )


def _search(
    space: SearchSpace,
    supernet: object,
    data: object,
    budget: Budget,
    costs: Costs,
    measure: Measure | None,
    evolution: Evolution,
    seed: int,
    progress: Progress,
    inputs: dict[str, str],
) -> SearchResult:
    from vitas_hw.supernet.supernet import Supernet
    from vitas_hw.training.data import ImageData
    from vitas_hw.training.evaluate import subnet_accuracy

    if not isinstance(supernet, Supernet) or not isinstance(data, ImageData):
        raise InputError("search needs supernet=build_supernet(...) or a loaded one, and data=load_data(...).")
    if supernet.space != space:
        raise InputError(f"The super-transformer is one of another space than {space.name!r}.")
    best = 0.0

    with progress.step(f"searching under {budget}", evolution.population * evolution.generations) as advance:

        def on_candidate(candidate: Candidate) -> None:
            nonlocal best
            best = max(best, candidate.top1)
            advance(f"best top-1 {best:.3f}")

        candidates = evolve(
            space,
            costs,
            budget,
            lambda codes: [
                subnet_accuracy(supernet, space.decode(code), data.search, space.layers(code)).top1 for code in codes
            ],
            evolution,
            seed=seed,
            on_candidate=on_candidate,
        )
    if measure is None:
        verdict = Verdict(best_first(candidates)[0], {})
    else:
        verdict = choose_measured(candidates, budget.latency_ms, measure)
    return SearchResult(
        budget=budget,
        seed=seed,
        evolution=asdict(evolution),
        space=space.name,
        inputs=inputs,
        candidates=tuple(candidates),
        measured_ms=verdict.measured_ms,
        choice=verdict.choice,
    )
