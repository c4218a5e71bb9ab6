"""The shared weights of the super-transformer, layer by layer.

Each layer keeps its largest weights and answers ``weights(...)`` with the slices a subnet uses, under the names that
timm's ``VisionTransformer`` gives them. Forward pass and extraction both read that one answer, so that they cannot
differ. Slices are views; only q, k and v are joined, into the one matrix that timm multiplies by.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block
from vitas_hw.supernet.sharing import Sharing

LAYER_NORM_EPSILON = 1e-6  # timm's ViT
Weights = dict[str, Tensor]


def _matrix(*shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(*shape), std=0.02))  # timm's initialisation of a ViT


def _vector(width: int, value: float = 0.0) -> nn.Parameter:
    return nn.Parameter(torch.full((width,), value))


class ElasticPatchEmbed(nn.Module):
    """Private to one patch size: projection, class token, positions (ViTAS section 3.3, private class token)."""

    def __init__(self, space: SearchSpace, patch_size: int, sharing: Sharing) -> None:
        super().__init__()
        self.patch_size, self.sharing, self.most = patch_size, sharing, space.embed_dims[-1]
        patches = (space.image_size[0] // patch_size) * (space.image_size[1] // patch_size)
        projection = nn.Conv2d(space.in_chans, self.most, patch_size)  # torch's initialisation, as timm leaves it
        self.weight, self.bias = projection.weight, projection.bias
        self.cls_token = nn.Parameter(torch.randn(1, 1, self.most) * 1e-6)
        self.pos_embed = _matrix(1, patches + 1, self.most)

    def weights(self, embed_dim: int) -> Weights:
        assert self.bias is not None
        e = self.sharing.channels(embed_dim, self.most)
        return {
            "cls_token": self.cls_token[..., e],
            "pos_embed": self.pos_embed[..., e],
            "patch_embed.proj.weight": self.weight[e],
            "patch_embed.proj.bias": self.bias[e],
        }

    def forward(self, images: Tensor, embed_dim: int) -> Tensor:
        """(B, in_chans, H, W) -> (B, patches + 1, embed_dim), the class token first."""
        w = self.weights(embed_dim)
        x = F.conv2d(images, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=self.patch_size)
        x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
        return x + w["pos_embed"]


class ElasticNorm(nn.Module):
    """Layer norm over the first channels of the scheme."""

    def __init__(self, most: int, sharing: Sharing) -> None:
        super().__init__()
        self.most, self.sharing = most, sharing
        self.weight, self.bias = _vector(most, 1.0), _vector(most)

    def weights(self, embed_dim: int) -> Weights:
        e = self.sharing.channels(embed_dim, self.most)
        return {"weight": self.weight[e], "bias": self.bias[e]}

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, E) -> (B, T, E)"""
        w = self.weights(x.shape[-1])
        return F.layer_norm(x, (x.shape[-1],), w["weight"], w["bias"], LAYER_NORM_EPSILON)


class ElasticAttention(nn.Module):
    """q and k private to each head count, v shared by all (ViTAS section 3.3, private self-attention maps)."""

    def __init__(self, space: SearchSpace, sharing: Sharing) -> None:
        super().__init__()
        self.sharing = sharing
        self.embed, self.attn = space.embed_dims[-1], space.attn_dims[-1]
        heads = [str(count) for count in space.num_heads]
        self.qk_weight = nn.ParameterDict({count: _matrix(2, self.attn, self.embed) for count in heads})
        self.qk_bias = nn.ParameterDict({count: nn.Parameter(torch.zeros(2, self.attn)) for count in heads})
        self.v_weight, self.v_bias = _matrix(self.attn, self.embed), _vector(self.attn)
        self.proj_weight, self.proj_bias = _matrix(self.embed, self.attn), _vector(self.embed)

    def weights(self, embed_dim: int, block: Block) -> Weights:
        e = self.sharing.channels(embed_dim, self.embed)
        a = self.sharing.channels(block.attn_dim, self.attn)
        qk, qk_bias = self.qk_weight[str(block.num_heads)], self.qk_bias[str(block.num_heads)]
        return {
            "qkv.weight": torch.cat([qk[0, a, e], qk[1, a, e], self.v_weight[a, e]]),
            "qkv.bias": torch.cat([qk_bias[0, a], qk_bias[1, a], self.v_bias[a]]),
            "proj.weight": self.proj_weight[e, a],
            "proj.bias": self.proj_bias[e],
        }

    def forward(self, x: Tensor, block: Block) -> Tensor:
        """(B, T, E) -> (B, T, E); the scale is the subnet's own head_dim ** -0.5."""
        batch, tokens, embed_dim = x.shape
        w = self.weights(embed_dim, block)
        qkv = F.linear(x, w["qkv.weight"], w["qkv.bias"])
        q, k, v = qkv.reshape(batch, tokens, 3, block.num_heads, block.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, block.attn_dim)
        return F.linear(mixed, w["proj.weight"], w["proj.bias"])


class ElasticMlp(nn.Module):
    """Two linears and a GELU."""

    def __init__(self, space: SearchSpace, sharing: Sharing) -> None:
        super().__init__()
        self.sharing = sharing
        self.embed, self.mlp = space.embed_dims[-1], space.mlp_dims[-1]
        self.fc1_weight, self.fc1_bias = _matrix(self.mlp, self.embed), _vector(self.mlp)
        self.fc2_weight, self.fc2_bias = _matrix(self.embed, self.mlp), _vector(self.embed)

    def weights(self, embed_dim: int, block: Block) -> Weights:
        e = self.sharing.channels(embed_dim, self.embed)
        m = self.sharing.channels(block.mlp_dim, self.mlp)
        return {
            "fc1.weight": self.fc1_weight[m, e],
            "fc1.bias": self.fc1_bias[m],
            "fc2.weight": self.fc2_weight[e, m],
            "fc2.bias": self.fc2_bias[e],
        }

    def forward(self, x: Tensor, block: Block) -> Tensor:
        """(B, T, E) -> (B, T, E)"""
        w = self.weights(x.shape[-1], block)
        return F.linear(F.gelu(F.linear(x, w["fc1.weight"], w["fc1.bias"])), w["fc2.weight"], w["fc2.bias"])


class ElasticBlock(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, space: SearchSpace, sharing: Sharing) -> None:
        super().__init__()
        self.norm1 = ElasticNorm(space.embed_dims[-1], sharing)
        self.attn = ElasticAttention(space, sharing)
        self.norm2 = ElasticNorm(space.embed_dims[-1], sharing)
        self.mlp = ElasticMlp(space, sharing)

    def weights(self, embed_dim: int, block: Block) -> Weights:
        parts = {
            "norm1": self.norm1.weights(embed_dim),
            "attn": self.attn.weights(embed_dim, block),
            "norm2": self.norm2.weights(embed_dim),
            "mlp": self.mlp.weights(embed_dim, block),
        }
        return {f"{part}.{name}": weight for part, weights in parts.items() for name, weight in weights.items()}

    def forward(self, x: Tensor, block: Block) -> Tensor:
        """(B, T, E) -> (B, T, E)"""
        x = x + self.attn(self.norm1(x), block)
        output: Tensor = x + self.mlp(self.norm2(x), block)
        return output
