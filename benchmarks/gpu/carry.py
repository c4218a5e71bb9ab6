"""There and back: what a GPU machine without a network lacks, and what returns from it into this checkout.

    python benchmarks/gpu/carry.py pack .whl              # wheels for Python 3.12 on x86-64 Linux, 9 MB
    python benchmarks/gpu/carry.py line .whl [EARLIER]    # what to type there
    PYTHONPATH=. python benchmarks/gpu/carry.py read OUT  # into profiles/, predictors/ and benchmarks/results/

``read`` checks each profile, fits its predictor here, and replaces nothing: a file that is there and differs is named.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# xgboost-cpu is xgboost without its CUDA part of 200 MB; what it needs itself is there
WHEELS = {"xgboost-cpu": ["--no-deps"], "pydantic": [], "nvidia-ml-py": [], "psutil": []}
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014", "manylinux1")
SITE = "/tmp/site"  # noqa: S108  # there, for one call


def pack(folder: Path) -> None:
    """The wheels, for a machine with another Python and perhaps another system than this one's."""
    words = ["--python-version", "3.12", "--implementation", "cp", "--only-binary=:all:", "-d", str(folder)]
    words += [word for name in PLATFORMS for word in ("--platform", f"{name}_x86_64")]
    for name, more in WHEELS.items():
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", *words, *more, name], check=True)
    print(f"{sum(path.stat().st_size for path in folder.glob('*.whl')) / 1e6:.1f} MB in {folder}")


def line(folder: str, earlier: str | None) -> str:
    """The command of one call, where OUT is the folder that comes back."""
    install = f"python3 -m pip install -q --no-index --no-deps --no-compile --upgrade --target {SITE} {folder}/*.whl"
    resume = f" --resume {earlier}" if earlier else ""
    return f"{install} && PYTHONPATH=.:{SITE} python3 benchmarks/gpu/all.py --seconds 570 --out $OUT{resume}"


def read(out: Path, root: Path) -> list[str]:
    """Put what came back where it belongs; a line for each file that was written or left alone."""
    from vitas_hw.profiling import load_profile
    from vitas_hw.workflows.fit import fit_and_report
    from vitas_hw.workflows.fit_settings import FitSettings

    told = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        with tarfile.open(out / "kept.tar.gz") as tar:
            tar.extractall(work, filter="data")
        for path in sorted([*work.glob("profiles/*.jsonl"), *work.glob("tensorrt/*.jsonl")]):
            profile = load_profile(path)
            place = root / "profiles" / f"{profile.name}.jsonl"
            told.append(_put(place, path.read_bytes()))
            predictor = root / "predictors" / f"{profile.name}.json"
            if place.read_bytes() != path.read_bytes():
                continue  # of another profile
            if predictor.exists():
                told.append(f"{predictor}: is there, not fitted again")
            else:
                fit_and_report(FitSettings(profile=str(place), output=root / "predictors"))
                told.append(f"{predictor}: fitted")
    results = (out / "results.json").read_bytes()
    told.append(_put(root / "benchmarks/results" / f"{_name(json.loads(results))}.json", results))
    return told


def _put(place: Path, data: bytes) -> str:
    if place.exists():
        same = place.read_bytes() == data
        return f"{place}: is there, {'the same' if same else 'and DIFFERS: left alone; move it away first'}"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return f"{place}: written"


def _name(results: dict[str, list[dict[str, str]]]) -> str:
    """``gpu-CARD-DAY`` of the first call."""
    first = results["calls"][0]
    card = first.get("gpu", "none").split(",")[0]
    return f"gpu-{re.sub(r'[^a-z0-9]+', '-', card.lower()).strip('-')}-{first['begun'][:10]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("verb", choices=("pack", "line", "read"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("earlier", nargs="?")
    given = parser.parse_args()
    if given.verb == "pack":
        pack(given.folder)
    elif given.verb == "line":
        print(line(str(given.folder), given.earlier))
    else:
        print("\n".join(read(given.folder, ROOT)))


if __name__ == "__main__":
    main()
