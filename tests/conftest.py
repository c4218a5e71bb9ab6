from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from brief_steps import brief_steps
from clocks import Clock

from vitas_hw.core.presets import preset
from vitas_hw.core.space import SearchSpace

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a background job's is, and its processes inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """For ``-m gpu`` only files and folders that hold such tests: a bare GPU machine lacks what others import."""
    if config.option.markexpr != "gpu":
        return None
    files = collection_path.rglob("test_*.py") if collection_path.is_dir() else [collection_path]
    return None if any("pytest.mark.gpu" in file.read_text(encoding="utf-8") for file in files) else True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many inputs the fuzz tests have tried, in whichever process."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    calls = [report for report in reports if getattr(report, "when", "") == "call"]
    tried = [value for report in calls for key, value in report.user_properties if key == "tried"]
    if tried:
        terminalreporter.write_line("Inputs tried: " + ", ".join(sorted(str(value) for value in tried)))


@pytest.fixture
def digits() -> SearchSpace:
    return preset("vitas-digits")


@pytest.fixture(scope="session")
def small() -> SearchSpace:
    """A space of the digits' shape whose subnets train and run in no time."""
    return SearchSpace(
        name="small",
        image_size=(32, 32),
        in_chans=1,
        num_classes=10,
        patch_sizes=(8, 16),
        embed_dims=(24, 37, 48),
        depth=(1, 4),
        num_heads=(2, 3),
        attn_dims=(12, 24, 48),
        mlp_dims=(32, 49, 64),
    )


@pytest.fixture
def randomise() -> Callable[[object, int], None]:
    """Draws *every* parameter at random: fresh class tokens and biases are zero and hide faults."""
    import torch

    def draw(module: torch.nn.Module, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                parameter.copy_(centre + 0.05 * torch.randn(parameter.shape, generator=generator))

    return draw  # type: ignore[return-value]


@pytest.fixture(scope="module")
def brief() -> Iterator[None]:
    with brief_steps():
        yield


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The one that all deadlines ask; it stands still unless a test moves it."""
    made = Clock()
    monkeypatch.setattr("vitas_hw.core.deadline.now", made)
    return made


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
