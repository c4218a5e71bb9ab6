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

from vitas_hw.core.errors import FileError, InputError, VitasError
from vitas_hw.core.presets import preset
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.checkpoint import save_model, save_supernet
from vitas_hw.supernet.foreign import SUFFIXES
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.pretrained import fill_from_pretrained
from vitas_hw.supernet.sharing import SCHEMES, Channels, put, take
from vitas_hw.supernet.supernet import PRIVATE, Supernet, build_supernet, extract

Randomise = Callable[[object, int], None]
TIED = SearchSpace(
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
NAME = "vit_pretend_patch8_32"
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 128, "depth": 2, "num_heads": 2, "mlp_ratio": 2, "num_classes": 7}


def images(space: SearchSpace) -> torch.Tensor:
    return torch.randn(3, space.in_chans, *space.image_size, generator=torch.Generator().manual_seed(0))


def vit(randomise: Randomise, **changes: object) -> VisionTransformer:
    model = VisionTransformer(**{**VIT, **changes}).eval()
    randomise(model, 3)
    return model


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


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, randomise: Randomise) -> dict[str, VisionTransformer]:
    """Models under names that timm then has weights of: its registry of the right shapes costs too much."""
    models: dict[str, VisionTransformer] = {}
    known, create, tags = timm.models.is_model, timm.create_model, timm.list_pretrained

    def create_model(name: str, pretrained: bool = False) -> torch.nn.Module:
        if name not in models:
            return create(name, pretrained=pretrained)
        if torch.get_default_device().type == "meta":
            return vit(randomise, num_classes=len(models[name].head.bias)).to("meta")
        assert pretrained
        return models[name]

    monkeypatch.setattr("vitas_hw.supernet.foreign.is_model", lambda name: name in models or known(name))
    monkeypatch.setattr(timm, "create_model", create_model)
    monkeypatch.setattr(timm, "list_pretrained", lambda query: [query] if query[:-2] in models else tags(query))
    models[NAME] = vit(randomise)
    return models


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
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sharing", SCHEMES)
def test_what_the_checkpoint_does_not_have_stays_fresh(
    small: SearchSpace, randomise: Randomise, tmp_path: Path, sharing: str
) -> None:
    subnet = subnet_of(small, 8)
    save_model(build_model(subnet, seed=1), subnet, tmp_path / "model.safetensors")
    fresh, supernet, _ = fresh_and_filled(small, tmp_path / "model.safetensors", randomise, sharing)
    before, after = fresh.state_dict(), supernet.state_dict()
    changed = {name: (before[name] != after[name]) for name in before}
    assert not any(places.any() for name, places in changed.items() if name.startswith(("blocks.2", "blocks.3")))
    assert changed["norm.weight"].sum() == 37
    assert changed["head.weight"].sum() == 370
    assert changed["blocks.0.mlp.fc1_weight"].sum() == 49 * 37
    assert changed["blocks.1.attn.v_weight"].sum() == 12 * 37
    for owner in ("2", "3"):  # q and k are private to the head counts, each as wide
        assert changed[f"blocks.1.attn.q_weight.{owner}"].sum() == 12 * 37
    result = fill_from_pretrained(supernet, str(tmp_path / "model.safetensors"))
    assert result.fresh == (
        "the blocks from 2 to 3",
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
    torch.testing.assert_close(after["cls_token"], model.cls_token)
    flat = torch.ones(1, 1, 16, 16)  # a patch without structure says the same at each size
    coarse, fine = after["patch_embed.proj.weight"], model.patch_embed.proj.weight
    torch.testing.assert_close((coarse * flat).sum((1, 2, 3)), fine.sum((1, 2, 3)), rtol=1e-3, atol=1e-3)


def test_a_name_in_a_space_of_tied_widths(names: dict[str, VisionTransformer], randomise: Randomise) -> None:
    for sharing in SCHEMES:
        fresh, supernet, subnet = fresh_and_filled(TIED, NAME, randomise, sharing)
        assert (subnet.embed_dim, subnet.depth, {(b.num_heads, b.head_dim) for b in subnet.blocks}) == (
            128,
            2,
            {(2, 64)},
        )
        assert_equal_logits(supernet, subnet, names[NAME])
        q = names[NAME].blocks[0].attn.qkv.weight[:128]
        columns = supernet.embed.channels(128, supernet.sides[0])
        attention = supernet.blocks[0].attn
        torch.testing.assert_close(take(attention.q_weight["1"], None, columns), q[:64])
        torch.testing.assert_close(take(attention.q_weight["3"], None, columns)[:128], q)
        assert torch.equal(attention.q_weight["3"][128:], fresh.blocks[0].attn.q_weight["3"][128:])


def test_deit_tiny_fits_the_autoformer_space(
    names: dict[str, VisionTransformer], randomise: Randomise, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = replace(preset("autoformer-tiny"), name="cut", depth=(12, 12), embed_dims=(192, 216))
    model = timm.create_model("deit_tiny_patch16_224").eval()
    randomise(model, 3)
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: model if pretrained else create(name))
    supernet = build_supernet(space, seed=0).eval()
    result = fill_from_pretrained(supernet, "deit_tiny_patch16_224.fb_in1k")
    assert result.subnet == Subnet.from_dict(result.subnet.to_dict())
    assert result.fresh == ("24 of 216 embedding channels", "64 of 256 attention channels", "96 of 864 MLP channels")
    assert_equal_logits(supernet, result.subnet, model)


@pytest.mark.parametrize(
    ("suffix", "nested"),
    [(suffix, None) for suffix in SUFFIXES] + [(".pth", key) for key in ("model", "state_dict", "state_dict_ema")],
)
def test_files_of_every_kind(
    names: dict[str, VisionTransformer], randomise: Randomise, tmp_path: Path, suffix: str, nested: str | None
) -> None:
    model, file = names[NAME], tmp_path / f"weights{suffix}"
    state = {f"module.{name}": weight for name, weight in model.state_dict().items()}
    if suffix == ".safetensors":
        safetensors.torch.save_file(state, file)
    else:
        options = {"args": argparse.Namespace(lr=0.1), "epoch": 3}
        torch.save({nested: state, **options} if nested else state, file)
    for source in (file, f"{NAME}:{file}"):
        _, supernet, subnet = fresh_and_filled(TIED, source, randomise)
        assert_equal_logits(supernet, subnet, model)


def test_a_name_tells_the_heads_of_a_file(
    names: dict[str, VisionTransformer], randomise: Randomise, tmp_path: Path
) -> None:
    space = replace(TIED, name="untied", head_dim=None, attn_dims=(64, 128), num_heads=(2, 4, 8))
    file = tmp_path / "weights.pth"
    torch.save(names[NAME].state_dict(), file)
    with pytest.raises(InputError, match=r"without the number of heads.*--init NAME:.*weights\.pth"):
        fill_from_pretrained(build_supernet(space, seed=0), str(file))
    _, supernet, subnet = fresh_and_filled(space, f"{NAME}:{file}", randomise)
    assert_equal_logits(supernet, subnet, names[NAME])
    for changes in ({"embed_dim": 192}, {"depth": 3}, {"patch_size": 16}, {"mlp_ratio": 1}):
        torch.save(vit(randomise, **changes).state_dict(), file)
        with pytest.raises(
            InputError, match=rf"holds a model of \d blocks .* and {NAME} is a model of 2 blocks .* 128"
        ):
            fill_from_pretrained(build_supernet(space, seed=0), f"{NAME}:{file}")


def test_other_classes_channels_and_image_size(
    names: dict[str, VisionTransformer], randomise: Randomise, tmp_path: Path
) -> None:
    space = replace(TIED, name="other", num_classes=5, in_chans=1, image_size=(48, 32))
    _, supernet, subnet = fresh_and_filled(space, NAME, randomise)
    wanted = vit(randomise, num_classes=5, in_chans=1, img_size=(48, 32))
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


def test_channels_that_cannot_be_adapted(small: SearchSpace, tmp_path: Path) -> None:
    subnet = small.smallest
    save_model(build_model(subnet, seed=0), subnet, tmp_path / "m.safetensors")
    supernet = build_supernet(replace(small, in_chans=3), seed=0)
    with pytest.raises(InputError, match="in_chans 1 cannot be adapted to the 3 of space 'small'; 3 can"):
        fill_from_pretrained(supernet, str(tmp_path / "m.safetensors"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 4}, "patch_size 4 is not among the choices of space 'tied': 8, 16"),
        ({"embed_dim": 192, "num_heads": 3}, "embed_dim 192 is not among .* 64, 128, 160"),
        ({"depth": 4}, "depth 4 is not among .* 2, 3"),
        ({"depth": 1}, "depth 1 is not among .* 2, 3"),
        ({"mlp_ratio": 3}, r"mlp_dim \(block 0\) 384 is not among .* 128, 256"),
    ],
)
def test_a_shape_outside_the_space(randomise: Randomise, tmp_path: Path, changes: dict[str, int], message: str) -> None:
    torch.save(vit(randomise, **changes).state_dict(), tmp_path / "w.pth")
    supernet = build_supernet(TIED, seed=0)
    before = {name: weight.clone() for name, weight in supernet.state_dict().items()}
    with pytest.raises(InputError, match=message):
        fill_from_pretrained(supernet, str(tmp_path / "w.pth"))
    assert all(torch.equal(weight, before[name]) for name, weight in supernet.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: replace(s, blocks=(replace(s.blocks[0], num_heads=4, head_dim=6),)), "num_heads .* 4 is .* 2, 3"),
        (lambda s: replace(s, blocks=(replace(s.blocks[0], head_dim=3),)), r"attn_dim .* 6 is .* 12, 24, 48"),
    ],
)
def test_heads_outside_the_space(
    small: SearchSpace, tmp_path: Path, change: Callable[[Subnet], Subnet], message: str
) -> None:
    subnet = change(small.smallest)
    save_model(build_model(subnet, seed=0), subnet, tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=message):
        fill_from_pretrained(build_supernet(small, seed=0), str(tmp_path / "m.safetensors"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet18", "it is timm's ResNet"),
        ("deit_tiny_distilled_patch16_224", "VisionTransformerDistilled, .*a distillation token"),
        ("deit3_small_patch16_224", "has no position, .*layer scale"),
        ("vit_base_patch16_clip_224", "epsilon 1e-05, .*a norm before the blocks"),
        ("vit_base_patch14_dinov2", "layer scale"),
        ("vit_small_patch14_reg4_dinov2", "register tokens"),
        ("vit_base_patch16_clip_quickgelu_224", "not GELU"),
        ("vit_base_patch16_siglip_224", "pools by 'map'"),
        ("vit_relpos_small_patch16_224", "VisionTransformerRelPos"),
        ("vit_tiny_r_s16_p8_224", "its patch projection is another"),
        ("vit_medium_patch16_gap_240", "pools by 'avg'"),
        ("vit_base_patch16_rpn_224", "no"),
    ],
)
def test_models_of_another_kind(name: str, reason: str) -> None:
    with pytest.raises(InputError, match=rf"^{name} is no plain vision transformer: .*{reason}"):
        fill_from_pretrained(build_supernet(TIED, seed=0), name)


