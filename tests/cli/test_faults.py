"""A full disk, a read-only folder, a clock set back, SIGTERM and kill -9: a sentence, and at most the step is lost."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from scored import score

from vitas_hw.cli import main as entry
from vitas_hw.cli.main import main
from vitas_hw.core.deadline import Deadline
from vitas_hw.core.errors import VitasError, WriteError
from vitas_hw.core.files import append_line, write_atomic
from vitas_hw.profiling.journal import Journal
from vitas_hw.runs.directory import Run
from vitas_hw.searching.archive import Archive

pytestmark = pytest.mark.usefixtures("brief")  # see brief_steps.py

OLD = Path(__file__).parent.parent / "older_files" / "v1"
PATIENCE_S = 240
SEARCH = ["search", "--flops", "100K", "--population", "6", "--generations", "3", "--device", "cpu"]
RETRAIN = ["retrain", "smallest", "--init", "supernet", "--device", "cpu"]
PROFILE = ["profile", "--num-subnets", "20", "--rounds", "1"]
LIMITED = ("train", "profile", "search", "retrain", "evaluate", "compare", "export")  # these take a limit of time
QUICKSTART = ["quickstart", "--epochs", "1"]


@contextmanager
def most_bytes(count: int) -> Iterator[None]:
    """As on a disk that is full: no file can grow beyond this."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A trained run of a tiny space."""
    return Path(shutil.copytree(OLD / "run", tmp_path / "run"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def test_a_full_disk_tears_no_line_of_a_journal(tmp_path: Path) -> None:
    for number, add in enumerate((_journal, _archive)):
        path = tmp_path / str(number)
        again = add(path)
        with most_bytes(path.stat().st_size + 10), pytest.raises(WriteError, match="what was there before is kept"):
            again()
        assert path.read_text().endswith("}\n")
        again()


def _journal(path: Path) -> Callable[[], None]:
    journal = Journal.open(path, {})
    return lambda: journal.add_failure("digest", "out of memory")


def _archive(path: Path) -> Callable[[], None]:
    archive = Archive.open(path, {})
    return lambda: archive.add(("digest", None, 0), score(0.5), (0, 1, 2))


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")
    with (
        most_bytes(100),
        pytest.raises(WriteError, match=rf"^Cannot write '{path}': .*; what was there before is kept"),
    ):
        write_atomic(path, "n" * 1000)
    assert content(tmp_path) == {"file": b"old"}


@pytest.mark.parametrize(
    ("words", "room"),
    [
        pytest.param(["train", "--epochs", "1", "--device", "cpu"], 20_000, id="train"),  # less than any weights take
        pytest.param(["export", "--onnx"], 20_000, id="export"),
        pytest.param(["report"], 20_000, id="report"),
        pytest.param(PROFILE, 1_500, id="profile"),
        pytest.param(SEARCH, 1_500, id="search-begins"),
        pytest.param(SEARCH, 25_000, id="search-ends"),  # more than the evaluations take, less than the weights
        pytest.param([*RETRAIN, "--epochs", "1"], 6_000, id="retrain"),
    ],
)
def test_a_full_disk_is_a_sentence_and_loses_nothing(
    words: list[str], room: int, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = run / "evaluations.jsonl"  # as today's version begins it: an older one is begun anew
    archive.write_text(archive.read_text().splitlines()[0].replace('"schema":1', '"schema":2') + "\n")
    before = content(run)
    with most_bytes(room):
        assert main([*words, "--run", str(run)]) == 1
    said = capsys.readouterr().err
    error = next(line for line in said.splitlines() if line.startswith("Error: "))
    assert "File too large" in error or "could not be written" in error
    assert "bug in vitas-hw" not in said
    after = {name: kept for name, kept in content(run).items() if not name.startswith(".search/")}
    longer = after.pop("evaluations.jsonl")  # what was evaluated is of use to the next search
    assert longer.startswith(before.pop("evaluations.jsonl"))
    assert after == before


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/proc/sys").is_dir(), reason="root may write everywhere but there")
@pytest.mark.parametrize("words", [SEARCH, RETRAIN, ["train"], ["profile"], QUICKSTART], ids=lambda words: words[0])
def test_a_read_only_place_is_a_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--run", "/proc/sys/run"]) == 2
    error, following = capsys.readouterr().err.splitlines()[-2:]
    assert error.startswith("Error: Cannot write to the run directory /proc/sys/run: ")
    assert following == "Give another with --run."


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["train", "--epochs", "1", "--device", "cpu"], id="train"),
        pytest.param(PROFILE, id="profile"),
        pytest.param(SEARCH, id="search"),
        pytest.param([*RETRAIN, "--epochs", "1"], id="retrain"),
        pytest.param(["export", "--onnx"], id="export"),
        pytest.param(["evaluate", "smallest", "--device", "cpu"], id="evaluate"),
        pytest.param(["compare", "smallest", "choice"], id="compare"),
        pytest.param(["report"], id="report"),
    ],
)
def test_a_clock_set_back_changes_nothing(
    words: list[str], run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    for path in run.rglob("*"):
        os.utime(path, (0, 0))
    limit = ["--max-time", "10m"] if words[0] in LIMITED else []
    assert main([*words, "--run", str(run), *limit, "--json"]) == 0
    capsys.readouterr()
    assert main(["runs", str(run.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["problem"] is None


def test_a_first_signal_waits_for_the_block_to_end_and_a_second_does_not() -> None:
    done = []

    def steps(signals: int) -> None:
        with Deadline().noting_signals() as deadline:
            for _ in range(signals):
                signal.raise_signal(signal.SIGINT)
            done.append(list(deadline.signals))

    with pytest.raises(KeyboardInterrupt):
        steps(1)
    assert done == [[signal.SIGINT]]
    with pytest.raises(KeyboardInterrupt):
        steps(2)
    assert done == [[signal.SIGINT]]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def start(words: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "vitas_hw", *words], env=environment, stderr=-1, stdout=-1, text=True
    )


def finish(words: list[str]) -> str:
    """What the command prints."""
    process = start(words)
    printed, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    return printed


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()[1]


def test_sigterm_keeps_the_step_and_says_how_to_go_on(run: Path) -> None:
    words = ["train", "--epochs", "100000", "--device", "cpu", "--run", str(run), "--fresh"]
    process = start(words)
    assert process.stderr is not None
    wait_for(lambda: any("training the super" in line for line in process.stderr), process)  # type: ignore[union-attr]
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    assert said.splitlines()[-1] == f"vitas-hw {' '.join(words[:-1])}"  # without --fresh
    state = torch.load(run / "training.pt", weights_only=True)
    assert (state["epoch"], state["step"]) > (0, 0)


@pytest.mark.full
@pytest.mark.parametrize(
    ("words", "begun", "kept"),
    [
        pytest.param(["profile", "--num-subnets", "144", "--rounds", "9"], "profiling", "profiles/*", id="profile"),
        pytest.param([*SEARCH[:5], "--generations", "500"], "search", "evaluations.jsonl", id="search"),
        pytest.param([*RETRAIN, "--epochs", "5000"], "training the subnet", "retraining.pt", id="retrain"),
    ],
)
def test_sigterm_keeps_what_was_done(words: list[str], begun: str, kept: str, run: Path) -> None:
    """The other long commands: the file that the same command goes on from is there, and no process is left."""
    (run / "evaluations.jsonl").unlink()
    words = [*words, "--run", str(run)]
    process = start(words)
    assert process.stderr is not None
    wait_for(lambda: any(begun in line for line in process.stderr), process)  # type: ignore[union-attr]
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143, said
    assert said.splitlines()[-1] == f"vitas-hw {' '.join(words)}"
    assert "Traceback" not in said
    assert list(run.glob(kept))
    assert not [child for child in children if Path(f"/proc/{child}").exists()]


def test_nothing_is_left_among_the_temporary_files(run: Path, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    words = [*RETRAIN, "--epochs", "1", "--device", "cpu", "--run", str(run)]
    command = [sys.executable, "-m", "vitas_hw", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path / "temporary")}
    environment.pop("TORCHINDUCTOR_CACHE_DIR", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert list((tmp_path / "temporary").iterdir()) == [], done.stderr


@pytest.mark.parametrize("megabytes", [300, 700])
def test_too_little_memory_is_told_as_that(megabytes: int, run: Path) -> None:
    """As by ``ulimit -v``: wherever it ends, libraries say it in their own ways."""
    most = megabytes * 2**20
    done = subprocess.run(
        [sys.executable, "-m", "vitas_hw", *RETRAIN, "--epochs", "1", "--device", "cpu", "--run", str(run)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
    )
    assert done.returncode == 1
    assert "Error: There is not enough memory for this: " in done.stderr
    assert "ulimit -v" in done.stderr
    assert "a bug" not in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("can't start new thread"),
    ],
    ids=repr,
)
def test_errors_of_memory_are_known(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr(entry, "program", lambda _: fails)
    assert main(["runs"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: There is not enough memory for this: ")
    assert "ulimit -v" in said
    monkeypatch.setattr(entry, "program", lambda _: (_ for _ in ()).throw(RuntimeError("anything")))
    assert main(["runs"]) == 1
    assert "This is a bug in vitas-hw" in capsys.readouterr().err


@pytest.mark.full
def test_a_killed_search_goes_on_and_ends_as_if_never_killed(run: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(run, tmp_path / "whole"))
    finish([*SEARCH, "--run", str(whole)])
    evaluations = run / "evaluations.jsonl"
    evaluations.unlink()
    process = start([*SEARCH, "--run", str(run)])
    wait_for(lambda: evaluations.exists() and evaluations.read_text().count("\n") >= 8, process)
    process.kill()
    process.communicate()
    kept = evaluations.read_text().rpartition("\n")[0]
    finish([*SEARCH, "--run", str(run)])
    assert evaluations.read_text().startswith(kept)
    assert (run / "candidates.jsonl").read_bytes() == (whole / "candidates.jsonl").read_bytes()


@pytest.mark.full
def test_a_killed_retraining_goes_on_and_ends_with_the_same_weights(run: Path, tmp_path: Path) -> None:
    weights = []
    for folder, kill in ((Path(shutil.copytree(run, tmp_path / "whole")), False), (run, True)):
        words = [*RETRAIN, "--epochs", "2", "--run", str(folder)]
        if kill:
            finish([*words, "--max-time", "0.001s"])  # a checkpoint of the first step
            process = start(words)
            time.sleep(1)
            process.kill()
            process.communicate()
        weights.append(load_file(json.loads(finish([*words, "--json"]))["checkpoint"]))
    assert all(torch.equal(weight, weights[1][name]) for name, weight in weights[0].items())


def test_an_export_that_is_killed_before_it_is_recorded_is_told_of_once(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["export", "--onnx", "--images", "16", "--run", str(run)]
    before = len(json.loads((run / "run.json").read_text())["steps"])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Run, "record", killed)
        assert main(words) == 130
    card = (run / "choice.onnx.md").read_bytes()
    assert main(words) == 0
    assert (run / "choice.onnx.md").read_bytes() == card
    assert len(json.loads((run / "run.json").read_text())["steps"]) == before + 1


def test_an_append_to_what_is_no_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(VitasError, match="Is a directory"):
        append_line(tmp_path, {})
