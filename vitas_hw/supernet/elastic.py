"""The shared weights of the supernet, layer by layer.

Each layer keeps its largest weights and answers ``weights(...)`` with the slices a subnet uses, under the names that
timm's ``VisionTransformer`` gives them. Forward pass and extraction both read that one answer, so that they cannot
differ. Slices are views, except where a scheme cuts a width in two.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block
from vitas_hw.supernet.sharing import Channels, Sharing, take

LAYER_NORM_EPSILON = 1e-6  # timm's ViT
SHARED = "shared"  # the key of weights that are private to nothing
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Axis:
    """One shared dimension: its scheme and every width that a subnet can have there, increasing."""

    scheme: InitVar[Sharing]
    widths: tuple[int, ...]
    _table: dict[tuple[int, str], Channels] = field(init=False)

    def __post_init__(self, scheme: Sharing) -> None:
        table = {
            (width, side): scheme.channels(width, self.widths, side) for width in self.widths for side in scheme.sides
        }
        object.__setattr__(self, "_table", table)  # worked out once: a step asks hundreds of times

    @property
    def most(self) -> int:
        return self.widths[-1]

    def channels(self, width: int, side: str) -> Channels:
        """The channels that a subnet ``width`` wide uses on a side of the scheme."""
        return self._table[width, side]


def matrix(*shape: int) -> nn.Parameter:
    """Fresh weights as timm initialises those of a ViT."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(*shape), std=0.02))


def vector(width: int, value: float = 0.0) -> nn.Parameter:
    """A bias, or a norm's weight."""
    return nn.Parameter(torch.full((width,), value))


class ElasticNorm(nn.Module):
    """Layer norm over the channels of the scheme."""

    def __init__(self, embed: Axis) -> None:
        super().__init__()
        self.embed = embed
        self.weight, self.bias = vector(embed.most, 1.0), vector(embed.most)

    def weights(self, embed_dim: int, side: str) -> Weights:
        e = self.embed.channels(embed_dim, side)
        return {"weight": take(self.weight, e), "bias": take(self.bias, e)}

    def forward(self, x: Tensor, side: str) -> Tensor:
        """(B, T, E) -> (B, T, E)"""
        w = self.weights(x.shape[-1], side)
        return F.layer_norm(x, (x.shape[-1],), w["weight"], w["bias"], LAYER_NORM_EPSILON)


class ElasticAttention(nn.Module):
    """q and k private to each head count, v shared by all (ViTAS section 3.3, private self-attention maps).

    Args:
        space: gives head counts and widths.
        scheme: of sharing.
        private: without it, q and k are shared by all head counts as v is.
    """

    def __init__(self, space: SearchSpace, scheme: Sharing, *, private: bool) -> None:
        super().__init__()
        self.embed, self.attn = Axis(scheme, space.embed_dims), Axis(scheme, space.attn_widths())
        owners = {str(count): space.attn_widths(count) for count in space.num_heads}
        self.qk = {key: Axis(scheme, widths) for key, widths in owners.items()} if private else {SHARED: self.attn}
        self.owner = {count: str(count) if private else SHARED for count in space.num_heads}
        embed, attn = self.embed.most, self.attn.most
        self.q_weight = nn.ParameterDict({key: matrix(axis.most, embed) for key, axis in self.qk.items()})
        self.k_weight = nn.ParameterDict({key: matrix(axis.most, embed) for key, axis in self.qk.items()})
        self.q_bias = nn.ParameterDict({key: vector(axis.most) for key, axis in self.qk.items()})
        self.k_bias = nn.ParameterDict({key: vector(axis.most) for key, axis in self.qk.items()})
        self.v_weight, self.v_bias = matrix(attn, embed), vector(attn)
        self.proj_weight, self.proj_bias = matrix(embed, attn), vector(embed)

    def parts(self, embed_dim: int, block: Block, side: str) -> Weights:
        """The slices of q, k, v and the projection, q, k and v apart."""
        e, a = self.embed.channels(embed_dim, side), self.attn.channels(block.attn_dim, side)
        owner = self.owner[block.num_heads]
        qk = self.qk[owner].channels(block.attn_dim, side)
        return {
            "q.weight": take(self.q_weight[owner], qk, e),
            "k.weight": take(self.k_weight[owner], qk, e),
            "v.weight": take(self.v_weight, a, e),
            "q.bias": take(self.q_bias[owner], qk),
            "k.bias": take(self.k_bias[owner], qk),
            "v.bias": take(self.v_bias, a),
            "proj.weight": take(self.proj_weight, e, a),
            "proj.bias": take(self.proj_bias, e),
        }

    def weights(self, embed_dim: int, block: Block, side: str) -> Weights:
        w = self.parts(embed_dim, block, side)
        joined = {f"qkv.{kind}": torch.cat([w[f"{part}.{kind}"] for part in "qkv"]) for kind in ("weight", "bias")}
        return joined | {name: weight for name, weight in w.items() if name.startswith("proj")}

    def forward(self, x: Tensor, block: Block, side: str) -> Tensor:
        """(B, T, E) -> (B, T, E); the scale is the subnet's own head_dim ** -0.5."""
        batch, tokens, embed_dim = x.shape
        w = self.parts(embed_dim, block, side)
        heads = (batch, tokens, block.num_heads, block.head_dim)
        # three multiplications by views: joining the weights as timm does would copy them, and their gradients
        q, k, v = (F.linear(x, w[f"{p}.weight"], w[f"{p}.bias"]).view(heads).transpose(1, 2) for p in "qkv")
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, block.attn_dim)
        return F.linear(mixed, w["proj.weight"], w["proj.bias"])


