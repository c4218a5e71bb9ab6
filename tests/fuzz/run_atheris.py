"""Coverage-guided fuzzing of one reader: python run_atheris.py NAME INPUTS. Prints how many inputs were tried."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

NAME, INPUTS = sys.argv[1], int(sys.argv[2])

with atheris.instrument_imports(
    include=["vitas_hw.core", "vitas_hw.predictors.sealed_file", "vitas_hw.runs.space_file"]
):
    from targets import TARGETS, try_one

tried = 0


def one_input(data: bytes) -> None:
    global tried
    tried += 1
    try_one(NAME, data)
    if tried == INPUTS:
        print(f"tried {tried}", flush=True)


with TemporaryDirectory() as corpus:
    for number, seed in enumerate(TARGETS[NAME].seeds):
        (Path(corpus) / f"seed{number}").write_bytes(seed)
    options = [f"-runs={INPUTS}", "-seed=1", "-max_len=4096", "-timeout=20", "-rss_limit_mb=4096", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={corpus}/", corpus], one_input)
    atheris.Fuzz()
