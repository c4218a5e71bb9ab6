from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.imported import ANCHOR, COLUMNS, Bundle, read_bundle, read_results
from vitas_hw.profiling.selection import choose_subnets
from vitas_hw.profiling.timing import Timing
from vitas_hw.workflows.profile.bundle import write_bundle
from vitas_hw.workflows.profile.bundle_runner import visits_done
from vitas_hw.workflows.profile.settings import ProfileSettings

SHORT = Timing(max_warmup_s=0.02, sample_s=0.02, max_samples=20)
HOW = {"repeats", "timing"}  # what is no setting of a profiling
# runs run.py as on a machine that has numpy and onnxruntime only
BARE = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("vitas_hw", "torch", "onnx", "timm", "pydantic"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
for name in ("vitas_hw", "torch"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    sys.exit("this machine has " + name)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def subnets(small: SearchSpace) -> list[Subnet]:
    return choose_subnets(small, 3, 0)


@pytest.fixture
def write(small: SearchSpace, subnets: list[Subnet], tmp_path: Path) -> Callable[..., Bundle]:
    def written(**changes: object) -> Bundle:
        how = {"repeats": subnets[:1], "timing": SHORT} | {name: changes.pop(name) for name in HOW & set(changes)}
        settings = ProfileSettings(**({"rounds": 2} | changes))  # type: ignore[arg-type]
        return write_bundle(tmp_path / "bundle", subnets, small, settings, **how)  # type: ignore[arg-type]

    return written


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bundle"


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-c", BARE, str(folder / "run.py"), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder.parent)


def finish(folder: Path, *options: str) -> tuple[int, str]:
    with start(folder, *options) as process:
        errors = process.communicate(timeout=100)[1]
    return process.returncode, errors


def kill_after_first_visit(folder: Path) -> None:
    results = folder / "results.csv"
    with start(folder) as process:
        try:
            for _ in range(6000):
                if results.exists() and results.read_text().count("\n") > 1:
                    break
                assert process.poll() is None, process.stderr and process.stderr.read()
                time.sleep(0.01)
        finally:
            process.kill()


def test_a_bundle_is_measured_without_us_killed_and_read_back(write: Callable[..., Bundle], folder: Path) -> None:
    bundle = write(rounds=8, timing=replace(SHORT, sample_s=0.05, max_samples=1000))
    results = folder / "results.csv"
    kill_after_first_visit(folder)
    killed = results.read_bytes()
    whole = visits_done(results)
    assert 1 <= len(whole & {(d, m, str(r)) for m, r, d in bundle.visits}) < len(bundle.visits)
    status, errors = finish(folder)
    assert status == 0, errors
    text = results.read_bytes()
    assert text.startswith(killed[: killed.rfind(b"\n" + bundle.anchor.digest.encode()) + 1])  # nothing measured twice
    visits = read_results(results, folder / "bundle.json")
    assert [(v.measurement, v.round, v.digest) for v in visits] == list(bundle.visits)
    assert all(len(visit.samples_ms) >= SHORT.min_samples for visit in visits)
    assert all(visit.anchor_ms is not None and visit.anchor_ms > 0 for visit in visits)
    about = json.loads((folder / "results.csv.settings.json").read_text())
    assert (about["threads"], about["provider"]) == (1, "CPUExecutionProvider")
    assert finish(folder)[0] == 0
    assert results.read_bytes() == text  # there was nothing left to do
    status, errors = finish(folder, "--threads", "2")
    assert status == 1
    assert "begun with other settings" in errors


def test_a_model_that_does_not_run_costs_its_rows(write: Callable[..., Bundle], folder: Path) -> None:
    bundle = write(repeats=[])
    broken = bundle.visits[0][2]
    (folder / f"{broken}.onnx").write_bytes(b"not a model")
    status, errors = finish(folder)
    assert status == 1
    assert f"{broken} does not run" in errors
    visits = read_results(folder / "results.csv", folder / "bundle.json")
    assert [visit.digest for visit in visits] == [digest for _, _, digest in bundle.visits if digest != broken]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_models_and_inputs_fit_each_other(write: Callable[..., Bundle], folder: Path, precision: str) -> None:
    bundle = write(batch_size=2, precision=precision)
    assert read_bundle(folder / "bundle.json").precision == precision
    types = {tensor.data_type for tensor in onnx.load(folder / f"{bundle.anchor.digest}.onnx").graph.initializer}
    wide = {"fp16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8, "fp32": onnx.TensorProto.FLOAT}
    assert wide[precision] in types
    for name, digests in (("inputs", list(bundle.subnets)), ("anchor_inputs", [bundle.anchor.digest])):
        images = np.load(folder / f"{name}.npy")
        bare = np.fromfile(folder / f"{name}.bin", "<f4").reshape(images.shape)
        np.testing.assert_array_equal(images, bare)
        for digest in digests:
            session = ort.InferenceSession(folder / f"{digest}.onnx", providers=["CPUExecutionProvider"])
            assert session.get_inputs()[0].shape == list(images.shape[1:])
            logits = session.run(None, {"images": images[0]})[0]
            assert logits.shape[0] == 2
            assert np.isfinite(logits).all()
    assert images.shape == (4, 2, 3, 32, 32)


def test_the_plan_comes_back_and_is_in_shuffled_rounds(
    write: Callable[..., Bundle], folder: Path, subnets: list[Subnet]
) -> None:
    bundle = write(rounds=6, repeats=subnets[:2])
    assert read_bundle(folder / "bundle.json") == bundle
    digests = [subnet.digest for subnet in subnets]
    assert list(bundle.subnets) == digests
    first = [digest for name, _, digest in bundle.visits if name == "first"]
    rounds = [first[i : i + 3] for i in range(0, len(first), 3)]
    assert len(rounds) == 6
    assert all(sorted(order) == sorted(digests) for order in rounds)
    assert len({tuple(order) for order in rounds}) > 1
    assert sorted(bundle.visits[len(first) :]) == sorted(("second", r, d) for r in range(6) for d in digests[:2])
    assert bundle.timing == SHORT.to_dict()


def test_the_readme_is_filled_in(write: Callable[..., Bundle], folder: Path) -> None:
    bundle = write()
    text = (folder / "README.md").read_text()
    assert "${" not in text
    assert "4 x 1 x 1 x 32 x 32" in text
    assert "4 x 1 x 3 x 32 x 32" in text
    table = text[text.index("    subnet,measurement") :].split("\n\n")[0]
    csv = folder / "by_hand.csv"
    csv.write_text("".join(line.strip() + "\n" for line in table.splitlines()))
    (visit,) = read_results(csv, folder / "bundle.json")  # the example of the README is a table
    assert (visit.measurement, visit.round, visit.digest) == bundle.visits[0]
    assert visit.samples_ms == (3.456789, 3.449012)
    assert visit.anchor_ms == pytest.approx((1.234567 + 1.2312) / 2)


def test_a_folder_is_completed_but_never_overwritten(write: Callable[..., Bundle], folder: Path) -> None:
    write()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "run.py").unlink()
    write()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(InputError, match="already holds another bundle"):
        write(seed=1)


@pytest.mark.parametrize("change", [{"precision": "int9"}, {"batch_size": 0}, {"rounds": 0}])
def test_what_cannot_be_bundled_is_refused(
    write: Callable[..., Bundle], folder: Path, change: dict[str, object]
) -> None:
    with pytest.raises(InputError):
        write(**change)
    assert not folder.exists()


def test_repeats_must_be_among_the_subnets(write: Callable[..., Bundle], small: SearchSpace) -> None:
    with pytest.raises(InputError, match="repeats only these"):
        write(repeats=[small.sample(99)])


def row(*cells: object) -> str:
    return ",".join(map(str, cells))


@pytest.fixture
def table(write: Callable[..., Bundle]) -> list[str]:
    """The lines of a whole table: each visit the anchor twice and three samples."""
    bundle = write()
    lines = [row(*COLUMNS)]
    for number, (measurement, round_, digest) in enumerate(bundle.visits):
        lines += [row(bundle.anchor.digest, ANCHOR, number, i, 10.0 + number + i) for i in range(2)]
        lines += [row(digest, measurement, round_, i, 1.5 + i) for i in range(3)]
    return lines


def test_a_table_cut_anywhere_can_be_gone_on_with(table: list[str], folder: Path) -> None:
    results = folder / "results.csv"
    text = "\n".join(table) + "\n"
    everything = {tuple(line.split(",")[:3]) for line in table[1:]}
    for end in range(len(row(*COLUMNS)) + 1, len(text) + 1):
        results.write_text(text[:end])
        done = visits_done(results)
        kept = results.read_text()
        assert text.startswith(kept)
        assert kept.endswith("\n")
        assert done <= everything
        assert done == {tuple(line.split(",")[:3]) for line in kept.splitlines()[1:]}
        if done:
            assert kept.splitlines()[-1].split(",")[1] != ANCHOR
            read_results(results, folder / "bundle.json")
    assert done == everything
    assert kept == text


def test_a_foreign_table_is_not_gone_on_with(folder: Path, table: list[str]) -> None:
    (folder / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit, match="not a table"):
        visits_done(folder / "results.csv")
    assert (folder / "results.csv").read_text() == "a,b\n1,2\n"


def test_other_orders_columns_and_line_ends_are_read(folder: Path, table: list[str]) -> None:
    plain, other = folder / "plain.csv", folder / "other.csv"
    plain.write_text("\n".join(table) + "\n")
    cells = [line.split(",") for line in table]
    lines = [row(*reversed(line), "phone's note" if i else "note") for i, line in enumerate(cells)]
    other.write_bytes(("\ufeff" + "\r\n".join(lines) + "\r\n").encode())
    visits = read_results(other, folder / "bundle.json")
    assert visits == read_results(plain, folder / "bundle.json")
    assert visits[1].anchor_ms == 11.5
    assert visits[1].samples_ms == (1.5, 2.5, 3.5)


def test_without_the_anchor_and_without_some_visits(folder: Path, table: list[str]) -> None:
    path = folder / "results.csv"
    path.write_text("\n".join(line for line in table[:-3] if f",{ANCHOR}," not in line) + "\n")
    visits = read_results(path, folder / "bundle.json")
    assert len(visits) == len(read_bundle(folder / "bundle.json").visits) - 1
    assert {visit.anchor_ms for visit in visits} == {None}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("subnet", "0123456789abcdef", "'0123456789abcdef' is not of the bundle"),
        ("measurement", "third", "no measurement 'third' with round 0"),
        ("measurement", ANCHOR, "no measurement 'anchor'"),
        ("round", "9", "with round 9"),
        ("round", "-1", "round must be a whole number"),
        ("sample", "1.0", "sample must be a whole number"),
        ("sample", "0", "sample 0 of this visit is listed twice"),
        ("sample", "2", "1 comes before 2"),
        ("latency_ms", "nan", "positive number of milliseconds, not 'nan'"),
        ("latency_ms", "inf", "not 'inf'"),
        ("latency_ms", "-1.5", "not '-1.5'"),
        ("latency_ms", "0", "not '0'"),
        ("latency_ms", "1e300", "not '1e300'"),
        ("latency_ms", "=1+1", "not '=1+1'"),
        ("subnet", "=cmd|' /C calc'!A0", "is not of the bundle"),
        ("measurement", "x" * 1000, "xxx... with round"),
        ("latency_ms", "", "not ''"),
        ("latency_ms", "1,5", "has 6 cells, not 5"),
    ],
)
def test_a_bad_row_is_named_with_its_line(folder: Path, table: list[str], column: str, value: str, words: str) -> None:
    path = folder / "results.csv"
    cells = dict(zip(COLUMNS, table[4].split(","), strict=True)) | {column: value}  # sample 1 of the first visit
    path.write_text("\n".join([*table[:4], row(*cells.values()), *table[5:]]) + "\n")
    with pytest.raises(FileError, match=r"results\.csv, line 5, (cannot be used: |has 6 cells)") as caught:
        read_results(path, folder / "bundle.json")
    assert words in str(caught.value)