def test_names_and_files_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    supernet = build_supernet(preset("autoformer-tiny"), seed=0)

    def offline(name: str, pretrained: bool = False) -> VisionTransformer:
        if pretrained:
            raise OSError("no route\nto host.")
        return create(name)

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(VitasError, match=r"could not be downloaded: no route to host\. Connect to .*:FILE\.") as error:
        fill_from_pretrained(supernet, "deit_tiny_patch16_224")
    assert not isinstance(error.value, InputError)
    for source, message in {
        "deit_tinny_patch16_224": "neither a model that timm knows nor a file .* Names like it: deit",
        "@": r"timm\.list_models",
        "hf-hub:someone/model": "neither a model",
        "deit_tiny_patch16_224.nonsense": "weights of deit_tiny_patch16_224 'nonsense'. Known: .*fb_in1k",
        "vit_huge_patch16_gap_448": "no plain",
        "nowhere.pth": r"There is no file nowhere\.pth",
        "deit_tiny_patch16_224:nowhere.pth": "nowhere.pth",
        f"deit_tiny_patch16_224:{tmp_path}": "neither a model",
    }.items():
        with pytest.raises(InputError, match=message):
            fill_from_pretrained(supernet, source)


def test_a_name_without_weights(names: dict[str, VisionTransformer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "list_pretrained", lambda query: [])
    with pytest.raises(InputError, match=f"has no weights of it. .*--init {NAME}:FILE"):
        fill_from_pretrained(build_supernet(TIED, seed=0), NAME)


class Malicious:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> object:
        return Path.touch, (self.witness,)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    witness, file = tmp_path / "witness", tmp_path / "weights.pth"
    for content in (Malicious(witness), {"model": {}, "extra": Malicious(witness)}):
        torch.save(content, file)
        with pytest.raises(FileError, match="more than weights or is broken, and nothing in it was run"):
            fill_from_pretrained(build_supernet(TIED, seed=0), str(file))
        assert not witness.exists()
    torch.load(file, weights_only=False)  # it would have
    assert witness.exists()


def test_broken_and_foreign_files(small: SearchSpace, randomise: Randomise, tmp_path: Path) -> None:
    supernet, file = build_supernet(TIED, seed=0), tmp_path / "w.pth"
    state = vit(randomise).state_dict()
    for content, message in (
        ({"epoch": 3}, "holds no state dict"),
        ([1, 2], "holds no state dict"),
        ({"fc.weight": torch.zeros(2)}, "blocks are not numbered"),
        ({**state, "dist_token": torch.zeros(1)}, "a distillation token"),
        ({k: v for k, v in state.items() if k != "blocks.1.norm2.bias"}, "no blocks.1.norm2.bias"),
        ({k: v for k, v in state.items() if k != "cls_token"}, "no class token"),
        ({k: v for k, v in state.items() if k != "head.bias"}, "classifier lacks"),
        ({**state, "cls_token": torch.zeros(())}, "cls_token has 0 dimensions"),
        ({**state, "pos_embed": torch.zeros(1, 16, 128)}, "15 positions .* no square grid"),
        ({**state, "blocks.1.attn.qkv.weight": torch.zeros(7, 128)}, r"has shape \(7, 128\).* would be \(384, 128\)"),
    ):
        torch.save(content, file)
        with pytest.raises(InputError, match=message):
            fill_from_pretrained(supernet, str(file))
    for suffix in ("pth", "safetensors"):
        broken = tmp_path / f"broken.{suffix}"
        for content in (b"", b"nonsense", b"PK\x03\x04nonsense"):
            broken.write_bytes(content)
            with pytest.raises(FileError, match=r"broken|no readable|not a readable"):
                fill_from_pretrained(supernet, str(broken))
    save_supernet(build_supernet(small, seed=0), tmp_path / "s.safetensors")
    with pytest.raises(InputError, match="holds a supernet"):
        fill_from_pretrained(supernet, str(tmp_path / "s.safetensors"))


def test_put_writes_where_take_reads() -> None:
    rows: Channels = (slice(3, 4), slice(0, 1))
    columns: Channels = (slice(4, 6), slice(0, 2))
    weight, value = torch.zeros(4, 6), torch.arange(1.0, 9.0).view(2, 4)
    put(weight, value, rows, columns)
    assert torch.equal(take(weight, rows, columns), value)
    assert weight.count_nonzero() == 8
