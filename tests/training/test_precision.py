"""What a training computes in: on GPUs that are not here, by faked properties and fake tensors."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vitas_hw.core.presets import preset
from vitas_hw.core.space import SearchSpace
from vitas_hw.data.load import load_data
from vitas_hw.data.preprocessing import Preprocessing
from vitas_hw.data.splits import Split
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.supernet import build_supernet
from vitas_hw.training import trainer
from vitas_hw.training.checkpoint import State
from vitas_hw.training.evaluate import accuracy
from vitas_hw.training.objective import ModelObjective
from vitas_hw.training.precision import autocast_dtype, autocasting, deterministic
from vitas_hw.training.recipe import Recipe, Runtime
from vitas_hw.training.trainer import Training

RECIPE = Recipe(epochs=2, batch_size=16, lr=1e-3, warmup_epochs=1)


def gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)


@pytest.mark.parametrize(
    ("capability", "asked", "expected"),
    [
        ((9, 0), None, torch.bfloat16),
        ((8, 0), None, torch.bfloat16),
        ((7, 5), None, None),
        ((9, 0), "fp32", None),
        ((9, 0), "fp16", torch.float16),
        ((7, 5), "bf16", torch.bfloat16),
    ],
)
def test_a_gpu_trains_in_bf16_where_it_has_it_unless_told(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], asked: str | None, expected: torch.dtype | None
) -> None:
    gpu(monkeypatch, capability)
    assert autocast_dtype(asked, "cuda:0") == expected
    assert autocast_dtype(None, "cpu") is None


def test_a_supernet_runs_in_bf16_on_a_gpu_and_its_loss_stays_fp32(
    small: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(monkeypatch, (9, 0))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # or autocast turns itself off
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    supernet = build_supernet(small)
    with FakeTensorMode(), torch.device("cuda:0"):
        there = {name: torch.empty(weight.shape) for name, weight in supernet.named_parameters()}
        images = torch.empty(2, small.in_chans, *small.image_size)
        for asked, expected in ((None, torch.bfloat16), ("fp32", torch.float32)):
            with autocasting(asked, "cuda:0"):
                logits = torch.func.functional_call(supernet, there, (images, small.largest))
                loss = torch.nn.functional.cross_entropy(logits, torch.empty(2, dtype=torch.int64))
            assert logits.dtype == expected
            assert logits.device == torch.device("cuda:0")
            assert loss.dtype == torch.float32


def test_an_evaluation_runs_in_what_is_asked_for() -> None:
    split = Split(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4).long(), (0, 1, 2, 3), HOW)
    seen: list[torch.dtype] = []

    def forward(images: torch.Tensor) -> torch.Tensor:
        seen.append((images.flatten(1) @ torch.zeros(64, 5)).dtype)
        return torch.eye(5)[torch.tensor([0, 0, 1, 2])]

    assert accuracy(forward, split).top1 == 0.5
    assert accuracy(forward, split, autocast="bf16").top5 == 1.0
    assert seen == [torch.float32, torch.bfloat16]


HOW = Preprocessing((8, 8), (0.5,), (0.5,), "bilinear")


def test_deterministic_holds_while_training_and_is_put_back(
    small: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is put back at the end
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    data, seen = load_data("digits", preset("vitas-digits")), []

    def look(_: State) -> None:
        seen.append((torch.are_deterministic_algorithms_enabled(), os.environ.get("CUBLAS_WORKSPACE_CONFIG")))

    for wanted in (False, True):
        objective = ModelObjective(build_model(small.smallest, seed=0), RECIPE)
        runtime = Runtime(deterministic=wanted)
        part = data.train.subset(range(16))  # type: ignore[attr-defined]
        Training(objective, part, RECIPE, seed=0, num_classes=10, runtime=runtime, on_step=look).run()
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.utils.deterministic.fill_uninitialized_memory
    assert seen == [(False, None)] * 2 + [(True, ":4096:8")] * 2
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":16:8"
    with deterministic(wanted=True):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"  # the user's own


def test_compiling_is_limited_whatever_timm_has_set(small: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 1_000_000)
    data = load_data("digits", preset("vitas-digits"))
    objective = ModelObjective(build_model(small.smallest), replace(RECIPE))
    Training(objective, data.train, RECIPE, seed=0, num_classes=10, runtime=Runtime(compile=True))
    assert torch._dynamo.config.recompile_limit == trainer._MOST_COMPILED < 100
