"""One profiling spread over the machines of a Ray cluster: one device, one measurement at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from vitas_hw.cluster.connection import Connection, connected
from vitas_hw.cluster.devices import Device, Devices
from vitas_hw.cluster.visits import Spread
from vitas_hw.core.deadline import Deadline
from vitas_hw.core.errors import InputError, VitasError
from vitas_hw.core.progress import SILENT, Progress
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.journal import Journal
from vitas_hw.profiling.measure import Pass, measurements, passes
from vitas_hw.profiling.protocol import (
    REPEAT_EVERY,
    open_journal,
    profile_of,
    say_what_may_pass,
    say_what_slowed_the_gpu,
)
from vitas_hw.runs.directory import Run, one_at_a_time
from vitas_hw.workflows.profile.profile import Profiled, keep
from vitas_hw.workflows.profile.settings import ProfileSettings


@dataclass
class _Group:
    """Devices of the same hardware and runtime, by name, and the one profile that they measure together."""

    target: Target
    devices: dict[str, Device]
    journal: Journal
    spread: Spread
    failed: VitasError | None = None

    @property
    def first(self) -> Device:
        return next(iter(self.devices.values()))


@one_at_a_time
def profile_fleet(
    run: Run,
    settings: ProfileSettings,
    *,
    address: str = "auto",
    space: str | None = None,
    fresh: bool = False,
    deadline: Deadline | None = None,
    progress: Progress = SILENT,
) -> list[Profiled]:
    """Measure subnets of the run's space on all fitting devices of a Ray cluster, and fit a predictor for each kind.

    Devices of the same hardware and runtime share the subnets of one profile; others get a profile of their own. The
    files are those of ``profile`` on such a device, and either goes on where the other was.

    Args:
        run: where files go, on this machine.
        settings: as for ``profile``; the device is ``cpu`` (one for each machine) or ``cuda`` (all GPUs).
        address: of the cluster; ``auto`` is the one that this machine belongs to.
        space: name or YAML file; None is the run's, or the default.
        fresh: forget earlier timings of these targets.
        deadline: when to stop, once the visits under way are over; None is after the settings' ``max_time_s``.
        progress: where to report to.

    Raises:
        InputError: a device that cannot be spread, or earlier timings were taken with other settings.
        VitasError: Ray or the cluster is missing, no machine can measure, the last device of a kind is lost, or too
            little of a kind was measured in the time for a predictor; what was measured is kept, and the profiles of
            other kinds are finished.
    """
    if settings.until is not None:
        raise InputError(
            "`until` cannot be spread over a cluster: each batch depends on the one before.",
            "Leave out `until`.",
            field="until",
        )
    deadline = deadline or Deadline.after(settings.max_time_s)
    found = run.space(space)
    subnets = settings.chosen(found)
    run.begin(found)
    with connected(address) as cluster:
        devices = Devices(cluster, settings, settings.timeout_s, found.image_size, progress, deadline)
        kinds, repeats = kinds_of(devices.all), subnets[::REPEAT_EVERY]
        # as on one machine: one subnet in eight is visited again at the end, however little time there is
        until = {"first": deadline.part(REPEAT_EVERY / (REPEAT_EVERY + 1)), "second": deadline}
        total = len(kinds) * settings.rounds * (len(subnets) + len(repeats))
        groups = []
        with progress.step("measuring", total) as advance:
            for target, together in kinds.items():
                path = run.journal(target, found)
                if fresh:
                    path.unlink(missing_ok=True)
                journal = open_journal(path, target, found, together[0].about, settings.seed)
                named = {device.name: device for device in together}
                spread = Spread(
                    named,
                    _plan(settings, subnets, journal),
                    journal,
                    away_from={"second": "first"},
                    on_visit=lambda: advance(""),
                    time_is_up=lambda name: until[name].over(),
                )
                groups.append(_Group(target, named, journal, spread))
            for group in groups:
                names = ", ".join(group.devices)
                progress.note(f"profiling {len(subnets)} subnets of {found.name} on {group.target.slug}, by: {names}")
                if not group.journal.attempts and not deadline.over():
                    devices.compare_with_fp32(group.first)
            _measure(cluster, devices, groups, progress)
        devices.look()
        devices.close()
    done = []
    for group in groups:
        if group.failed is not None:
            continue
        profile = profile_of(group.journal, group.target, found, group.first.about, subnets, settings.rounds)
        if not group.spread.whole:
            made = f"{len(profile.measurements)} of {len(subnets)} subnets measured on {group.target.slug}"
            progress.note(f"time is up: {made}; repeat the command to resume")
        try:
            done.append(keep(run, profile, settings, whole=group.spread.whole))
        except VitasError as error:  # too few for a predictor
            group.failed = error
    for group in groups:
        say_what_slowed_the_gpu(group.journal, progress)
        say_what_may_pass(group.journal, progress)
        if group.failed is not None:
            raise group.failed
    return done


def _plan(settings: ProfileSettings, subnets: Sequence[Subnet], journal: Journal) -> Iterator[Pass]:
    """Of the subnets that the time let be measured, one in eight once more at the end."""
    how = {"rounds": settings.rounds, "seed": settings.seed}
    yield from passes({"first": subnets}, **how, journal=journal)
    ran = {row.subnet for row in measurements(journal, subnets, "first", settings.rounds)}
    repeats = [subnet for subnet in subnets[::REPEAT_EVERY] if subnet in ran]
    yield from passes({"second": repeats}, **how, journal=journal)


def kinds_of(devices: Iterable[Device]) -> dict[Target, list[Device]]:
    """Devices that may share a profile, by its target, whose name says more than the hardware's own where it has to."""
    kinds: dict[tuple[Target, str, str], list[Device]] = defaultdict(list)
    for device in devices:
        kinds[device.target, device.about["fingerprint"], device.about["backend_version"]].append(device)
    targets = [target for target, _, _ in kinds]
    named: dict[Target, list[Device]] = {}
    for (target, fingerprint, version), together in kinds.items():
        if targets.count(target) > 1:
            target = replace(target, device_name=f"{target.device_name}-{fingerprint[:4]}")
        if target in named:
            raise VitasError(
                f"Machines of the same hardware have different versions of {target.backend}: {version} "
                f"on {together[0].name}, {named[target][0].about['backend_version']} on {named[target][0].name}.",
                "Install the same one on all of them.",
            )
        named[target] = together
    return named


def _measure(cluster: Connection, devices: Devices, groups: list[_Group], progress: Progress) -> None:
    """Until each group is done or has failed; a failure of one does not stop the others."""
    waiting = {}
    while True:
        for group in groups:
            for errand in group.spread.errands() if group.failed is None else []:
                device = group.devices[errand.device]
                waiting[devices.visit(device, errand)] = group, device
        if not waiting:
            return
        (ticket,) = cluster.done(waiting, first=True)
        group, device = waiting.pop(ticket)
        found = cluster.result(ticket)
        if group.failed is not None:
            continue
        try:
            if isinstance(found, str):
                progress.note(f"warning: {device.name} takes no further part: {found}")
                devices.leave_out(device)
                group.spread.lose(device.name, found)
            else:
                for note in found.notes:
                    progress.note(f"{device.name}: {note}")
                group.spread.keep(device.name, found)
        except VitasError as error:
            group.failed = error
