"""Engines by what they were built of: a profile visits a subnet several times, and a build may take a minute."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vitas_hw.core.files import atomic_path
from vitas_hw.export.tensorrt_engine import TimingCache

MOST_BYTES = 4 * 2**30  # some hundred engines of small vision transformers


def engine_key(model: bytes, settings: Mapping[str, object]) -> str:
    """A name that is the same for the same graph, weights included, and the same settings.

    Args:
        model: the serialised ONNX graph.
        settings: library, version, GPU, precision: whatever else decides what is built; JSON types.
    """
    graph = hashlib.sha256(model).hexdigest()
    return hashlib.sha256(json.dumps([graph, dict(settings)], sort_keys=True).encode()).hexdigest()


def timings_in(folder: Path, facts: Sequence[str]) -> TimingCache:
    """The timing cache of a library on a GPU (``EngineHost.facts``): a file of its own, as no other can use it."""
    return TimingCache(folder / f"{engine_key(b'', {'facts': list(facts)})[:16]}.timings")


class EngineCache:
    """A folder of engines; those used longest ago go once all together exceed ``most_bytes``.

    Args:
        folder: made when the first engine is kept.
        most_bytes: an engine larger than this is not kept at all.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder, self._most = folder, most_bytes

    def get(self, key: str, build: Callable[[], bytes]) -> bytes:
        """The engine of that key, built now if it is not there."""
        path = self._folder / f"{key}.engine"
        try:
            engine = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:
            engine = build()
            if len(engine) <= self._most:
                with atomic_path(path) as temporary:
                    temporary.write_bytes(engine)
                self._shrink()
        return engine

    def used(self, key: str) -> None:
        """Note that the engines whose names begin with ``key`` and a line were used now; who wrote them does not."""
        for path in self._folder.glob(f"{key}_*.engine"):
            os.utime(path)
        self._shrink()

    def _shrink(self) -> None:
        """Files of writers that were killed count too, and go in their turn."""
        found = []
        for path in [*self._folder.glob("*.engine"), *self._folder.glob(".*.part")]:
            try:
                found.append((path.stat(), path))
            except FileNotFoundError:  # another process removed it
                continue
        total = sum(about.st_size for about, _ in found)
        for about, path in sorted(found, key=lambda one: one[0].st_mtime_ns):
            if total <= self._most:
                return
            path.unlink(missing_ok=True)
            total -= about.st_size
