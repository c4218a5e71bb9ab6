"""The card of a predictor: what it is for, how far it is off, how to make it again, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitas_hw.core.statistic import P50, P90, QUIET
from vitas_hw.predictors.boosted import Boosted
from vitas_hw.predictors.features import FEATURES_VERSION
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.predictors.regression import COVERAGE
from vitas_hw.predictors.report import noise_floor_text

_PREDICTS = {
    P50: "p50 of one inference, on the machine as it was half of the time",
    P90: "p90 of one inference (nine in ten are faster), on the machine as it was half of the time",
    QUIET: "latency of one inference on the machine as quiet as it was seen",
}
_CARD = Path(__file__).with_name("predictor_card_template.md")


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
    measured, apart = report["measured_ms"], report["kinds"][0]["apart"]
    facts = {
        "target": f"{', '.join(runs)}, images {height}x{width}",
        "space": f"`{space.name}`, {space.num_classes} classes",
        "predicts": _PREDICTS[predictor.statistic],
        "samples": f"{predictor.samples} subnets, {min(measured):.3g} to {max(measured):.3g} ms",
        "kind": f"`{predictor.kind}`{_parts(predictor)}",
        "features": f"version {FEATURES_VERSION}",
        "mean error of the model itself": _own(apart),
        "noise floor (mean)": noise_floor_text(predictor.metrics["noise_floor"]),
        f"coverage of the {COVERAGE:.0%} intervals": f"{report['coverage']:.1%}, pooled over five folds",
    }
    return _CARD.read_text(encoding="utf-8").format(
        name=predictor.name,
        facts="\n".join(f"| {name} | {value} |" for name, value in facts.items()),
        kinds="\n".join(_row(one["kind"], one["scores"]) for one in report["kinds"]),
        tenths=", ".join(f"{value:.1%}" for value in report["kinds"][0]["decile_mape"]),
        kind=predictor.kind,
        statistic=predictor.statistic,
        seed=predictor.regression.seed,
        sha256=predictor.profile_sha256,
        fingerprint=predictor.fingerprint,
    )


def _own(apart: Mapping[str, Any] | None) -> str:
    """Without the labels' noise."""
    if apart is None:
        return "not known: fewer than 20 subnets were visited twice, so the labels' noise cannot be estimated"
    low, high = apart["model_95"]
    return f"{apart['model']:.1%} (95%: {low:.1%} to {high:.1%}); the labels' noise adds {apart['labels']:.1%}"


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
