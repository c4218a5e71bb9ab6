"""A predictor: fitted to the measurements of one target and one space, with an interval, kept as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitas_hw.core.errors import InputError
from vitas_hw.core.operators import SubnetColumns
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.predictors.examples import Examples, Measured
from vitas_hw.predictors.features import FEATURES_VERSION, Floats, Scale, feature_names, features
from vitas_hw.predictors.kinds import DEFAULT_KIND, check_kind
from vitas_hw.predictors.registry import Model, fit_model, held_out_predictions
from vitas_hw.predictors.regression import FIELDS, Prediction, Regression
from vitas_hw.predictors.sealed_file import as_json, exactly, read_sealed, text, write_sealed

if TYPE_CHECKING:
    from vitas_hw.predictors.table import TablePredictor

SCHEMA = 2
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
_MOST_MS = 1e9  # eleven days: no inference takes longer


@dataclass(frozen=True)
class Predictor:
    """Predicts the latency of a space's subnets on one target.

    Args:
        target: device, backend, precision, batch size, threads, image size.
        space: the space of the profile.
        regression: the model, its interval, what it saw, its errors on subnets it had not seen.
        profile_sha256: of the profile file; empty if it never was one.
        fingerprint: of the hardware it was measured on.
    """

    target: Target
    space: SearchSpace
    regression: Regression
    profile_sha256: str
    fingerprint: str

    @property
    def name(self) -> str:
        """``<target>--<space>``, the stem of its file."""
        return f"{self.target.slug}--{self.space.name}"

    @property
    def scale(self) -> Scale:
        return Scale.of(self.target)

    @property
    def kind(self) -> str:
        """One of ``KINDS``, an older one, or ``transfer``."""
        return self.regression.kind

    @property
    def metrics(self) -> dict[str, float | None]:
        """Of subnets that it had not seen; see ``Regression``."""
        return self.regression.metrics

    @property
    def samples(self) -> int:
        """How many subnets it was fitted to."""
        return self.regression.samples

    @classmethod
    def of(
        cls, measured: Measured, examples: Examples, kind: str, model: Model, held_out: Floats, seed: int
    ) -> Predictor:
        """From its parts: metrics and intervals come from (N,) ``held_out`` predictions of the N ``examples``."""
        sizes = examples.table.columns(_EXTENT)
        regression = Regression.of(kind, seed, model, sizes, held_out, examples.measured, measured.noise_floor)
        return cls(measured.target, measured.space, regression, measured.profile_sha256, measured.fingerprint)

    def check_target(self, target: Target) -> None:
        """Raise InputError unless this is the target that the predictor was fitted for."""
        if target != self.target:
            problem = f"The predictor was fitted for {self.target.slug}, not for {target.slug}."
            raise InputError(problem, step="profile")

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
        starts = range(0, max(len(columns), 1), _AT_ONCE)
        return Prediction.joined([self._predict(columns.rows(slice(start, start + _AT_ONCE))) for start in starts])

    def _predict(self, columns: SubnetColumns) -> Prediction:
        table = features(columns, self.scale)
        return self.regression.predict(table, table.columns(_EXTENT), _BEYOND, _MOST_MS)

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "features": FEATURES_VERSION,
            "target": self.target.to_dict(),
            "space": self.space.to_dict(),
            "profile_sha256": self.profile_sha256,
            "fingerprint": self.fingerprint,
            **as_json(self.regression),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Predictor:
        """Inverse of ``to_dict``. Raises ValueError, KeyError, TypeError or InputError on anything else."""
        exactly(data, ("schema", "features", "target", "space", "profile_sha256", "fingerprint", *FIELDS))
        space, target = SearchSpace.from_dict(data["space"]), Target.from_dict(data["target"])
        if target.image_size != space.image_size:
            raise ValueError("target and space have different image sizes")
        regression = Regression.from_dict(data, feature_names(), len(_EXTENT))
        return cls(target, space, regression, text(data["profile_sha256"]), text(data["fingerprint"]))


def fit(measured: Measured, kind: str = DEFAULT_KIND, seed: int = 0) -> Predictor:
    """Fit a predictor to N measured subnets.

    Raises:
        InputError: a kind that cannot be fitted; a latency that is not positive and finite.
        VitasError: fewer than 20 subnets.
    """
    check_kind(kind)
    examples = measured.examples()
    held_out = held_out_predictions(kind, examples, seed)
    return Predictor.of(measured, examples, kind, fit_model(kind, examples, seed), held_out, seed)


def save_predictor(predictor: Predictor | TablePredictor, path: Path) -> None:
    """Write the JSON file in one step; equal predictors give equal bytes."""
    write_sealed(predictor.to_dict(), path)


def read_predictor(path: Path) -> Predictor:
    """Read a predictor's file.

    Raises:
        FileError: it is missing, broken, was changed after it was written, or is of another schema or feature version.
    """
    expected = {"schema": SCHEMA, "features": FEATURES_VERSION}
    return read_sealed(path, "a predictor", expected, Predictor.from_dict)
