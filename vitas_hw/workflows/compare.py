"""Subnets side by side: costs, accuracy where it can be had, and their latency on each of several targets: from one
interleaved run on those that are here, predicted on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from vitas_hw.core.deadline import NEVER, Deadline, TimeAllowed, TimeIsUpError
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.settings import setting, settings
from vitas_hw.core.statistic import P50
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.tables import Cell, Tabular
from vitas_hw.core.target import Target
from vitas_hw.profiling.place import TARGET, Place, TargetAsked, find_place, place_of
from vitas_hw.profiling.protocol import LONGER, side_by_side
from vitas_hw.runs.artifacts import known_predictor
from vitas_hw.runs.directory import Run
from vitas_hw.runs.subnets import Named, data_for, subnets_named, with_weights
from vitas_hw.workflows.profile.settings import ProfileSettings

if TYPE_CHECKING:  # loaded where one is asked for
    from vitas_hw.predictors.predictor import Predictor
    from vitas_hw.profiling.profile import Measurement

_TOP1 = 0.3  # most of the time allowed for the accuracy
_BEFORE = "the accuracy was known"


@settings
class CompareSettings(TargetAsked):
    """The targets, the visits and the images.

    Args:
        predictors: of the targets to compare on, by name or path; without any it is the target that is asked for.
        rounds: visits to each.
        data: whose test part tells the accuracy; None is the run's. Subnets without trained weights get none.
        max_time_s: see ``TimeAllowed``; latencies get the most of it.
        seed: of the orders.

    Raises:
        InputError: both predictors and a target that is none of theirs.
    """

    predictors: tuple[str, ...] = setting(
        default=(), help="Compare on its target: a shipped name or a file; repeatable.", group=TARGET
    )
    rounds: int = setting(default=5, help="Measurements per subnet, interleaved.", at_least=1)
    data: str | None = setting(default=None, help="Images for the top-1. Default: the run's.")
    max_time_s: float | None = setting(default=None, like=TimeAllowed)
    seed: int = setting(default=0, like=ProfileSettings)

    def __post_init__(self) -> None:
        asked = [one.name for one in fields(TargetAsked) if getattr(self, one.name) != one.default]
        if self.predictors and asked:
            problem = f"The targets are those of `predictors`, and `{asked[0]}` is of another one."
            raise InputError(problem, f"Leave out `{asked[0]}` or `predictors`.", field=asked[0])


@dataclass(frozen=True)
class LatencyOn:
    """A subnet's latency on one target, in milliseconds.

    Args:
        target: which.
        measured: whether it was measured, on this machine; else it is predicted, because the target is elsewhere.
        statistic: one of ``STATISTICS``; what is measured is the p50.
        ms: None if the subnet does not run there, or the time did not reach it.
        p90_ms: of a measured one.
        lower_ms, upper_ms: of a predicted one, the interval that covers 90% of measurements.
        inside: whether the predictor has seen the like of it; if not, the interval does not hold.
        failed: why it does not run; empty if it does.
    """

    target: Target
    measured: bool
    statistic: str
    ms: float | None
    p90_ms: float | None = None
    lower_ms: float | None = None
    upper_ms: float | None = None
    inside: bool = True
    failed: str = ""

    @property
    def how(self) -> str:
        """``measured`` or ``predicted``."""
        return "measured" if self.measured else "predicted"


@dataclass(frozen=True)
class Compared:
    """A row: the latency on each target, and top-1 on the test part if the subnet has trained weights.

    A top-1 that the time did not reach is None.
    """

    name: str
    subnet: Subnet
    latencies: tuple[LatencyOn, ...]
    top1: float | None

    @property
    def p50_ms(self) -> float | None:
        """Measured on the first target; None if it is predicted there, does not run, or the time did not reach it."""
        return self.latencies[0].ms if self.latencies[0].measured else None

    @property
    def p90_ms(self) -> float | None:
        """As ``p50_ms``: nine inferences in ten were faster."""
        return self.latencies[0].p90_ms

    @property
    def failed(self) -> str:
        """Why it does not run on the first target; empty if it does."""
        return self.latencies[0].failed


@dataclass(frozen=True)
class Comparison(Tabular):
    """All rows, in the order given, with a latency for each target; whether it is whole, and not cut by the time."""

    rows: tuple[Compared, ...]
    whole: bool = True

    @property
    def target(self) -> Target:
        """The first target."""
        return self.rows[0].latencies[0].target

    @property
    def targets(self) -> tuple[Target, ...]:
        """All targets."""
        return tuple(one.target for one in self.rows[0].latencies)

    @property
    def here_alone(self) -> bool:
        """Whether there is one target, and it is here."""
        return len(self.targets) == 1 and self.rows[0].latencies[0].measured

    @property
    def title(self) -> str:
        return f"On {self.target.slug}" if len(self.targets) == 1 else f"On {len(self.targets)} targets"

    def to_dicts(self) -> list[dict[str, Cell]]:
        """A row for each subnet; its latency on the one target that is here, or a column for each target, called
        ``SLUG measured_ms`` or ``SLUG predicted_ms``.
        """
        return [
            {
                "name": one.name,
                **self._latencies(one),
                "top1": one.top1,
                "macs": one.subnet.macs,
                "params": one.subnet.params,
                "failed": "; ".join(found.failed for found in one.latencies if found.failed),
            }
            for one in self.rows
        ]

    def _latencies(self, row: Compared) -> dict[str, Cell]:
        if self.here_alone:
            return {"p50_ms": row.p50_ms, "p90_ms": row.p90_ms}
        return {f"{one.target.slug} {one.how}_ms": one.ms for one in row.latencies}


def compare(
    run: Run,
    words: Sequence[str],
    settings: CompareSettings = CompareSettings(),  # noqa: B008  # frozen
    *,
    deadline: Deadline | None = None,
    progress: Progress = SILENT,
) -> Comparison:
    """Measure subnets in interleaved rounds on each target that is here, and predict their latency on the others.

    Args:
        run: of ``choice``, ``smallest`` and ``largest``, and of the weights of subnets of its space.
        words: see ``subnets_named``; of an engine its architecture is built anew. Without a run those of a space are of
            the first predictor's.
        settings: targets, visits, images.
        deadline: when to stop; None is after the settings' ``max_time_s``.
        progress: where to report to.

    Raises:
        InputError: fewer than two subnets and targets, an unknown one, images of several sizes, no such device,
            subnets that a predictor is not for.
        TimeIsUpError: before any was measured.
    """
    deadline = deadline or Deadline.after(settings.max_time_s)
    if len(words) < 2 and not (words and len(settings.predictors) > 1):
        hint = "For example vitas-c and deit-ti; or one, and `predictors` of several targets."
        raise InputError("Give at least two subnets to compare.", hint)
    predictors = _predictors(run, settings.predictors)
    where = predictors[0].space if predictors and run.read()["space"] is None else run
    named = [one for word in words for one in subnets_named(word, where)]
    subnets = [one.subnet for one in named]
    sizes = {subnet.image_size for subnet in subnets}
    if len(sizes) > 1:
        shown = ", ".join(_size(size) for size in sorted(sizes))
        raise InputError(f"A target has one image size; these subnets take {shown}.", "Compare those of one size.")
    on = [_here_or(one, subnets) for one in predictors] or [find_place(settings, subnets[0].image_size)]
    tops = _tops(run, named, settings.data, deadline.part(_TOP1), progress)
    places = [one for one in on if isinstance(one, Place)]
    timed, visits = _timed(places, list(dict.fromkeys(subnets)), settings, deadline, progress)
    if places == on and not visits:
        raise TimeIsUpError("the subnets were measured")
    wanted = settings.rounds * len(set(subnets)) * len(places)
    if not (whole := visits == wanted and len(tops) == len(named)):
        progress.note(
            f"time is up: {visits} of {wanted} visits made, {len(tops)} of {len(named)} subnets looked at for a top-1"
        )
    columns = [
        _measured(one, timed[one], subnets) if isinstance(one, Place) else _predicted(one, subnets) for one in on
    ]
    rows = [
        Compared(one.word, one.subnet, latencies, top1)
        for one, latencies, top1 in zip_longest(named, zip(*columns, strict=True), tops)
    ]
    return Comparison(tuple(rows), whole)


def precisions_side_by_side(
    subnet: Subnet,
    backend: str,
    precisions: Sequence[str],
    progress: Progress = SILENT,
    rounds: int = 3,
    *,
    deadline: Deadline = NEVER,
) -> dict[str, float]:
    """P50 in milliseconds of a subnet on this CPU, one thread, in several precisions, visited in turn.

    Nothing if this CPU does not run one of them, which is reported. Raises TimeIsUpError between two visits.
    """
    places: dict[str, Place] = {}
    for precision in precisions:
        try:
            places[precision] = find_place(TargetAsked(backend=backend, precision=precision), subnet.image_size)
        except VitasError as error:
            progress.note(f"no latency before and after: {error.problem}")
            return {}
    with ExitStack() as stack, progress.step("measuring before and after", rounds * len(places)) as advance:
        workers = {name: stack.enter_context(place.worker(LONGER)) for name, place in places.items()}
        samples: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(rounds):
            for name, worker in workers.items():
                deadline.check("the precisions were timed")
                samples[name].append(float(np.median(worker.visit(subnet).samples_ms)))
                advance("")
    return {name: float(np.median(p50s)) for name, p50s in samples.items()}


def _predictors(run: Run, names: Sequence[str]) -> list[Predictor]:
    """By name or path. Raises InputError on two of one target."""
    from vitas_hw.predictors.shipped import load_predictor

    found: dict[Target, Predictor] = {}
    for name in names:
        predictor = load_predictor(known_predictor(run, name))
        if predictor.target in found:
            problem = f"Two of the predictors are of the target {predictor.target.slug}."
            raise InputError(problem, "Give one for each target.", field="predictors", value=name)
        found[predictor.target] = predictor
    return list(found.values())


def _here_or(predictor: Predictor, subnets: Sequence[Subnet]) -> Place | Predictor:
    """Where the predictor's target is on this machine; the predictor if it is elsewhere.

    Raises InputError if its target or the predictor is not for these subnets.
    """
    target, size = predictor.target, subnets[0].image_size
    if size != target.image_size:
        raise InputError(
            f"The target {target.slug} takes images of {_size(target.image_size)}, the subnets of {_size(size)}.",
            field="predictors",
        )
    place = place_of(target, predictor.fingerprint)
    if place is None:
        predictor.check_subnets(subnets)
    return place or predictor


def _size(image_size: tuple[int, int]) -> str:
    height, width = image_size
    return f"{height}x{width}"


def _timed(
    places: Sequence[Place],
    subnets: Sequence[Subnet],
    settings: CompareSettings,
    deadline: Deadline,
    progress: Progress,
) -> tuple[dict[Place, dict[Subnet, Measurement]], int]:
    """What was measured at each place, one after the other with an equal share of the time; and the visits made."""
    found, visits = {}, 0
    for number, place in enumerate(places):
        with progress.step(f"measuring on {place.target.slug}", settings.rounds * len(subnets)) as advance:

            def visited(advance: Callable[[str], None] = advance) -> None:
                nonlocal visits
                visits += 1
                advance("")

            timed, _ = side_by_side(
                place,
                subnets,
                rounds=settings.rounds,
                seed=settings.seed,
                on_visit=visited,
                deadline=deadline.part(1 / (len(places) - number)),
            )
        found[place] = {row.subnet: row for row in timed}
    return found, visits


def _measured(place: Place, timed: Mapping[Subnet, Measurement], subnets: Sequence[Subnet]) -> list[LatencyOn]:
    def one(row: Measurement | None) -> LatencyOn:
        if row is None or row.failed:
            return LatencyOn(place.target, True, P50, None, failed="" if row is None else row.failed)
        return LatencyOn(place.target, True, P50, row.latency_ms, p90_ms=row.percentile(90))

    return [one(timed.get(subnet)) for subnet in subnets]


def _predicted(predictor: Predictor, subnets: Sequence[Subnet]) -> list[LatencyOn]:
    columns = (column.tolist() for column in predictor.predict(subnets))
    return [
        LatencyOn(predictor.target, False, predictor.statistic, ms, lower_ms=lower, upper_ms=upper, inside=inside)
        for ms, lower, upper, inside in zip(*columns, strict=True)
    ]


def _tops(
    run: Run, named: Sequence[Named], data: str | None, deadline: Deadline, progress: Progress
) -> list[float | None]:
    """Top-1 of each, as far as the time reaches; None for those without trained weights or images."""
    tops: list[float | None] = []
    with progress.step("top-1 of trained weights", len(named)) as advance:
        for one in named:
            try:
                tops.append(_top1(run, one, data, deadline))
            except TimeIsUpError:
                break
            advance("")
    return tops


def _top1(run: Run, named: Named, data: str | None, deadline: Deadline) -> float | None:
    """On the test part, where the subnet has trained weights and there are images for it.

    Raises TimeIsUpError before the images are looked at.
    """
    deadline.check(_BEFORE)
    if named.file is not None and named.file.suffix == ".engine":
        return None
    chosen = with_weights(run, named)
    if chosen.seed is not None:  # fresh weights
        return None
    from vitas_hw.training.evaluate import accuracy

    found = data_for(run, named.subnet, data)
    if found is None:
        return None
    found.test.ready(lambda: deadline.check(_BEFORE))
    return accuracy(chosen.model, found.test).top1
