"""A predictor: fitted to the measurements of one target and one space, with an interval, kept as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.operators import SubnetColumns
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.calibration import COVERAGE as COVERAGE
from vitas_hw.predictors.calibration import Calibration
from vitas_hw.predictors.features import FEATURES_VERSION, FeatureTable, Floats, Inputs, Scale, features
from vitas_hw.predictors.kinds import DEFAULT_KIND, Model, fit_model, held_out_predictions, kind_named
from vitas_hw.predictors.scores import scores as scores
from vitas_hw.predictors.storage import exactly, number, numbers, read_sealed, text, whole, write_sealed
from vitas_hw.predictors.transfer_model import Corrected

SCHEMA = 2
FEWEST = 20
_AT_ONCE = 16384  # subnets: their columns then stay in the processor's caches
_EXTENT = (
    "macs",
    "linear.macs",
    "attention.macs",
    "operators",
    "weight_bytes",
    "moved_bytes",
    "heads",
    "tokens",
    "head_width",
)
_BEYOND = 1.05  # a size up to 5% beyond what was seen is still inside
_FIELDS = ("schema", "kind", "features", "target", "space", "profile_sha256", "fingerprint", "seed", "samples")
_FITTED = ("metrics", "calibration", "seen", "model")


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
        kind: one of ``KINDS``, or ``transfer``.
        target: device, backend, precision, batch size, threads, image size.
        space: the space of the profile.
        model: the regression.
        calibration: of the interval.
        seen: (least, most) of each of the sizes that say what lies inside.
        metrics: how well it predicts subnets it has not seen (shares, not percent), and the profile's noise floor;
            None is not measured.
        profile_sha256: of the profile file; empty if it never was one.
        fingerprint: of the hardware it was measured on.
        seed: of folds and trees.
        samples: how many subnets it was fitted to.
    """

    kind: str
    target: Target
    space: SearchSpace
    model: Model
    calibration: Calibration
    seen: tuple[tuple[float, float], ...]
    metrics: dict[str, float | None]
    profile_sha256: str
    fingerprint: str
    seed: int
    samples: int

    @property
    def name(self) -> str:
        """``<target>--<space>``, the stem of its file."""
        return f"{self.target.slug}--{self.space.name}"

    @property
    def scale(self) -> Scale:
        return Scale.of(self.target)

    def check_target(self, target: Target) -> None:
        """Raise InputError unless this is the target that the predictor was fitted for."""
        if target != self.target:
            raise InputError(
                f"The predictor was fitted for {self.target.slug}, not for {target.slug}.",
                "Run: vitas-hw profile (on that target)",
            )

    def check_subnets(self, subnets: Sequence[Subnet]) -> None:
        """Raise InputError if one has another image size, channels or classes than the predictor's space."""
        wanted = (self.space.image_size, self.space.in_chans, self.space.num_classes)
        for subnet in subnets:
            if (subnet.image_size, subnet.in_chans, subnet.num_classes) != wanted:
                raise InputError(
                    f"The predictor {self.name} is for images {wanted[0][0]}x{wanted[0][1]} with {wanted[1]} channel(s)"
                    f" and {wanted[2]} classes; subnet {subnet.digest} has others."
                )

    def predict(self, subnets: Sequence[Subnet]) -> Prediction:
        """Latencies of N subnets.

        Raises:
            InputError: a subnet has another image size, channels or classes than the predictor's space.
        """
        self.check_subnets(subnets)
        return self.predict_columns(SubnetColumns.of(subnets))

    def predict_columns(self, columns: SubnetColumns) -> Prediction:
        """As ``predict``, from the columns of ``SearchSpace.columns``: for many subnets."""
        parts = [
            self._predict(columns.rows(slice(start, start + _AT_ONCE)))
            for start in range(0, max(len(columns), 1), _AT_ONCE)
        ]
        latency, inside = (np.concatenate(some) for some in zip(*parts, strict=True))
        return Prediction(latency, *self.calibration.interval(latency), inside)

    def _predict(self, columns: SubnetColumns) -> tuple[Floats, npt.NDArray[np.bool_]]:
        inputs = Inputs.of(columns, self.scale)
        least, most = np.asarray(self.seen).T
        sizes = inputs.table.columns(_EXTENT)
        inside = ((sizes >= least / _BEYOND) & (sizes <= most * _BEYOND)).all(axis=1)
        return self.model.predict(inputs), inside

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
            "samples": self.samples,
            "metrics": self.metrics,
            "calibration": self.calibration.to_dict(),
            "seen": [list(bounds) for bounds in self.seen],
            "model": self.model.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Predictor:
        """Inverse of ``to_dict``. Raises ValueError, KeyError, TypeError or InputError on anything else."""
        exactly(data, (*_FIELDS, *_FITTED))
        space = SearchSpace.from_dict(data["space"])
        load = Corrected.from_dict if data["kind"] == Corrected.kind else kind_named(text(data["kind"])).load
        seen = numbers(data["seen"], len(_EXTENT), 2)
        predictor = cls(
            kind=data["kind"],
            target=Target.from_dict(data["target"]),
            space=space,
            model=load(data["model"], feature_names(space)),
            calibration=Calibration.from_dict(data["calibration"]),
            seen=tuple((least, most) for least, most in seen.tolist()),
            metrics={text(k): None if value is None else number(value) for k, value in data["metrics"].items()},
            profile_sha256=text(data["profile_sha256"]),
            fingerprint=text(data["fingerprint"]),
            seed=whole(data["seed"], 0, 2**32 - 1),
            samples=whole(data["samples"], 1, 2**31),
        )
        if predictor.target.image_size != space.image_size:
            raise ValueError("target and space have different image sizes")
        return predictor


