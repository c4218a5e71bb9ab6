"""A predictor: fitted to the measurements of one target and one space, with an interval, kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, spearmanr

from vitas_hw.core.errors import FileError, InputError, VitasError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.operators import SubnetColumns, operators
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.features import FEATURES_VERSION, Floats, features
from vitas_hw.predictors.model import LatencyModel, fit_model

SCHEMA = 1
COVERAGE = 0.9
FEWEST = 20


@dataclass(frozen=True)
class Prediction:
    """Latencies of N subnets in milliseconds: (N,) each, with the interval that covers ``COVERAGE`` of measurements.

    ``inside`` is False where a subnet lies outside what the predictor has seen.
    """

    latency_ms: Floats
    lower_ms: Floats
    upper_ms: Floats
    inside: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Predictor:
    """Predicts the latency of a space's subnets on one target.

    Args:
        kind: how it was fitted.
        target: device, backend, precision, batch size, threads, image size.
        space: the space of the profile.
        model: the regression.
        half_width: of the interval, on the logarithm of the latency.
        seen: (least, most) of each feature in the profile.
        metrics: how well it predicts subnets it has not seen (shares, not percent), and the profile's noise floor.
        profile_sha256: of the profile file; empty if it never was one.
        fingerprint: of the hardware it was measured on.
        seed: of folds and trees.
    """

    kind: str
    target: Target
    space: SearchSpace
    model: LatencyModel
    half_width: float
    seen: tuple[tuple[float, float], ...]
    metrics: dict[str, float | None]
    profile_sha256: str
    fingerprint: str
    seed: int

    @property
    def name(self) -> str:
        """``<target>--<space>``, the stem of its file."""
        return f"{self.target.slug}--{self.space.name}"

    def predict(self, subnets: Sequence[Subnet]) -> Prediction:
        """Latencies of N subnets.

        Raises:
            InputError: a subnet has another image size, channels or classes than the predictor's space.
        """
        wanted = (self.space.image_size, self.space.in_chans, self.space.num_classes)
        for subnet in subnets:
            if (subnet.image_size, subnet.in_chans, subnet.num_classes) != wanted:
                raise InputError(
                    f"The predictor {self.name} is for images {wanted[0][0]}x{wanted[0][1]} with {wanted[1]} channel(s)"
                    f" and {wanted[2]} classes; subnet {subnet.digest} has others."
                )
        return self.predict_columns(SubnetColumns.of(subnets))

    def predict_columns(self, columns: SubnetColumns) -> Prediction:
        """As ``predict``, from the columns of ``SearchSpace.columns``: for many subnets."""
        table = features(operators(columns))
        latency = self.model.predict(table)
        least, most = np.asarray(self.seen).T
        inside = ((table.values >= least) & (table.values <= most)).all(axis=1)
        wide = np.exp(self.half_width)
        return Prediction(latency, latency / wide, latency * wide, inside)

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "features": FEATURES_VERSION,
            "target": self.target.to_dict(),
            "space": self.space.to_dict(),
            "profile_sha256": self.profile_sha256,
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "metrics": self.metrics,
            "half_width": self.half_width,
            "seen": [list(bounds) for bounds in self.seen],
            "model": self.model.to_dict(),
        }


def fit(
    subnets: Sequence[Subnet],
    latency_ms: Sequence[float],
    *,
    target: Target,
    space: SearchSpace,
    noise_floor: float | None,
    profile_sha256: str,
    fingerprint: str,
    seed: int = 0,
) -> Predictor:
    """Fit the XGBoost predictor to N measured subnets.

    Raises:
        VitasError: fewer than 20 subnets.
    """
    if len(subnets) < FEWEST:
        raise VitasError(
            f"A predictor needs at least {FEWEST} measured subnets; this profile has {len(subnets)}.",
            f"Run: vitas-hw profile --num-subnets {FEWEST} (or more)",
        )
    table = features(operators(subnets))
    measured = np.asarray(latency_ms, np.float64)
    model, held_out = fit_model(table, measured, seed)
    metrics: dict[str, float | None] = {**scores(held_out, measured), "noise_floor": noise_floor}
    return Predictor(
        kind="xgboost",
        target=target,
        space=space,
        model=model,
        half_width=_half_width(held_out, measured),
        seen=tuple(zip(table.values.min(axis=0).tolist(), table.values.max(axis=0).tolist(), strict=True)),
        metrics=metrics,
        profile_sha256=profile_sha256,
        fingerprint=fingerprint,
        seed=seed,
    )


def scores(predicted: Floats, measured: Floats) -> dict[str, float]:
    """MAPE, shares within 5% and 10%, Kendall's tau and Spearman's rho of (N,) predictions."""
    error = np.abs(predicted / measured - 1)
    return {
        "mape": float(error.mean()),
        "within_5": float((error <= 0.05).mean()),
        "within_10": float((error <= 0.10).mean()),
        "kendall": float(kendalltau(predicted, measured).statistic),
        "spearman": float(spearmanr(predicted, measured).statistic),
    }


def save_predictor(predictor: Predictor, path: Path) -> None:
    """Write the JSON file in one step; equal predictors give equal bytes."""
    write_atomic(path, json.dumps(predictor.to_dict(), separators=(",", ":")) + "\n")


def read_predictor(path: Path) -> Predictor:
    """Read a predictor's file. Raises FileError if it is missing, broken, or of another schema or feature version."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA or data["features"] != FEATURES_VERSION:
            raise FileError(
                f"{path} has schema {data['schema']} and features {data['features']}; this version reads {SCHEMA} and"
                f" {FEATURES_VERSION}.",
                "Fit it again from its profile.",
            )
        return Predictor(
            kind=str(data["kind"]),
            target=Target.from_dict(data["target"]),
            space=SearchSpace.from_dict(data["space"]),
            model=LatencyModel.from_dict(data["model"]),
            half_width=float(data["half_width"]),
            seen=tuple((float(least), float(most)) for least, most in data["seen"]),
            metrics=dict(data["metrics"]),
            profile_sha256=str(data["profile_sha256"]),
            fingerprint=str(data["fingerprint"]),
            seed=int(data["seed"]),
        )
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"Cannot read the predictor {path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError) as error:
        raise FileError(f"{path} is not a predictor: {type(error).__name__}: {error}.") from error


def _half_width(held_out: Floats, measured: Floats) -> float:
    """Conformal: the smallest width that would have covered the share wanted of the held-out measurements."""
    errors = np.sort(np.abs(np.log(held_out / measured)))
    rank = min(int(np.ceil((len(errors) + 1) * COVERAGE)), len(errors))
    return float(errors[rank - 1])