def test_a_line_break_within_quotes_makes_no_row_of_its_own(folder: Path, table: list[str]) -> None:
    path = folder / "results.csv"
    path.write_text("\n".join([*table[:4], '"a', f'b",{table[4].partition(",")[2]}', *table[5:]]) + "\n")
    with pytest.raises(FileError, match=r"results\.csv, line 6, cannot be used: subnet 'ab' is not of the bundle"):
        read_results(path, folder / "bundle.json")


def test_formulas_beside_the_table_are_neither_read_nor_kept(folder: Path, table: list[str]) -> None:
    path = folder / "results.csv"
    path.write_text("\n".join([table[0] + ",note", *(f'{line},"=cmd(),{"x" * 50}"' for line in table[1:])]) + "\n")
    found = read_results(path, folder / "bundle.json")
    path.write_text("\n".join(table) + "\n")
    assert found == read_results(path, folder / "bundle.json")


def test_many_rows_take_little_memory(write: Callable[..., Bundle], folder: Path) -> None:
    """Half a gigabyte of them is allowed."""
    visit = write().visits[0]
    path, count = folder / "results.csv", 200_000
    lines = (row(visit[2], visit[0], str(visit[1]), str(sample), "1.25") for sample in range(count))
    path.write_text("\n".join([row(*COLUMNS), *lines]) + "\n")
    tracemalloc.start()
    (found,) = read_results(path, folder / "bundle.json")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.samples_ms) == count
    assert peak < 2 * path.stat().st_size
    path.write_bytes(path.read_bytes() + b"x" * 10**6 + b"\n")
    with pytest.raises(FileError, match=rf"line {count + 2}, is longer than 65,536 bytes"):
        read_results(path, folder / "bundle.json")


