"""What a supernet says about itself is told to whoever trains it, and by nothing that goes on to a search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import vitas_hw as vh
from vitas_hw.cli.main import main
from vitas_hw.core.progress import Silent
from vitas_hw.searching.depth_shares import DepthShares
from vitas_hw.training.health import Group, Health
from vitas_hw.workflows.train import train as workflow

ADVICE = "The depth makes no difference that 360 images can show: train for more epochs."


class Noted(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., workflow.Trained]:
    """A training in no time."""
    health = Health(360, (Group("size", "smallest", 0.5, 0.8, 0.0, 0.0),), (ADVICE,))
    done = workflow.Trained(tmp_path / "supernet", 2, DepthShares((1.0,), {}), (1.0,), top1=0.8, health=health)
    monkeypatch.setattr(workflow, "train", lambda *words, **settings: done)
    return workflow.train


def test_from_python_as_a_note(trained: Callable[..., workflow.Trained], tmp_path: Path) -> None:
    noted = Noted()
    assert vh.Run(tmp_path / "run", progress=noted).train(epochs=2) == trained()
    assert noted.notes == [ADVICE]


def test_on_the_terminal_below_the_table_that_shows_it(
    trained: Callable[..., workflow.Trained], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--run", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert ADVICE in " ".join(said.split())
    assert said.index("smallest") < said.index("The depth makes")
