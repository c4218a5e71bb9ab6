"""How many small faults does a suite notice? Mutants, one at a time, under the tests that reach the changed line.

    python tests/mutants.py choose mutants.json --package vitas_hw [--seed 0] [--count 60]
    python tests/mutants.py reach reached.db --source . [--tests tests]       # the suite once, with each test's lines
    python tests/mutants.py kill mutants.json reached.db rows.jsonl --source . [--tests tests]

Lines are drawn at random in ten rooms, as many in each; what stands there is changed in one place: a comparison, an
operation, a number, a condition, or what a function returns. ``kill`` copies package and tests into a temporary folder,
changes the line there, and runs the fast tests that reach it until one fails; a mutant that no test reaches survives.
Lines of ``rows.jsonl`` say of each mutant whether it was killed and by what; those that are there are not run again. To
compare two suites, give both the same mutants and the same package, each its own ``--tests``.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOMS = (
    *("core", "data", "supernet", "training", "searching", "predictors", "profiling", "export", "runs", "workflows"),
)
PATIENCE_S = 600  # for the tests of one mutant: longer is a kill, for the suite of before as for that of after
_COMPARED = {"Lt": "<=", "LtE": "<", "Gt": ">=", "GtE": ">", "Eq": "!=", "NotEq": "==", "In": "not in", "NotIn": "in"}
_COMPARED |= {"Is": "is not", "IsNot": "is"}
_COMPUTED = {"Add": "-", "Sub": "+", "Mult": "/", "Div": "*", "FloorDiv": "*", "Mod": "*", "Pow": "*"}
_TEXT = {"<=": ast.LtE, "<": ast.Lt, ">=": ast.GtE, ">": ast.Gt, "!=": ast.NotEq, "==": ast.Eq, "not in": ast.NotIn}
_TEXT |= {"in": ast.In, "is not": ast.IsNot, "is": ast.Is, "-": ast.Sub, "+": ast.Add, "/": ast.Div, "*": ast.Mult}


@dataclass(frozen=True)
class Mutant:
    """One change: the text from ``start`` to ``end`` (line from 1, byte offset from 0) becomes ``new``."""

    file: str
    start: tuple[int, int]
    end: tuple[int, int]
    old: str
    new: str

    @property
    def name(self) -> str:
        return f"{self.file}:{self.start[0]}:{self.start[1]} {self.old!r} -> {self.new!r}"

    def applied(self, text: str) -> str:
        lines = text.encode().split(b"\n")
        first, last = self.start[0] - 1, self.end[0] - 1
        before, after = lines[first][: self.start[1]], lines[last][self.end[1] :]
        assert b"\n".join(_cut(lines, self.start, self.end)).decode() == self.old
        return b"\n".join([*lines[:first], before + self.new.encode() + after, *lines[last + 1 :]]).decode()


def _cut(lines: list[bytes], start: tuple[int, int], end: tuple[int, int]) -> list[bytes]:
    some = lines[start[0] - 1 : end[0]]
    some[-1] = some[-1][: end[1]]
    return [some[0][start[1] :], *some[1:]]


def changes(node: ast.AST) -> ast.AST | None:
    """The same with one fault; None where this kind of node has none."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]).__name__ in _COMPARED:
        operator = _TEXT[_COMPARED[type(node.ops[0]).__name__]]()
        return ast.Compare(node.left, [operator], node.comparators)
    if isinstance(node, ast.BinOp) and type(node.op).__name__ in _COMPUTED:
        return ast.BinOp(node.left, _TEXT[_COMPUTED[type(node.op).__name__]](), node.right)
    if isinstance(node, ast.BoolOp):
        return ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return node.operand
    if isinstance(node, ast.IfExp):
        return ast.IfExp(node.test, node.orelse, node.body)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
        return ast.Constant(not node.value if isinstance(node.value, bool) else node.value + 1)
    return None


def mutants_of(path: Path, name: str) -> Iterator[Mutant]:
    text = path.read_text(encoding="utf-8")
    lines = text.encode().split(b"\n")
    for function in ast.walk(ast.parse(text)):  # in functions: what stands outside is mostly names and types
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in (inner for part in function.body for inner in ast.walk(part)):
            changed = changes(node)
            if changed is None or not isinstance(node, ast.expr) or node.end_lineno is None:
                continue
            start, end = (node.lineno, node.col_offset), (node.end_lineno, int(node.end_col_offset or 0))
            new = f"({ast.unparse(ast.fix_missing_locations(changed))})"
            yield Mutant(name, start, end, b"\n".join(_cut(lines, start, end)).decode(), new)


