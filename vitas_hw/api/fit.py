"""Fitting predictors to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitas_hw.api.told import told
from vitas_hw.core import SILENT, Progress
from vitas_hw.core.settings import setting, settings
from vitas_hw.workflows.fit_settings import FitSettings

if TYPE_CHECKING:
    from vitas_hw.workflows.fit import Fitted


@settings
class Fitting(FitSettings):
    """Of ``fit``."""

    profile: str | None = setting(default=None, help="a profile file, or the name of a shipped profile.", kw_only=False)
    progress: Progress = setting(default=SILENT, help="a ``Reporter`` shows progress on stderr. Default: silent.")


@told(Fitting)
def fit(asked: Fitting) -> Fitted:
    """Fit a latency predictor to a profile or to a column of a CSV table; report the cross-validated error of each
    kind.

    Returns: the predictor, its report and their files; a table with a row for each kind.

    Raises:
        FileError: the profile or the table is missing or broken.
        InputError: a missing column, too few rows, or a kind that a table cannot have.
        VitasError: fewer than 20 subnets ran.

    Example:
        >>> fitted = vh.fit(csv="phone.csv", column="latency_ms")  # cross-validates five kinds  # doctest: +SKIP
    """
    from vitas_hw.api.steps import own
    from vitas_hw.workflows.fit import fit_and_report

    return fit_and_report(own(asked, FitSettings), asked.progress)
