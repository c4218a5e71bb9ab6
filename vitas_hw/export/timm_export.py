"""A plain model as a folder that ``timm.create_model("local-dir:FOLDER", pretrained=True)`` reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
from timm.models.vision_transformer import VisionTransformer

from vitas_hw.core.subnet import Subnet
from vitas_hw.export.parity import Program, torch_program

_OWN_NAMES = {  # of exactly these shapes; others that are as uniform take the name of the smallest ViT
    (16, 192, 12, 3, 768): "deit_tiny_patch16_224",
    (16, 384, 12, 6, 1536): "deit_small_patch16_224",
    (16, 768, 12, 12, 3072): "deit_base_patch16_224",
}
_UNIFORM, _ANY = "vit_tiny_patch16_224", "vitas_subnet"


def timm_architecture(subnet: Subnet) -> tuple[str, dict[str, Any]]:
    """Timm's name for a subnet and the arguments that make it one: its own if all blocks are equal and their heads
    divide the embedding, else ``vitas_subnet``, which the file of that name registers.
    """
    height, width = subnet.image_size
    arguments: dict[str, Any] = {
        "img_size": [height, width],
        "in_chans": subnet.in_chans,
        "patch_size": subnet.patch_size,
        "embed_dim": subnet.embed_dim,
    }
    first = subnet.blocks[0]
    # timm rounds down, and the exact ratio can lose one
    ratios = (first.mlp_dim / subnet.embed_dim, (first.mlp_dim + 0.5) / subnet.embed_dim)
    ratio = next((ratio for ratio in ratios if int(subnet.embed_dim * ratio) == first.mlp_dim), None)
    if set(subnet.blocks) != {first} or first.attn_dim != subnet.embed_dim or ratio is None:
        return _ANY, arguments | {"blocks": subnet.to_dict()["blocks"]}
    shape = (subnet.patch_size, subnet.embed_dim, subnet.depth, first.num_heads, first.mlp_dim)
    name = _OWN_NAMES.get(shape, _UNIFORM)
    return name, arguments | {"depth": subnet.depth, "num_heads": first.num_heads, "mlp_ratio": ratio}


def write_timm(model: VisionTransformer, subnet: Subnet, folder: Path, *, about: Mapping[str, Any]) -> None:
    """Write ``model.safetensors`` and ``config.json``, and ``vitas_subnet.py`` where timm alone has no such model.

    Args:
        model: plain model of ``subnet``.
        subnet: its architecture.
        folder: exists.
        about: kept under ``vitas_hw``. Of its ``preprocessing`` timm reads mean, std, interpolation and crop_pct, else
            takes its own; its ``class_names`` become the labels.
    """
    name, arguments = timm_architecture(subnet)
    how, class_names = about.get("preprocessing"), about.get("class_names")
    weights = {key: weight.detach().cpu().contiguous() for key, weight in model.state_dict().items()}
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    data = {key: how[key] for key in ("mean", "std", "interpolation", "crop_pct")} if how else {}
    config: dict[str, Any] = {
        "architecture": name,
        "num_classes": subnet.num_classes,
        "num_features": subnet.embed_dim,
        "global_pool": "token",
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [subnet.in_chans, *subnet.image_size],
            "fixed_input_size": True,
            "num_classes": subnet.num_classes,
            "pool_size": None,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
            "custom_load": False,
            **data,
        },
        "vitas_hw": {**about, "subnet": subnet.to_dict()},
    }
    if class_names:
        config["label_names"] = list(class_names)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    if name == _ANY:
        shutil.copyfile(Path(__file__).with_name("vitas_subnet.py"), folder / "vitas_subnet.py")


def timm_program(folder: Path) -> Program:
    """A written folder as timm reads it."""
    from vitas_hw.export import vitas_subnet  # noqa: F401  # registers the name

    return torch_program(timm.create_model(f"local-dir:{folder}", pretrained=True))
