"""What runs elsewhere, held against what is here: workflows and forms for GitHub, hooks of pre-commit, `make`.

None of it can run here. GitHub's own schemas, which check-jsonschema brings along, say whether it is well-formed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


def fits(schema: str, *files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True)


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["jobs"]
    return found


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.github-issue-forms", FORMS),
        ("vendor.github-issue-config", [GITHUB / "ISSUE_TEMPLATE" / "config.yml"]),
        ("vendor.citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_what_github_reads_is_as_its_schema_says(schema: str, files: list[Path]) -> None:
    assert files
    done = fits(schema, *files)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_slip_in_a_workflow_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "tests.yml"
    path.write_text((GITHUB / "workflows/tests.yml").read_text().replace("runs-on:", "run-on:"))
    done = fits("vendor.github-workflows", path)
    assert done.returncode == 1
    assert "runs-on" in done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_make_and_nothing_else(path: Path) -> None:
    for name, job in jobs(path).items():
        steps = job["steps"]
        assert "uses" in steps[0], name
        assert steps[0]["uses"].startswith("actions/checkout@"), name
        for step in steps:
            if "run" in step:
                words = step["run"].split()
                assert words[0] == "make", step
                assert words[1] in TARGETS, step
            else:
                assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_job_asks_of_its_matrix_is_there(path: Path) -> None:
    for name, job in jobs(path).items():
        asked = set(re.findall(r"\$\{\{ matrix\.(\w+) \}\}", yaml.safe_dump(job, width=1000)))
        assert asked <= set(job.get("strategy", {}).get("matrix", {})), name
        assert set(job.get("needs", "").split()) <= set(jobs(path)), name


def test_the_workflows_do_what_was_promised() -> None:
    called = {
        path.stem: {step.get("run", "") for job in jobs(path).values() for step in job["steps"]} for path in WORKFLOWS
    }
    assert {"make lint", "make test", "make coverage"} <= called["tests"]
    assert "make test-full" in called["nightly"]
    assert any(command.startswith("make fuzz") for command in called["nightly"])
    assert "make dist" in called["release"]
    assert jobs(GITHUB / "workflows/release.yml")["smoke"]["strategy"]["matrix"]["kind"] == ["whl", "tar.gz"]
    pythons = jobs(GITHUB / "workflows/tests.yml")["tests"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert pythons == ["3.11", "3.12", "3.13"]
    assert project["requires-python"] == f">={pythons[0]}"


def test_what_has_not_run_says_so() -> None:
    assert "have not run on GitHub" in (ROOT / "CONTRIBUTING.md").read_text()
    for path in WORKFLOWS:
        assert "has not run on GitHub yet" in path.read_text().splitlines()[0]


def test_hooks_of_others_are_pinned_by_a_tag() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = {hook["id"] for repo in config["repos"] for hook in repo["hooks"]}
    assert {"ruff-check", "ruff-format", "mypy", "check-yaml", "end-of-file-fixer"} <= hooks
    for repo in config["repos"]:
        if repo["repo"] == "local":
            continue
        assert re.fullmatch(r"https://github\.com/[\w-]+/[\w-]+", repo["repo"])
        assert re.fullmatch(r"v\d+\.\d+\.\d+", repo["rev"])


def test_the_extra_for_tests_holds_what_make_calls() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {re.split(r"[\[<>=;]", line)[0].strip() for line in extras["test"]}
    assert {"ruff", "mypy", "pytest", "pytest-cov", "pytest-xdist", "build", "check-jsonschema"} <= names
    assert "vitas-hw[docs]" in extras["test"]
