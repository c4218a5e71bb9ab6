"""What the README shows is true: its Python runs, its YAML is a space, its commands exist, its numbers are results."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import typer.main
import yaml

import vitas_hw as vh
from vitas_hw.cli.main import main, program

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS_PAGE = (ROOT / "docs/commands.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LONGEST = 150  # lines


def blocks(language: str, text: str = README) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found
    return found


def commands(text: str) -> set[str]:
    """Of vitas-hw that a page shows."""
    lines = [line for block in blocks("console", text) for line in block.splitlines()]
    return {line.split()[2] for line in lines if line.startswith("$ vitas-hw")}


def test_its_python_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("python"):
        exec(compile(block, "README", "exec"), {})  # noqa: S102  # our own text
    printed = capsys.readouterr().out.splitlines()
    promised = re.search(r"print\(subnet\.macs, subnet\.params\)\s+# (.*)", README)
    assert promised is not None
    assert printed[0] == promised[1]


def test_its_python_needs_one_import_and_fits_a_screen() -> None:
    (block,) = blocks("python")
    assert [line for line in block.splitlines() if "import" in line] == ["import vitas_hw as vh"]
    assert len(block.splitlines()) <= 15


def test_the_yaml_of_the_commands_page_is_a_space(tmp_path: Path) -> None:
    for block in blocks("yaml", COMMANDS_PAGE):
        path = tmp_path / "mine.yaml"
        path.write_text(block)
        space = vh.load_space(path)
        assert space.name == "mine"
        assert space.contains(space.sample(0))


def test_its_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    shown = commands(README)
    assert shown == {"quickstart", "spaces", "profile", "train", "search", "export", "shrink"}
    for command in shown:
        assert main([command, "--help"]) == 0
    capsys.readouterr()


def test_the_commands_page_shows_all_that_the_readme_showed_before() -> None:
    shown = {"train", "profile", "search", "evaluate", "export", "doctor", "report", "runs", "spaces"}
    assert commands(COMMANDS_PAGE) == shown | {"retrain", "classify", "compare", "shrink"}


def test_every_command_is_shown_on_some_page() -> None:
    pages = [README, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))]
    shown = set().union(*(commands(text) for text in pages if "```console" in text))
    every = typer.main.get_command(program()).commands  # type: ignore[attr-defined]
    assert {name for name, command in every.items() if not command.hidden} == shown


def test_the_five_commands_are_those_of_the_page_that_is_run() -> None:
    def five(text: str, title: str) -> str:
        section = re.search(rf"^## {title}\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
        assert section is not None
        return blocks("console", section[1])[0]

    here = five(README, "Your own images")
    assert here == five((ROOT / "docs/your-data.md").read_text(), "Five commands")
    assert len(here.splitlines()) == 5


def test_the_newcomers_time_is_that_of_the_benchmark() -> None:
    result = json.loads((ROOT / "benchmarks/results/newcomer.json").read_text())
    page = " ".join((ROOT / "docs/your-data.md").read_text().split())
    assert f"the five commands take {result['seconds']:.0f} s on two cores" in page
    assert (
        f"of 100 new images the exported model names {result['top1_of_100_unseen_by_onnxruntime']:.0%} rightly" in page
    )


def test_the_first_screen_shows_both_make_targets() -> None:
    first_screen = "\n".join(README.splitlines()[:25])
    assert "make quickstart" in first_screen
    assert "make test" in first_screen


def test_it_is_short_and_shows_six_results_and_a_quickstart_of_three_rows() -> None:
    assert len(README.splitlines()) <= LONGEST
    for name, rows in (("results", 6), ("quickstart", 3)):
        made = re.search(rf"<!-- made by write_pages.py: {name} -->\n(.*?)<!-- end -->", README, re.DOTALL)
        assert made is not None
        assert len(made[1].splitlines()) == 2 + rows


def test_its_numbers_with_a_unit_stand_between_the_generators_markers() -> None:
    """A percentage, seconds, gigabytes typed by hand would not follow the results."""
    by_hand = re.sub(r"<!-- made by .*?<!-- end -->|```.*?```|`[^`]*`|\(http[^)]*\)", "", README, flags=re.DOTALL)
    found = re.findall(r"\d[\d.,]* ?(?:%|ms|s|min|minutes|GB|GiB)\b", by_hand)
    assert found == ["2 ms"]  # a budget, no measurement


def test_it_says_what_is_not_known() -> None:
    said = " ".join(README.split())
    pays = (ROOT / "benchmarks/pays/test.json").exists()
    assert ("at equal cost is **not measured yet**" in said) == (not pays)
    gpu = any((ROOT / "benchmarks/results").glob("gpu-*.json"))
    assert ("| has run | written, tested without it, never run | |---|---|---| | devices |" in said) or gpu


def test_badges_and_citation_say_what_the_project_says() -> None:
    assert f"licence-{PROJECT['license'].replace('-', '--')}-blue" in README
    lowest = PROJECT["requires-python"].removeprefix(">=")
    assert f"python-{lowest}%20or%20newer-blue" in README
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0"
    assert (cited["title"], cited["version"], cited["license"]) == (
        PROJECT["name"],
        PROJECT["version"],
        PROJECT["license"],
    )
    assert {"message", "type", "authors"} <= set(cited)
    (paper,) = cited["references"]
    assert paper["identifiers"] == [{"type": "other", "value": "arXiv:2106.13700"}]
    assert "arxiv.org/abs/2106.13700" in README
