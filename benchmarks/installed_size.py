"""Bytes that an installation puts on the disk: vitas-hw and all that it depends on, without extras. Nothing is timed.

    python benchmarks/installed_size.py [--output benchmarks/results/installed_size.json]

Of each installed package the files that it recorded, as blocks on the disk; what several packages recorded counts once.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
from collections import defaultdict
from importlib.metadata import Distribution, distribution
from pathlib import Path

from bench_tools import RESULTS
from packaging.requirements import Requirement

from vitas_hw.profiling.environment import environment

BLOCK = 512  # bytes, of st_blocks
CUDA = re.compile(r"nvidia-(?!ml-py)|cuda-|triton$")  # what builds of torch without CUDA do not bring


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(name: str) -> dict[str, Distribution]:
    """A package and everything that it needs here, by canonical name."""
    found: dict[str, Distribution] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(name, frozenset())]
    seen: set[tuple[str, str]] = set()
    while waiting:
        package, extras = waiting.pop()
        one = found[canonical(package)] = distribution(package)
        for line in one.requires or []:
            wanted = Requirement(line)
            here = any(not wanted.marker or wanted.marker.evaluate({"extra": extra}) for extra in extras | {""})
            key = (canonical(package), str(wanted))
            if here and key not in seen:
                seen.add(key)
                waiting.append((wanted.name, frozenset(wanted.extras)))
    return found


def sizes(packages: dict[str, Distribution]) -> dict[str, int]:
    """Bytes on the disk by package."""
    counted: set[Path] = set()
    found: dict[str, int] = defaultdict(int)
    for name, one in packages.items():
        for file in one.files or []:
            path = Path(str(one.locate_file(file))).resolve()
            if path.is_file() and path not in counted:
                counted.add(path)
                found[name] += BLOCK * path.stat().st_blocks
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS / "installed_size.json")
    given = parser.parse_args()
    packages = needed("vitas-hw")
    by_package = sizes(packages)
    of_xgboost = {name for name in needed("xgboost") if CUDA.match(name)}
    trees = sum(by_package[name] for name in of_xgboost)
    cuda = sum(size for name, size in by_package.items() if CUDA.match(name)) - trees
    parts = {
        "all": sum(by_package.values()),
        "NVIDIA's libraries and Triton, of torch's builds for CUDA": cuda,
        "torch itself, for CUDA": by_package["torch"],
        "NVIDIA's NCCL, of xgboost and of torch for CUDA": trees,  # the same files
        "everything else": sum(by_package.values()) - cuda - trees - by_package["torch"],
    }
    largest = dict(sorted(by_package.items(), key=lambda one: -one[1])[:20])
    result = {
        "platform": f"{platform.machine()} {platform.system()}",
        "distributions": len(packages),
        "bytes": parts,
        "largest": largest,
    }
    given.output.write_text(json.dumps(result | {"environment": environment({})}, indent=1) + "\n")
    for name, size in (parts | largest).items():
        print(f"{size / 1e9:7.2f} GB  {name}")


if __name__ == "__main__":
    main()
