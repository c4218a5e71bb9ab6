"""What a report says in words and single figures: asked, found, to be minded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitas_hw.core.budget import Budget, Range, show_cost, show_count
from vitas_hw.core.space import SearchSpace
from vitas_hw.report.architecture import in_words
from vitas_hw.report.fits import Profiles
from vitas_hw.report.runs import on_test
from vitas_hw.runs.directory import Run
from vitas_hw.runs.shrunk import Shrunk
from vitas_hw.searching.result import SearchResult, ties_words
from vitas_hw.training.health import Health, below_baseline

_NOISY = 0.05
_FORGOTTEN = 0.005  # of the top-1 of a pretrained start


@dataclass(frozen=True)
class Figure:
    """A headline: what, how much, and beside what it is to be read. ``good`` is None where nothing was promised."""

    label: str
    value: str
    note: str = ""
    good: bool | None = None


def asked_for(
    run: Run, space: SearchSpace, result: SearchResult | None, training: Mapping[str, Any] | None
) -> list[tuple[str, str]]:
    """What was asked for, and the choice in words."""
    size = f"{space.image_size[0]} × {space.image_size[1]}"
    count = f"{space.size:,}" if space.size < 10**6 else f"about {space.size:.1e}"
    rows = [("space", f"{space.name}: {count} subnets, images {size}, {space.num_classes} classes")]
    if training is not None:
        recipe = training["recipe"]
        said = f"{training['data']}, {recipe['epochs']} epochs, sharing {training['sharing']}, seed {training['seed']}"
        rows.append(("supernet", said))
        if training.get("largest_top1"):
            before, after = training["largest_top1"]
            said = f"before the training {before:.2%}, after it {after:.2%}, on the search split"
            rows.append(("started from", f"{training['init']}; top-1 of the largest subnet {said}"))
    if run.training_state.exists():
        rows.append(("unfinished", "a training: repeat its command to resume"))
    if result is not None:
        how = result.evolution
        earlier = f" and {result.known} known from earlier searches" if result.known else ""
        rows.append(("budget", str(result.budget)))
        evaluated = f"{len(result.candidates) - result.known} subnets evaluated{earlier}"
        rows.append(("search", f"{how['optimizer']}, {evaluated}, seed {result.seed}"))
        if how.get("pareto"):
            rows.append(("front", f"top-1 against {how['pareto']}, chosen: {how['choose']}"))
        if said := ties_words(result):
            rows.append(("ties", said))
        rows.append(("choice", f"{in_words(result.choice.subnet)}, subnet {result.choice.subnet.digest}"))
        outside = f"{len(result.violations)} of them outside the latency budget"
        measured = len(result.measured_ms)
        rows.append(("finalists", f"{measured} measured, {outside}" if measured else "none measured"))
    return rows


def headline(
    result: SearchResult | None,
    profiles: Profiles,
    training: Mapping[str, Any] | None,
    exports: Mapping[str, dict[str, Any]],
) -> list[Figure]:
    """What came out, most important first."""
    found = []
    if result is not None:
        found += [_top1(result, exports), *_latency(result)]
        subnet = result.choice.subnet
        for cost, label, value in (("macs", "MACs", subnet.macs), ("params", "Parameters", subnet.params)):
            good, said = _inside(result.budget.asked.get(cost), value)
            found.append(Figure(label, show_count(value), said, good))
    elif training is not None and training["top1"] is not None:
        note = "mean of ten random subnets, inherited weights, search split"
        found.append(Figure("Top-1 of the supernet", f"{training['top1']:.2%}", note))
    for fit in profiles.fits[:1]:
        error = fit.scores.get("mape")
        if error is not None:
            found.append(
                Figure("Prediction error, mean", f"{error:.1%}", f"unseen subnets; noise floor {fit.floor_words}")
            )
    if result is None and profiles.fits:
        fit = profiles.fits[0]
        span = f"{min(fit.measured_ms):.3g} to {max(fit.measured_ms):.3g} ms"
        found.append(Figure("Measured p50", span, f"{len(fit.subnets)} subnets on {fit.target}"))
    return found


def original_and_choice(shrunk: Shrunk | None) -> list[tuple[str, ...]]:
    """Cells of the two rows: name, top-1 on test, measured p50, MACs, parameters, how much faster, points lost."""
    if shrunk is None:
        return []
    lost = "" if shrunk.lost is None else f"{100 * shrunk.lost:.2f}"
    beside = {"original": ("", ""), "choice": (f"{shrunk.speedup:.2f}", lost)}
    return [
        (
            name,
            "" if row.top1 is None else f"{row.top1:.2%}",
            show_cost(row.p50_ms, "latency_ms"),
            show_count(row.subnet.macs),
            show_count(row.subnet.params),
            *beside[name],
        )
        for name, row in (("original", shrunk.original), ("choice", shrunk.choice))
    ]


def _top1(result: SearchResult, exports: Mapping[str, dict[str, Any]]) -> Figure:
    if result.choice.top1 is None:
        return Figure("Top-1", "not known", "ranked by the number of parameters; no accuracy was measured")
    tested = on_test(exports)
    if tested is not None:
        return Figure("Top-1 on test", f"{tested['top1']:.2%}", f"{tested['name']}, {tested['images']} images")
    if result.final_top1 is not None:
        return Figure("Top-1 on the search split", f"{result.final_top1:.2%}", "after fine-tuning")
    return Figure("Top-1 on the search split", f"{result.choice.top1:.2%}", "inherited weights")


def _latency(result: SearchResult) -> list[Figure]:
    predicted, measured = result.choice.predicted_ms, result.measured_ms.get(result.choice.subnet.digest)
    known = predicted if measured is None else measured
    if known is None:
        return []
    bounds = result.budget.latency_ms
    good, said = _inside(bounds, known)
    inside = f"{said} of {str(Budget(latency_ms=bounds)).removeprefix('latency ')}" if said else ""
    beside = "" if measured is None or predicted is None else f"predicted {show_cost(predicted, 'latency_ms')}"
    label = "Predicted p50" if measured is None else "Measured p50"
    return [Figure(label, show_cost(known, "latency_ms"), "; ".join(filter(None, (inside, beside))), good)]


def warnings_of(
    run: Run,
    result: SearchResult | None,
    profiles: Profiles,
    exports: Mapping[str, dict[str, Any]],
    health: Health | None,
    training: Mapping[str, Any] | None,
    *,
    trained_on: bool,
) -> list[str]:
    """What a reader must know before trusting a figure, a sentence each.

    A supernet's advice is about inherited weights: where the choice was ``trained_on``, only how that ended counts.
    """
    found = [] if health is None or trained_on else list(health.advice)
    if trained_on and result is not None:
        found += filter(None, [below_baseline(health, result.final_top1)])
    before, after = (training or {}).get("largest_top1") or (0.0, 0.0)
    if before - after > _FORGOTTEN:
        found.append(
            f"The training cost the model that it started from {100 * (before - after):.1f} points of top-1: train for"
            " longer, or with a smaller learning rate."
        )
    if result is not None:
        found += _of_the_search(result, exports)
    found += [
        f"The noise floor of {fit.target} is {fit.noise_floor:.1%}: smaller differences of latency mean nothing."
        for fit in profiles.fits
        if fit.noise_floor is not None and fit.noise_floor > _NOISY
    ]
    found += profiles.doubts
    found += [
        f"The predictor of {fit.target} is another target's, corrected with {len(fit.subnets)} measurements: they alone"
        " say how large its error on unseen subnets is."
        for fit in profiles.fits
        if not fit.held_out
    ]
    if run.training_state.exists() or run.retraining_state.exists():
        found.append("A training of this run is unfinished; repeat its command to resume.")
    return found


def _of_the_search(result: SearchResult, exports: Mapping[str, dict[str, Any]]) -> list[str]:
    found = []
    if result.choice.top1 is None:
        found.append("Subnets were ranked by their number of parameters; no accuracy stands behind the choice.")
    elif on_test(exports) is None:
        found.append(
            "Top-1 is of the search split, on which the choice was made; an export reports that of the test part."
        )
    if result.budget.latency_ms is not None and not result.measured_ms:
        confidence = result.evolution.get("confidence")
        sure = "" if confidence is None else f" (with a confidence of {confidence:.0%})"
        found.append(f"The target was not at hand: latency is predicted{sure}, not measured.")
    found += [
        f"Latency on {name} is predicted, not measured." for name in result.targets if not result.targets_ms.get(name)
    ]
    if result.violations:
        found.append(
            f"{len(result.violations)} of {len(result.measured_ms)} measured finalists lay outside the latency budget;"
            f" measured latency was {result.correction:.3f} times the predicted one."
        )
    return found


def _inside(bounds: Range | None, value: float) -> tuple[bool | None, str]:
    """Whether a value keeps its budget, and that in words; None where there is none."""
    if bounds is None:
        return None, ""
    good = bool(bounds.excess(value) <= 0)
    return good, "inside the budget" if good else "outside the budget"
