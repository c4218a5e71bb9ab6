"""What a fit is told; loads nothing heavy, for the command line's help."""

from __future__ import annotations

from pathlib import Path

from vitas_hw.core.errors import InputError
from vitas_hw.core.settings import setting, settings
from vitas_hw.core.statistic import DEFAULT_STATISTIC, checked_statistic
from vitas_hw.predictors.kinds import DEFAULT_KIND, check_kind


@settings
class FitSettings:
    """How to fit a predictor to a profile, or to a column of somebody's table.

    Args:
        profile: a profile's file, or the name of a shipped one.
        csv: instead, a table with a header.
        column: of the table, to predict; positive.
        group: rows with one value of this column are held out together.
        statistic: of a profile, what is predicted: ``p50`` or ``p90``, of the machine as it was half of the time, or
            ``quiet``, on the machine as quiet as it was seen.
        kind: of the predictor that is written; ``flops`` needs a column named mac or flop in a table.
        output: the folder to write to: ``<target>--<space>.json`` or ``<file>--<column>.json``; in ``reports/`` a
            report and a plot; of a profile, in ``cards/`` what it is for.
        seed: of folds and models; the same measurements and seed give the same bytes.
    """

    profile: str | None = None
    csv: Path | None = setting(default=None, help="Fit to this CSV table of your own measurements, not to a profile.")
    column: str | None = setting(default=None, help="CSV column to predict.")
    group: str | None = setting(default=None, help="CSV column: rows with equal values stay in one fold.")
    kind: str = setting(default=DEFAULT_KIND, help="Kind of predictor: xgboost, linear or flops.")
    statistic: str = setting(default=DEFAULT_STATISTIC, help="Latency to predict: p50, p90 or quiet (machine idle).")
    output: Path = setting(default=Path("predictors"), help="Folder for the predictor.")
    seed: int = setting(default=0, help="Random seed.", at_least=0, at_most=2**32 - 1)

    def __post_init__(self) -> None:
        if (self.profile is None) == (self.csv is None) or (self.csv is None) != (self.column is None):
            raise InputError("Give a profile, or `csv=FILE` with `column=NAME`.")
        if self.group and self.csv is None:
            raise InputError("A `group` is a column of a table; a profile has none.", field="group", value=self.group)
        check_kind(self.kind)
        checked_statistic(self.statistic)
        if self.csv is not None and self.statistic != DEFAULT_STATISTIC:
            problem = "A `statistic` is taken from a profile's visits; a table has one number a row."
            raise InputError(problem, field="statistic", value=self.statistic)
