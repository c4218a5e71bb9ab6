"""``vitas-hw profile``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitas_hw.cli.options import DEFAULT_RUN, JsonOption, RunOption, SeedOption, SpaceOption


def profile(
    device: Annotated[
        str, typer.Option("--device", help="What to measure on: cpu, cuda:0, mps, gpu (Intel's); see vitas-hw doctor.")
    ] = "cpu",
    backend: Annotated[
        str | None, typer.Option("--backend", help="onnxruntime, openvino, torch, tensorrt, ...; see vitas-hw doctor.")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="fp32, fp16, bf16 or int8.")] = "fp32",
    num_subnets: Annotated[
        int | None,
        typer.Option("--num-subnets", help="How many subnets: 120; with --from 20; with --until at the most, 1000."),
    ] = None,
    subnets: Annotated[
        str, typer.Option("--subnets", help="stratified (over MACs), random, or a file with one subnet (JSON) a line.")
    ] = "stratified",
    rounds: Annotated[int, typer.Option("--rounds", help="Visits to each subnet, spread over the whole time.")] = 3,
    until: Annotated[
        str | None,
        typer.Option("--until", help="Measure in batches until the error on unseen subnets is this, for example 3%."),
    ] = None,
    old: Annotated[
        str | None, typer.Option("--from", help="A predictor of another target: few subnets are enough to correct it.")
    ] = None,
    space: SpaceOption = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images per inference.")] = 1,
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")] = 1,
    timeout: Annotated[float, typer.Option("--timeout", help="Most seconds for one visit of a subnet.")] = 120.0,
    device_name: Annotated[str | None, typer.Option("--device-name", help="The device's name in files.")] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle", help="Measure nothing: write models and a runner here, for a device without vitas-hw."
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--import", help="Measure nothing: read the table that a bundle's runner filled.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option("--ray", help="Measure on the machines of a Ray cluster: auto, or its address."),
    ] = None,
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
    from vitas_hw.core.errors import InputError
    from vitas_hw.workflows import fleet
    from vitas_hw.workflows.imports import import_profile, make_bundle
    from vitas_hw.workflows.profile import ProfileSettings
    from vitas_hw.workflows.profile import profile as profile_device
    from vitas_hw.workflows.run import Run

    settings = ProfileSettings(
        device=device,
        backend=backend,
        precision=precision,
        device_name=device_name,
        batch_size=batch_size,
        threads=threads,
        num_subnets=num_subnets or (20 if old else 1000 if until else 120),
        subnets=subnets,
        rounds=rounds,
        timeout_s=timeout,
        until=None if until is None else _share(until),
        old=old,
        seed=seed,
    )
    if sum(way is not None for way in (bundle, table, ray)) > 1:
        raise InputError("--bundle, --import and --ray are different ways to measure.", "Give one of them.")
    if until is not None and (bundle or table):
        raise InputError("--until measures here, in batches that depend on each other.", "Leave it out.")
    if bundle is not None:
        output.print_bundle(
            make_bundle(Run(run), settings, bundle, space=space, progress=console.Reporter()), bundle, as_json
        )
    elif table is not None:
        output.print_profiled(import_profile(Run(run), settings, table), as_json)
    elif ray is not None:
        output.print_fleet(
            fleet.profile_fleet(Run(run), settings, address=ray, space=space, fresh=fresh, progress=console.Reporter()),
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
