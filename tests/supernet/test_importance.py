"""What matters is kept: models in which the answer is known, because parts of them do nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.supernet.importance import Importance, importance
from vitas_hw.supernet.original import Original
from vitas_hw.supernet.permute import EMBED, HEADS, MLP
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.pretrained import fill_from_pretrained, score
from vitas_hw.supernet.sharing import SCHEMES
from vitas_hw.supernet.supernet import build_supernet
from vitas_hw.supernet.weights_file import save_model
from vitas_hw.workflows.propose_space_around import space_around

Randomise = Callable[[object, int], None]
Batches = list[tuple[torch.Tensor, torch.Tensor]]
SMALL = Subnet((16, 16), 3, 8, 24, (Block(2, 8, 16),) * 2, 5)
LARGE = replace(SMALL, blocks=(Block(4, 8, 48),) * 4)
# where the large model's parts that do something stand
HEADS_THERE, MLP_THERE, BLOCKS_THERE = (1, 3), tuple(range(5, 37, 2)), (1, 2)


@pytest.fixture
def small_model(randomise: Randomise) -> VisionTransformer:
    model = build_model(SMALL).eval()
    randomise(model, 3)
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            parameter.data.mul_(4)
    return model


@pytest.fixture
def batches(small_model: VisionTransformer) -> Batches:
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(4, 8, 3, 16, 16, generator=generator)
    with torch.no_grad():  # the model is good at its task
        return [(each, small_model(each).argmax(1)) for each in images]


@pytest.fixture
def large_model(randomise: Randomise, small_model: VisionTransformer) -> VisionTransformer:
    """Computes what the small one does: all its other heads, MLP channels and blocks write nothing."""
    model = build_model(LARGE).eval()
    randomise(model, 4)
    rows = torch.cat([torch.arange(8) + 8 * head for head in HEADS_THERE])
    channels = torch.tensor(MLP_THERE)
    with torch.no_grad():
        for block in model.blocks:
            for linear in (block.attn.proj, block.mlp.fc2):
                linear.weight.zero_()
                linear.bias.zero_()
        for index, source in zip(BLOCKS_THERE, small_model.blocks, strict=True):
            block = model.blocks[index]
            block.norm1.load_state_dict(source.norm1.state_dict())
            block.norm2.load_state_dict(source.norm2.state_dict())
            for part in range(3):
                block.attn.qkv.weight[32 * part + rows] = source.attn.qkv.weight[16 * part : 16 * (part + 1)]
                block.attn.qkv.bias[32 * part + rows] = source.attn.qkv.bias[16 * part : 16 * (part + 1)]
            block.attn.proj.weight[:, rows] = source.attn.proj.weight
            block.attn.proj.bias.copy_(source.attn.proj.bias)
            block.mlp.fc1.weight[channels] = source.mlp.fc1.weight
            block.mlp.fc1.bias[channels] = source.mlp.fc1.bias
            block.mlp.fc2.weight[:, channels] = source.mlp.fc2.weight
            block.mlp.fc2.bias.copy_(source.mlp.fc2.bias)
        rest = {key: weight for key, weight in small_model.state_dict().items() if not key.startswith("blocks.")}
        model.load_state_dict(rest, strict=False)
    return model


def original(model: VisionTransformer, subnet: Subnet) -> Original:
    return Original(subnet, model.state_dict())


@pytest.mark.parametrize("with_images", [True, False])
def test_a_subnet_is_the_part_of_the_model_that_does_something(
    with_images: bool, small_model: VisionTransformer, large_model: VisionTransformer, batches: Batches, tmp_path: Path
) -> None:
    """The smaller model was hidden in the larger one; the subnet of its shape finds it again, heads with their q, k
    and v, and blocks by the space's order.
    """
    given = batches if with_images else []
    scores = score(original(large_model, LARGE), space_around(LARGE, "around", 5), given)
    assert set(scores.block_order[:2]) == set(BLOCKS_THERE)
    for block in BLOCKS_THERE:
        assert set(scores.order[HEADS, block][:2].tolist()) == set(HEADS_THERE)
        assert set(scores.order[MLP, block][:16].tolist()) == set(MLP_THERE)
    space = replace(space_around(LARGE, "around", 5, scores.block_order), mlp_dims=(16, 48))
    save_model(large_model, LARGE, tmp_path / "large.safetensors")
    supernet = build_supernet(space, seed=0).eval()
    filled = fill_from_pretrained(supernet, str(tmp_path / "large.safetensors"), given)
    assert filled.sorted_by == ("32 images" if with_images else "the size of the weights")
    with torch.no_grad():
        for images, _ in batches:
            torch.testing.assert_close(large_model(images), small_model(images))
            torch.testing.assert_close(supernet(images, space.largest), small_model(images), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(supernet(images, SMALL), small_model(images), rtol=1e-4, atol=1e-5)


def test_a_model_that_is_scored_already_is_sorted_by_those_scores(large_model: VisionTransformer) -> None:
    """Scores turned round put last what would be first; equal ones leave the model in its own order."""
    of, space = original(large_model, LARGE), space_around(LARGE, "around", 5)
    scores = score(of, space)
    turned = replace(scores, channels={group: -each for group, each in scores.channels.items()})
    equal = replace(scores, channels={group: torch.zeros_like(each) for group, each in scores.channels.items()})
    kernels = {}
    for name, given in (("usual", None), ("same", scores), ("turned", turned), ("equal", equal)):
        supernet = build_supernet(space, seed=0)
        fill_from_pretrained(supernet, of, scores=given)
        kernels[name] = supernet.weights(space.largest)["patch_embed.proj.weight"]
    torch.testing.assert_close(kernels["usual"], kernels["same"], rtol=0, atol=0)
    torch.testing.assert_close(kernels["usual"], kernels["turned"].flip(0), rtol=0, atol=0)
    torch.testing.assert_close(kernels["equal"], large_model.state_dict()["patch_embed.proj.weight"], rtol=0, atol=0)
    assert not torch.equal(kernels["equal"], kernels["usual"])


def test_gradients_know_what_weights_do_not(large_model: VisionTransformer, batches: Batches) -> None:
    """An MLP channel that is never active on the images has the largest weights."""
    block = large_model.blocks[1]
    with torch.no_grad():
        block.mlp.fc1.bias[7] = -1000.0  # GELU gives zero there, whatever comes in
        block.mlp.fc2.weight[:, 7] = 10.0
    by_weights = importance(large_model.state_dict(), LARGE).order[MLP, 1].tolist()
    by_images = importance(large_model.state_dict(), LARGE, batches).order[MLP, 1].tolist()
    assert by_weights[0] == 7
    assert by_images.index(7) >= 16


def test_the_embedding_keeps_the_channels_with_the_largest_weights_in_all_blocks(
    large_model: VisionTransformer, batches: Batches
) -> None:
    """Channels that nothing writes or reads come last; one that is loud everywhere comes first."""
    model, dead, loud = large_model, torch.tensor([0, 5, 23]), 11
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith(("cls_token", "pos_embed", "head.weight")) or name.endswith(
                ("qkv.weight", "fc1.weight")
            ):
                weight[..., dead] = 0.0
                weight[..., loud] *= 5
            elif "norm" in name or name.startswith("patch_embed") or name.split(".")[-2] in ("proj", "fc2"):
                weight[dead] = 0.0
    for given in ([], batches):
        order = importance(model.state_dict(), LARGE, given).order[EMBED, 0].tolist()
        assert order[0] == loud
        assert set(order[-3:]) == set(dead.tolist())


def test_a_classifier_of_other_classes_is_fitted_to_score(large_model: VisionTransformer) -> None:
    """The labels are the sign of one feature: with the model's own classifier gone, its channel matters most."""
    images = torch.randn(256, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        features = large_model.forward_head(large_model.forward_features(images), pre_logits=True)
    labels = (features[:, 9] > features[:, 9].median()).long()
    weights = {name: weight for name, weight in large_model.state_dict().items() if not name.startswith("head.")}
    subnet = replace(LARGE, num_classes=2)
    found = importance(weights, subnet, zip(images.split(32), labels.split(32), strict=True))
    assert found.images == 256
    assert found.order[EMBED, 0][0] == 9


@pytest.mark.parametrize("sharing", SCHEMES)
def test_what_a_space_has_beyond_the_model_does_nothing_at_first_and_learns(
    sharing: str, small_model: VisionTransformer, batches: Batches, tmp_path: Path
) -> None:
    space = replace(space_around(LARGE, "beyond", 5, (2, 0, 3, 1)), mlp_dims=(16, 24, 48))
    save_model(small_model, SMALL, tmp_path / "small.safetensors")
    supernet = build_supernet(space, sharing, seed=0).eval()
    filled = fill_from_pretrained(supernet, str(tmp_path / "small.safetensors"))
    assert filled.fresh == ("the blocks 1, 3", "16 of 32 attention channels", "32 of 48 MLP channels")
    assert bool(filled.sorted_by) == (sharing == "ordinal")
    side = supernet.sides[0] or None
    images, labels = batches[0]
    with torch.no_grad():
        wanted = small_model(images)
    for subnet in (SMALL, replace(SMALL, blocks=LARGE.blocks[:2]), space.largest):
        torch.testing.assert_close(supernet(images, subnet, side), wanted, rtol=1e-4, atol=1e-5)
    torch.nn.functional.cross_entropy(supernet(images, space.largest, side), labels).backward()
    for block in supernet.blocks:
        assert (block.attn.proj_weight.grad != 0).all()
        assert (block.mlp.fc2_weight.grad != 0).all()


@pytest.mark.parametrize("sharing", SCHEMES)
def test_fewer_heads_are_whole_heads_of_the_model(
    sharing: str, small_model: VisionTransformer, tmp_path: Path, randomise: Randomise
) -> None:
    """q, k and v of a head stay together, whichever v the sharing scheme gives."""
    model = build_model(replace(LARGE, blocks=LARGE.blocks[:1])).eval()
    randomise(model, 3)
    shape = replace(LARGE, blocks=LARGE.blocks[:1])
    save_model(model, shape, tmp_path / "m.safetensors")
    space = replace(space_around(shape, "heads", 5), embed_dims=(24,))
    supernet = build_supernet(space, sharing, seed=0)
    fill_from_pretrained(supernet, str(tmp_path / "m.safetensors"))

    def heads(qkv: torch.Tensor) -> set[tuple[float, ...]]:
        """The biases of each head, of q, k and v together: no order of the embedding changes them."""
        return {tuple(row) for row in qkv.view(3, -1, 8).transpose(0, 1).flatten(1).tolist()}

    whole = heads(model.blocks[0].attn.qkv.bias.detach())
    for count in space.num_heads:
        subnet = replace(shape, blocks=(replace(shape.blocks[0], num_heads=count),))
        mine = heads(supernet.weights(subnet, supernet.sides[0] or None)["blocks.0.attn.qkv.bias"].detach())
        assert len(mine) == count
        assert mine <= whole


def test_of_equals_the_earlier_stands_first() -> None:
    scores = Importance({(EMBED, 0): torch.tensor([1.0, 2.0, 1.0, 2.0])}, torch.tensor([3.0, 4.0, 3.0]), 0)
    assert scores.order[EMBED, 0].tolist() == [1, 3, 0, 2]
    assert scores.block_order == (1, 0, 2)


def test_a_space_that_is_wider_than_the_model(small_model: VisionTransformer, tmp_path: Path) -> None:
    """Its own shape is exact in a wider embedding too."""
    save_model(small_model, SMALL, tmp_path / "small.safetensors")
    space = replace(space_around(SMALL, "wider", 5), embed_dims=(24, 32))
    supernet = build_supernet(space, seed=0).eval()
    assert fill_from_pretrained(supernet, str(tmp_path / "small.safetensors")).fresh == ("8 of 32 embedding channels",)
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(supernet(images, SMALL), small_model(images), rtol=1e-4, atol=1e-5)
