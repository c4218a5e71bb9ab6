"""What the README shows is true: its Python runs, its YAML is a space, its commands exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import vitas_hw as vh
from vitas_hw.cli.main import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found


def test_its_python_runs_and_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks("python"):
        exec(compile(block, "README", "exec"), {})  # noqa: S102  # our own text
    printed = capsys.readouterr().out.splitlines()
    promised = re.search(r"print\(subnet\.macs, subnet\.params\)\s+# (.*)", README)
    assert promised is not None
    assert printed[0] == promised[1]


def test_its_yaml_is_a_space(tmp_path: Path) -> None:
    for block in blocks("yaml"):
        path = tmp_path / "mine.yaml"
        path.write_text(block)
        space = vh.load_space(path)
        assert space.name == "mine"
        assert space.contains(space.sample(0))


def test_its_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    commands = {line.split()[2] for block in blocks("console") for line in block.splitlines() if "$ vitas-hw" in line}
    assert commands == {"train", "profile", "search", "evaluate", "export"}
    for command in commands:
        assert main([command, "--help"]) == 0
    capsys.readouterr()


def test_the_quickstarts_numbers_are_those_of_the_benchmark() -> None:
    result = json.loads((ROOT / "benchmarks/results/quickstart.json").read_text())
    for number in (
        f"| {result['test_top1']:.2%} |",
        f"| {result['budget_ms']:g} ms |",
        f"| {result['predicted_ms']:.3g} ms |",
        f"| {result['measured_ms']:.3g} ms |",
        f"| {result['quickstart_s']:.0f} s, {result['quickstart_peak_gib']:.1f} GiB |",
        *(f"| {seconds:.0f} s |" for seconds in result["search_s"].values()),
    ):
        assert number in README


def test_the_first_screen_shows_both_make_targets() -> None:
    first_screen = "\n".join(README.splitlines()[:25])
    assert "make quickstart" in first_screen
    assert "make test" in first_screen