def feature_names(space: SearchSpace) -> tuple[str, ...]:
    """The names of the features of a space's subnets."""
    return features(SubnetColumns.of([space.smallest])).names


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
    kind: str = DEFAULT_KIND,
) -> Predictor:
    """Fit a predictor to N measured subnets.

    Raises:
        InputError: an unknown kind; a latency that is not positive and finite.
        VitasError: fewer than 20 subnets.
    """
    kind_named(kind)
    inputs, measured = checked_examples(subnets, latency_ms, Scale.of(target), FEWEST)
    held_out = held_out_predictions(kind, inputs, measured, seed)
    model = fit_model(kind, inputs, measured, seed)
    return assemble(
        kind,
        model,
        inputs.table,
        held_out,
        measured,
        target=target,
        space=space,
        noise_floor=noise_floor,
        profile_sha256=profile_sha256,
        fingerprint=fingerprint,
        seed=seed,
    )


def assemble(
    kind: str,
    model: Model,
    table: FeatureTable,
    held_out: Floats,
    measured: Floats,
    *,
    noise_floor: float | None,
    **about: Any,
) -> Predictor:
    """A predictor from its parts: metrics and intervals come from (N,) held-out predictions of the N measurements."""
    sizes = table.columns(_EXTENT)
    return Predictor(
        kind=kind,
        model=model,
        calibration=Calibration.of(held_out, measured),
        seen=tuple(zip(sizes.min(axis=0).tolist(), sizes.max(axis=0).tolist(), strict=True)),
        metrics={**scores(held_out, measured), "noise_floor": noise_floor},
        samples=len(measured),
        **about,
    )


def checked_examples(
    subnets: Sequence[Subnet], latency_ms: Sequence[float], scale: Scale, fewest: int
) -> tuple[Inputs, Floats]:
    """Features and (N,) milliseconds; of a subnet measured several times, the median, where it stands first.

    Raises:
        InputError: a latency that is not positive and finite, or not one for each subnet.
        VitasError: fewer than ``fewest`` different subnets.
    """
    measured = np.asarray(latency_ms, np.float64)
    if measured.shape != (len(subnets),) or not (np.isfinite(measured) & (measured > 0)).all():
        raise InputError("Every subnet needs one latency, positive and finite, in milliseconds.")
    rows: dict[Subnet, list[float]] = {}
    for subnet, value in zip(subnets, measured.tolist(), strict=True):
        rows.setdefault(subnet, []).append(value)
    if len(rows) < fewest:
        raise VitasError(
            f"A predictor needs at least {fewest} measured subnets; this profile has {len(rows)}.",
            f"Run: vitas-hw profile --num-subnets {fewest} (or more)",
        )
    medians = np.array([np.median(values) for values in rows.values()])
    return Inputs.of(SubnetColumns.of(list(rows)), scale), medians


def save_predictor(predictor: Predictor, path: Path) -> None:
    """Write the JSON file in one step; equal predictors give equal bytes."""
    write_sealed(predictor.to_dict(), path)


def read_predictor(path: Path) -> Predictor:
    """Read a predictor's file.

    Raises:
        FileError: it is missing, broken, was changed after it was written, or is of another schema or feature version.
    """
    build: Callable[[dict[str, Any]], Predictor] = Predictor.from_dict
    return read_sealed(path, "a predictor", {"schema": SCHEMA, "features": FEATURES_VERSION}, build)
