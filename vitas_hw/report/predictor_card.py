"""The card of a predictor: what it is for, how far it is off, how to make it again, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vitas_hw.predictors.boosted import Boosted
from vitas_hw.predictors.calibration import COVERAGE
from vitas_hw.predictors.features import FEATURES_VERSION
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.predictors.report import noise_floor_text

_CARD = """# {name}

[The predictor](../{name}.json), its [report](../reports/{name}.json) and [plot](../reports/{name}.png).

| | |
|---|---|
{facts}

## Errors on subnets it had not seen

| kind | mean error | root mean square | within 5% | within 10% | Kendall | Spearman |
|---|---|---|---|---|---|---|
{kinds}

Each subnet is predicted by a model that was fitted, hyperparameters too, without its fold; the first row is this
predictor's kind. Its mean error by tenth of the latencies, fastest first: {tenths}.

## Intended use

To compare and choose subnets of this space for this target, before they are trained or measured: `vitas-hw search`,
`vitas-hw predict`, `vh.load_predictor`. Predicted is the p50 of one inference as `vitas-hw profile` measures it.

## Limits

- This target only: another device, runtime, precision, batch size, number of threads or image size has other latencies;
  a search or a measurement of another target refuses this predictor. `vitas-hw profile --from` moves it with a few
  measurements.
- Only sizes that it has seen: `inside` of a prediction is False for a subnet beyond them.
- No tail latency, no transfer to or from a device, no load by other programs.
- The noise of the measurements is in its errors and intervals.

## How to make it again

`vitas-hw fit profiles/{name}.jsonl --kind {kind} --seed {seed}`, from the profile with SHA-256
`{sha256}` (hardware fingerprint `{fingerprint}`).
"""


def predictor_card(predictor: Predictor, report: Mapping[str, Any]) -> str:
    """The card's text.

    Args:
        predictor: fitted to a profile.
        report: of its fit, as ``FitReport.to_dict`` gives it; the predictor's kind first.
    """
    target, space = predictor.target, predictor.space
    height, width = target.image_size
    threads = [] if target.threads is None else [f"{target.threads} thread(s)"]
    runs = [target.device_name, target.backend, target.precision, f"batch size {target.batch_size}", *threads]
    measured = report["measured_ms"]
    facts = {
        "target": f"{', '.join(runs)}, images {height}x{width}",
        "space": f"`{space.name}`, {space.num_classes} classes",
        "samples": f"{predictor.samples} subnets, {min(measured):.3g} to {max(measured):.3g} ms",
        "kind": f"`{predictor.kind}`{_parts(predictor)}",
        "features": f"version {FEATURES_VERSION}",
        "noise floor (mean)": noise_floor_text(predictor.metrics["noise_floor"]),
        f"coverage of the {COVERAGE:.0%} intervals": f"{report['coverage']:.1%}, pooled over five folds",
    }
    return _CARD.format(
        name=predictor.name,
        facts="\n".join(f"| {name} | {value} |" for name, value in facts.items()),
        kinds="\n".join(_row(one["kind"], one["scores"]) for one in report["kinds"]),
        tenths=", ".join(f"{value:.1%}" for value in report["kinds"][0]["decile_mape"]),
        kind=predictor.kind,
        seed=predictor.regression.seed,
        sha256=predictor.profile_sha256,
        fingerprint=predictor.fingerprint,
    )


def _row(kind: str, scores: Mapping[str, float]) -> str:
    shares = " | ".join(f"{scores[name]:.1%}" for name in ("mape", "rmspe", "within_5", "within_10"))
    return f"| `{kind}` | {shares} | {scores['kendall']:.3f} | {scores['spearman']:.3f} |"


def _parts(predictor: Predictor) -> str:
    """What of the default kind's parts this one has."""
    model = predictor.regression.model
    if not isinstance(model, Boosted):
        return ""
    parts = [f"a line through {sum(value > 0 for value in model.line.coefficients.values())} sizes"]
    parts += ["a smooth correction"] * (model.smooth is not None) + ["trees"] * (model.booster is not None)
    return f": {' and '.join(parts)}"
