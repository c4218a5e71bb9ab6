"""Checkpoints that a supernet cannot start from: each in a sentence, none with its code run."""

from __future__ import annotations

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
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.pretrained import fill_from_pretrained
from vitas_hw.supernet.supernet import build_supernet
from vitas_hw.supernet.weights_file import save_model, save_supernet

NAME = "vit_pretend_patch8_32"
Vit = Callable[..., VisionTransformer]


def test_channels_that_cannot_be_adapted(small: SearchSpace, tmp_path: Path) -> None:
    subnet = small.smallest
    save_model(build_model(subnet, seed=0), subnet, tmp_path / "m.safetensors")
    supernet = build_supernet(replace(small, in_chans=3), seed=0)
    with pytest.raises(InputError, match="in_chans 1 cannot be adapted to the 3 of space 'small'; 3 can"):
        fill_from_pretrained(supernet, str(tmp_path / "m.safetensors"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embed_dim": 192, "num_heads": 3}, "embed_dim 192 is not among the choices of space 'tied': 64, 128, 160"),
        ({"depth": 4}, "depth 4 is not among .* 2, 3"),
        ({"depth": 1}, "depth 1 is not among .* 2, 3"),
        ({"mlp_ratio": 3}, r"mlp_dim \(block 0\) 384 is not among .* 128, 256"),
    ],
)
def test_a_shape_outside_the_space(
    tmp_path: Path, changes: dict[str, int], message: str, vit: Vit, tied: SearchSpace
) -> None:
    torch.save(vit(**changes).state_dict(), tmp_path / "w.pth")
    supernet = build_supernet(tied, seed=0)
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
        ("vit_base_patch16_clip_224", "epsilon 1e-05, .*a norm before the blocks"),
        ("vit_small_patch14_reg4_dinov2", "register tokens"),
        ("vit_base_patch16_clip_quickgelu_224", "not GELU"),
        ("vit_base_patch16_siglip_224", "pools by 'map'"),
        ("vit_relpos_small_patch16_224", "VisionTransformerRelPos"),
        ("vit_tiny_r_s16_p8_224", "its patch projection is another"),
        ("vit_medium_patch16_gap_240", "pools by 'avg'"),
        ("vit_base_patch16_rpn_224", "its blocks are others"),
        ("vit_giant_patch14_dinov2", "its blocks are others"),
        ("vit_so150m2_patch16_reg1_gap_256", "pools by 'avg'"),
    ],
)
def test_models_of_another_kind(name: str, reason: str, tied: SearchSpace) -> None:
    with pytest.raises(InputError, match=rf"^{name} is no plain vision transformer: .*{reason}"):
        fill_from_pretrained(build_supernet(tied, seed=0), name)


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


def test_a_name_without_weights(
    names: dict[str, VisionTransformer], monkeypatch: pytest.MonkeyPatch, tied: SearchSpace
) -> None:
    monkeypatch.setattr(timm, "list_pretrained", lambda query: [])
    with pytest.raises(InputError, match=f"has no weights of it. .*init={NAME}:FILE"):
        fill_from_pretrained(build_supernet(tied, seed=0), NAME)


class Malicious:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> object:
        return Path.touch, (self.witness,)


def test_a_pickle_is_refused_and_not_run(tmp_path: Path, tied: SearchSpace) -> None:
    witness, file = tmp_path / "witness", tmp_path / "weights.pth"
    for content in (Malicious(witness), {"model": {}, "extra": Malicious(witness)}):
        torch.save(content, file)
        with pytest.raises(FileError, match="more than weights or is broken, and nothing in it was run"):
            fill_from_pretrained(build_supernet(tied, seed=0), str(file))
        assert not witness.exists()
    torch.load(file, weights_only=False)  # it would have
    assert witness.exists()


def test_broken_and_foreign_files(small: SearchSpace, tmp_path: Path, vit: Vit, tied: SearchSpace) -> None:
    supernet, file = build_supernet(tied, seed=0), tmp_path / "w.pth"
    state = vit().state_dict()
    for content, message in (
        ({"epoch": 3}, "holds no state dict"),
        ([1, 2], "holds no state dict"),
        ({"fc.weight": torch.zeros(2)}, "blocks are not numbered"),
        ({**state, "blocks.0.attn.q_norm.weight": torch.ones(64)}, "normalised q and k"),
        ({**state, "reg_token": torch.zeros(1, 4, 128)}, "register tokens"),
        ({**state, "norm_pre.weight": torch.ones(128)}, "a norm before the blocks"),
        ({**state, "fc_norm.weight": torch.ones(128)}, "a pool over all tokens"),
        (timm.create_model("resnet18").state_dict(), "is no plain vision transformer: its blocks are not numbered"),
        ({k: v for k, v in state.items() if k != "blocks.1.norm2.bias"}, "no blocks.1.norm2.bias"),
        ({k: v for k, v in state.items() if k != "cls_token"}, "no class token"),
        ({k: v for k, v in state.items() if k != "head.bias"}, "classifier lacks"),
        ({**state, "cls_token": torch.zeros(())}, "cls_token has 0 dimensions"),
        ({**state, "pos_embed": torch.zeros(1, 15, 128)}, "14 positions .* no square grid"),
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
        whole = tmp_path / f"whole.{suffix}"
        if suffix == "pth":
            torch.save(state, whole)
        else:
            safetensors.torch.save_file(state, whole)
        broken.write_bytes(whole.read_bytes()[:-1000])
        with pytest.raises(FileError, match=r"broken|no readable|not a readable"):
            fill_from_pretrained(supernet, str(broken))
    save_supernet(build_supernet(small, seed=0), tmp_path / "s.safetensors")
    with pytest.raises(InputError, match="holds a supernet"):
        fill_from_pretrained(supernet, str(tmp_path / "s.safetensors"))
