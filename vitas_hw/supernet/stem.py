"""From images to tokens: patch projection, class token and positions, private to each patch size or shared by all."""

from __future__ import annotations

from collections.abc import Collection

import torch
import torch.nn.functional as F  # noqa: N812
from timm.layers import resample_abs_pos_embed
from timm.layers.patch_embed import PatchEmbedResamplerFixedOrigSize
from torch import Tensor, nn

from vitas_hw.core.space import SearchSpace
from vitas_hw.supernet.elastic import SHARED, Axis, Places, Weights, matrix, read
from vitas_hw.supernet.sharing import Place, Sharing


class ElasticStem(nn.Module):
    """Patch projection, class token, positions (ViTAS section 3.3, private class token).

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
            key: matrix(1, 1 + self.grids[p][0] * self.grids[p][1], most)
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
            "patch_embed.proj.weight": Place(projection.weight, e),
            "patch_embed.proj.bias": Place(projection.bias, e),
        }

    def weights(self, patch_size: int, embed_dim: int, side: str) -> Weights:
        w = read(self.places(patch_size, embed_dim, side))
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
