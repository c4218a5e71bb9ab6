"""Subnets side by side on one target: costs, latency from one interleaved run, accuracy where it can be had."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from vitas_hw.core.deadline import NEVER, Deadline, TimeAllowed, TimeIsUpError
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.settings import setting, settings
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.tables import Cell, Tabular
from vitas_hw.core.target import Target
from vitas_hw.profiling.place import Place, TargetAsked, find_place
from vitas_hw.profiling.protocol import LONGER, side_by_side
from vitas_hw.runs.directory import Run
from vitas_hw.runs.subnets import Named, data_for, subnets_named, with_weights
from vitas_hw.workflows.profile.settings import ProfileSettings

_TOP1 = 0.3  # most of the time allowed for the accuracy
_BEFORE = "the accuracy was known"


@settings
class CompareSettings(TargetAsked):
    """The target, the visits and the images.

    Args:
        rounds: visits to each.
        data: whose test part tells the accuracy; None is the run's. Subnets without trained weights get none.
        max_time_s: see ``TimeAllowed``; latencies get the most of it.
        seed: of the orders.
    """

    rounds: int = setting(default=5, help="Measurements per subnet, interleaved.", at_least=1)
    data: str | None = setting(default=None, help="Images for the top-1. Default: the run's.")
    max_time_s: float | None = setting(default=None, like=TimeAllowed)
    seed: int = setting(default=0, like=ProfileSettings)


@dataclass(frozen=True)
class Compared:
    """A row: p50 and p90 in milliseconds, or why it does not run; top-1 on the test part if it has trained weights.

    What the time did not reach is None.
    """

    name: str
    subnet: Subnet
    p50_ms: float | None
    p90_ms: float | None
    failed: str
    top1: float | None


@dataclass(frozen=True)
class Comparison(Tabular):
    """All rows, in the order given, and the target of their latencies; whether it is whole, and not cut by the time."""

    target: Target
    rows: tuple[Compared, ...]
    whole: bool = True

    @property
    def title(self) -> str:
        return f"On {self.target.slug}"

    def to_dicts(self) -> list[dict[str, Cell]]:
        """A row for each subnet."""
        return [
            {
                "name": one.name,
                "p50_ms": one.p50_ms,
                "p90_ms": one.p90_ms,
                "top1": one.top1,
                "macs": one.subnet.macs,
                "params": one.subnet.params,
                "failed": one.failed,
            }
            for one in self.rows
        ]


def compare(
    run: Run,
    words: Sequence[str],
    settings: CompareSettings = CompareSettings(),  # noqa: B008  # frozen
    *,
    deadline: Deadline | None = None,
    progress: Progress = SILENT,
) -> Comparison:
    """Measure subnets in interleaved rounds on one target.

    Args:
        run: of ``choice``, ``smallest`` and ``largest``, and of the weights of subnets of its space.
        words: see ``subnets_named``; of an engine its architecture is built anew.
        settings: target, visits, images.
        deadline: when to stop; None is after the settings' ``max_time_s``.
        progress: where to report to.

    Raises:
        InputError: fewer than two subnets, an unknown one, images of several sizes, no such device.
        TimeIsUpError: before any was measured.
    """
    deadline = deadline or Deadline.after(settings.max_time_s)
    if len(words) < 2:
        raise InputError("Give at least two subnets to compare.", "For example vitas-c and deit-ti.")
    named = [one for word in words for one in subnets_named(word, run)]
    subnets = [one.subnet for one in named]
    sizes = {subnet.image_size for subnet in subnets}
    if len(sizes) > 1:
        shown = ", ".join(f"{height}x{width}" for height, width in sorted(sizes))
        raise InputError(f"A target has one image size; these subnets take {shown}.", "Compare those of one size.")
    place = find_place(settings, subnets[0].image_size)
    tops: list[float | None] = []
    first = deadline.part(_TOP1)
    with progress.step("top-1 of trained weights", len(named)) as advance:
        for one in named:
            try:
                tops.append(_top1(run, one, settings.data, first))
            except TimeIsUpError:
                break
            advance("")
    distinct = list(dict.fromkeys(subnets))
    visits, wanted = 0, settings.rounds * len(distinct)
    with progress.step(f"measuring on {place.target.slug}", wanted) as advance:

        def visited() -> None:
            nonlocal visits
            visits += 1
            advance("")

        timed, _ = side_by_side(
            place, distinct, rounds=settings.rounds, seed=settings.seed, on_visit=visited, deadline=deadline
        )
    if not timed:
        raise TimeIsUpError("the subnets were measured")
    if not (whole := visits == wanted and len(tops) == len(named)):
        progress.note(
            f"time is up: {visits} of {wanted} visits made, {len(tops)} of {len(named)} subnets looked at for a top-1"
        )
    found = {row.subnet: row for row in timed}
    rows = []
    for one, top1 in zip_longest(named, tops):
        row = found.get(one.subnet)
        failed = "" if row is None else row.failed
        p50, p90 = (None, None) if row is None or failed else (row.latency_ms, row.percentile(90))
        rows.append(Compared(one.word, one.subnet, p50, p90, failed, top1))
    return Comparison(place.target, tuple(rows), whole)


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
