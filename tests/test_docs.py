"""Every command and every Python block of the README and of docs/ runs, page by page, in the order in which it stands.

A story (a page, or a section of one whose sections are independent) begins in a directory with images, a table and,
where it goes on from there, a small run. Commands run with the smaller settings of ``SMALLER``. A block after
``<!-- not run: reason -->`` is only parsed: its options must be known. ``<!-- not run (A, B): reason -->`` means the
lines of the block that contain A or B.
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main
from shapes import write_shapes
from small_space import SMALL_SPACE

import vitas_hw as vh
from vitas_hw.cli.main import main, program
from vitas_hw.predictors import predictor
from vitas_hw.profiling import imported, journal, profile
from vitas_hw.runs import directory, shrunk
from vitas_hw.searching import archive, result
from vitas_hw.supernet import weights_file
from vitas_hw.training import checkpoint

pytestmark = pytest.mark.usefixtures("brief")  # see brief_steps.py

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ANEW_EACH_SECTION = {"README.md", "commands.md", "faq.md", "profiling.md", "predictors.md"}
SMALLER = {  # appended to a command: the last of an option counts
    "profile": "--num-subnets 20 --rounds 1",
    "train": "--epochs 1",
    "retrain": "--epochs 1",
    "search": "--population 4 --generations 2",
    "compare": "--rounds 1",
    "quickstart": "--epochs 2",
}
NAMES_ITS_OWN = ("--space", "--data", "--from", "--import")
LONG = (  # in make test-full only
    "vitas-hw quickstart",
    "--backend openvino",
    "vitas-hw fit",
    "--from amd-epyc",
    "--until",
    "vitas-hw compare",
    "vitas-hw predict --csv",  # of what ``fit`` has made
    "--flops 5M-50M",
    "--flops 2M",
    "--pareto",
    "--max-time",
    "--throughput",
    "--accuracy params",
)
ELSEWHERE = {
    "your-data.md: Five commands": "tests/test_newcomer.py",
    "README.md: Your own images": "tests/test_readme.py",  # the same five
    "README.md: From Python": "tests/test_readme.py",
}
# Pages and stories, beside those that make a run themselves.
NEEDS_A_RUN = {"tutorial.md", "faq.md", "commands.md: Search", "commands.md: Deploy"}
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run(?: \((?P<words>[^)]*)\))?: (?P<reason>[^>]+) -->\s*\Z")


@dataclass(frozen=True)
class Step:
    """A command, or a block of Python, YAML, ..., and why it is not run."""

    kind: str
    text: str
    reason: str = ""

    @property
    def long(self) -> bool:
        return self.kind == "console" and any(word in self.text for word in LONG)


@dataclass(frozen=True)
class Story:
    name: str
    page: str
    steps: tuple[Step, ...]


def steps_of(text: str) -> Iterator[Step]:
    for found in _BLOCK.finditer(text):
        kind, body = found.groups()
        mark = _NOT_RUN.search(text[: found.start()])
        words = [word.strip() for word in (mark["words"] or "").split(",")] if mark else []
        texts = [line[2:] for line in body.splitlines() if line.startswith("$ ")] if kind == "console" else [body]
        for one in texts:
            refused = mark is not None and any(word in one for word in words)
            yield Step(kind, one, mark["reason"] if mark and refused else "")


def stories() -> list[Story]:
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
        sections = [("", parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]
        sections = [(title, body) for title, body in sections if f"{path.name}: {title}" not in ELSEWHERE]
        if path.name not in ANEW_EACH_SECTION:
            sections = [("", "".join(body for _, body in sections))]
        for title, body in sections:
            steps = tuple(steps_of(body))
            if steps:
                found.append(Story(f"{path.name}{': ' + title if title else ''}", path.name, steps))
    return found


STORIES = stories()


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a quickstart leaves, in seconds."""
    folder = tmp_path_factory.mktemp("digits")
    with contextlib.chdir(folder):
        Path("small.yaml").write_text(SMALL_SPACE)
        for command in ("profile", "train", "search"):
            assert main(smaller([command])) == 0
        assert main(["export", "--onnx"]) == 0
    return folder


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has: images in ten classes, a table, a space's file."""
    folder = tmp_path_factory.mktemp("materials")
    write_shapes(folder / "pairs", 20)
    for number in range(10):  # as many classes as the space of docs/commands.md has
        shutil.copytree(folder / "pairs" / ("disc" if number % 2 else "square"), folder / "photos" / str(number))
    page = (ROOT / "docs/commands.md").read_text()
    (its_space,) = (step.text for step in steps_of(page) if step.kind == "yaml")
    (folder / "mine.yaml").write_text(its_space)
    (folder / "small.yaml").write_text(SMALL_SPACE)
    measured = vh.load_profile(next((ROOT / "profiles").glob("*--vitas-digits.jsonl")))
    with (folder / "phone.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["macs", "depth", "width", "latency_ms"])
        for row in measured.ok[:40]:
            table.writerow([row.subnet.macs, row.subnet.depth, row.subnet.embed_dim, row.latency_ms])
    return folder


@pytest.mark.parametrize(
    ("story", "everything"),
    [
        *(pytest.param(story, False, id=story.name) for story in STORIES),
        *(
            pytest.param(story, True, id=f"{story.name}, everything", marks=pytest.mark.full)
            for story in STORIES
            if any(step.long and not step.reason for step in story.steps)
        ),
    ],
)
def test_a_story_runs(
    story: Story,
    everything: bool,
    materials: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(materials, tmp_path, dirs_exist_ok=True)
    to_run = [step for step in story.steps if not step.reason and (everything or not step.long)]
    begins = any(step.text == "vitas-hw quickstart" for step in to_run)  # makes the run that the others go on from
    needs_a_run = not begins and bool({story.page, story.name} & NEEDS_A_RUN)
    if needs_a_run and any(step.kind in ("console", "python") for step in to_run):
        shutil.copytree(request.getfixturevalue("digits_run"), tmp_path, dirs_exist_ok=True)
    if story.page == "your-data.md":
        write_proposed_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    for step in story.steps:
        if step in to_run:
            run_step(step)
        elif step.kind == "console":
            check_options(step.text)
    capfd.readouterr()


def write_proposed_run(folder: Path) -> None:
    """What the page's first section, which ``ELSEWHERE`` runs, leaves."""
    with contextlib.chdir(folder):
        assert main(["spaces", "--for", "folder:photos"]) == 0
        assert main(shlex.split(f"train --space photos.yaml --data folder:photos {SMALLER['train']}")) == 0
        assert main(shlex.split(f"search --flops 20M {SMALLER['search']}")) == 0


def run_step(step: Step) -> None:
    if step.kind == "python":
        exec(compile(step.text, "page", "exec"), {})  # noqa: S102  # our own text
    elif step.kind == "yaml":
        name = re.match(r"# (\S+\.yaml)\n", step.text)
        Path(name[1] if name else "mine.yaml").write_text(step.text)
        assert vh.load_space(name[1] if name else "mine.yaml").size > 1
    elif step.kind == "console":
        words = shlex.split(step.text, comments=True)
        program, rest = words[0], words[1:]
        if program == "python":
            subprocess.run([sys.executable, *rest], check=True, capture_output=True)
            return
        assert program == "vitas-hw", step.text
        assert main(smaller(rest)) == 0, step.text


def smaller(words: list[str]) -> list[str]:
    """A command with the smaller settings."""
    elsewhere = any(word in NAMES_ITS_OWN for word in words)
    begins = words[0] in ("train", "profile") and not elsewhere and not Path("runs/default/run.json").exists()
    space = ["--space", "small.yaml"] if begins else []
    return [*words, *shlex.split(SMALLER.get(words[0], "")), *space]


def check_options(text: str) -> None:
    """The options of a command that is not run are known to it."""
    words = shlex.split(text, comments=True)
    if words[0] == "torchrun":
        words = ["vitas-hw", *words[words.index("vitas_hw") + 1 :]]
    if words[0] != "vitas-hw":
        return
    command = typer.main.get_command(program()).commands[words[1]]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words[2:] if word.startswith("--")} <= known, text


def test_what_runs_elsewhere_is_there_and_run_there() -> None:
    for story, test in ELSEWHERE.items():
        name, _, title = story.partition(": ")
        page = ROOT / name if name == "README.md" else ROOT / "docs" / name
        assert f"\n## {title}\n" in page.read_text(), story
        assert (ROOT / test).exists()


def test_what_is_not_run_says_why_and_most_is_run() -> None:
    steps = [step for story in STORIES for step in story.steps if step.kind in ("console", "python")]
    assert all(len(step.reason) > 5 for step in steps if step.reason)
    assert sum(not step.reason for step in steps) > len(steps) / 2
    marks = [mark for path in PAGES for mark in re.findall("<!-- not run", path.read_text())]
    used = {(story.name, step.reason) for story in STORIES for step in story.steps if step.reason}
    assert len(used) == len(marks)  # each belongs to a block right after it


def test_other_code_blocks_are_known_kinds() -> None:
    kinds = {step.kind for story in STORIES for step in story.steps}
    assert kinds <= {"console", "python", "yaml", "json", "text", "pycon"}  # the last are docstrings, run by tests/api


def test_json_examples_are_json_and_of_todays_schema() -> None:
    page = (ROOT / "docs/files.md").read_text()
    table = dict(re.findall(r"\| ([a-z' -]+) \| (\d) \|", page))
    for step in steps_of(page):
        for line in step.text.splitlines() if step.kind == "json" else ():
            example = json.loads(line)
            if "kind" in example and example["kind"] in table:
                assert str(example["schema"]) == table[example["kind"]]
    assert {name: int(version) for name, version in table.items()} == {
        "manifest": directory.SCHEMA,
        "journal": journal.SCHEMA,
        "profile": profile.SCHEMA,
        "predictor": predictor.SCHEMA,
        "table predictor": predictor.TABLE_SCHEMA,
        "bundle": imported.SCHEMA,
        "training state": checkpoint.SCHEMA,
        "supernet": int(weights_file.SCHEMA),
        "subnet's weights": int(weights_file.SCHEMA),
        "evaluations": archive.SCHEMA,
        "search result": result.SCHEMA,
        "original and choice": shrunk.SCHEMA,
    }


def test_links_lead_somewhere() -> None:
    for path in PAGES:
        text = path.read_text()
        for link in re.findall(r"\]\(([^)]+)\)", text):
            if link.startswith("http"):
                continue
            name, _, anchor = link.partition("#")
            there = path if not name else path.parent / name
            assert there.exists(), f"{path.name}: {link}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE)
                slugs = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
                assert anchor in slugs, f"{path.name}: {link}"
