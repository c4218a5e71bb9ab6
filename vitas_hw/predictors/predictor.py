"""Predictors, with an interval, kept as JSON: of one target and one space, or of one column of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, PlainValidator

from vitas_hw.core.errors import InputError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.operators import SubnetColumns
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.statistic import DEFAULT_STATISTIC, checked_statistic
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import LONGEST_MS, Target
from vitas_hw.predictors.examples import Examples, Measured, Model
from vitas_hw.predictors.features import FEATURES_VERSION, Floats, Scale, feature_names, features
from vitas_hw.predictors.kinds import DEFAULT_KIND
from vitas_hw.predictors.registry import Corrected, fit_model, held_out_predictions
from vitas_hw.predictors.regression import Prediction, Regression
from vitas_hw.predictors.sealed_file import as_json, read, read_sealed, seal
from vitas_hw.predictors.table import Table, table_of

SCHEMA = 3
_WITHOUT_STATISTIC = 2  # the schema before: all were of p50s
TABLE_SCHEMA = 1
_TABLE = "table predictor"
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


@dataclass(frozen=True)
class Predictor:
    """Predicts the latency of a space's subnets on one target.

    Args:
        target: device, backend, precision, batch size, threads, image size.
        space: the space of the profile.
        regression: the model, its interval, what it saw, its errors on subnets it had not seen.
        profile_sha256: of the profile file; empty if it never was one.
        fingerprint: of the hardware it was measured on.
        statistic: what its latencies are, one of ``STATISTICS``.
    """

    target: Annotated[Target, PlainValidator(Target.from_dict)]
    space: Annotated[SearchSpace, PlainValidator(SearchSpace.from_dict)]
    regression: Regression
    profile_sha256: str
    fingerprint: str
    statistic: Annotated[str, AfterValidator(checked_statistic)] = DEFAULT_STATISTIC

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
        regression = Regression.of(kind, seed, model, sizes, held_out, examples.tested(seed), measured.noise_floor)
        about = (measured.profile_sha256, measured.fingerprint, measured.statistic)
        return cls(measured.target, measured.space, regression, *about)

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
        parts = []
        for start in range(0, max(len(columns), 1), _AT_ONCE):
            table = features(columns.rows(slice(start, start + _AT_ONCE)), self.scale)
            parts.append(self.regression.predict(table, table.columns(_EXTENT), _BEYOND, LONGEST_MS))
        return Prediction(*map(np.concatenate, zip(*parts, strict=True)))

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "features": FEATURES_VERSION,
            "target": self.target.to_dict(),
            "space": self.space.to_dict(),
            "profile_sha256": self.profile_sha256,
            "fingerprint": self.fingerprint,
            "statistic": self.statistic,
            **as_json(self.regression),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Predictor:
        """Inverse of ``to_dict``. Raises ValueError, KeyError, TypeError or InputError on anything else."""
        names = ["target", "space", "profile_sha256", "fingerprint"]
        names += ["statistic"] * (data["schema"] != _WITHOUT_STATISTIC)
        own = {name: data[name] for name in names}
        rest = {name: part for name, part in data.items() if name not in (*own, "schema", "features")}
        found = read(cls, own | {"regression": rest}, feature_names())
        if found.target.image_size != found.space.image_size or len(found.regression.seen) != len(_EXTENT):
            raise ValueError("target, space and what was seen do not fit together")
        return found


@dataclass(frozen=True)
class TablePredictor:
    """Predicts one column of a table from others, in that column's unit.

    Args:
        column: what is predicted.
        names: of the F columns to predict from.
        regression: the model, its interval, what it saw, its errors on rows it had not seen.
    """

    column: str
    names: tuple[str, ...]
    regression: Regression

    def __post_init__(self) -> None:
        if not len(self.names) == len(set(self.names)) == len(self.regression.seen) > 0:
            raise ValueError("the columns are not named once each")
        if self.regression.kind == Corrected.kind:
            raise ValueError("a table's rows have no predictor of another target")

    def predict(self, values: Floats) -> Prediction:
        """Of (N, F) rows of ``names``; the numbers are in the unit of the column.

        Raises:
            InputError: another number of columns.
        """
        if values.ndim != 2 or values.shape[1] != len(self.names):
            raise InputError(f"This predictor needs the columns {', '.join(self.names)}.")
        return self.regression.predict(table_of(self.names, values), values)

    def to_dict(self) -> dict[str, Any]:
        about = {"schema": TABLE_SCHEMA, "file": _TABLE, "column": self.column, "features": list(self.names)}
        return {**about, **as_json(self.regression)}

    @classmethod
    def from_dict(cls, data: Any) -> TablePredictor:
        """Inverse of ``to_dict``. Raises ValueError, KeyError, TypeError or InputError on anything else."""
        own = {"column": data["column"], "names": data["features"]}
        rest = {name: part for name, part in data.items() if name not in ("schema", "file", "column", "features")}
        return read(cls, own | {"regression": rest}, own["names"])


def fit(measured: Measured, kind: str = DEFAULT_KIND, seed: int = 0, held_out: Floats | None = None) -> Predictor:
    """Fit a predictor to N measured subnets; ``held_out`` (N,) are held-out predictions if they are known already.

    Raises:
        InputError: a kind that cannot be fitted; a latency that is not positive and finite.
        VitasError: fewer than 20 subnets.
    """
    examples = measured.examples()
    if held_out is None:
        held_out = held_out_predictions(kind, examples, seed)
    return Predictor.of(measured, examples, kind, fit_model(kind, examples, seed), held_out, seed)


def fit_table(
    table: Table, column: str, kind: str = DEFAULT_KIND, seed: int = 0, held_out: Floats | None = None
) -> TablePredictor:
    """Fit a predictor to a table; ``held_out`` (N,) are its kind's held-out predictions if they are known already.

    Raises:
        InputError: fewer than 20 usable rows, or a kind that a table cannot have.
    """
    examples = table.examples()
    if held_out is None:
        held_out = held_out_predictions(kind, examples, seed)
    regression = Regression.of(kind, seed, fit_model(kind, examples, seed), table.values, held_out, examples, None)
    return TablePredictor(column, table.names, regression)


def save_predictor(predictor: Predictor | TablePredictor, path: Path) -> None:
    """Write the JSON file in one step; equal predictors give equal bytes."""
    write_atomic(path, seal(predictor.to_dict()))


def read_predictor(path: Path) -> Predictor:
    """Read a predictor's file.

    Raises:
        FileError: it is missing, broken, was changed after it was written, or is of another schema or feature version.
    """
    expected = {"schema": (_WITHOUT_STATISTIC, SCHEMA), "features": (FEATURES_VERSION,)}
    return read_sealed(path, "a predictor", expected, Predictor.from_dict)


def read_table_predictor(path: Path) -> TablePredictor:
    """Read a table predictor's file. Raises FileError as ``read_predictor`` does."""
    expected = {"file": (_TABLE,), "schema": (TABLE_SCHEMA,)}
    return read_sealed(path, "a predictor of a table's column", expected, TablePredictor.from_dict)
