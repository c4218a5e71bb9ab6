"""Where and how long a training runs."""

from __future__ import annotations

from vitas_hw.core.budget import parse_duration
from vitas_hw.core.settings import setting, settings

_WHERE = "Where and how long"


@settings
class Runtime:
    """How a training runs, none of which changes what it computes beyond rounding (but workers reorder a stream).

    Args:
        device: torch's name.
        workers: processes that decode images.
        compile: whether ``torch.compile`` is used.
        max_time_s: stop cleanly after this long; None is never.
        save_every_s: seconds between two checkpoints.
    """

    device: str = setting(default="cpu", help="cpu, cuda, cuda:1, mps; auto: a GPU if any.", group=_WHERE, runs=True)
    workers: int = setting(default=0, help="Processes that decode images.", group=_WHERE, at_least=0, runs=True)
    compile: bool = setting(default=False, help="Use torch.compile.", group=_WHERE, runs=True)
    max_time_s: float | None = setting(
        default=None, help="Stop in time: 90s, 30m, 8h.", group=_WHERE, above=0, reads=parse_duration, runs=True
    )
    save_every_s: float = setting(default=60.0, at_least=0, runs=True)
