from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from fake_worker import (
    BROKEN,
    BUILDS_SLOWLY,
    CRASHES,
    CRASHES_ONCE,
    FINE,
    FORKS,
    HANGS,
    HANGS_LOCKED,
    HANGS_TIMED,
    OUT_OF_MEMORY,
    REFUSED,
    TELLS_TF32,
)
from filelock import FileLock, Timeout

from vitas_hw.core.errors import VitasError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.core.target import Target
from vitas_hw.profiling import cores
from vitas_hw.profiling import worker as worker_module
from vitas_hw.profiling.nvidia import GpuLooks, GpuMeanwhile
from vitas_hw.profiling.timing import Timing
from vitas_hw.profiling.worker import SubnetFailedError, Worker

TARGET = Target("test-cpu", "onnxruntime", "fp32", 1, 1, (32, 32))
FAKE = (sys.executable, str(Path(__file__).parent / "fake_worker.py"))


@pytest.fixture
def worker() -> Iterator[Worker]:
    limits = {"timeout_s": 2.0, "build_timeout_s": 3.0, "memory_bytes": 2**36}
    with Worker(TARGET, "cpu", Timing(), program=FAKE, **limits) as started:  # type: ignore[arg-type]
        yield started


def subnet_that(kind: int, space: SearchSpace) -> Subnet:
    first, *rest = space.largest.blocks
    return replace(space.largest, blocks=(replace(first, mlp_dim=kind), *rest))


def pid_of(worker: Worker) -> int:
    assert worker._process is not None
    return worker._process.pid


