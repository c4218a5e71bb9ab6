"""The shared weights of the supernet, layer by layer.

Each layer keeps its largest weights and answers ``places(...)`` with the slices a subnet uses, under the names that
timm's ``VisionTransformer`` gives them, but for q, k and v, which it joins. Forward pass and extraction both read that
one answer, and a checkpoint is written there, so that they cannot differ. Slices are views, except where a scheme cuts
a width in two.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from timm.layers import resample_abs_pos_embed
from timm.layers.patch_embed import PatchEmbedResamplerFixedOrigSize
from torch import Tensor, nn

from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block
from vitas_hw.supernet.gradients import Gradients, linears, slices
from vitas_hw.supernet.plain import fresh_positions
from vitas_hw.supernet.sharing import Channels, Place, Sharing, take

LAYER_NORM_EPSILON = 1e-6  # timm's ViT
BY_AUTOGRAD = frozenset({"cpu"})  # devices where a launch costs nothing, but fresh memory does
SHARED = "shared"  # the key of weights that are private to nothing
Weights = dict[str, Tensor]
Places = dict[str, Place]


class Axis:
    """One shared dimension: its scheme and every width that a subnet can have there, increasing."""

    def __init__(self, scheme: Sharing, widths: tuple[int, ...]) -> None:
        self.widths, self.most = widths, widths[-1]
        # worked out once: a step asks hundreds of times
        self._table = {(width, side): scheme.channels(width, widths, side) for width in widths for side in scheme.sides}

    def channels(self, width: int, side: str) -> Channels:
        """The channels that a subnet ``width`` wide uses on a side of the scheme."""
        return self._table[width, side]


def matrix(rows: int, columns: int) -> nn.Parameter:
    """Fresh weights by the layer's width, as of a plain model, see ``build_model``."""
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, columns)))


def vector(width: int, value: float = 0.0) -> nn.Parameter:
    """A bias, or a norm's weight."""
    return nn.Parameter(torch.full((width,), value))


def read(places: Mapping[str, Place]) -> Weights:
    """The weights that stand there."""
    return {name: take(*place) for name, place in places.items()}


def linear(name: str, weight: Tensor, bias: Tensor, rows: Channels, columns: Channels | None = None) -> Places:
    """Of a linear layer of that name, or another with a weight and a bias."""
    return {f"{name}.weight": Place(weight, rows, columns), f"{name}.bias": Place(bias, rows)}


def within(prefix: str, places: Mapping[str, Place]) -> Places:
    """The same, of a part of that name."""
    return {f"{prefix}.{name}": place for name, place in places.items()}


class Use:
    """A subnet's weights for one forward pass, and their gradients for one backward pass.

    Args:
        places: of linear layers and norms.
    """

    def __init__(self, places: Places) -> None:
        self._places, self._gradients = places, gradients_of(places)
        vectors = {name: place for name, place in places.items() if place.weight.ndim == 1}
        self._vectors = slices(vectors, self._gradients)

    def linears(self, x: Tensor, *names: str) -> Sequence[Tensor]:
        """Layers of those names, of equal width: each (B, T, E) -> (B, T, width)."""
        layers = [(self._places[f"{name}.weight"], self._vectors[f"{name}.bias"]) for name in names]
        return linears(x, layers, self._gradients)

    def norm(self, module: nn.Module, x: Tensor, name: str) -> Tensor:
        """The ``ElasticNorm`` of that name."""
        output: Tensor = module(x, self._vectors[f"{name}.weight"], self._vectors[f"{name}.bias"])
        return output


def gradients_of(places: Places) -> Gradients | None:
    """None where there is no backward pass, or where autograd's own is as good."""
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return None
    device = next(iter(places.values())).weight.device.type
    return None if device in BY_AUTOGRAD else Gradients(places.values())


class ElasticNorm(nn.Module):
    """Layer norm over the channels of the scheme."""

    def __init__(self, embed: Axis) -> None:
        super().__init__()
        self.embed = embed
        self.weight, self.bias = vector(embed.most, 1.0), vector(embed.most)

    def places(self, embed_dim: int, side: str) -> Places:
        e = self.embed.channels(embed_dim, side)
        return {"weight": Place(self.weight, e), "bias": Place(self.bias, e)}

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(B, T, E) -> (B, T, E)"""
        return F.layer_norm(x, (x.shape[-1],), weight, bias, LAYER_NORM_EPSILON)


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

    def places(self, embed_dim: int, block: Block, side: str) -> Places:
        e, a = self.embed.channels(embed_dim, side), self.attn.channels(block.attn_dim, side)
        owner = self.owner[block.num_heads]
        qk = self.qk[owner].channels(block.attn_dim, side)
        places = linear("q", self.q_weight[owner], self.q_bias[owner], qk, e)
        places |= linear("k", self.k_weight[owner], self.k_bias[owner], qk, e)
        places |= linear("v", self.v_weight, self.v_bias, a, e)
        return places | linear("proj", self.proj_weight, self.proj_bias, e, a)

    def forward(self, x: Tensor, use: Use, block: Block) -> Tensor:
        """(B, T, E) -> (B, T, E); the scale is the subnet's own head_dim ** -0.5."""
        batch, tokens, _ = x.shape
        heads = (batch, tokens, block.num_heads, block.head_dim)
        q, k, v = (one.view(heads).transpose(1, 2) for one in use.linears(x, "attn.q", "attn.k", "attn.v"))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, block.attn_dim)
        (output,) = use.linears(mixed, "attn.proj")
        return output


