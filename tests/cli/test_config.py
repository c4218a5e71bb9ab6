"""``--config``: options from a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from vitas_hw.cli import main as entry
from vitas_hw.cli.config import read_config, with_config
from vitas_hw.cli.from_settings import takes
from vitas_hw.core.budget import Budget, parse_duration
from vitas_hw.core.errors import FileError
from vitas_hw.core.settings import setting, settings, what_decides
from vitas_hw.workflows.search.settings import SearchSettings, axis
from vitas_hw.workflows.train.settings import TrainSettings, _parts


@settings
class Bake:
    heat: int | None = setting(default=None, at_least=1)
    max_time_s: float | None = setting(default=None, reads=parse_duration)
    private: tuple[str, ...] = setting(default=("patch_embed",), reads=_parts)
    layers: tuple[str, ...] = setting(default=("cream",))
    pareto: str | None = setting(default=None, choices=("latency_ms", "macs"), reads=axis)
    loud: bool = setting(default=False)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the only command of the entry point was called with."""
    calls: list[Any] = []
    app = typer.Typer()

    def bake(
        settings: Callable[..., Bake],
        name: Annotated[str, typer.Option("--name")] = "x",
        latency: Annotated[list[str] | None, typer.Option("--latency")] = None,
        flops: Annotated[str | None, typer.Option("--flops")] = None,
    ) -> None:
        calls.append((settings(), name, latency, flops))

    app.command("bake")(with_config(takes(Bake)(bake)))
    app.command("other")(lambda: None)  # so that the first keeps its name
    monkeypatch.setattr(entry, "program", lambda _: app)
    return calls


def written(folder: Path, text: str, name: str = "c.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_file_gives_options_by_either_name(made: list[Any], tmp_path: Path) -> None:
    config = written(
        tmp_path, "heat: 180\nmax-time: 90s\nlayers: [sponge, cream]\nprivate: qk\nloud: true\nname: pie\n"
    )
    assert entry.main(["bake", "--config", config]) == 0
    (found, name, *_), config = made.pop(), written(tmp_path, "max_time_s: 90\nprivate: [qk]\npareto: flops,top1\n")
    assert (name, found) == (
        "pie",
        Bake(heat=180, max_time_s=90.0, layers=("sponge", "cream"), private=("qk",), loud=True),
    )
    assert entry.main(["bake", "--config", config]) == 0
    assert made.pop()[0] == Bake(max_time_s=90.0, private=("qk",), pareto="macs")


def test_what_is_typed_counts_more(made: list[Any], tmp_path: Path) -> None:
    config = written(tmp_path, "heat: 180\nmax_time_s: 90\nname: pie\nlatency: [5ms]\nflops: 4M")
    typed = ["bake", "--heat", "200", "--max-time", "2m", "--config", config, "--name", "cake", "--latency", "1ms"]
    assert entry.main(typed) == 0
    assert made.pop() == (Bake(heat=200, max_time_s=120.0), "cake", ["1ms"], "4M")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("heart: 180", "has 'heart', which is no option of bake.\nDid you mean 'heat'?"),
        ("zzzz: 180", "has 'zzzz', which is no option of bake.\nIts names are those of the command's options."),
        ("heat: 0", "--heat"),
        ("heat: hot", "--heat"),
        ("layers: 3", "layers"),
        ("max_time_s: soon", "--max-time"),
        ("private: {a: 1}", "private"),
        ("- heat", "is no configuration: it must hold names and their values."),
        ("heat: [", "is not YAML"),
        ('{"schema": 1, "steps": [{"step": "bake", "settings": {"targets": 3}}]}', "c.yaml is broken"),
        ('{"schema": 1, "steps": [{"step": "fry", "settings": {}}]}', "of a run in which no bake has finished."),
    ],
)
def test_a_wrong_file_is_refused(
    text: str, said: str, made: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.main(["bake", "--config", written(tmp_path, text)]) == 2
    assert said in capsys.readouterr().err
    assert not made


def test_a_missing_file_is_told(made: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["bake", "--config", "nowhere.yaml"]) == 2
    assert "Cannot read the configuration nowhere.yaml" in capsys.readouterr().err
    assert not made


def given_back(kind: type, about: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """What a command of these settings makes of a manifest whose last step has the values."""
    calls: list[Any] = []

    def step(
        settings: Callable[..., Any],
        latency: Annotated[list[str] | None, typer.Option("--latency")] = None,
        flops: Annotated[str | None, typer.Option("--flops")] = None,
    ) -> None:
        calls.append((settings(), latency, flops))

    app = typer.Typer()
    app.command("step")(with_config(takes(kind)(step)))
    app.command("other")(lambda: None)
    monkeypatch.setattr(entry, "program", lambda _: app)
    steps = [{"step": "step", "settings": values} for values in ({"seed": 99}, about)]
    config = written(folder, json.dumps({"schema": 1, "steps": steps}), "run.json")
    assert entry.main(["step", "--config", config]) == 0
    found: tuple[Any, ...] = calls.pop()
    return found


def test_a_runs_manifest_trains_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = TrainSettings(epochs=3, private=("qk", "cls_token"), depths="identity", seed=4)
    about = what_decides(asked) | {"recipe": {"epochs": 3}, "history": [1.0], "budget": {"macs": [None, 4e6]}}
    assert given_back(TrainSettings, about, tmp_path, monkeypatch) == (asked, None, "4M")


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "1.0e+999"])
def test_a_number_that_is_none_is_refused(number: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"seed: 3\nrun: {number}\n")
    with pytest.raises(FileError, match=r"c\.yaml is not YAML: .* is no finite number"):
        read_config(path, "search", {"seed", "run"})


def test_a_manifests_memory_and_throughput_are_in_the_words_of_the_options(tmp_path: Path) -> None:
    budget = Budget.parse(throughput="500/s", memory="200MB").at_batch(64).to_dict()
    manifest = tmp_path / "run.json"
    manifest.write_text(json.dumps({"steps": [{"step": "search", "settings": {"budget": budget}}]}))
    found = read_config(manifest, "search", {"latency", "throughput", "memory"})
    assert found == {"throughput": "500/s", "memory": "200MB"}
    assert read_config(manifest, "search", {"latency"}) == {"latency": "128ms"}


def test_a_runs_manifest_searches_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = SearchSettings(pareto="latency_ms", population=12, generations=3, seed=2)
    about = {"budget": {"latency_ms": [1.0, 2.5]}, "targets": {"other": [None, 3.0]}, "seed": 2}
    found = given_back(SearchSettings, about | {"evolution": asked.to_dict()}, tmp_path, monkeypatch)
    assert found == (asked, ["1ms-2.5ms", "other=3ms"], None)


@pytest.mark.parametrize("command", entry.COMMANDS)
def test_every_command_takes_a_file(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main([command, "--config", "nowhere.yaml"]) == 2
    assert "Cannot read the configuration nowhere.yaml" in capsys.readouterr().err
