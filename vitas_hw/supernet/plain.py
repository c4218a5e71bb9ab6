"""The plain model of a subnet: timm's own ``VisionTransformer``, nothing added."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import Attention, Mlp
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from vitas_hw.core.subnet import Subnet

_POSITIONS, _HEAD = 0.2, 0.02  # standard deviations


def build_model(subnet: Subnet, *, seed: int | None = None, drop_path_rate: float = 0.0) -> VisionTransformer:
    """Build a timm ``VisionTransformer`` with new random weights: (B, in_chans, height, width) -> (B, num_classes).

    Linear layers are initialized as in the original ViT (arXiv 2010.11929; timm calls it ``jax``): scaled to their
    width. A standard deviation of 0.02 for all is far too small for narrow layers. Position embeddings have 0.2. On
    Fashion-MNIST a net of 3M MACs reached 88.2% in four epochs, with 0.02 for both 86.6%
    (``benchmarks/pays/pilot.jsonl``).

    Args:
        subnet: the architecture.
        seed: makes the weights reproducible without changing torch's global generator; None draws from that one.
        drop_path_rate: stochastic depth of the last block, rising linearly from 0 at the first.

    Example:
        >>> import torch
        >>> model = vh.build_model(vh.load_space("small.yaml").smallest, seed=0)
        >>> type(model).__name__, model(torch.zeros(2, 1, 32, 32)).shape
        ('VisionTransformer', torch.Size([2, 10]))
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

    model = VisionTransformer(
        img_size=subnet.image_size,
        patch_size=subnet.patch_size,
        in_chans=subnet.in_chans,
        num_classes=subnet.num_classes,
        embed_dim=subnet.embed_dim,
        depth=subnet.depth,
        drop_path_rate=drop_path_rate,
        block_fn=block_of_subnet,  # timm asks for a class and only calls it
        weight_init="jax",
    )
    fresh_positions(model.pos_embed.data)
    nn.init.trunc_normal_(model.head.weight, std=_HEAD)  # timm's zeros would make all logits equal
    return model


def fresh_positions(into: Tensor) -> Tensor:
    """Initial weights of a position embedding."""
    return nn.init.trunc_normal_(into, std=_POSITIONS)
