"""The card of a predictor: what it is for, how far it is off, how to make it again, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitas_hw.predictors.boosted import Boosted
from vitas_hw.predictors.features import FEATURES_VERSION
from vitas_hw.predictors.predictor import Predictor
from vitas_hw.predictors.regression import COVERAGE
from vitas_hw.predictors.report import noise_floor_text

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
    return _CARD.read_text(encoding="utf-8").format(
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
