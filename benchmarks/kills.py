"""Signal 9 to each long command, at times drawn from a seed, until it ends all the same: what comes of it, beside a run
that was left alone.

    PYTHONPATH=.:tests python benchmarks/kills.py [--only search] [--kills 24] [--seed 0]

A command is killed at most four times on its way, each time at a moment drawn from the time that its work takes; every
other time the kill then waits for the next write in the run. The last call is left to end. Each call is a process of
its own, forked from one that has loaded the libraries: loading them takes longer than the work. Its files are compared
with those of the undisturbed run byte by byte, all but those that hold times. The space, images and settings are the
smallest that the tests use. ``shrink`` measures on the tests' made-up device: milliseconds are millions of MACs, so
that its files can be equal; ``profile`` measures really, and no two timings are equal: there, no line that was kept may
be lost, and every row must be there once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from bench_tools import RESULTS, write

from vitas_hw.profiling.protocol import REPEAT_EVERY

HERE = Path(__file__).resolve()
OLD = HERE.parent.parent / "tests" / "older_files" / "v1"
SPACE = OLD / "space.yaml"
RUN = "run"
SUBNETS, ROUNDS = 20, 1
SEARCH = ["--flops", "100K", "--population", "4", "--generations", "2", "--device", "cpu"]
LOADED = (  # once, for all calls
    "vitas_hw.cli.main",
    *(f"vitas_hw.workflows.{name}.{name}" for name in ("profile", "train", "search", "export", "shrink")),
    *("vitas_hw.workflows.train.retrain", "torch.optim", "onnxruntime", "sklearn.datasets"),
)
MOST_ON_THE_WAY = 4  # kills of one command before it is left alone
PATIENCE_S = 1200
# what holds times of day, or says whose the run is
NEVER_EQUAL = ("run.json", "evaluations.jsonl", ".lock", ".lock.by")
BY_NATURE = ("profiles/", "predictors/")  # of timings
CACHE = "engines/"  # there the tests' device counts the processes that measured


@dataclass(frozen=True)
class Long:
    """A command that takes long.

    Args:
        words: of it, or ``work`` and the name of a function here.
        trained: whether it begins from the tests' trained and searched run.
        timed: whether its files hold timings, which are never equal.
    """

    words: tuple[str, ...]
    trained: bool = False
    timed: bool = False


PROFILE = ["profile", "--space", str(SPACE), "--num-subnets", str(SUBNETS), "--rounds", str(ROUNDS)]
COMMANDS = {
    "train": Long(("work", "train")),
    "profile": Long((*PROFILE, "--device-name", "x"), timed=True),
    "search": Long(("search", *SEARCH), trained=True),
    "retrain": Long(("work", "retrain"), trained=True),
    "export": Long(("export", "--onnx", "--torch", "--timm"), trained=True),
    "shrink": Long(("work", "shrink")),
}


_COUNTED = ("kills", "starting", "writing", "ways")


@dataclass
class Found:
    """What came of a command's kills.

    Args:
        kills: how many.
        starting: of them before the run was held.
        writing: of them in the middle of a write: half a file, half a line or a folder in the making was left.
        ways: how many times the command was brought to its end.
        wrong: what was not as it should be.
    """

    kills: int = 0
    starting: int = 0
    writing: int = 0
    ways: int = 0
    wrong: list[str] = field(default_factory=list)


def work(name: str) -> None:
    """In a process of its own: a command with settings that the command line does not have."""
    from vitas_hw.runs import Run

    run = Run(Path(RUN))
    if name == "train":
        from vitas_hw.workflows.train.settings import TrainSettings
        from vitas_hw.workflows.train.train import train

        train(run, TrainSettings(epochs=4, device="cpu", save_every_s=0.2), space=str(SPACE))
    elif name == "retrain":
        from vitas_hw.workflows.train.retrain import retrain
        from vitas_hw.workflows.train.settings import RetrainSettings

        retrain(run, RetrainSettings(init="supernet", epochs=5, device="cpu", save_every_s=0.2), subnet="smallest")
    else:
        _shrink(run)


def _shrink(run: Any) -> None:
    sys.path.insert(0, str(HERE.parent.parent / "tests"))
    import fake_place

    import vitas_hw.profiling.place
    import vitas_hw.workflows.compare
    import vitas_hw.workflows.profile.profile
    import vitas_hw.workflows.shrink.shrink
    from vitas_hw.core import Block, Subnet
    from vitas_hw.profiling import Journal, Place, TargetAsked
    from vitas_hw.supernet import build_model
    from vitas_hw.supernet.weights_file import save_model
    from vitas_hw.workflows.search.settings import SearchSettings
    from vitas_hw.workflows.shrink.settings import ShrinkSettings

    def place_of(target: Any, _: str) -> Place:
        return fake_place.find_place(TargetAsked(), target.image_size)

    os.environ[fake_place.HARDWARE] = "fit"
    for module in (vitas_hw.workflows.profile.profile, vitas_hw.workflows.compare):
        module.find_place = fake_place.find_place  # type: ignore[attr-defined]
    vitas_hw.profiling.place.place_of = place_of
    shrinking: Any = vitas_hw.workflows.shrink.shrink
    shrinking.SearchSettings = partial(SearchSettings, population=4, generations=2)
    # how busy the machine was is never equal, and stands in all that is made of a profile
    Journal.add_conditions = lambda *_: None  # type: ignore[method-assign]
    shape = Subnet((32, 32), 1, 16, 24, (Block(2, 12, 48),) * 3, 10)
    vit = Path("vit.safetensors")
    if not vit.exists():
        save_model(build_model(shape, seed=0), shape, vit)
    settings = ShrinkSettings(speedup=2.0, num_subnets=20, epochs=1, retrain_epochs=1, train_device="cpu")
    shrinking.shrink(run, str(vit), settings)


def call(command: Long, folder: Path) -> None:
    """In a process of its own: the command, in a folder that holds its run. Ends the process."""
    os.chdir(folder)
    said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    if command.words[0] == "work":
        work(command.words[1])
        status = 0
    else:
        from vitas_hw.cli.main import main as vitas_hw

        status = vitas_hw([*command.words, "--run", RUN])
    sys.stdout.flush()
    os._exit(status)


def start(command: Long, folder: Path) -> ForkProcess:
    process = get_context("fork").Process(target=call, args=(command, folder))
    process.start()
    return process


def in_the_making(run: Path) -> set[str]:
    """Half files, half lines and folders that are being filled."""
    found = {str(path) for path in run.rglob(".*") if path.name not in (".lock", ".lock.by")}
    for path in run.rglob("*.jsonl"):
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            found.add(str(path))
    return found


def state(run: Path) -> list[tuple[str, int]]:
    """What is there and how large: it changes with every write."""
    found = []
    for root, _, names in os.walk(run):
        for name in names:
            try:
                found.append((f"{root}/{name}", os.stat(f"{root}/{name}").st_size))
            except OSError:  # gone meanwhile
                found.append((f"{root}/{name}", -1))
    return sorted(found)


def kill_at(process: ForkProcess, run: Path, seconds: float, *, write: bool) -> tuple[bool, bool]:
    """Kill so long after the run was taken hold of, or at the first write after that.

    Returns: whether it was killed, not ended before, and whether the run was held by then.
    """
    held, end = None, time.monotonic() + PATIENCE_S
    before = None
    while process.exitcode is None:
        if time.monotonic() > end:
            process.kill()
            raise TimeoutError(f"a command took longer than {PATIENCE_S} s")
        if held is None and (run / ".lock.by").exists():
            held = time.monotonic()
        since = None if held is None else time.monotonic() - held
        if seconds < 0 and held is None:  # while it starts
            time.sleep(-seconds)
            break
        if since is not None and since >= seconds:
            if not write:
                break
            now = state(run)
            if before is not None and now != before:
                break
            before = now
            time.sleep(0.0002)
            continue
        time.sleep(0.002)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL, held is not None


def finish(command: Long, folder: Path) -> tuple[float, float]:
    """Let it end. Seconds until the run was held, and from then on. Raises RuntimeError if it fails."""
    started, held = time.monotonic(), None
    process = start(command, folder)
    while process.exitcode is None:
        if held is None and (folder / RUN / ".lock.by").exists():
            held = time.monotonic()
        if time.monotonic() > started + PATIENCE_S:
            process.kill()
            raise TimeoutError(f"{command.words} took longer than {PATIENCE_S} s")
        time.sleep(0.005)
    if process.exitcode:
        raise RuntimeError(f"{command.words} ended with {process.exitcode}: {(folder / 'said').read_text()[-2000:]}")
    return (held or started) - started, time.monotonic() - (held or started)


def journals(run: Path) -> dict[Path, bytes]:
    """The whole lines of files that are only ever added to."""
    paths = [*run.rglob("*.journal.jsonl"), *run.glob("evaluations.jsonl")]
    return {path: path.read_bytes().rpartition(b"\n")[0] for path in paths}


def content(run: Path) -> dict[str, bytes]:
    names = {str(path.relative_to(run)): path for path in run.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if name not in NEVER_EQUAL and not name.startswith(CACHE)
    }


def differences(command: Long, run: Path, whole: Path) -> list[str]:
    """How a run that was killed differs from one that was not."""
    ours, theirs = content(run), content(whole)
    unlike = sorted(ours.keys() ^ theirs.keys())
    found = [f"{name} is there only {'after kills' if name in ours else 'without'}" for name in unlike]
    for name in sorted(ours.keys() & theirs.keys()):
        if ours[name] != theirs[name] and not (command.timed and name.startswith(BY_NATURE)):
            found.append(f"{name} has other bytes")
    if command.timed:
        found += rows_of(run, whole)
    return found + [f"{name} is left" for name in in_the_making(run)]


def rows_of(run: Path, whole: Path) -> list[str]:
    """What is wrong with the rows of a profile: each subnet once, the same ones in the same order, each round once."""
    (profile,), (other,) = (
        [path for path in (one / "profiles").glob("*.jsonl") if ".journal" not in path.name] for one in (run, whole)
    )
    ours, theirs = ([json.loads(line) for line in path.read_text().splitlines()[1:]] for path in (profile, other))
    found = []
    if [row["subnet"] for row in ours] != [row["subnet"] for row in theirs]:
        found.append("other subnets, or another order")
    if any(len(row["samples_ms"]) != ROUNDS for row in ours):
        found.append("a round is missing or there twice")
    (journal,) = (run / "profiles").glob("*.journal.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    visits = Counter((one["measurement"], one["round"], one["subnet"]) for one in lines if "samples_ms" in one)
    wanted = ROUNDS * (SUBNETS + len(range(0, SUBNETS, REPEAT_EVERY)))
    if len(visits) != wanted:
        found.append(f"{len(visits)} visits, not {wanted}")
    return found


def one_way(
    command: Long, folder: Path, takes: tuple[float, float], rng: random.Random, kills: int, found: Found
) -> None:
    """Kill the command up to so many times, and let it end."""
    run = folder / RUN
    for _ in range(kills):
        before = in_the_making(run) if run.exists() else set()
        kept = journals(run)
        early = rng.random() < 0.1
        at = -rng.uniform(0, takes[0]) if early else rng.uniform(0, takes[1])
        killed, held = kill_at(start(command, folder), run, at, write=rng.random() < 0.5 and not early)
        if not killed:  # it had ended before; once more would be another step of the run
            found.ways += 1
            return
        found.kills += 1
        found.starting += not held
        found.writing += bool(in_the_making(run) - before)
        for path, lines in kept.items():
            if not path.exists() or not path.read_bytes().startswith(lines):
                found.wrong.append(f"a kill lost lines of {path.name}")
    try:
        finish(command, folder)
    except RuntimeError as error:
        found.wrong.append(str(error))
    found.ways += 1


def processes_of(folder: Path) -> list[int]:
    """Processes that still work there."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(entry / "cwd")) == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def begun(command: Long, folder: Path) -> Path:
    """A folder from which the command begins."""
    folder.mkdir()
    if command.trained:
        shutil.copytree(OLD / "run", folder / RUN)
        (folder / RUN / "evaluations.jsonl").unlink()  # of an older schema: a search would begin it anew
    return folder


