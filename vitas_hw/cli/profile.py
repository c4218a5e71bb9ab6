"""``vitas-hw profile``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.options import DEFAULT_RUN, JsonOption, RunOption, SeedOption, SpaceOption

_TARGET, _WHICH, _ELSEWHERE = "Target", "Which subnets, and how often", "Measured elsewhere"


def profile(
    device: Annotated[
        str, typer.Option("--device", help="cpu, cuda:0, mps or gpu (Intel's).", rich_help_panel=_TARGET)
    ] = "cpu",
    backend: Annotated[
        str | None,
        typer.Option("--backend", help="onnxruntime, openvino, torch, tensorrt ...", rich_help_panel=_TARGET),
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="fp32, fp16, bf16 or int8.", rich_help_panel=_TARGET)
    ] = "fp32",
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Images per inference.", rich_help_panel=_TARGET)
    ] = 1,
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads.", rich_help_panel=_TARGET)] = 1,
    device_name: Annotated[
        str | None, typer.Option("--device-name", help="The device's name in files.", rich_help_panel=_TARGET)
    ] = None,
    num_subnets: Annotated[
        int | None,
        typer.Option("--num-subnets", help="120; --from 20; --until at most 1000.", rich_help_panel=_WHICH),
    ] = None,
    subnets: Annotated[
        str, typer.Option("--subnets", help="stratified (over MACs), random, or a file.", rich_help_panel=_WHICH)
    ] = "stratified",
    rounds: Annotated[
        int, typer.Option("--rounds", help="Visits to each, spread over the time.", rich_help_panel=_WHICH)
    ] = 3,
    until: Annotated[
        str | None, typer.Option("--until", help="Go on until this error, say 3%.", rich_help_panel=_WHICH)
    ] = None,
    old: Annotated[
        str | None, typer.Option("--from", help="Correct this predictor of another target.", rich_help_panel=_WHICH)
    ] = None,
    max_time: Annotated[
        str | None, typer.Option("--max-time", help="Stop in time: 90s, 30m, 8h.", rich_help_panel=_WHICH)
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Most seconds for one visit.", rich_help_panel=_WHICH)
    ] = 120.0,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", help="Write models and a runner here instead.", rich_help_panel=_ELSEWHERE),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--import", help="Read the runner's table instead.", rich_help_panel=_ELSEWHERE)
    ] = None,
    ray: Annotated[
        str | None, typer.Option("--ray", help="By a Ray cluster: auto, or its address.", rich_help_panel=_ELSEWHERE)
    ] = None,
    space: SpaceOption = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget earlier timings of this target.")] = False,
    run: RunOption = DEFAULT_RUN,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure sampled subnets on a device and fit a latency predictor for it.

    Example: vitas-hw profile --device cpu --num-subnets 200
    """
    from vitas_hw.cli import console
    from vitas_hw.cli import profile_output as output
    from vitas_hw.core.budget import parse_duration
    from vitas_hw.core.errors import InputError
    from vitas_hw.runs.directory import Run
    from vitas_hw.workflows.profile import on_cluster
    from vitas_hw.workflows.profile.import_table import import_profile, make_bundle
    from vitas_hw.workflows.profile.profile import ProfileSettings
    from vitas_hw.workflows.profile.profile import profile as profile_device

    settings = ProfileSettings(
        device=device,
        backend=backend,
        precision=precision,
        device_name=device_name,
        batch_size=batch_size,
        threads=threads,
        num_subnets=num_subnets if num_subnets is not None else 20 if old else 1000 if until else 120,
        subnets=subnets,
        rounds=rounds,
        timeout_s=timeout,
        max_time_s=None if max_time is None else parse_duration(max_time),
        until=None if until is None else _share(until),
        old=old,
        seed=seed,
    )
    if sum(way is not None for way in (bundle, table, ray)) > 1:
        raise InputError("--bundle, --import and --ray are different ways to measure.", "Give one of them.")
    if until is not None and (bundle or table):
        raise InputError("--until measures here, in batches that depend on each other.", "Leave it out.")
    if max_time is not None and (bundle or table or ray):
        raise InputError("--max-time is for measuring on this machine.", "Leave it out.")
    if bundle is not None:
        output.print_bundle(
            make_bundle(Run(run), settings, bundle, space=space, progress=console.Reporter()), bundle, as_json
        )
    elif table is not None:
        output.print_profiled(import_profile(Run(run), settings, table), as_json)
    elif ray is not None:
        output.print_fleet(
            on_cluster.profile_fleet(
                Run(run), settings, address=ray, space=space, fresh=fresh, progress=console.Reporter()
            ),
            as_json,
        )
    else:
        output.print_profiled(
            profile_device(Run(run), settings, space=space, fresh=fresh, progress=console.Reporter()), as_json
        )


def _share(text: str) -> float:
    """``3%`` or ``0.03`` as a fraction."""
    from vitas_hw.core.errors import InputError

    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise InputError(f"{text!r} is no share.", "Try --until 3%") from None
