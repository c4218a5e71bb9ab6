"""Commands as people type them, run in this process: a process of its own spends seconds importing torch."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitas_hw.cli.main import main


@dataclass(frozen=True)
class Done:
    """What ``subprocess.run`` would say of it."""

    returncode: int
    stdout: str
    stderr: str


def run(folder: Path, *words: str) -> Done:
    """A command in ``folder``."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(list(words))
    return Done(status, out.getvalue(), err.getvalue())


def run_json(folder: Path, *words: str) -> dict[str, Any]:
    """What it prints as JSON. AssertionError: it failed."""
    done = run(folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result