class ElasticMlp(nn.Module):
    """Two linears and a GELU."""

    def __init__(self, space: SearchSpace, scheme: Sharing) -> None:
        super().__init__()
        self.embed, self.mlp = Axis(scheme, space.embed_dims), Axis(scheme, space.mlp_widths)
        embed, mlp = self.embed.most, self.mlp.most
        self.fc1_weight, self.fc1_bias = matrix(mlp, embed), vector(mlp)
        self.fc2_weight, self.fc2_bias = matrix(embed, mlp), vector(embed)

    def places(self, embed_dim: int, block: Block, side: str) -> Places:
        e, m = self.embed.channels(embed_dim, side), self.mlp.channels(block.mlp_dim, side)
        return linear("fc1", self.fc1_weight, self.fc1_bias, m, e) | linear("fc2", self.fc2_weight, self.fc2_bias, e, m)

    def forward(self, x: Tensor, use: Use) -> Tensor:
        """(B, T, E) -> (B, T, E)"""
        (x,) = use.linears(x, "mlp.fc1")
        (x,) = use.linears(F.gelu(x), "mlp.fc2")
        return x


class ElasticBlock(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, space: SearchSpace, scheme: Sharing, *, private_qk: bool) -> None:
        super().__init__()
        self.norm1 = ElasticNorm(Axis(scheme, space.embed_dims))
        self.attn = ElasticAttention(space, scheme, private=private_qk)
        self.norm2 = ElasticNorm(Axis(scheme, space.embed_dims))
        self.mlp = ElasticMlp(space, scheme)

    def places(self, embed_dim: int, block: Block, side: str) -> Places:
        places = within("norm1", self.norm1.places(embed_dim, side))
        places |= within("attn", self.attn.places(embed_dim, block, side))
        places |= within("norm2", self.norm2.places(embed_dim, side))
        return places | within("mlp", self.mlp.places(embed_dim, block, side))

    def forward(self, x: Tensor, block: Block, side: str) -> Tensor:
        """(B, T, E) -> (B, T, E)"""
        use = Use(self.places(x.shape[-1], block, side))
        x = x + self.attn(use.norm(self.norm1, x, "norm1"), use, block)
        output: Tensor = x + self.mlp(use.norm(self.norm2, x, "norm2"), use)
        return output


class ElasticStem(nn.Module):
    """From images to tokens: patch projection, class token, positions (ViTAS section 3.3, private class token).

    What is not private is kept once: one class token; the positions of the finest patches, resampled to coarser grids;
    the projection of the largest patches, resampled to smaller ones (FlexiViT, arXiv 2212.08013, section 3.4).

    Args:
        space: gives patch sizes and widths.
        scheme: of sharing.
        private: which of ``patch_embed``, ``cls_token`` and ``pos_embed`` each patch size has to itself.
    """

    def __init__(self, space: SearchSpace, scheme: Sharing, private: Collection[str]) -> None:
        super().__init__()
        self.private = frozenset(private)
        self.grids = {p: (space.image_size[0] // p, space.image_size[1] // p) for p in space.patch_sizes}
        self.embed = Axis(scheme, space.embed_dims)
        fine, coarse, most = space.patch_sizes[0], space.patch_sizes[-1], self.embed.most

        def owners(part: str, shared: int) -> dict[str, int]:
            return {str(p): p for p in space.patch_sizes} if part in self.private else {SHARED: shared}

        # torch's own initialisation of a convolution, as timm leaves it
        projections = {key: nn.Conv2d(space.in_chans, most, p) for key, p in owners("patch_embed", coarse).items()}
        self.proj = nn.ModuleDict(projections)
        tokens = {key: nn.Parameter(torch.randn(1, 1, most) * 1e-6) for key in owners("cls_token", fine)}
        self.cls_token = nn.ParameterDict(tokens)
        self.grid = self.grids[fine]
        positions = {
            key: nn.Parameter(fresh_positions(torch.empty(1, 1 + self.grids[p][0] * self.grids[p][1], most)))
            for key, p in owners("pos_embed", fine).items()
        }
        self.pos_embed = nn.ParameterDict(positions)
        self.resample = PatchEmbedResamplerFixedOrigSize((coarse, coarse)) if SHARED in self.proj else None

    def places(self, patch_size: int, embed_dim: int, side: str) -> Places:
        """Of what is not private before it is resampled."""
        e = self.embed.channels(embed_dim, side)
        projection = self.proj[self._owner("patch_embed", patch_size)]
        assert isinstance(projection, nn.Conv2d)
        assert projection.bias is not None
        return {
            "cls_token": Place(self.cls_token[self._owner("cls_token", patch_size)], columns=e),
            "pos_embed": Place(self.pos_embed[self._owner("pos_embed", patch_size)], columns=e),
        } | linear("patch_embed.proj", projection.weight, projection.bias, e)

    def weights(self, patch_size: int, embed_dim: int, side: str) -> Weights:
        places = self.places(patch_size, embed_dim, side)
        w = slices(places, gradients_of(places))
        if self.resample is not None:
            w["patch_embed.proj.weight"] = self.resample(w["patch_embed.proj.weight"], (patch_size, patch_size))
        if "pos_embed" not in self.private:
            w["pos_embed"] = resample_abs_pos_embed(w["pos_embed"], list(self.grids[patch_size]), list(self.grid))
        return w

    def forward(self, images: Tensor, patch_size: int, embed_dim: int, side: str) -> Tensor:
        """(B, in_chans, H, W) -> (B, patches + 1, embed_dim), the class token first."""
        w = self.weights(patch_size, embed_dim, side)
        x = F.conv2d(images, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=patch_size)
        x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
        return x + w["pos_embed"]

    def _owner(self, part: str, patch_size: int) -> str:
        return str(patch_size) if part in self.private else SHARED
