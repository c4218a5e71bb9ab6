"""``vitas-hw doctor``"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vitas_hw.cli.from_settings import flag
from vitas_hw.cli.options import JsonOption

if TYPE_CHECKING:
    from vitas_hw.profiling.installation.gap import Gap
    from vitas_hw.workflows.doctor import Machine


def doctor(
    probe: Annotated[
        bool, typer.Option("--probe/--no-probe", help="Load each runtime to see whether it works.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Show what this machine can measure, and how to install what is missing.

    Example: vitas-hw doctor --json
    """
    from vitas_hw.cli import console
    from vitas_hw.workflows.doctor import Glance, diagnose, glance

    found = diagnose(console.Reporter()) if probe else glance()
    if as_json:
        gaps = [{"what": gap.what, "line": _line(gap)} for gap in found.gaps]
        console.print_json(asdict(found) | {"gaps": gaps})
        return
    for line in _machine_lines(found.machine):
        console.OUT.print(line, markup=False)
    console.OUT.print()
    if isinstance(found, Glance):
        console.table("Installed, not tried", ["", "version"], [[name, one] for name, one in found.installed.items()])
        _print_gaps(found.gaps)
        return
    console.table(
        "Devices",
        ["--device", "hardware", "backends"],
        [[device.device, device.hardware, "\n".join(device.backends)] for device in found.devices],
    )
    console.OUT.print()
    console.table(
        "Backends",
        ["backend", "version", "devices", "precisions"],
        [
            [info.name, _short(info.version), ", ".join(info.devices) or "-", ", ".join(info.precisions) or "-"]
            for info in found.backends
        ],
    )
    console.OUT.print()
    precisions = {info.name: ", ".join(info.precisions) for info in found.backends}
    console.table(
        "Targets that vitas-hw profile can measure here",
        ["--device", "--backend", "--precision"],
        [[device.device, name, precisions[name]] for device in found.devices for name in device.backends],
    )
    console.OUT.print("\nShipped predictors for a machine like this", style="bold")
    for predictor in found.predictors:
        console.OUT.print(f"{'yes' if predictor.fits else 'no '} {predictor.name}", markup=False)
    _print_gaps(found.gaps)


def _print_gaps(gaps: Sequence[Gap]) -> None:
    from vitas_hw.cli import console

    if gaps:
        console.OUT.print("\nMissing", style="bold")
    for gap in gaps:
        console.OUT.print(gap.what, markup=False)
        if line := _line(gap):
            console.OUT.print(f"    {line}", markup=False)


def _line(gap: Gap) -> str:
    """What to type; empty if nothing helps."""
    words = ["vitas-hw", gap.step, *(word for name, value in gap.settings for word in (flag(name), value))]
    return " ".join(words) if gap.step else gap.line


def _machine_lines(machine: Machine) -> list[str]:
    usable = "" if machine.usable_cores == machine.cores else f", {machine.usable_cores} of them for this process"
    driver = (
        f"driver {machine.nvidia_driver}: {', '.join(machine.nvidia_gpus)}" if machine.nvidia_driver else "no driver"
    )
    total, free = machine.memory_bytes / 2**30, machine.memory_free_bytes / 2**30
    return [
        f"CPU     {machine.cpu}, {machine.cores} logical cores{usable}",
        f"memory  {total:.1f} GiB, {free:.1f} GiB free, disk {machine.disk_free_bytes / 2**30:.1f} GiB free",
        f"NVIDIA  {driver}",
        f"system  {machine.system}, Python {machine.python}",
    ]


def _short(version: str | None) -> str:
    """Without OpenVINO's build and branch; a dash for None."""
    return (version or "-").split("-")[0] or "-"
