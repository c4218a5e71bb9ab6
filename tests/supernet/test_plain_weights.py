"""Checkpoints of other vision transformers: those that a plain one computes the same as, or nearly, start."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from timm.layers import resample_abs_pos_embed, resample_patch_embed
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.export.timm_export import write_timm
from vitas_hw.supernet.original import load_original
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.plain_weights import plain_weights
from vitas_hw.supernet.pretrained import Filled, fill_from_pretrained
from vitas_hw.supernet.supernet import Supernet, build_supernet
from vitas_hw.supernet.timm_models import subnet_of_timm

Vit = Callable[..., VisionTransformer]
Randomise = Callable[[object, int], None]
NAME = "vit_pretend_patch8_32"
IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 128, "depth": 2, "num_heads": 2, "mlp_ratio": 2, "num_classes": 7}
HF_CONFIG: dict[str, Any] = {
    "model_type": "vit",
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 256,
    "image_size": 32,
    "patch_size": 8,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
}
HF_NAMES = {  # as transformers 4 and 5 write a ViTForImageClassification
    "patch_embed.proj": "vit.embeddings.patch_embeddings.projection",
    "norm": "vit.layernorm",
    "head": "classifier",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}


def hugging_face(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of timm's model under the names of Hugging Face's."""
    found = {}
    for name, weight in weights.items():
        if name in ("cls_token", "pos_embed"):
            found["vit.embeddings." + {"pos_embed": "position_embeddings"}.get(name, name)] = weight
            continue
        stem, _, kind = name.rpartition(".")
        prefix = ""
        if stem.startswith("blocks."):
            _, number, stem = stem.split(".", 2)
            prefix = f"vit.encoder.layer.{number}."
        if stem == "attn.qkv":
            for part, each in zip(("query", "key", "value"), weight.chunk(3), strict=True):
                found[f"{prefix}attention.attention.{part}.{kind}"] = each.contiguous()
        else:
            found[f"{prefix}{HF_NAMES[stem]}.{kind}"] = weight
    return found


def write_folder(folder: Path, weights: dict[str, torch.Tensor], config: dict[str, Any]) -> Path:
    folder.mkdir()
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def filled(space: SearchSpace, source: object) -> tuple[Supernet, Filled]:
    supernet = build_supernet(space, seed=0).eval()
    return supernet, fill_from_pretrained(supernet, str(source))


def assert_starts_as(model: torch.nn.Module, supernet: Supernet, subnet: Subnet) -> None:
    with torch.no_grad():
        wanted, logits = model(IMAGES), supernet(IMAGES, subnet)
    assert (logits - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize(
    "changes",
    [
        {"init_values": 0.1},
        {"init_values": 0.1, "no_embed_class": True},
        {"no_embed_class": True},
        {"qkv_bias": False},
    ],
    ids=["layer scale", "DeiT-III", "no class position", "no bias of q, k and v"],
)
def test_what_folds_into_a_plain_model_computes_the_same(
    changes: dict[str, Any], names: object, vit: Vit, tied: SearchSpace, tmp_path: Path
) -> None:
    model, file = vit(**changes), tmp_path / "w.pth"
    torch.save(model.state_dict(), file)
    for source in (f"{NAME}:{file}", file):
        supernet, found = filled(tied, source)
        assert found.unused == ()
        assert_starts_as(model, supernet, found.subnet)


def test_layer_scale_under_its_authors_names(names: object, vit: Vit, tied: SearchSpace, tmp_path: Path) -> None:
    model = vit(init_values=0.1)
    state = {
        name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): w
        for name, w in model.state_dict().items()
    }
    assert "blocks.1.gamma_2" in state
    torch.save(state, tmp_path / "w.pth")
    supernet, found = filled(tied, f"{NAME}:{tmp_path / 'w.pth'}")
    assert_starts_as(model, supernet, found.subnet)


@pytest.mark.parametrize(
    "name",
    [
        "deit_tiny_distilled_patch16_224",
        "deit3_small_patch16_224",
        "vit_small_patch14_dinov2",
        "deit3_base_patch16_384",
    ],
)
def test_models_that_timm_knows(name: str) -> None:
    """As a subnet's name they stay refused: they are not what its word says."""
    subnet = subnet_of_timm(name, least_classes=1, converted=True)
    with torch.device("meta"):
        model = timm.create_model(name)
        plain = build_model(subnet).state_dict()
    shapes = {key: weight.shape for key, weight in plain_weights(model.state_dict())[0].items()}
    grid = subnet.num_patches
    assert shapes.pop("pos_embed")[1] in (grid, grid + 1)
    assert shapes == {key: weight.shape for key, weight in plain.items() if key in shapes}
    assert plain.keys() - shapes.keys() <= {"pos_embed", "head.weight", "head.bias"}
    with pytest.raises(InputError, match="is no plain vision transformer"):
        subnet_of_timm(name)


