"""Timing one session: warm-up until steady, then raw samples; the anchor right before and right after."""

from __future__ import annotations

import gc
import statistics
from dataclasses import asdict, dataclass, replace

from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.profiling.backend import Session
from vitas_hw.profiling.nvidia import GpuMeanwhile

_WINDOW = 3
_PATCHES = (16, 14, 8, 7, 4, 2, 1)


@dataclass(frozen=True)
class Timing:
    """How long to time one visit of a subnet.

    Args:
        steady: warm-up ends when the median of three inferences differs by less than this share from that of the three
            before them,
        max_warmup_s: or, after one window at least, when it has lasted this many seconds.
        sample_s: least seconds of sampling.
        min_samples, max_samples: bounds on the number of samples whatever the time.
        anchor_samples: least inferences of the anchor that count, before the subnet's and after them.
        anchor_s: least seconds of each such burst, whose first third is not counted: a small anchor is slow until the
            caches hold it again. 0 takes ``anchor_samples`` after one that is not counted;
        anchor_spread: more of them until their quartiles lie less than this share of their median apart,
        anchor_most: or there are so many. None for both takes them whatever their spread.
    """

    steady: float = 0.03
    max_warmup_s: float = 0.1
    sample_s: float = 0.06
    min_samples: int = 3
    max_samples: int = 200
    anchor_samples: int = 3
    anchor_s: float = 0.03
    anchor_spread: float | None = None
    anchor_most: int | None = None

    def to_dict(self) -> dict[str, int | float]:
        """The fields that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def on_a_gpu(self) -> Timing:
        """The same for a GPU, where the anchor takes a tenth of a millisecond: three samples of it are mostly noise."""
        fewest = max(self.anchor_samples, 10)  # fewer have quartiles by chance
        return replace(self, anchor_samples=fewest, anchor_s=0.0, anchor_spread=0.01, anchor_most=50)


@dataclass(frozen=True)
class Visit:
    """One visit of a subnet: raw samples in milliseconds, of the anchor before, the subnet, the anchor after.

    ``gpu`` is what an NVIDIA GPU did meanwhile.
    """

    samples_ms: tuple[float, ...]
    before_ms: tuple[float, ...]
    after_ms: tuple[float, ...]
    peak_bytes: int | None = None
    gpu: GpuMeanwhile | None = None

    @property
    def anchor_ms(self) -> float:
        """The anchor's p50 around the subnet's samples."""
        return (statistics.median(self.before_ms) + statistics.median(self.after_ms)) / 2

    @property
    def unsteadiness(self) -> float:
        """Relative difference of the anchor's p50 after the subnet and before it: the machine changed meanwhile."""
        before, after = statistics.median(self.before_ms), statistics.median(self.after_ms)
        return abs(after - before) / min(after, before)


def anchor_subnet(image_size: tuple[int, int]) -> Subnet:
    """The anchor: one fixed model, timed between the subnets, whose drift is the machine's.

    It is the first half of DeiT-Ti for images of (height, width) pixels: long enough to time, short enough to time
    often. Its patch size is the largest of a few that divides both sides.
    """
    patch_size = next(size for size in _PATCHES if image_size[0] % size == 0 and image_size[1] % size == 0)
    return Subnet(
        image_size=image_size,
        in_chans=3,
        patch_size=patch_size,
        embed_dim=192,
        blocks=(Block(num_heads=3, head_dim=64, mlp_dim=768),) * 6,
        num_classes=1000,
    )


def time_visit(session: Session, anchor: Session, timing: Timing) -> Visit:
    """Time a session between two bursts of the anchor; the garbage collector rests, it would be measured as theirs."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        before = _anchor_burst(anchor, timing)
        samples = time_session(session, timing)
        after = _anchor_burst(anchor, timing)
    finally:
        if collecting:
            gc.enable()
    return Visit(tuple(samples), before, after, session.peak_bytes)


def time_session(session: Session, timing: Timing) -> list[float]:
    """Latencies in milliseconds of inferences in a row, in order, after the warm-up.

    Sampled in chunks, as a device that times itself is waited for once a chunk.
    """
    warm_up(session, timing)
    samples = session.samples_ms(timing.min_samples)
    while sum(samples) < timing.sample_s * 1e3 and len(samples) < timing.max_samples:
        wanted = int((timing.sample_s * 1e3 - sum(samples)) / statistics.median(samples)) + 1
        samples += session.samples_ms(min(wanted, timing.max_samples - len(samples)))
    return samples


def warm_up(session: Session, timing: Timing) -> None:
    """Run until the running median is steady."""
    last = session.samples_ms(_WINDOW)
    spent_ms = sum(last)
    while spent_ms < timing.max_warmup_s * 1e3:
        latest = session.samples_ms(_WINDOW)
        spent_ms += sum(latest)
        difference = abs(statistics.median(latest) / statistics.median(last) - 1)
        if difference <= timing.steady:
            return
        last = latest


def _anchor_burst(anchor: Session, timing: Timing) -> tuple[float, ...]:
    samples = anchor.samples_ms(timing.anchor_samples + 1)
    while sum(samples) < timing.anchor_s * 1e3 and len(samples) < timing.max_samples:
        wanted = int((timing.anchor_s * 1e3 - sum(samples)) / min(samples)) + 1
        samples += anchor.samples_ms(min(wanted, timing.max_samples - len(samples)))
    samples = samples[max(len(samples) // 3, 1) if timing.anchor_s else 1 :]
    if timing.anchor_spread is not None and timing.anchor_most is not None:
        while len(samples) < timing.anchor_most and _spread(samples) >= timing.anchor_spread:
            more = min(timing.anchor_samples, timing.anchor_most - len(samples))
            samples += anchor.samples_ms(more + 1)[1:]
    return tuple(samples)


def _spread(samples: list[float]) -> float:
    """How far the quartiles lie apart, as a share of the median."""
    lower, median, upper = statistics.quantiles(samples, n=4, method="inclusive")
    return (upper - lower) / median