def undisturbed(name: str, place: Path) -> tuple[Path, tuple[float, float]]:
    """The folder of a command that was left alone, and how long it took, see ``finish``."""
    whole = begun(COMMANDS[name], place / f"{name}-whole")
    return whole, finish(COMMANDS[name], whole)


def campaign(name: str, place: Path, rng: random.Random, kills: int, note: Callable[[str], None]) -> dict[str, Any]:
    """All kills of a command."""
    command, found = COMMANDS[name], Found()
    whole, takes = undisturbed(name, place)
    base = begun(command, place / f"{name}-base")
    note(f"{name}: alone {takes[0]:.1f} s until it begins, {takes[1]:.1f} s of work")
    while found.kills < kills:
        folder = place / f"{name}-{found.ways}"
        shutil.copytree(base, folder)
        one_way(command, folder, takes, rng, min(MOST_ON_THE_WAY, kills - found.kills), found)
        found.wrong += [f"way {found.ways}: {said}" for said in differences(command, folder / RUN, whole / RUN)]
        end = time.monotonic() + 20
        while processes_of(folder) and time.monotonic() < end:
            time.sleep(0.1)
        found.wrong += [f"way {found.ways}: process {pid} is left" for pid in processes_of(folder)]
        note(f"{name}: {found.kills} kills, {found.writing} of them in a write, wrong: {found.wrong[-5:] or 'nothing'}")
        shutil.rmtree(folder)
    compared = [] if command.timed else sorted(content(whole / RUN))
    return vars(found) | {"seconds_alone": [round(one, 1) for one in takes], "compared": compared}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=COMMANDS, action="append", help="one command")
    parser.add_argument("--kills", type=int, default=24, help="of each command")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--output", type=Path, default=RESULTS / "kills.json")
    asked = parser.parse_args()
    load, found = os.getloadavg()[0], {}
    if asked.output.exists():  # goes on after the last command that was finished
        known = json.loads(asked.output.read_text())
        found = known["commands"] if known["environment"]["settings"]["seed"] == asked.seed else {}
    wanted = [name for name in COMMANDS if (name in asked.only if asked.only else name not in found)]
    for name in LOADED:
        import_module(name)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        place = Path(folder).resolve()
        for name in wanted:
            rng = random.Random(f"{name} {asked.seed}")  # noqa: S311
            found[name] = campaign(name, place, rng, asked.kills, lambda said: print(said, flush=True))
            total = {key: sum(one[key] for one in found.values()) for key in _COUNTED}
            total["wrong"] = sum(len(one["wrong"]) for one in found.values())
            write(asked.output, total | {"commands": found}, {"seed": asked.seed}, load)
    print(json.dumps({name: one["wrong"] for name, one in found.items()}))


if __name__ == "__main__":
    main()
