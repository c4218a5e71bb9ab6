from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from vitas_hw.core.errors import FileError, InputError, VitasError
from vitas_hw.core.space import SearchSpace
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.weights_file import save_model
from vitas_hw.training.teacher import load_teacher


def test_a_searched_subnet_teaches(small: SearchSpace, tmp_path: Path) -> None:
    model = build_model(small.sample(0), seed=0).eval()
    save_model(model, small.sample(0), tmp_path / "choice.safetensors")
    teacher = load_teacher(str(tmp_path / "choice.safetensors"), small)
    images = torch.randn(2, 1, 32, 32)
    assert torch.equal(teacher(images), model(images))
    assert not any(weight.requires_grad for weight in teacher.parameters())


def test_any_model_of_timm_teaches_with_weights_from_a_file(small: SearchSpace, tmp_path: Path) -> None:
    model = timm.create_model("resnet10t", num_classes=10, in_chans=1).eval()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    teacher = load_teacher(f"resnet10t:{tmp_path / 'weights.safetensors'}", small)
    images = torch.randn(2, 1, 32, 32)
    assert torch.equal(teacher(images), model(images))
    with pytest.raises(FileError, match="holds no weights of resnet18 for 10 classes"):
        load_teacher(f"resnet18:{tmp_path / 'weights.safetensors'}", small)


def test_an_unfit_teacher_is_one_sentence(small: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="neither a model that timm knows"):
        load_teacher("resnet1", small)
    model = build_model(small.sample(0), seed=0)
    save_model(model, small.sample(0), tmp_path / "choice.safetensors")
    with pytest.raises(InputError, match=r"does not take the space's images \(images of 3 x 32 x 32 in 10 classes"):
        load_teacher(str(tmp_path / "choice.safetensors"), replace(small, in_chans=3))
    with pytest.raises(InputError, match="gives outputs"):
        load_teacher(str(tmp_path / "choice.safetensors"), replace(small, num_classes=7))

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to the hub")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(VitasError, match="The weights of resnet18 could not be downloaded: no route to the hub"):
        load_teacher("resnet18", small)