def test_a_distilled_model_loses_its_second_token(
    names: object, vit: Vit, randomise: Randomise, tied: SearchSpace, tmp_path: Path
) -> None:
    distilled = VisionTransformerDistilled(**VIT).eval()
    randomise(distilled, 3)
    state, plain = distilled.state_dict(), vit()
    torch.save(state, tmp_path / "w.pth")
    kept = {name: weight for name, weight in state.items() if "dist" not in name}
    kept["pos_embed"] = torch.cat([state["pos_embed"][:, :1], state["pos_embed"][:, 2:]], 1)
    plain.load_state_dict(kept)
    supernet, found = filled(tied, f"{NAME}:{tmp_path / 'w.pth'}")
    assert found.unused == ("the distillation token", "the classifier of the distillation token")
    assert_starts_as(plain, supernet, found.subnet)


def test_a_folder_of_hugging_face(vit: Vit, tied: SearchSpace, tmp_path: Path) -> None:
    model = vit()
    folder = write_folder(tmp_path / "hf", hugging_face(model.state_dict()), HF_CONFIG)
    supernet, found = filled(tied, folder)
    assert (found.unused, found.fresh[0]) == ((), "the blocks 2")
    assert_starts_as(model, supernet, found.subnet)
    (folder / "model.safetensors").unlink()
    torch.save(hugging_face(model.state_dict()), folder / "pytorch_model.bin")
    supernet, found = filled(tied, folder)
    assert_starts_as(model, supernet, found.subnet)


def test_a_bare_distilled_model_of_hugging_face(vit: Vit, tied: SearchSpace, tmp_path: Path) -> None:
    state = vit().state_dict()
    weights = {
        name.removeprefix("vit."): weight for name, weight in hugging_face(state).items() if "classifier" not in name
    }
    positions = weights["embeddings.position_embeddings"]
    weights |= {
        "embeddings.distillation_token": torch.ones(1, 1, 128),
        "embeddings.mask_token": torch.ones(1, 1, 128),
        "embeddings.position_embeddings": torch.cat([positions[:, :1], torch.ones(1, 1, 128), positions[:, 1:]], 1),
        "pooler.dense.weight": torch.ones(128, 128),
        "pooler.dense.bias": torch.ones(128),
    }
    _, found = filled(tied, write_folder(tmp_path / "hf", weights, HF_CONFIG | {"model_type": "deit"}))
    assert found.unused == ("the distillation token", "the mask token", "the pooler")
    assert found.fresh[0] == "the classifier (0 classes in the checkpoint, 7 in the space)"
    original = load_original(str(tmp_path / "hf"))
    assert torch.equal(original.weights["pos_embed"], state["pos_embed"])
    assert torch.equal(original.weights["blocks.1.attn.qkv.weight"], state["blocks.1.attn.qkv.weight"])