def living_of(group: int) -> list[str]:
    """What is alive of a process group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, number = path.read_text().rsplit(")", 1)[1].split()[:3]
            if int(number) == group and state != "Z":
                found.append(path.parent.name)
    return found


def is_gone(pid: int, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_a_visit_is_made_in_another_process_between_two_bursts_of_the_anchor(
    worker: Worker, small: SearchSpace
) -> None:
    assert worker.start() == "fake 1"
    subnet = subnet_that(FINE, small)
    visit = worker.visit(subnet)
    assert pid_of(worker) != os.getpid()
    assert set(visit.samples_ms) == {subnet.macs / 1e6}
    assert len(visit.samples_ms) >= Timing().min_samples
    assert len(visit.before_ms) == len(visit.after_ms) >= Timing().anchor_samples
    assert set(visit.before_ms + visit.after_ms) != set(visit.samples_ms)
    assert visit.peak_bytes == 7


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (REFUSED, r"^this engine cannot$"),
        (BROKEN, r"^RuntimeError: an error of the runtime's own over two lines$"),
        (CRASHES, r"ended by SIGSEGV"),
        (HANGS, r"^Building it took longer than 3 s\.$"),
        (HANGS_LOCKED, r"^Building it took longer than 3 s\.$"),
        (HANGS_TIMED, r"^It took longer than 2 s\.$"),
        (OUT_OF_MEMORY, r"MemoryError: Unable to allocate 1.00 TiB"),
    ],
)
def test_a_subnet_that_cannot_run_gives_its_reason_and_the_next_one_runs(
    worker: Worker, small: SearchSpace, kind: int, reason: str
) -> None:
    with pytest.raises(SubnetFailedError, match=reason) as e:
        worker.visit(subnet_that(kind, small))
    assert not e.value.passing
    assert worker.visit(subnet_that(FINE, small)).samples_ms


def test_a_crash_is_tried_once_more_in_a_new_process(
    worker: Worker, small: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRASHED_ONCE", str(tmp_path / "crashed"))
    assert worker.visit(subnet_that(CRASHES_ONCE, small)).samples_ms


def test_renewing_takes_a_new_process_and_closing_leaves_none(worker: Worker, small: SearchSpace) -> None:
    subnet = subnet_that(FINE, small)
    worker.visit(subnet)
    first = pid_of(worker)
    worker.visit(subnet)
    assert pid_of(worker) == first
    worker.renew()
    worker.visit(subnet)
    second = pid_of(worker)
    assert second != first
    worker.close()
    assert is_gone(first)
    assert is_gone(second)
    worker.close()  # twice is fine


def test_the_gpu_is_looked_at_while_a_session_is_timed_and_only_then(
    small: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Looks(GpuLooks):
        def __init__(self, uuid: str) -> None:
            self.count = 0

        def look(self) -> None:
            self.count += 1

        def take(self) -> GpuMeanwhile | None:
            count, self.count = self.count, 0
            return GpuMeanwhile(count) if count else None

    monkeypatch.setattr(worker_module, "GpuLooks", Looks)
    with Worker(TARGET, "cpu", Timing(), timeout_s=1.0, gpu_uuid="0", program=FAKE) as worker:
        with pytest.raises(SubnetFailedError, match="longer than 1 s"):
            worker.visit(subnet_that(HANGS_TIMED, small))
        assert 3 <= worker._gpu.count <= 20
        seen = worker.visit(subnet_that(BUILDS_SLOWLY, small)).gpu  # 1.5 s; what the one before left is not its own
    assert seen is None or seen.looks <= 3


def test_the_time_of_a_visit_does_not_hold_its_build(small: SearchSpace) -> None:
    with Worker(TARGET, "cpu", Timing(), timeout_s=1.0, program=FAKE) as worker:
        assert worker.visit(subnet_that(BUILDS_SLOWLY, small)).samples_ms


def test_what_is_built_for_a_measurement_is_not_used_by_one_that_repeats_it(small: SearchSpace, tmp_path: Path) -> None:
    """Or the noise floor would hold no difference between two builds."""
    with Worker(TARGET, "cpu", Timing(), work=tmp_path, program=FAKE) as worker:
        worker.visit(small.largest)
        for measurement in ("first", "second", "second"):
            worker.renew(measurement)
            worker.visit(small.largest)
    assert (tmp_path / "processes").read_text() == ".."
    assert (tmp_path / "second" / "processes").read_text() == ".."


@pytest.mark.parametrize(("precision", "override"), [("fp32", "0"), ("fp16", "None")])
def test_float32_is_float32_in_all_of_nvidias_libraries(
    precision: str, override: str, small: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    target = replace(TARGET, precision=precision)
    with (
        Worker(target, "cpu", Timing(), program=FAKE) as worker,
        pytest.raises(SubnetFailedError, match=f"^TF32 override: {override}$"),
    ):
        worker.visit(subnet_that(TELLS_TF32, small))


def test_what_a_runtime_forked_neither_blocks_nor_stays(worker: Worker, small: SearchSpace) -> None:
    assert worker.visit(subnet_that(FORKS, small)).samples_ms
    group = pid_of(worker)
    assert len(living_of(group)) == 2
    worker.close()  # would wait for ever on the pipe that the child holds
    assert not living_of(group)


def test_a_device_that_cannot_be_used_is_no_failure_of_a_subnet(small: SearchSpace) -> None:
    with (
        Worker(TARGET, "tpu", Timing(), program=FAKE) as worker,
        pytest.raises(VitasError, match="no such device") as e,
    ):
        worker.visit(small.largest)
    assert not isinstance(e.value, SubnetFailedError)


def test_a_process_that_cannot_start_says_its_last_words(small: SearchSpace) -> None:
    program = (sys.executable, "-c", "raise SystemExit('the runtime is broken')")
    with (
        Worker(TARGET, "cpu", Timing(), program=program) as worker,
        pytest.raises(VitasError, match=r"^The measuring process cannot start\. .*status 1.*the runtime is broken"),
    ):
        worker.start()


def test_a_process_that_never_answers_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(worker_module, "_START_TIMEOUT_S", 0.2)
    monkeypatch.setattr(Worker, "_send", lambda self, _: started.append(pid_of(self)))
    with Worker(TARGET, "cpu", Timing(), program=(sys.executable, "-c", "import time; time.sleep(3600)")) as worker:
        with pytest.raises(VitasError, match=r"^The measuring process did not start within 0\.2 s\.$"):
            worker.start()
        assert is_gone(*started)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
@pytest.mark.parametrize("kind", [FINE, HANGS, HANGS_LOCKED])
def test_no_worker_outlives_a_parent_that_was_killed(kind: int, small: SearchSpace) -> None:
    subnet = subnet_that(kind, small)
    code = (
        "import sys, time\n"
        "from vitas_hw.core.subnet import Subnet\n"
        "from vitas_hw.core.target import Target\n"
        "from vitas_hw.profiling.timing import Timing\n"
        "from vitas_hw.profiling.worker import Worker\n"
        f"worker = Worker(Target.from_dict({TARGET.to_dict()!r}), 'cpu', Timing(), program={FAKE!r})\n"
        "worker.start(); print(worker._process.pid, flush=True)\n"
        f"worker.visit(Subnet.from_json({subnet.to_json()!r})); time.sleep(3600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    assert not is_gone(child, seconds=0.1)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert is_gone(child)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the platform cannot pin")
def test_it_stays_on_the_cores_that_it_holds_until_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = max(os.sched_getaffinity(0))
    monkeypatch.setattr(cores, "cores_for", lambda threads: [core, core + 1])
    mine, beside = cores.Cores(1, tmp_path), FileLock(tmp_path / f"vitas-hw-core-{core}.lock")
    with Worker(TARGET, "cpu", Timing(), timeout_s=3.0, cores=mine, program=FAKE) as worker:
        for _ in range(2):
            worker.start()
            assert os.sched_getaffinity(pid_of(worker)) == {core}
            worker.renew()
            with pytest.raises(Timeout):  # between two rounds too
                beside.acquire(blocking=False)
        assert not worker.shares_cores
    beside.acquire(blocking=False)
    beside.release()
