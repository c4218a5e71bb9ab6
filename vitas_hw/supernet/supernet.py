"""The supernet, the paper's super-transformer: every subnet of a space, with shared weights (ViTAS section 3)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import reduce

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitas_hw.core.errors import InputError, one_of
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.elastic import Axis, ElasticBlock, ElasticNorm, ElasticStem, Places, Use, Weights, read, within
from vitas_hw.supernet.options import DEFAULT_SHARING, PRIVATE, check_private
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.sharing import SCHEMES, Place, checked_side


class Supernet(nn.Module):
    """All subnets of a space with shared weights: ``supernet(images, subnet)`` gives the logits of one.

    A call depends only on weights, images and subnet: no active subnet is set beforehand.

    Args:
        space: the search space of its subnets.
        sharing: weight-sharing scheme: ``ordinal``, ``bilateral`` or ``cyclic``.
        private: weights that are not shared: ``patch_embed``, ``cls_token`` and ``pos_embed`` have one copy per patch
            size, ``qk`` one per number of heads.

    Raises:
        InputError: an unknown scheme or private part.

    Example:
        >>> import torch
        >>> supernet = vh.Supernet(vh.load_space("small.yaml"))
        >>> supernet(torch.zeros(2, 1, 32, 32), supernet.space.smallest).shape
        torch.Size([2, 10])
    """

    def __init__(self, space: SearchSpace, sharing: str = DEFAULT_SHARING, private: Collection[str] = PRIVATE) -> None:
        super().__init__()
        check_private(private)
        if sharing not in SCHEMES:
            raise one_of(sharing, SCHEMES, "weight-sharing scheme")
        scheme = SCHEMES[sharing]
        self.space, self.sharing, self.scheme = space, scheme.name, scheme
        self.sides = scheme.sides  # ("left", "right") for bilateral, ("",) for the others
        self.private = tuple(part for part in PRIVATE if part in private)
        self.embed = Axis(scheme, space.embed_dims)
        self.stem = ElasticStem(space, scheme, private)
        blocks = (ElasticBlock(space, scheme, private_qk="qk" in private) for _ in range(space.depth[1]))
        self.blocks = nn.ModuleList(blocks)
        self.norm = ElasticNorm(self.embed)
        self.head = nn.Linear(self.embed.most, space.num_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, images: Tensor, subnet: Subnet, side: str | None = None, layers: Sequence[int] | None = None
    ) -> Tensor:
        """Logits (B, num_classes) of the subnet for images (B, in_chans, height, width).

        Args:
            images: preprocessed images.
            subnet: a subnet of the space.
            side: ``left`` or ``right`` of a bilateral supernet; None sums the logits of both (BCNet, section 3.2).
            layers: increasing indices of the supernet's blocks that the subnet uses; None takes those that the space
                keeps at its depth. See ``SearchSpace.layers``.

        Raises:
            InputError: the subnet is not of the space, or there is no such side or layer.
        """
        run = self._layers(subnet, layers)
        sides = self.sides if side is None else (checked_side(self.scheme, side),)
        return reduce(torch.add, [self._logits(images, subnet, run, one) for one in sides])

    def _logits(self, images: Tensor, subnet: Subnet, layers: Sequence[int], side: str) -> Tensor:
        x = self.stem(images, subnet.patch_size, subnet.embed_dim, side)
        for layer, shape in zip(layers, subnet.blocks, strict=True):
            x = self.blocks[layer](x, shape, side)
        e = subnet.embed_dim
        use = Use(within("norm", self.norm.places(e, side)) | self._head(e, side))
        # not by index: torch would ask a driver for the device even of the fake tensors of a test
        (logits,) = use.linears(use.norm(self.norm, x.narrow(1, 0, 1), "norm").select(1, 0), "head")
        return logits

    def weights(self, subnet: Subnet, side: str | None = None, layers: Sequence[int] | None = None) -> Weights:
        """The subnet's weights under the names of timm's state dict: slices of the shared ones, q, k and v joined.

        Arguments and errors are those of ``forward``; a bilateral supernet needs ``side``.
        """
        run, side = self._layers(subnet, layers), checked_side(self.scheme, side)
        weights = self.stem.weights(subnet.patch_size, subnet.embed_dim, side) | read(self.places(subnet, side, run))
        for attn in (f"blocks.{index}.attn" for index in range(subnet.depth)):
            for kind in ("weight", "bias"):
                weights[f"{attn}.qkv.{kind}"] = torch.cat([weights.pop(f"{attn}.{part}.{kind}") for part in "qkv"])
        return weights

    def places(self, subnet: Subnet, side: str, layers: Sequence[int]) -> Places:
        """Where the subnet's weights after the stem lie in the supernet's; q, k and v are separate."""
        e = subnet.embed_dim
        places = within("norm", self.norm.places(e, side))
        for index, (layer, shape) in enumerate(zip(layers, subnet.blocks, strict=True)):
            block = self.blocks[layer]
            assert isinstance(block, ElasticBlock)
            places |= within(f"blocks.{index}", block.places(e, shape, side))
        return places | self._head(e, side)

    def no_weight_decay(self) -> set[str]:
        """Weights without weight decay besides vectors, for timm's optimizers: position embeddings, class tokens."""
        return {name for name, _ in self.named_parameters() if name.startswith(("stem.pos_embed", "stem.cls_token"))}

    def _layers(self, subnet: Subnet, layers: Sequence[int] | None) -> Sequence[int]:
        if not self.space.contains(subnet):
            raise InputError(f"Subnet {subnet.digest} is not in the supernet's space {self.space.name!r}.")
        if layers is None:
            return self.space.kept(subnet.depth)
        if len(layers) != subnet.depth or list(layers) != sorted(set(layers) & set(range(len(self.blocks)))):
            raise InputError(f"A subnet of {subnet.depth} blocks runs as many of {len(self.blocks)}, not {layers}.")
        return layers

    def _head(self, embed_dim: int, side: str) -> Places:
        weight = Place(self.head.weight, columns=self.embed.channels(embed_dim, side))
        return {"head.weight": weight, "head.bias": Place(self.head.bias)}