@pytest.mark.parametrize("unlike", [False, True])
def test_a_folder_that_timm_reads(
    unlike: bool, randomise: Randomise, tied: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both kinds that an export writes: of a name that timm knows, and of one with code, which is not run."""
    monkeypatch.delitem(timm.models._registry._model_entrypoints, "vitas_subnet", raising=False)  # another test ran it
    blocks = (Block(2, 64, 256), Block(1 if unlike else 2, 64, 128 if unlike else 256))
    subnet = Subnet((32, 32), 3, 8, 128, blocks, 7)
    model = build_model(subnet).eval()
    randomise(model, 3)
    write_timm(model, subnet, tmp_path, about={})
    assert (tmp_path / "vitas_subnet.py").exists() == unlike
    supernet, found = filled(tied, tmp_path)
    assert found.subnet == subnet
    assert_starts_as(model, supernet, subnet)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["vitas_hw"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    if unlike:
        with pytest.raises(InputError, match="vitas_subnet is neither a model that timm knows"):
            filled(tied, tmp_path)
    else:
        assert filled(tied, tmp_path)[1].subnet == subnet


def test_twenty_one_thousand_classes_in_half_precision_at_another_size(
    names: object, vit: Vit, tied: SearchSpace, tmp_path: Path
) -> None:
    model = vit(num_classes=21_843, img_size=48)
    torch.save({name: weight.half() for name, weight in model.state_dict().items()}, tmp_path / "w.pth")
    supernet, found = filled(tied, f"{NAME}:{tmp_path / 'w.pth'}")
    assert found.unused == ("its classifier of 21843 classes", "its 6x6 positions (resampled to 4x4)")
    state = {name: weight.half().float() for name, weight in model.state_dict().items() if not name.startswith("head.")}
    state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], [4, 4])
    wanted = vit(num_classes=0)
    wanted.load_state_dict(state)
    with torch.no_grad():  # the channels stand in another order, the distances between the images do not
        identity = build_supernet(replace(tied, num_classes=128), seed=0).eval()
        identity.load_state_dict(
            supernet.state_dict() | {"head.weight": torch.eye(128, 160), "head.bias": torch.zeros(128)}
        )
        features = identity(IMAGES, replace(found.subnet, num_classes=128))
        torch.testing.assert_close(torch.cdist(features, features), torch.cdist(wanted(IMAGES), wanted(IMAGES)))


def test_another_patch_size(vit: Vit, names: object, tied: SearchSpace, tmp_path: Path) -> None:
    model = vit(patch_size=4)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    supernet, found = filled(tied, tmp_path / "w.pth")
    assert found.unused == ("its patch size 4 (resampled to 8)", "its 8x8 positions (resampled to 4x4)")
    assert found.subnet.patch_size == 8
    state = dict(model.state_dict())
    state["pos_embed"] = resample_abs_pos_embed(state["pos_embed"], [4, 4])
    state["patch_embed.proj.weight"] = resample_patch_embed(state["patch_embed.proj.weight"], [8, 8])
    wanted = vit()
    wanted.load_state_dict(state)
    assert_starts_as(wanted, supernet, found.subnet)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"model_type": "swin"},
            "config.json describes no plain vision transformer: its model_type is 'swin', not vit or deit",
        ),
        ({"hidden_act": "quick_gelu"}, "its hidden_act is 'quick_gelu', not 'gelu'"),
        ({"layer_norm_eps": 1e-5}, "its layer_norm_eps is 1e-05, above 1e-06"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers must be a whole number"),
        ({"num_hidden_layers": 10**6}, "has at most 1024 blocks"),
        ({"image_size": [32]}, "image_size must be a whole number"),
        ({"num_attention_heads": "2"}, "num_attention_heads must be a whole number"),
        (
            {"num_hidden_layers": 3},
            "is no checkpoint of the model that .*config.json describes: it holds a model of 2 blocks",
        ),
        ({"num_attention_heads": 4, "hidden_size": 256}, "embed_dim 128, .* not a model of 2 blocks .* embed_dim 256"),
        ({"architecture": "resnet18"}, "resnet18 is no plain vision transformer"),
        ({"architecture": "nonsense"}, "neither a model that timm knows"),
        (
            {"architecture": "vit_tiny_patch16_224", "model_args": {"checkpoint_path": "x.pth"}},
            "its model_args have 'checkpoint_path', which is not read",
        ),
        ({"vitas_hw": {}}, "it lacks 'subnet'"),
    ],
)
def test_folders_of_other_models(
    config: dict[str, Any], said: str, vit: Vit, tied: SearchSpace, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "hf", hugging_face(vit().state_dict()), HF_CONFIG | config)
    with pytest.raises(InputError, match=said):
        filled(tied, folder)


def test_folders_without_what_they_need(vit: Vit, tied: SearchSpace, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "hf", hugging_face(vit().state_dict()), HF_CONFIG)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    with pytest.raises(FileError, match=r"has no weights in one file: neither model.safetensors nor pytorch_model.bin"):
        filled(tied, folder)
    for text in ("[1]", "{", '{"model_type": NaN}'):
        (folder / "config.json").write_text(text)
        with pytest.raises(FileError, match=r"config.json describes no model"):
            filled(tied, folder)
    (folder / "config.json").unlink()
    with pytest.raises(FileError, match="the model's configuration"):
        filled(tied, folder)


def test_a_file_of_hugging_face_by_timms_name(names: object, vit: Vit, tied: SearchSpace, tmp_path: Path) -> None:
    model = vit()
    safetensors.torch.save_file(hugging_face(model.state_dict()), tmp_path / "model.safetensors")
    supernet, found = filled(tied, f"{NAME}:{tmp_path / 'model.safetensors'}")
    assert_starts_as(model, supernet, found.subnet)
    gray = replace(tied, name="gray", in_chans=1)
    assert filled(gray, tmp_path / "model.safetensors")[1].unused == ("its 3 input channels (summed up for 1)",)
