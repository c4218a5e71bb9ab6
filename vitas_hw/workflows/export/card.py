"""The model card of an export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vitas_hw.report.model_card import Card, Latency
from vitas_hw.runs.directory import Run
from vitas_hw.runs.subnets import Chosen
from vitas_hw.workflows.export.job import Export, Exported


def card_of(run: Run, export_: Export, done: Sequence[Exported], steps: list[dict[str, Any]]) -> Card:
    """What is known of the exported model; ``steps`` of the run's manifest."""
    chosen, data = export_.chosen, export_.data
    first = done[0].parity
    return Card(
        name=chosen.name,
        subnet=chosen.subnet,
        weights=chosen.weights,
        data=None if data is None else data.name,
        preprocessing=None if data is None else data.preprocessing.to_dict(),
        class_names=() if data is None else data.class_names,
        budget=None if chosen.result is None else str(chosen.result.budget),
        latency=_latency(run, chosen),
        top1=first.top1,
        images=first.images,
        files=[
            (
                one.format,
                one.path.name,
                one.precision,
                one.top1,
                one.parity.others[one.format].largest_difference,
                one.checked,
                one.latency_ms,
            )
            for one in done
        ],
        steps=steps,
    )


def _latency(run: Run, chosen: Chosen) -> Latency:
    """What the search that the subnet is from predicted and measured."""
    if chosen.result is None:
        return Latency()
    candidate = next((c for c in chosen.result.candidates if c.subnet == chosen.subnet), chosen.result.choice)
    target = None
    if candidate.predicted_ms is not None and run.predictors.is_dir():
        from vitas_hw.runs.artifacts import load_run_predictor

        target = load_run_predictor(run)[0].target.slug
    measured = chosen.result.measured_ms.get(chosen.subnet.digest)
    return Latency(target=target, predicted_ms=candidate.predicted_ms, measured_ms=measured)
