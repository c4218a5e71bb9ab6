"""Measuring a few subnets without a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vitas_hw.api.told import told
from vitas_hw.core import SILENT, Cell, InputError, Progress, Subnet, Tabular, Target
from vitas_hw.core.settings import setting, settings
from vitas_hw.profiling import Measurement, TargetAsked, table_of
from vitas_hw.workflows.compare import CompareSettings


@settings
class Measuring(TargetAsked):
    """Of ``measure``."""

    subnets: Sequence[Subnet] = setting(help="the subnets, all with one image size.", kw_only=False)
    rounds: int = setting(default=5, like=CompareSettings)
    progress: Progress = setting(default=SILENT, help="a ``Reporter`` shows progress on stderr. Default: silent.")
    seed: int = setting(default=0, help="random seed of the orders.", at_least=0, at_most=2**32 - 1)


@dataclass(frozen=True)
class Measurements(Tabular):
    """Subnets measured side by side on one target.

    Args:
        target: device, backend, precision, batch size, threads, image size.
        measurements: one for each subnet, in order: its samples, or the reason why it failed.

    Example:
        >>> measured = vh.measure([vh.load_space("small.yaml").smallest], device="cpu", rounds=1)
        >>> measured.target.backend, len(measured.measurements)
        ('onnxruntime', 1)
    """

    target: Target
    measurements: tuple[Measurement, ...] = field(repr=False)

    @property
    def title(self) -> str:
        return f"On {self.target.slug}"

    @property
    def latency_ms(self) -> list[float]:
        """The p50 of each subnet in milliseconds.

        Raises:
            InputError: a subnet failed.
        """
        for one in self.measurements:
            if one.failed:
                raise InputError(f"Subnet {one.subnet.digest} does not run on {self.target.slug}: {one.failed}")
        return [one.latency_ms for one in self.measurements]

    def to_dicts(self) -> list[dict[str, Cell]]:
        """A row for each subnet."""
        return table_of(self.measurements)


@told(Measuring)
def measure(asked: Measuring) -> Measurements:
    """Measure the latency of subnets on a device of this machine, in interleaved rounds in a separate process.

    For the ``measure`` argument of ``search``, pass ``lambda subnets: vh.measure(subnets).latency_ms``.

    Returns: a table with a row for each subnet.

    Raises:
        InputError: no subnets, images of several sizes, no such device, backend or precision here.
        VitasError: the backend is not installed.

    Example:
        >>> space = vh.load_space("small.yaml")
        >>> small, large = vh.measure([space.smallest, space.largest], device="cpu", rounds=1).latency_ms
        >>> small < large
        True
    """
    from vitas_hw.profiling import find_place, side_by_side

    subnets = list(dict.fromkeys(asked.subnets))
    sizes = {subnet.image_size for subnet in subnets}
    if len(sizes) != 1:
        raise InputError(f"Subnets of one image size can be measured together, not of {len(sizes)}.", field="subnets")
    place = find_place(asked, *sizes)
    with asked.progress.step(f"measuring on {place.target.slug}", asked.rounds * len(subnets)) as advance:
        timings, _ = side_by_side(place, subnets, rounds=asked.rounds, seed=asked.seed, on_visit=lambda: advance(""))
    found = dict(zip(subnets, timings, strict=True))
    return Measurements(place.target, tuple(found[subnet] for subnet in asked.subnets))
