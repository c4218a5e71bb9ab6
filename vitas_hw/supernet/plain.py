"""The plain model of a subnet: timm's own ``VisionTransformer``, nothing added."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Attention, Mlp
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from vitas_hw.core.subnet import Subnet


def build_model(subnet: Subnet, *, seed: int | None = None, drop_path_rate: float = 0.0) -> VisionTransformer:
    """A timm ``VisionTransformer`` with fresh weights: (B, in_chans, height, width) -> (B, num_classes).

    Args:
        subnet: the architecture.
        seed: makes the weights repeatable without touching torch's global generator; None draws from that one.
        drop_path_rate: stochastic depth of the last block, rising linearly from 0 at the first.
    """
    if seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_model(subnet, drop_path_rate=drop_path_rate)

    def block_of_subnet(dim: int, depth: int, act_layer: type[nn.Module], **rest: Any) -> Block:
        # timm's Block knows neither head_dim nor an exact hidden width (int(dim * ratio) can lose one), so its
        # attention and MLP are replaced by timm's own, before VisionTransformer initialises the weights
        shape = subnet.blocks[depth]
        block = Block(dim, depth=depth, act_layer=act_layer, **{**rest, "num_heads": 1, "mlp_ratio": 1.0})
        block.attn = Attention(dim, num_heads=shape.num_heads, attn_head_dim=shape.head_dim, qkv_bias=True)
        block.mlp = Mlp(dim, hidden_features=shape.mlp_dim, act_layer=act_layer)
        return block

    return VisionTransformer(
        img_size=subnet.image_size,
        patch_size=subnet.patch_size,
        in_chans=subnet.in_chans,
        num_classes=subnet.num_classes,
        embed_dim=subnet.embed_dim,
        depth=subnet.depth,
        drop_path_rate=drop_path_rate,
        block_fn=block_of_subnet,  # timm asks for a class and only calls it
    )