def build_supernet(
    space: SearchSpace,
    sharing: str = DEFAULT_SHARING,
    *,
    private: Collection[str] = PRIVATE,
    seed: int | None = None,
) -> Supernet:
    """Make a supernet with new random weights.

    Args:
        space: the search space of its subnets.
        sharing: weight-sharing scheme: ``ordinal``, ``bilateral`` or ``cyclic``.
        private: weights that are not shared: ``patch_embed``, ``cls_token`` and ``pos_embed`` have one copy per patch
            size, ``qk`` one per number of heads.
        seed: makes the weights reproducible without changing torch's global generator; None draws from that one.

    Example:
        >>> supernet = vh.build_supernet(vh.load_space("small.yaml"), seed=0)
        >>> isinstance(supernet, vh.Supernet), supernet.sharing
        (True, 'ordinal')
    """
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        return Supernet(space, sharing, private)


def extract(
    supernet: Supernet, subnet: Subnet, side: str | None = None, layers: Sequence[int] | None = None
) -> VisionTransformer:
    """Copy a subnet out of a supernet as a plain timm ``VisionTransformer`` with the same logits.

    Args:
        supernet: its training or evaluation mode is kept.
        subnet: a subnet of the supernet's space.
        side: ``left`` or ``right``; needed for a bilateral supernet, where the model gives the logits of that side.
        layers: see ``Supernet.forward``.

    Raises:
        InputError: the subnet is not of the supernet's space, or there is no such side or layer.

    Example:
        >>> import torch
        >>> supernet = vh.build_supernet(vh.load_space("small.yaml"), seed=0).eval()
        >>> subnet, images = supernet.space.sample(seed=1), torch.ones(1, 1, 32, 32)
        >>> torch.allclose(vh.extract(supernet, subnet)(images), supernet(images, subnet), atol=1e-5)
        True
    """
    weights = {name: weight.detach().clone() for name, weight in supernet.weights(subnet, side, layers).items()}
    with torch.device("meta"):  # no time for initial weights that are replaced at once
        model = build_model(subnet)
    model.load_state_dict(weights, assign=True)
    return model.train(supernet.training)
