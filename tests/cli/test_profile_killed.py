"""kill -9 in the middle of a profiling: it goes on where it was, with every row once; no worker is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

import vitas_hw as vh
from vitas_hw.core.space import SearchSpace
from vitas_hw.profiling.protocol import REPEAT_EVERY

SUBNETS, ROUNDS = 24, 3
REPEATS = len(range(0, SUBNETS, REPEAT_EVERY))
PATIENCE_S = 120


@pytest.fixture
def words(small: SearchSpace, tmp_path: Path) -> list[str]:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in small.to_dict().items() if key != "name"}))
    options = [
        "--space",
        str(path),
        "--num-subnets",
        str(SUBNETS),
        "--device-name",
        "box",
        "--run",
        str(tmp_path / "run"),
    ]
    return [sys.executable, "-m", "vitas_hw", "profile", *options, "--json"]


def lines_of(journal: Path) -> list[dict[str, object]]:
    """Every whole line of the journal; only the last may be torn."""
    text = journal.read_text() if journal.exists() else ""
    whole, _, _ = text.rpartition("\n")
    return [json.loads(line) for line in whole.split("\n")] if whole else []


def workers_of(parent: int) -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(status[1]) == parent and status[0] != "Z":
            found.add(int(folder.name))
    return found


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kills", [pytest.param(2, id="two"), pytest.param(20, id="twenty", marks=pytest.mark.full)])
def test_a_profile_killed_at_random_moments_has_every_row_once(kills: int, words: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run" / "profiles"
    stem = "box-onnxruntime-fp32-b1-t1-i32--small"
    journal, profile = folder / f"{stem}.journal.jsonl", folder / f"{stem}.jsonl"
    rng = random.Random(0)  # noqa: S311
    visits = 0
    left = set()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    wanted = ROUNDS * (SUBNETS + REPEATS)
    for kill in range(kills):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        # a random moment of its share of the work: while it starts, measures, or writes
        until = visits + rng.uniform(0, (wanted - visits) / (kills - kill))
        end = time.monotonic() + PATIENCE_S
        while process.poll() is None and len(lines_of(journal)) <= until and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.1))
        left |= workers_of(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = lines_of(journal)
        assert len(found) >= visits  # nothing kept was lost
        visits = len(found)
        if profile.exists():
            vh.load_profile(profile)
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment, timeout=PATIENCE_S)
    assert json.loads(done.stdout)["ok"] == SUBNETS
    rows = vh.load_profile(profile).measurements
    assert len(rows) == len({row.subnet for row in rows}) == SUBNETS
    # the last round goes to the subnets whose latency is least sure, some of them more than once
    assert all(len(row.rounds_ms) >= ROUNDS - 1 for row in rows)
    assert sum(len(row.rounds_ms) for row in rows) == ROUNDS * SUBNETS
    made = Counter(
        (line["measurement"], line["round"], line["subnet"]) for line in lines_of(journal) if "samples_ms" in line
    )
    assert len(made) == wanted
    deadline = time.monotonic() + 10
    while alive(left) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(left)
