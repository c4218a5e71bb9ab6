"""The profile of a device that cannot run us: the table of latencies that came back from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling.imported import ImportedVisit, read_bundle, read_results
from vitas_hw.profiling.measure import noise_floor
from vitas_hw.profiling.profile import Measurement, Profile, with_quiet
from vitas_hw.runs.directory import Run, one_at_a_time
from vitas_hw.workflows.profile.profile import Profiled, keep
from vitas_hw.workflows.profile.settings import ProfileSettings


@one_at_a_time
def import_profile(run: Run, settings: ProfileSettings, table: Path) -> Profiled:
    """The profile and predictor of a table that a bundle's runner, or anybody's, has filled.

    Args:
        run: where the bundle was made; a ``bundle.json`` beside the table comes first.
        settings: ``device_name`` is the measured device's; backend and threads are what was used there.
        table: the CSV file.

    Raises:
        InputError: no device name.
        FileError: the table or the bundle is missing or broken; says where.
    """
    if settings.device_name is None:
        raise InputError(
            "A table does not say on which device it was measured.",
            "Add `device_name=pixel-9`, for example.",
            field="device_name",
        )
    plan = next((path for path in (table.parent / "bundle.json", run.bundle) if path.exists()), None)
    if plan is None:
        raise FileError(
            f"There is no bundle.json beside {table}, and none in {run.path}.", "Put the bundle's beside the table."
        )
    bundle, visits = read_bundle(plan), read_results(table, plan)
    target = Target(
        settings.device_name,
        settings.backend or "onnxruntime",
        bundle.precision,
        bundle.batch_size,
        settings.threads if settings.device == "cpu" else None,
        bundle.space.image_size,
    )
    usual = _usual_anchor_ms(visits)
    first = _measurements(bundle.subnets.values(), visits, "first", usual)
    second = _measurements(bundle.subnets.values(), visits, "second", usual)
    about: dict[str, Any] = {
        # of the name: a profile from elsewhere is never taken for one of this machine
        "fingerprint": hashlib.sha256(f"imported {settings.device_name}".encode()).hexdigest()[:16],
        "hardware": {"name": settings.device_name},
        "imported": table.name,
        "settings": dict(bundle.timing),
        "anchor": bundle.anchor.to_dict(),
    }
    profile = with_quiet(Profile(target, bundle.space, about, noise_floor(first, second), usual, tuple(first)), second)
    run.begin(bundle.space)
    return keep(run, profile, settings)


def _usual_anchor_ms(visits: Sequence[ImportedVisit]) -> float | None:
    """The anchor's p50 over all visits; None unless every visit has one."""
    readings = [visit.anchor_ms for visit in visits if visit.anchor_ms is not None]
    return float(np.median(readings)) if visits and len(readings) == len(visits) else None


def _measurements(
    subnets: Iterable[Subnet], visits: Sequence[ImportedVisit], name: str, usual_ms: float | None
) -> list[Measurement]:
    """One for each subnet, in the bundle's order; failed if the table has no rows of its first measurement."""
    made: dict[str, list[ImportedVisit]] = {}
    for visit in visits:
        if visit.measurement == name:
            made.setdefault(visit.digest, []).append(visit)
    found = []
    for subnet in subnets:
        of_it = made.get(subnet.digest, [])
        drift = () if usual_ms is None else tuple((visit.anchor_ms or usual_ms) / usual_ms for visit in of_it)
        failed = "" if of_it else "The table has no rows of it."
        found.append(Measurement(subnet, tuple(visit.samples_ms for visit in of_it), drift, failed))
    return found