class ElasticMlp(nn.Module):
    """Two linears and a GELU."""

    def __init__(self, space: SearchSpace, scheme: Sharing) -> None:
        super().__init__()
        self.embed, self.mlp = Axis(scheme, space.embed_dims), Axis(scheme, space.mlp_widths)
        embed, mlp = self.embed.most, self.mlp.most
        self.fc1_weight, self.fc1_bias = matrix(mlp, embed), vector(mlp)
        self.fc2_weight, self.fc2_bias = matrix(embed, mlp), vector(embed)

    def weights(self, embed_dim: int, block: Block, side: str) -> Weights:
        e, m = self.embed.channels(embed_dim, side), self.mlp.channels(block.mlp_dim, side)
        return {
            "fc1.weight": take(self.fc1_weight, m, e),
            "fc1.bias": take(self.fc1_bias, m),
            "fc2.weight": take(self.fc2_weight, e, m),
            "fc2.bias": take(self.fc2_bias, e),
        }

    def forward(self, x: Tensor, block: Block, side: str) -> Tensor:
        """(B, T, E) -> (B, T, E)"""
        w = self.weights(x.shape[-1], block, side)
        return F.linear(F.gelu(F.linear(x, w["fc1.weight"], w["fc1.bias"])), w["fc2.weight"], w["fc2.bias"])


class ElasticBlock(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, space: SearchSpace, scheme: Sharing, *, private_qk: bool) -> None:
        super().__init__()
        self.norm1 = ElasticNorm(Axis(scheme, space.embed_dims))
        self.attn = ElasticAttention(space, scheme, private=private_qk)
        self.norm2 = ElasticNorm(Axis(scheme, space.embed_dims))
        self.mlp = ElasticMlp(space, scheme)

    def weights(self, embed_dim: int, block: Block, side: str) -> Weights:
        parts = {
            "norm1": self.norm1.weights(embed_dim, side),
            "attn": self.attn.weights(embed_dim, block, side),
            "norm2": self.norm2.weights(embed_dim, side),
            "mlp": self.mlp.weights(embed_dim, block, side),
        }
        return {f"{part}.{name}": weight for part, weights in parts.items() for name, weight in weights.items()}

    def forward(self, x: Tensor, block: Block, side: str) -> Tensor:
        """(B, T, E) -> (B, T, E)"""
        x = x + self.attn(self.norm1(x, side), block, side)
        output: Tensor = x + self.mlp(self.norm2(x, side), block, side)
        return output
