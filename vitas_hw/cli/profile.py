"""``vitas-hw profile``"""

from __future__ import annotations

from typing import Annotated

import typer

from vitas_hw.cli.options import DEFAULT_RUN, JsonOption, RunOption, SeedOption, SpaceOption


def profile(
    device: Annotated[str, typer.Option("--device", help="What to measure on: cpu.")] = "cpu",
    num_subnets: Annotated[int, typer.Option("--num-subnets", help="How many subnets to measure.")] = 120,
    space: SpaceOption = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images per inference.")] = 1,
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")] = 1,
    device_name: Annotated[str | None, typer.Option("--device-name", help="The device's name in files.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget earlier timings of this target.")] = False,
    run: RunOption = DEFAULT_RUN,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure sampled subnets on a device and fit a latency predictor for it.

    Example: vitas-hw profile --device cpu --num-subnets 200
    """
    from vitas_hw.cli import console
    from vitas_hw.workflows.profile import ProfileSettings
    from vitas_hw.workflows.profile import profile as profile_device
    from vitas_hw.workflows.run import Run

    settings = ProfileSettings(
        device=device,
        device_name=device_name,
        batch_size=batch_size,
        threads=threads,
        num_subnets=num_subnets,
        seed=seed,
    )
    done = profile_device(Run(run), settings, space=space, fresh=fresh, progress=console.Reporter())
    floor = done.profile.noise_floor
    failed = len(done.profile.measurements) - len(done.profile.ok)
    if as_json:
        console.print_json(
            {
                "profile": str(done.profile_path),
                "predictor": str(done.predictor_path),
                "ok": len(done.profile.ok),
                "failed": failed,
                "noise_floor": None if floor is None else floor.mean,
                "mape": done.predictor.metrics["mape"],
            }
        )
        return
    latencies = [measurement.latency_ms for measurement in done.profile.ok]
    metrics = done.predictor.metrics
    console.table(
        f"Profile of {done.profile.name}",
        ["", "value"],
        [
            ["subnets measured", str(len(done.profile.ok))],
            ["failed", str(failed)],
            ["p50 from", console.milliseconds(min(latencies))],
            ["p50 to", console.milliseconds(max(latencies))],
            ["noise floor (mean difference of two measurements)", console.percent(floor.mean if floor else None)],
            ["predictor: mean error on unseen subnets", console.percent(metrics["mape"])],
            ["predictor: within 10%", console.percent(metrics["within_10"])],
            ["predictor: Spearman", f"{metrics['spearman']:.3f}"],
        ],
    )
    console.OUT.print(f"Profile:   {done.profile_path}\nPredictor: {done.predictor_path}", markup=False)
    console.OUT.print("Next: vitas-hw search --latency 5ms (after vitas-hw train)", markup=False)
