"""A supernet that starts from a pretrained model: equal to it where they have the same shape (``train --init``)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from vitas_hw.core.errors import InputError
from vitas_hw.core.presets import preset
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.options import PRIVATE
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.pretrained import fill_from_pretrained
from vitas_hw.supernet.sharing import SCHEMES, Channels, put, take
from vitas_hw.supernet.supernet import Supernet, build_supernet, extract
from vitas_hw.supernet.timm_models import SUFFIXES
from vitas_hw.supernet.weights_file import save_model

Vit = Callable[..., VisionTransformer]
Randomise = Callable[[object, int], None]
NAME = "vit_pretend_patch8_32"


def images(space: SearchSpace) -> torch.Tensor:
    return torch.randn(3, space.in_chans, *space.image_size, generator=torch.Generator().manual_seed(0))


def subnet_of(space: SearchSpace, patch_size: int) -> Subnet:
    """Neither largest nor first in any dimension, its blocks unlike."""
    base = next(s for s in map(space.sample, range(1000)) if s.depth == 2)
    blocks = tuple(
        replace(block, num_heads=heads, head_dim=attn // heads, mlp_dim=mlp)
        for block, heads, attn, mlp in zip(base.blocks, (3, 2), (24, 12), (49, 32), strict=True)
    )
    return replace(base, patch_size=patch_size, embed_dim=37, blocks=blocks)


def fresh_and_filled(
    space: SearchSpace,
    source: object,
    randomise: Randomise,
    sharing: str = "cyclic",
    private: tuple[str, ...] = PRIVATE,
) -> tuple[Supernet, Supernet, Subnet]:
    fresh, filled = (build_supernet(space, sharing, private=private, seed=0).eval() for _ in range(2))
    for supernet in (fresh, filled):
        randomise(supernet, 5)
    return fresh, filled, fill_from_pretrained(filled, str(source)).subnet


def assert_equal_logits(supernet: Supernet, subnet: Subnet, model: VisionTransformer) -> None:
    batch = images(supernet.space)
    with torch.no_grad():
        wanted, logits = model(batch), supernet(batch, subnet, supernet.sides[0] or None)
    assert (logits - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("private", [PRIVATE, (), ("cls_token", "qk")], ids=["private", "shared", "some"])
@pytest.mark.parametrize("patch_size", [8, 16])
@pytest.mark.parametrize("sharing", SCHEMES)
def test_the_subnet_of_the_same_shape_starts_equal(
    small: SearchSpace, randomise: Randomise, tmp_path: Path, sharing: str, patch_size: int, private: tuple[str, ...]
) -> None:
    subnet = subnet_of(small, patch_size)
    model = build_model(subnet).eval()
    randomise(model, 3)
    save_model(model, subnet, tmp_path / "model.safetensors")
    _, supernet, filled = fresh_and_filled(small, tmp_path / "model.safetensors", randomise, sharing, private)
    assert filled == subnet
    assert_equal_logits(supernet, subnet, model)
    weights = extract(supernet, subnet, supernet.sides[0] or None).state_dict()
    for name, weight in model.state_dict().items():  # with ordinal sharing the same numbers in other places
        mine, its = (one.flatten().sort()[0] if sharing == "ordinal" else one for one in (weights[name], weight))
        torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sharing", SCHEMES)
def test_what_the_checkpoint_does_not_have_writes_nothing(
    small: SearchSpace, randomise: Randomise, tmp_path: Path, sharing: str
) -> None:
    subnet = subnet_of(small, 8)
    model = build_model(subnet)
    randomise(model, 3)
    save_model(model, subnet, tmp_path / "model.safetensors")
    fresh, supernet, _ = fresh_and_filled(small, tmp_path / "model.safetensors", randomise, sharing)
    before, after = fresh.state_dict(), supernet.state_dict()
    for block in (2, 3):
        for name in ("attn.proj_weight", "attn.proj_bias", "mlp.fc2_weight", "mlp.fc2_bias"):
            assert not after[f"blocks.{block}.{name}"].any()
        for name in ("norm1.weight", "mlp.fc1_bias", "attn.v_bias"):  # what reads stays fresh
            assert torch.equal(after[f"blocks.{block}.{name}"], before[f"blocks.{block}.{name}"])
    there = {name: int((weight != 0).sum()) for name, weight in after.items()}
    assert there["head.weight"] == 370
    assert there["stem.cls_token.8"] == there["stem.cls_token.16"] == 37
    assert there["blocks.0.mlp.fc2_weight"] == 49 * 37
    assert there["blocks.1.attn.proj_weight"] == 12 * 37
    assert there["blocks.1.attn.v_weight"] == 48 * 37
    changed = {name: int((before[name] != after[name]).sum()) for name in before}
    assert changed["norm.weight"] == 37
    assert changed["blocks.0.mlp.fc1_bias"] == 49
    for owner in ("2", "3"):  # q and k are private to the head counts, each as wide
        assert changed[f"blocks.1.attn.q_bias.{owner}"] == 12
    result = fill_from_pretrained(supernet, str(tmp_path / "model.safetensors"))
    assert result.unused == ()
    assert result.fresh == (
        "the blocks 2, 3",
        "11 of 48 embedding channels",
        "36 of 48 attention channels",
        "32 of 64 MLP channels",
    )


def test_other_patch_sizes_get_resampled_weights(small: SearchSpace, randomise: Randomise, tmp_path: Path) -> None:
    subnet = replace(small.largest, patch_size=8)
    model = build_model(subnet).eval()
    randomise(model, 3)
    save_model(model, subnet, tmp_path / "model.safetensors")
    fresh, supernet, _ = fresh_and_filled(small, tmp_path / "model.safetensors", randomise)
    other = replace(subnet, patch_size=16)
    before, after = fresh.weights(other), supernet.weights(other)
    for name in ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"):
        assert torch.isfinite(after[name]).all()
        assert not (before[name] == after[name]).any()
    torch.testing.assert_close(after["cls_token"].sort()[0], model.cls_token.sort()[0])
    flat = torch.ones(1, 1, 16, 16)  # a patch without structure says the same at each size
    coarse, fine = after["patch_embed.proj.weight"], model.patch_embed.proj.weight
    sums = (coarse * flat).sum((1, 2, 3)), fine.sum((1, 2, 3))
    torch.testing.assert_close(*(one.sort()[0] for one in sums), rtol=1e-3, atol=1e-3)


def test_a_name_in_a_space_of_tied_widths(
    names: dict[str, VisionTransformer], randomise: Randomise, tied: SearchSpace
) -> None:
    for sharing in SCHEMES:
        fresh, supernet, subnet = fresh_and_filled(tied, NAME, randomise, sharing)
        assert (subnet.embed_dim, subnet.depth) == (128, 2)
        assert {(block.num_heads, block.head_dim) for block in subnet.blocks} == {(2, 64)}
        assert_equal_logits(supernet, subnet, names[NAME])
        attention, new = supernet.blocks[0].attn, fresh.blocks[0].attn
        wide = [take(torch.arange(192), attention.attn.channels(width, supernet.sides[0])) for width in (128, 192)]
        there = torch.isin(wide[1], wide[0])  # of three heads those that the model has
        assert set(attention.q_bias["3"][there].tolist()) == set(attention.q_bias["2"].tolist())
        assert torch.equal(attention.q_bias["3"][~there], new.q_bias["3"][~there])
        assert torch.isin(attention.q_bias["1"], attention.q_bias["2"]).all() or sharing == "cyclic"


def test_deit_tiny_fits_the_autoformer_space(randomise: Randomise, monkeypatch: pytest.MonkeyPatch) -> None:
    space = replace(preset("autoformer-tiny"), name="cut", depth=(12, 12), embed_dims=(192, 216))
    model = timm.create_model("deit_tiny_patch16_224").eval()
    randomise(model, 3)
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: model if pretrained else create(name))
    supernet = build_supernet(space, seed=0).eval()
    result = fill_from_pretrained(supernet, "deit_tiny_patch16_224.fb_in1k")
    assert space.contains(result.subnet)
    assert result.fresh == ("24 of 216 embedding channels", "64 of 256 attention channels", "96 of 864 MLP channels")
    assert_equal_logits(supernet, result.subnet, model)


@pytest.mark.parametrize(
    ("suffix", "nested"),
    [(suffix, None) for suffix in SUFFIXES] + [(".pth", key) for key in ("model", "state_dict", "state_dict_ema")],
)
def test_files_of_every_kind(
    names: dict[str, VisionTransformer],
    randomise: Randomise,
    tmp_path: Path,
    suffix: str,
    nested: str | None,
    tied: SearchSpace,
) -> None:
    model, file = names[NAME], tmp_path / f"weights{suffix}"
    state = {f"module.{name}": weight for name, weight in model.state_dict().items()}
    if suffix == ".safetensors":
        safetensors.torch.save_file(state, file)
    else:
        options = {"args": argparse.Namespace(lr=0.1), "epoch": 3}
        torch.save({nested: state, **options} if nested else state, file)
    for source in (file, f"{NAME}:{file}"):
        _, supernet, subnet = fresh_and_filled(tied, source, randomise)
        assert_equal_logits(supernet, subnet, model)


def test_a_name_tells_the_heads_of_a_file(
    names: dict[str, VisionTransformer], randomise: Randomise, tmp_path: Path, vit: Vit, tied: SearchSpace
) -> None:
    space = replace(tied, name="untied", head_dim=None, attn_dims=(64, 128), num_heads=(2, 4, 8))
    file = tmp_path / "weights.pth"
    torch.save(names[NAME].state_dict(), file)
    with pytest.raises(InputError, match=r"without the number of heads.*init=NAME:.*weights\.pth"):
        fill_from_pretrained(build_supernet(space, seed=0), str(file))
    _, supernet, subnet = fresh_and_filled(space, f"{NAME}:{file}", randomise)
    assert_equal_logits(supernet, subnet, names[NAME])
    for changes in ({"embed_dim": 192}, {"depth": 3}, {"patch_size": 16}, {"mlp_ratio": 1}):
        torch.save(vit(**changes).state_dict(), file)
        with pytest.raises(
            InputError, match=rf"is no checkpoint of {NAME}: it holds a model of \d blocks .*, not a model of 2 blocks"
        ):
            fill_from_pretrained(build_supernet(space, seed=0), f"{NAME}:{file}")


def test_other_classes_channels_and_image_size(
    names: dict[str, VisionTransformer], randomise: Randomise, tmp_path: Path, vit: Vit, tied: SearchSpace
) -> None:
    space = replace(tied, name="other", num_classes=5, in_chans=1, image_size=(48, 32))
    _, supernet, subnet = fresh_and_filled(space, NAME, randomise)
    wanted = vit(num_classes=5, in_chans=1, img_size=(48, 32))
    state = dict(names[NAME].state_dict())
    state["pos_embed"] = timm.layers.resample_abs_pos_embed(state["pos_embed"], [6, 4])
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].sum(1, keepdim=True)
    state |= {"head.weight": supernet.weights(subnet)["head.weight"].detach(), "head.bias": supernet.head.bias.detach()}
    wanted.load_state_dict(state)
    assert_equal_logits(supernet, subnet, wanted)
    fresh = fill_from_pretrained(supernet, NAME).fresh
    assert fresh[0] == "the classifier (7 classes in the checkpoint, 5 in the space)"
    state = {name: weight for name, weight in state.items() if not name.startswith("head")}
    torch.save(state, tmp_path / "headless.pt")
    fresh = fill_from_pretrained(supernet, f"{NAME}:{tmp_path / 'headless.pt'}").fresh
    assert fresh[0] == "the classifier (0 classes in the checkpoint, 5 in the space)"


def test_put_writes_where_take_reads() -> None:
    rows: Channels = (slice(3, 4), slice(0, 1))
    columns: Channels = (slice(4, 6), slice(0, 2))
    weight, value = torch.zeros(4, 6), torch.arange(1.0, 9.0).view(2, 4)
    put(value, weight, rows, columns)
    assert torch.equal(take(weight, rows, columns), value)
    assert weight.count_nonzero() == 8