def choose(package: Path, seed: int, count: int) -> list[Mutant]:
    """``count`` of them, as many in each room, no two on a line."""
    rng, found = random.Random(seed), []
    for room in ROOMS:
        files = sorted((package / room).rglob("*.py"))
        known = [one for path in files for one in mutants_of(path, path.relative_to(package.parent).as_posix())]
        by_line = {(one.file, one.start[0]): [] for one in known}
        for one in known:
            by_line[one.file, one.start[0]].append(one)
        for line in rng.sample(sorted(by_line), count // len(ROOMS)):
            found.append(rng.choice(by_line[line]))
    return found


def reach(output: Path, source: Path, tests: Path) -> None:
    """Run the fast tests once; coverage keeps which test ran which line, but not in processes that tests start."""
    with copied(source, tests) as folder:
        words = [
            "-m",
            "pytest",
            "-q",
            "-m",
            "not full",
            "--cov=vitas_hw",
            "--cov-context=test",
            "--cov-report=",
            "tests",
        ]
        _run([sys.executable, *words], folder, None)
        shutil.copy(folder / ".coverage", output)


class copied:  # noqa: N801  # used as a function
    """Package and tests in a temporary folder, where they may be changed."""

    def __init__(self, source: Path, tests: Path) -> None:
        self._source, self._tests = source, tests

    def __enter__(self) -> Path:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        skipped = shutil.ignore_patterns(".git", ".venv", "__pycache__", "tests", "site", "*.egg-info")
        shutil.copytree(self._source, folder, ignore=skipped, dirs_exist_ok=True)
        shutil.copytree(self._tests, folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        return folder

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def _run(words: list[str], folder: Path, patience_s: float | None) -> tuple[int | None, str]:
    """Exit status, None if it took too long, and the last lines."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True)
        try:
            status: int | None = process.wait(patience_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = None
        said.seek(0)
        return status, said.read()[-2000:]


def tests_of(reached: Path, mutant: Mutant) -> list[str]:
    """Files of the tests that ran its line, those that ran it in the fewest tests first: they are about it."""
    from coverage import CoverageData

    data = CoverageData(str(reached))
    data.read()
    (file,) = [one for one in data.measured_files() if one.endswith("/" + mutant.file)] or [""]
    contexts = data.contexts_by_lineno(file).get(mutant.start[0], []) if file else []
    tests = [one.split("|")[0].split("::")[0] for one in contexts if one]
    return sorted(set(tests), key=lambda one: (tests.count(one), one))


def kill(mutants: Path, reached: Path, output: Path, source: Path, tests: Path) -> None:
    done = [json.loads(line)["mutant"] for line in output.read_text().splitlines()] if output.exists() else []
    with copied(source, tests) as folder:
        for mutant in (Mutant(**given) for given in json.loads(mutants.read_text())):
            if mutant.name in done:
                continue
            path, began = folder / mutant.file, time.monotonic()
            right = path.read_text(encoding="utf-8")
            path.write_text(mutant.applied(right), encoding="utf-8")
            files = tests_of(reached, mutant)
            words = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not full", "-p", "no:cacheprovider", *files]
            status, said = _run(words, folder, PATIENCE_S) if files else (0, "")
            path.write_text(right, encoding="utf-8")
            by = next((line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))), "")
            row = {"mutant": mutant.name, "killed": status != 0, "by": by[:200], "files": len(files)}
            row["seconds"] = round(time.monotonic() - began, 1)
            with output.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    print(f"{sum(row['killed'] for row in rows)} of {len(rows)} mutants killed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(dest="step", required=True)
    for step, files in (("choose", ["mutants"]), ("reach", ["reached"]), ("kill", ["mutants", "reached", "rows"])):
        one = steps.add_parser(step)
        for name in files:
            one.add_argument(name, type=Path)
        if step == "choose":
            one.add_argument("--package", type=Path, default=Path("vitas_hw"))
            one.add_argument("--seed", type=int, default=0)
            one.add_argument("--count", type=int, default=60)
        else:
            one.add_argument("--source", type=Path, default=Path())
            one.add_argument("--tests", type=Path, default=Path("tests"))
    given = parser.parse_args()
    if given.step == "choose":
        found = choose(given.package, given.seed, given.count)
        given.mutants.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    elif given.step == "reach":
        reach(given.reached, given.source, given.tests)
    else:
        kill(given.mutants, given.reached, given.rows, given.source, given.tests)


if __name__ == "__main__":
    main()
