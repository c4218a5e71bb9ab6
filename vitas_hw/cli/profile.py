"""``vitas-hw profile``"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.from_settings import takes
from vitas_hw.cli.options import DEFAULT_RUN, JsonOption, RunOption, SpaceOption
from vitas_hw.workflows.profile.settings import ProfileSettings

_ELSEWHERE = "Measure elsewhere"


@takes(ProfileSettings)
def profile(
    settings: Callable[..., ProfileSettings],
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            help="Write a folder of models and a script, to measure on another device.",
            rich_help_panel=_ELSEWHERE,
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--import", help="Read the CSV table that the script wrote there.", rich_help_panel=_ELSEWHERE),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option("--ray", help="Measure on a Ray cluster: auto, or its address.", rich_help_panel=_ELSEWHERE),
    ] = None,
    space: SpaceOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard earlier measurements of this target.")] = False,
    run: RunOption = DEFAULT_RUN,
    as_json: JsonOption = False,
) -> None:
    """Measure sampled subnets on a device and fit a latency predictor for it.

    Example: vitas-hw profile --device cpu --num-subnets 200
    """
    from vitas_hw.cli import console
    from vitas_hw.cli import profile_output as output
    from vitas_hw.core.deadline import Deadline
    from vitas_hw.core.errors import InputError
    from vitas_hw.runs.directory import Run

    asked, where, progress = settings(), Run(run), console.Reporter()
    deadline = Deadline.after(asked.max_time_s)  # what is loaded now counts
    if sum(way is not None for way in (bundle, table, ray)) > 1:
        raise InputError("`bundle`, `table` and `ray` are different ways to measure.", "Give one of them.")
    if asked.until is not None and (bundle or table):
        raise InputError(
            "`until` needs measuring on this machine: each batch depends on the one before.", "Leave it out."
        )
    if asked.max_time_s is not None and (bundle or table):
        raise InputError("`max_time_s` is for measuring on this machine or by a cluster.", "Leave it out.")
    if bundle is not None:
        from vitas_hw.workflows.profile.bundle import make_bundle

        output.print_bundle(make_bundle(where, asked, bundle, space=space, progress=progress), bundle, as_json)
    elif table is not None:
        from vitas_hw.workflows.profile.import_table import import_profile

        output.print_profiled(import_profile(where, asked, table), as_json)
    elif ray is not None:
        from vitas_hw.workflows.profile import on_cluster

        fleet = on_cluster.profile_fleet(
            where, asked, address=ray, space=space, fresh=fresh, deadline=deadline, progress=progress
        )
        output.print_fleet(fleet, as_json)
    else:
        from vitas_hw.workflows.profile.profile import profile as profile_device

        done = profile_device(where, asked, space=space, fresh=fresh, deadline=deadline, progress=progress)
        output.print_profiled(done, as_json)
