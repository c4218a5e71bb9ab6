"""The journal of a profiling: every timing as it happens, so that a kill costs at most the one in flight."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitas_hw.core.errors import InputError
from vitas_hw.core.files import append_line, cut
from vitas_hw.core.reading import journal_lines
from vitas_hw.core.records import each_line, from_json, to_json
from vitas_hw.core.target import LONGEST_MS
from vitas_hw.profiling.nvidia import GpuMeanwhile
from vitas_hw.profiling.timing import Visit

SCHEMA = 2
_AWAY = "Move the file away to begin anew."
Key = tuple[str, int, str]  # measurement, round, digest


@dataclass
class Journal:
    """An append-only JSON Lines file; one write a line.

    ``attempts`` maps (measurement, round, digest) to its visits in order: more than one if the machine was unsteady.
    ``devices`` maps the same to the device that made the last of them, where several shared the work.
    ``failures`` maps a digest to the reason why the subnet cannot run, ``conditions`` is what was seen of the machine.
    ``passing`` maps a digest to a reason that may pass, of this opening alone: the next one tries the subnet again.
    """

    path: Path
    attempts: dict[Key, list[Visit]] = field(default_factory=dict)
    devices: dict[Key, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    passing: dict[str, str] = field(default_factory=dict)
    conditions: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path, header: dict[str, Any]) -> Journal:
        """The journal of ``path``, continued if it is there, begun otherwise.

        Args:
            path: the file.
            header: what must be the same for timings to belong together.

        Raises:
            InputError: the journal there has another header (another machine, other libraries, other settings).
            FileError: a line other than a torn last one is broken.
        """
        journal = cls(path)
        wanted = {"schema": SCHEMA, "kind": "journal", **json.loads(json.dumps(header))}
        lines, torn = journal_lines(path, "the journal", hint="Give `fresh` to begin anew.")
        if not lines:
            if torn is not None:
                cut(path, torn)
            path.parent.mkdir(parents=True, exist_ok=True)
            journal._append(wanted)
            return journal
        (begun,) = each_line(path, lines[:1], dict, hint=_AWAY)
        different = sorted(key for key in {*begun, *wanted} if begun.get(key) != wanted.get(key))
        if different:
            raise InputError(
                f"The journal {path} was begun with another {', '.join(different)}.",
                "Repeat the command with the old settings, or with `fresh` to begin anew.",
            )
        each_line(path, lines[1:], journal._read, hint=_AWAY, first=2)
        if torn is not None:  # only now: a file that is no journal stays as it is
            cut(path, torn)
        return journal

    def add_visit(self, measurement: str, round_: int, digest: str, visit: Visit, *, device: str | None = None) -> None:
        """Keep one visit's raw samples, and which device made it if several share the work."""
        line: dict[str, Any] = {
            "measurement": measurement,
            "round": round_,
            "subnet": digest,
            "samples_ms": _nanoseconds(visit.samples_ms),
            "before_ms": _nanoseconds(visit.before_ms),
            "after_ms": _nanoseconds(visit.after_ms),
        }
        if visit.peak_bytes is not None:
            line["peak_bytes"] = visit.peak_bytes
        if visit.gpu is not None:
            line["gpu"] = to_json(visit.gpu)
        if device is not None:
            line["device"] = device
        self._append(line)
        self._read_visit(line)  # as rounded in the file, so that a resume finds the very same

    def add_failure(self, digest: str, reason: str, *, passing: bool = False) -> None:
        """Keep that a subnet cannot run, or, with a reason that may pass, that it did not run this time."""
        (self.passing if passing else self.failures)[digest] = reason
        self._append({"subnet": digest, "lost" if passing else "failed": reason})

    def is_out(self, digest: str) -> bool:
        """Whether the subnet is not to be visited any more."""
        return digest in self.failures or digest in self.passing

    def add_conditions(self, measurement: str, round_: int, conditions: dict[str, Any]) -> None:
        """Keep what was seen of the machine when a round began."""
        line = {"measurement": measurement, "round": round_, "conditions": conditions}
        self.conditions.append(line)
        self._append(line)

    def _append(self, line: dict[str, Any]) -> None:
        append_line(self.path, line)

    def _read(self, line: dict[str, Any]) -> None:
        if "failed" in line:
            self.failures[str(line["subnet"])] = str(line["failed"])
        elif "lost" in line:
            pass  # for people: whoever opens the journal tries that subnet again
        elif "conditions" in line:
            self.conditions.append(line)
        else:
            self._read_visit(line)

    def _read_visit(self, line: dict[str, Any]) -> None:
        key = (str(line["measurement"]), from_json(int, line["round"], "round"), str(line["subnet"]))
        samples, before, after = (
            from_json(tuple[float, ...], line[name], name) for name in ("samples_ms", "before_ms", "after_ms")
        )
        if not (samples and before and after) or not all(0 < one <= LONGEST_MS for one in samples + before + after):
            raise ValueError(f"samples are missing, not positive, or above {LONGEST_MS:g} ms")
        peak_bytes = from_json(int | None, line.get("peak_bytes"), "peak_bytes")
        gpu = from_json(GpuMeanwhile | None, line.get("gpu"), "gpu")
        visit = Visit(samples, before, after, peak_bytes, gpu)
        self.attempts.setdefault(key, []).append(visit)
        if "device" in line:
            self.devices[key] = str(line["device"])


def _nanoseconds(samples_ms: tuple[float, ...]) -> list[float]:
    return [round(sample, 6) for sample in samples_ms]
