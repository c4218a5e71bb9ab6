"""The weights of other vision transformers as those of a plain one (timm's ``VisionTransformer`` without options).

Hugging Face's names become timm's. Layer scale is folded into the linear before it, and a missing bias of q, k and v is
zero: both compute the same as before. A distilled model loses its second token and the classifier of that token, so
that it computes what its class token's classifier does without them.
"""

from __future__ import annotations

import re

import torch

from vitas_hw.supernet.elastic import Weights

_HUGGING_FACE = {  # of ViT and DeiT, as their checkpoints have them in every version of transformers
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.distillation_token": "dist_token",
    "embeddings.mask_token": "mask_token",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
    "classifier": "head",
    "cls_classifier": "head",
    "distillation_classifier": "head_dist",
    "layernorm_before": "norm1",
    "attention.attention.query": "attn.q",
    "attention.attention.key": "attn.k",
    "attention.attention.value": "attn.v",
    "attention.output.dense": "attn.proj",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
_LEFT_OUT = {  # what a plain model has no place for, by how its names start
    "dist_token": "the distillation token",
    "head_dist.": "the classifier of the distillation token",
    "mask_token": "the mask token",
    "pooler.": "the pooler",
}
_SCALES = {  # layer scale, as timm and as its authors call it: the linear that it follows
    "ls1.gamma": "attn.proj",
    "gamma_1": "attn.proj",
    "ls2.gamma": "mlp.fc2",
    "gamma_2": "mlp.fc2",
}


def plain_weights(weights: Weights) -> tuple[Weights, tuple[str, ...]]:
    """The same under a plain model's names, as far as they can be, and what was left out, in words.

    Names that a plain model does not have stay; so do the positions, except that a distillation token's is left out.
    """
    plain = {_timm_name(name): weight for name, weight in weights.items()}
    _join_qkv(plain)
    for name in [name for name in plain if name.startswith("blocks.")]:
        block, _, part = name.partition(".")[2].partition(".")
        if part in _SCALES:
            scale, linear = plain.pop(name), f"blocks.{block}.{_SCALES[part]}"
            if {f"{linear}.weight", f"{linear}.bias"} <= plain.keys():
                plain[f"{linear}.weight"] = plain[f"{linear}.weight"] * scale.view(-1, 1)
                plain[f"{linear}.bias"] = plain[f"{linear}.bias"] * scale.view(-1)
    if "dist_token" in plain and plain.get("pos_embed", torch.empty(0)).ndim == 3:
        positions = plain["pos_embed"]  # of class token, distillation token, patches
        plain["pos_embed"] = torch.cat([positions[:, :1], positions[:, 2:]], dim=1)
    left_out = [what for start, what in _LEFT_OUT.items() if any(name.startswith(start) for name in plain)]
    kept = {name: weight for name, weight in plain.items() if not name.startswith(tuple(_LEFT_OUT))}
    return kept, tuple(left_out)


def _timm_name(name: str) -> str:
    """Hugging Face's name as timm's; another one as it is."""
    stem, dot, kind = name.rpartition(".")
    if kind not in ("weight", "bias"):
        stem, dot, kind = name, "", ""
    stem = re.sub(r"^(vit|deit)\.", "", stem)
    layer = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", stem)
    prefix, part = (f"blocks.{layer[1]}.", layer[2]) if layer else ("", stem)
    return f"{prefix}{_HUGGING_FACE[part]}{dot}{kind}" if part in _HUGGING_FACE else name


def _join_qkv(weights: Weights) -> None:
    """Make one linear of three, as timm has it, and give it a bias."""
    for query in [name for name in weights if name.endswith(".attn.q.weight")]:
        attn = query.removesuffix(".q.weight")
        for kind in ("weight", "bias"):
            parts = [f"{attn}.{part}.{kind}" for part in "qkv"]
            if all(part in weights for part in parts):
                weights[f"{attn}.qkv.{kind}"] = torch.cat([weights.pop(part) for part in parts])
    for joined in [name for name in weights if name.endswith(".attn.qkv.weight")]:
        weights.setdefault(joined.removesuffix("weight") + "bias", weights[joined].new_zeros(len(weights[joined])))
