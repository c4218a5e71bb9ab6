from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from vitas_hw.core.space import SearchSpace

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 128, "depth": 2, "num_heads": 2, "mlp_ratio": 2, "num_classes": 7}


@pytest.fixture(scope="session")
def tied() -> SearchSpace:
    """A space whose widths follow from heads and embedding, as AutoFormer's do."""
    return SearchSpace(
        name="tied",
        image_size=(32, 32),
        in_chans=3,
        num_classes=7,
        patch_sizes=(8, 16),
        embed_dims=(64, 128, 160),
        depth=(2, 3),
        num_heads=(1, 2, 3),
        head_dim=64,
        mlp_ratios=(1.0, 2.0),
    )


@pytest.fixture
def vit(randomise: Callable[[object, int], None]) -> Callable[..., VisionTransformer]:
    """Builds timm's own model of ``VIT`` and its keywords, random in every parameter."""

    def build(**changes: object) -> VisionTransformer:
        model = VisionTransformer(**{**VIT, **changes}).eval()
        randomise(model, 3)
        return model

    return build


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, vit: Callable[..., VisionTransformer]) -> dict[str, VisionTransformer]:
    """Models by names that timm then knows and has weights of, smaller than any of its own."""
    models = {"vit_pretend_patch8_32": vit()}
    known, create, tags = timm.models.is_model, timm.create_model, timm.list_pretrained

    def create_model(name: str, pretrained: bool = False) -> torch.nn.Module:
        if name not in models:
            return create(name, pretrained=pretrained)
        assert pretrained != (torch.get_default_device().type == "meta")
        return models[name] if pretrained else vit()

    monkeypatch.setattr("vitas_hw.supernet.timm_models.is_model", lambda name: name in models or known(name))
    monkeypatch.setattr(timm, "create_model", create_model)
    monkeypatch.setattr(timm, "list_pretrained", lambda query: [query] if query[:-2] in models else tags(query))
    return models
