"""A model whose channels have changed places computes what it did."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch

from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.permute import EMBED, HEADS, MLP, Order, apart, dimensions, joined, permuted
from vitas_hw.supernet.pretrained import fill_from_pretrained
from vitas_hw.supernet.supernet import build_supernet
from vitas_hw.supernet.timm_models import subnet_of_timm
from vitas_hw.workflows.propose_space_around import space_around

MODELS = [
    "deit_tiny_patch16_224",
    "vit_small_patch16_224",
    pytest.param("vit_base_patch16_224", marks=pytest.mark.full),
]
Randomise = Callable[[object, int], None]


def random_order(subnet: Subnet) -> Order:
    generator = torch.Generator().manual_seed(1)
    sizes = {(EMBED, 0): subnet.embed_dim}
    for index, block in enumerate(subnet.blocks):
        sizes |= {(HEADS, index): block.num_heads, (MLP, index): block.mlp_dim}
    drawn = {group: torch.randperm(size, generator=generator) for group, size in sizes.items()}
    return {group: order.roll(1) if torch.equal(order, order.sort()[0]) else order for group, order in drawn.items()}


def assert_close(logits: torch.Tensor, wanted: torch.Tensor) -> None:
    assert (logits - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("name", MODELS)
def test_the_logits_stay(name: str, randomise: Randomise) -> None:
    model = timm.create_model(name).eval()
    randomise(model, 3)
    subnet = subnet_of_timm(name)
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    before = {key: weight.clone() for key, weight in model.state_dict().items()}
    with torch.no_grad():
        wanted = model(images)
        model.load_state_dict(permuted(model.state_dict(), subnet, random_order(subnet)))
        assert_close(model(images), wanted)
    after = model.state_dict()
    moved = [key for key in after if key != "head.bias" and torch.equal(after[key], before[key])]
    assert moved == [], "these kept their places"


@pytest.mark.parametrize("name", MODELS)
def test_the_largest_subnet_of_the_space_around_a_model_computes_what_it_does(
    name: str, randomise: Randomise, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = timm.create_model(name).eval()
    randomise(model, 3)
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: model if pretrained else create(name))
    shape = subnet_of_timm(name)
    space = space_around(shape, "around", 1000, (3, 1, 0, 2, *range(4, 12)))
    supernet = build_supernet(space, seed=0).eval()
    filled = fill_from_pretrained(supernet, name)
    assert (filled.subnet, filled.fresh, filled.unused) == (space.largest, (), ()) == (shape, (), ())
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert_close(supernet(images, space.largest), model(images))


def test_every_weight_is_in_a_group_but_the_bias_of_the_classifier() -> None:
    subnet = subnet_of_timm("deit_tiny_patch16_224")
    with torch.device("meta"):
        weights = timm.create_model("deit_tiny_patch16_224").state_dict()
    assert [name for name in apart(weights) if not [*dimensions(name, subnet)]] == ["head.bias"]
    back = joined(apart(weights))
    assert {name: weight.shape for name, weight in back.items()} == {name: w.shape for name, w in weights.items()}
