"""Commands whose standard streams are closed, full or of an old locale, on a full disk, in folders named oddly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vitas_hw.cli.main import main
from vitas_hw.core.errors import VitasError

pytestmark = pytest.mark.usefixtures("brief")  # see brief_steps.py

OLD = Path(__file__).parent.parent / "older_files" / "v1"
COMMAND = f"{sys.executable} -m vitas_hw"
NO_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with a run of a tiny space."""
    shutil.copytree(OLD / "run", tmp_path / "runs" / "run")
    return tmp_path / "runs"


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    usual = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=usual | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("line", "status", "out", "err"),
    [
        pytest.param(f"{COMMAND} runs . --json >&-", 0, "", "", id="stdout closed"),
        # Python prints to stdout what is for a stderr that is closed
        pytest.param(f"{COMMAND} runs nothere --json 2>&-", 2, "", "", id="stderr closed"),
        pytest.param(f"{COMMAND} report --run run >&- 2>&- <&-", 0, "", "", id="all closed"),
        pytest.param(
            f"{COMMAND} runs . --json > /dev/full",
            1,
            "",
            "Error: Cannot write: No space left on device.\n"
            "Make room or give permission there, then repeat the command.\n",
            id="stdout full",
        ),
        pytest.param(f"{COMMAND} runs nothere 2> /dev/full", 2, "", "", id="stderr full"),
        pytest.param(f"{COMMAND} runs . --json | true; exit ${{PIPESTATUS[0]}}", 1, "", "", id="reader gone"),
    ],
)
def test_streams_that_take_nothing(line: str, status: int, out: str, err: str, runs: Path) -> None:
    done = shell(line, runs)
    if "nothere" in line and "json" in line and done.stdout:  # an error as JSON, where that is asked for
        assert json.loads(done.stdout)["error"]["status"] == status
        done.stdout = ""
    assert (done.returncode, done.stdout, done.stderr) == (status, out, err)


def test_the_locale_c_has_letters_enough(runs: Path) -> None:
    done = shell(f"{COMMAND} runs .", runs, **NO_LOCALE)
    assert done.returncode == 0, done.stderr
    assert r"\u2264" in done.stdout  # the budget's sign, which ASCII lacks
    umlaut = runs / "gr\u00fcn"
    (runs / "run").rename(umlaut)
    done = shell(f"{COMMAND} report --run gr*", runs, **NO_LOCALE)
    assert done.returncode == 0, done.stderr
    assert "<!doctype html>" in (umlaut / "report.html").read_text(encoding="utf-8")


def test_a_line_break_in_a_path_stays_within_its_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = runs / "a\nb\x1b[31m"
    (runs / "run").rename(odd)
    assert main(["report", "--run", str(odd)]) == 0
    assert (odd / "report.html").exists()
    capsys.readouterr()
    assert main(["runs", str(runs)]) == 0
    assert "a?b?[31m" in capsys.readouterr().out
    assert main(["search", "--flops", "2M", "--run", str(odd / "no")]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert said.splitlines()[-2] == f"Error: The run {runs}/a?b?[31m/no has no supernet."


def test_an_error_is_one_line_whatever_it_names() -> None:
    error = VitasError("It is in `run=a\nb`\x1b.", "Give\ranother `run`.\ud800")
    assert (error.problem, error.hint) == ("It is in run=a?b?.", "Give?another run.?")


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, in memory, of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("may not mount a disk here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a disk")
@pytest.mark.parametrize(
    ("words", "free"),
    [
        pytest.param(["train", "--epochs", "1", "--device", "cpu", "--fresh"], 24, id="train"),
        pytest.param(["search", "--flops", "100K", "--population", "6", "--generations", "2"], 24, id="search"),
        pytest.param(["retrain", "smallest", "--epochs", "1", "--device", "cpu"], 8, id="retrain"),
        pytest.param(["export", "--onnx", "--timm"], 24, id="export"),
        pytest.param(["report"], 24, id="report"),
    ],
)
def test_a_full_disk_is_a_sentence_and_loses_nothing(
    words: list[str], free: int, tmpfs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real one: every way in which it says so, of every library that writes there."""
    run = Path(shutil.copytree(OLD / "run", tmpfs / "run"))
    (run / "evaluations.jsonl").unlink()  # of an older version: it would be begun anew
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    left = os.statvfs(tmpfs).f_bavail * os.statvfs(tmpfs).f_frsize
    (tmpfs / "filler").write_bytes(bytes(left - free * 1024))
    assert main([*words, "--run", str(run)]) == 1
    said = capsys.readouterr().err
    assert "bug in vitas-hw" not in said
    error = next(line for line in said.splitlines() if line.startswith("Error: "))
    assert "No space left on device" in error or "could not be written" in error, error
    kept = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert {name: kept.get(name) for name in before} == before


@pytest.mark.parametrize(
    ("typed", "offered"), [("vitas-hw pro", "profile"), ("vitas-hw profile --max-t", "--max-time")]
)
def test_the_shell_completes_commands_and_options(typed: str, offered: str, tmp_path: Path) -> None:
    asked = {"_VITAS_HW_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = shell(COMMAND, tmp_path, **asked)
    assert done.stdout.split() == [offered], done.stderr
    script = shell(
        f"{COMMAND} --show-completion bash; true", tmp_path
    ).stdout  # bash stays the parent, which is looked for
    assert "_VITAS_HW_COMPLETE=complete_bash" in script
