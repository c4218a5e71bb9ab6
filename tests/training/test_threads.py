"""Threads by the size of the net, put back afterwards, and waiting without spinning but where latency is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from vitas_hw.core import waiting
from vitas_hw.core.presets import preset
from vitas_hw.core.published import published_subnet
from vitas_hw.core.space import SearchSpace
from vitas_hw.runs.directory import Run
from vitas_hw.supernet.supernet import Supernet
from vitas_hw.training.threads import threads_for, working_threads
from vitas_hw.workflows.evaluate import EvaluateSettings, evaluate
from vitas_hw.workflows.search import scoring
from vitas_hw.workflows.train.settings import RetrainSettings, TrainSettings

OLD = Path(__file__).parents[1] / "older_files/v1/run"


@pytest.fixture(autouse=True)
def eight() -> Iterator[None]:
    """As on a machine of eight cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


def test_small_nets_get_one_and_large_ones_all() -> None:
    digits, tiny = preset("vitas-digits"), published_subnet("deit-ti")
    assert threads_for(digits.smallest.macs, 64, 8) == 1
    assert threads_for(tiny.macs, 64, 8) == 8
    numbers = [threads_for(5e6, images, 8) for images in (1, 64, 128, 256, 512, 1024, 4096)]
    assert numbers == sorted(numbers)
    assert set(numbers) >= {1, 2, 4, 8}


def test_what_torch_was_told_is_the_most_and_is_put_back(small: SearchSpace) -> None:
    tiny = published_subnet("deit-ti")
    with working_threads(None, tiny, 64, "cpu") as number:
        assert number == torch.get_num_threads() == 8
    with working_threads(None, tiny, 64, "cpu", workers=3) as number:
        assert number == 5
    with working_threads(None, small, 64, "cpu") as number:
        assert number == torch.get_num_threads() == 1
    assert torch.get_num_threads() == 8
    with working_threads(None, small, 64, "cuda:0") as number:
        assert number == 8
    torch.set_num_threads(2)
    with working_threads(None, tiny, 64, "cpu") as number:
        assert number == 2
    with working_threads(5, small, 64, "cpu") as number:  # asked for is asked for
        assert number == 5
    assert torch.get_num_threads() == 2


def used(monkeypatch: pytest.MonkeyPatch, kind: type, words: Any) -> set[int]:
    """Threads within each forward pass of a module of that class."""
    found: set[int] = set()
    forward = kind.forward  # type: ignore[attr-defined]

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        found.add(torch.get_num_threads())
        return forward(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "forward", noted)
        words()
    assert torch.get_num_threads() == 8
    return found


@pytest.mark.parametrize(("asked", "expected"), [(None, 1), (3, 3)])
def test_every_command_that_trains_or_evaluates_takes_them(
    asked: int | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from vitas_hw.core.budget import Budget
    from vitas_hw.workflows.search.search import search_run
    from vitas_hw.workflows.search.settings import SearchSettings
    from vitas_hw.workflows.train.retrain import retrain
    from vitas_hw.workflows.train.train import train

    run = Run(Path(shutil.copytree(OLD, tmp_path / "run")))
    about: dict[str, Any] = {"device": "cpu", "threads": asked}
    assert used(monkeypatch, Supernet, lambda: evaluate(run, ["smallest"], EvaluateSettings(**about))) == {expected}
    search = SearchSettings(population=2, generations=1, **about)
    both = lambda: search_run(run, Budget.parse(flops="100K"), search)  # noqa: E731
    assert used(monkeypatch, Supernet, both) == {expected}
    assert used(monkeypatch, VisionTransformer, both) == {expected}  # fine-tuning
    retraining = RetrainSettings(epochs=1, **about)
    assert used(monkeypatch, VisionTransformer, lambda: retrain(run, retraining, subnet="smallest")) == {expected}
    assert used(monkeypatch, Supernet, lambda: train(run, TrainSettings(epochs=1, **about))) == {expected}
    assert scoring.AT_ONCE == 128


LOOK = """
import json, os, sys
from vitas_hw.cli import main as entry
def look(**_):
    print(json.dumps([os.environ.get("OMP_WAIT_POLICY"), "torch" in sys.modules]))
entry.program = lambda _: look
entry.main()
"""


@pytest.mark.parametrize(("said", "expected"), [(None, "PASSIVE"), ("active", "active")])
def test_a_command_waits_without_spinning_unless_its_user_says_otherwise(said: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("OMP_WAIT_POLICY")}
    environment |= {"OMP_WAIT_POLICY": said} if said else {}
    printed = subprocess.check_output([sys.executable, "-c", LOOK], env=environment, text=True)
    assert json.loads(printed) == [expected, False]  # before OpenMP is loaded


def test_what_is_measured_waits_as_the_users_own_programs_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("VITAS_HW_OMP_WAIT_POLICY", raising=False)
    before = dict(os.environ)
    waiting.sleep_while_waiting()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert waiting.environment_of_deployment() == before
    monkeypatch.delenv("VITAS_HW_OMP_WAIT_POLICY")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    waiting.sleep_while_waiting()
    assert waiting.environment_of_deployment() == before | {"OMP_WAIT_POLICY": "active"}