def test_a_table_that_is_no_table_is_refused(folder: Path, table: list[str]) -> None:
    path, plan = folder / "results.csv", folder / "bundle.json"
    for text, words in (
        ("\n".join(table), "cut off: it has no line end"),
        ("\n".join(table)[:-2], f"line {len(table)}, is cut off"),
        ("", "line 1: the columns subnet, measurement"),
        ("subnet,measurement,round,latency_ms\n", "columns sample must"),
        (row(*COLUMNS, "round") + "\n", "columns round must be named there, once each"),
        (row(*COLUMNS) + "\n", "holds no visit"),
        ("\n".join(table[:3]) + "\n", "holds no visit"),
        ("\n".join([table[0], "", *table[1:]]) + "\n", "line 2, has 0 cells"),
    ):
        path.write_text(text)
        with pytest.raises(FileError) as caught:
            read_results(path, plan)
        assert words in str(caught.value)
    with pytest.raises(FileError, match="Cannot read the results"):
        read_results(folder / "missing.csv", plan)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"kind": "profile"},
        {"space": {}},
        {"subnets": {"0123456789abcdef": None}},
        {"subnets": {}},
        {"visits": [{"measurement": "first"}]},
        {"anchor": {}},
        {"timing": {"steady": "0.1"}},
        {"seed": None},
    ],
)
def test_a_broken_plan_is_refused(write: Callable[..., Bundle], folder: Path, change: dict[str, object]) -> None:
    write()
    plan = folder / "bundle.json"
    data = json.loads(plan.read_text())
    plan.write_text(json.dumps(data | change))
    with pytest.raises(FileError, match=r"bundle\.json"):
        read_bundle(plan)


@pytest.mark.parametrize("text", ["", "[]", "3", "not json"])
def test_what_is_no_plan_is_refused(text: str, tmp_path: Path) -> None:
    plan = tmp_path / "bundle.json"
    plan.write_text(text)
    with pytest.raises(FileError, match="not a bundle's"):
        read_bundle(plan)
    with pytest.raises(FileError, match="Cannot read the bundle"):
        read_bundle(tmp_path / "missing.json")


def test_a_subnet_under_another_name_is_refused(write: Callable[..., Bundle], folder: Path) -> None:
    bundle = write()
    plan = folder / "bundle.json"
    one, two, *_ = bundle.subnets
    plan.write_text(plan.read_text().replace(one, "x").replace(two, one).replace('"x"', f'"{two}"'))
    with pytest.raises(FileError, match="not the one that its name means"):
        read_bundle(plan)
