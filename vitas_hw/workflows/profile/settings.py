"""How to profile a device."""

from __future__ import annotations

from vitas_hw.core.deadline import TimeAllowed
from vitas_hw.core.errors import InputError, invalid
from vitas_hw.core.settings import setting, settings
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.statistic import DEFAULT_STATISTIC, STATISTICS
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.place import TargetAsked
from vitas_hw.profiling.selection import SELECTIONS, choose_subnets, load_subnets
from vitas_hw.profiling.worker import DEFAULT_TIMEOUT_S

_WHICH = "What is measured"
_USUAL, _FROM_OLD, _MOST = 120, 20, 1000


def _share(text: str) -> float:
    """``3%`` or ``0.03`` as a fraction."""
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise InputError(
            f"{text!r} is neither a share nor a percentage.", "Try `until=3%`.", field="until", value=text
        ) from None


@settings
class ProfileSettings(TargetAsked):
    """The target, the subnets and the visits.

    Args:
        num_subnets: how many to measure; with ``until``, at the most.
        subnets: ``stratified`` over MACs, ``random``, or a file of subnets.
        rounds: visits to each on average, spread over the whole time.
        until: the cross-validated error, a fraction, at which to stop.
        old: name or file of a predictor of the same space, of any target, to start from: few subnets are enough then.
        statistic: what the predictor learns and a search's budget speaks of: ``p50`` or ``p90``, on the machine as it
            was half of the time, or ``quiet``, on the machine as quiet as it was seen.
        max_time_s: see ``TimeAllowed``; what is measured by then is fitted, and the same command goes on.
        timeout_s: of one visit, once its session is built; a subnet that takes longer has failed.
        seed: of subnets and orders.
    """

    num_subnets: int | None = setting(
        default=None,
        help="Subnets to measure. Default: 120 (20 with `old`, up to 1000 with `until`).",
        group=_WHICH,
    )
    subnets: str = setting(default="stratified", help="stratified by MACs, random, or a file.", group=_WHICH)
    rounds: int = setting(default=3, help="Measurements per subnet, on average.", group=_WHICH, at_least=1)
    until: float | None = setting(
        default=None,
        help="Measure until the predictor's error is below this: 3%.",
        group=_WHICH,
        above=0,
        below=1,
        reads=_share,
    )
    old: str | None = setting(
        default=None, help="Adapt this predictor of another target; do not fit a new one.", group=_WHICH
    )
    statistic: str = setting(
        default=DEFAULT_STATISTIC,
        help="Latency to predict: p50, p90 or quiet (machine idle).",
        group=_WHICH,
        choices=STATISTICS,
    )
    max_time_s: float | None = setting(default=None, like=TimeAllowed, group=_WHICH)
    timeout_s: float = setting(
        default=DEFAULT_TIMEOUT_S,
        help="Give up a measurement after this many seconds.",
        group=_WHICH,
        above=0,
        runs=True,
    )
    seed: int = setting(default=0, help="Random seed.", at_least=0, at_most=2**32 - 1)

    def __post_init__(self) -> None:
        from vitas_hw.predictors.examples import FEWEST  # loads XGBoost

        if (self.until is not None or self.old is not None) and self.subnets != "stratified":
            raise InputError(
                "`subnets` cannot be given beside `until` or `old`, which choose the subnets themselves.",
                "Leave out `subnets`.",
            )
        if self.until is not None and self.old is not None:
            raise InputError("`until` fits a new predictor and `old` corrects one that is there.", "Give one of them.")
        if self.count < FEWEST and self.old is None:
            raise invalid("num_subnets", self.count, f"at least {FEWEST}, to fit a predictor")

    @property
    def count(self) -> int:
        """``num_subnets``, or its default."""
        if self.num_subnets is not None:
            return self.num_subnets
        return _FROM_OLD if self.old is not None else _USUAL if self.until is None else _MOST

    def chosen(self, space: SearchSpace) -> list[Subnet]:
        """The subnets to measure; with ``until``, to begin with."""
        from vitas_hw.predictors.examples import FEWEST
        from vitas_hw.workflows.profile.from_old_predictor import old_predictor, telling_subnets

        if self.old is not None:
            return telling_subnets(old_predictor(self.old, space), self.count, self.seed)
        if self.subnets in SELECTIONS:
            return choose_subnets(space, self.count, self.seed, self.subnets)
        given = load_subnets(self.subnets, space)
        if len(given) < FEWEST:
            raise InputError(f"{self.subnets} has {len(given)} subnets, too few: a predictor needs at least {FEWEST}.")
        return given
