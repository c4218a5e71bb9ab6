"""``vitas-hw profile``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitas_hw.cli.options import DEFAULT_RUN, JsonOption, RunOption, SeedOption, SpaceOption

if TYPE_CHECKING:
    from vitas_hw.profiling.imported import Bundle
    from vitas_hw.workflows.profile import Profiled


def profile(
    device: Annotated[
        str, typer.Option("--device", help="What to measure on: cpu, cuda:0, mps, gpu (Intel's); see vitas-hw doctor.")
    ] = "cpu",
    backend: Annotated[
        str | None, typer.Option("--backend", help="onnxruntime, openvino, torch, tensorrt, ...; see vitas-hw doctor.")
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="fp32, fp16, bf16 or int8.")] = "fp32",
    num_subnets: Annotated[int, typer.Option("--num-subnets", help="How many subnets to measure.")] = 120,
    subnets: Annotated[
        str, typer.Option("--subnets", help="stratified (over MACs), random, or a file with one subnet (JSON) a line.")
    ] = "stratified",
    rounds: Annotated[int, typer.Option("--rounds", help="Visits to each subnet, spread over the whole time.")] = 3,
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
        num_subnets=num_subnets,
        subnets=subnets,
        rounds=rounds,
        timeout_s=timeout,
        seed=seed,
    )
    if bundle is not None:
        _print_bundle(
            make_bundle(Run(run), settings, bundle, space=space, progress=console.Reporter()), bundle, as_json
        )
    elif table is not None:
        _print(import_profile(Run(run), settings, table), as_json)
    elif ray is not None:
        _print_fleet(
            fleet.profile_fleet(Run(run), settings, address=ray, space=space, fresh=fresh, progress=console.Reporter()),
            as_json,
        )
    else:
        _print(profile_device(Run(run), settings, space=space, fresh=fresh, progress=console.Reporter()), as_json)


def _print_fleet(profiles: list[Profiled], as_json: bool) -> None:
    from vitas_hw.cli import console

    if as_json:
        console.print_json({"profiles": [_as_json(done) for done in profiles]})
        return
    for done in profiles:
        _print(done, as_json=False)


def _as_json(done: Profiled) -> dict[str, Any]:
    floor = done.profile.noise_floor
    return {
        "profile": str(done.profile_path),
        "predictor": str(done.predictor_path),
        "ok": len(done.profile.ok),
        "failed": len(done.profile.measurements) - len(done.profile.ok),
        "noise_floor": None if floor is None else floor.mean,
        "mape": done.predictor.metrics["mape"],
    }


def _print(done: Profiled, as_json: bool) -> None:
    from vitas_hw.cli import console

    if as_json:
        console.print_json(_as_json(done))
        return
    floor = done.profile.noise_floor
    failed = [measurement for measurement in done.profile.measurements if measurement.failed]
    latencies = [measurement.latency_ms for measurement in done.profile.ok]
    metrics = done.predictor.metrics
    console.table(
        f"Profile of {done.profile.name}",
        ["", "value"],
        [
            ["subnets measured", str(len(done.profile.ok))],
            ["failed", f"{len(failed)}, the first: {failed[0].failed}" if failed else "0"],
            ["p50 from", console.milliseconds(min(latencies))],
            ["p50 to", console.milliseconds(max(latencies))],
            ["noise floor: mean difference of two measurements", console.percent(floor.mean if floor else None)],
            ["  its median and 90th percentile", _percents(floor.median, floor.p90) if floor else "-"],
            ["the machine's drift around its median (90% of visits)", _drift(done)],
            ["predictor: mean error on unseen subnets", console.percent(metrics["mape"])],
            ["predictor: within 10%", console.percent(metrics["within_10"])],
            ["predictor: Spearman", f"{metrics['spearman']:.3f}"],
        ],
    )
    console.OUT.print(f"Profile:   {done.profile_path}\nPredictor: {done.predictor_path}", markup=False)
    console.OUT.print("Next: vitas-hw search --latency 5ms (after vitas-hw train)", markup=False)


def _print_bundle(made: Bundle, folder: Path, as_json: bool) -> None:
    from vitas_hw.cli import console

    if as_json:
        console.print_json({"bundle": str(folder), "subnets": len(made.subnets), "visits": len(made.visits)})
        return
    console.OUT.print(
        f"{len(made.subnets)} models and a runner lie in {folder}; its README says what to do.", markup=False
    )
    console.OUT.print(
        f"There:  python run.py --out results.csv\nBack here:  vitas-hw profile --import {folder}/results.csv"
        " --device-name NAME",
        markup=False,
    )


def _percents(*shares: float) -> str:
    from vitas_hw.cli import console

    return ", ".join(console.percent(share) for share in shares)


def _drift(done: Profiled) -> str:
    import numpy as np

    drift = [change for measurement in done.profile.ok for change in measurement.drift]
    if not drift:
        return "not measured"
    low, high = np.percentile(drift, [5, 95]) - 1
    return f"{low:+.1%} to {high:+.1%}"
