"""The super-transformer: every subnet of a space, with shared weights (ViTAS section 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitas_hw.core.errors import InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.elastic import ElasticBlock, ElasticNorm, ElasticPatchEmbed, Weights
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.sharing import sharing_scheme


class Supernet(nn.Module):
    """``supernet(images, subnet)``: a pure function of weights, images and subnet; nothing is set beforehand.

    Args:
        space: whose subnets it holds.
        sharing: name of the weight-sharing scheme.
    """

    def __init__(self, space: SearchSpace, sharing: str) -> None:
        super().__init__()
        scheme = sharing_scheme(sharing)
        self.space, self.sharing = space, scheme.name
        embed = space.embed_dims[-1]
        self.patch_embed = nn.ModuleDict({str(p): ElasticPatchEmbed(space, p, scheme) for p in space.patch_sizes})
        self.blocks = nn.ModuleList(ElasticBlock(space, scheme) for _ in range(space.depth[1]))
        self.norm = ElasticNorm(embed, scheme)
        self.head = nn.Linear(embed, space.num_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        self._scheme = scheme

    def forward(self, images: Tensor, subnet: Subnet) -> Tensor:
        """Logits (B, num_classes) of the subnet for images (B, in_chans, height, width).

        The subnet's n-th block runs with the weights of the n-th block: identities stand at the end.

        Raises:
            InputError: the subnet is not of the space.
        """
        self._check(subnet)
        x = self.patch_embed[str(subnet.patch_size)](images, subnet.embed_dim)
        for block, shape in zip(self.blocks, subnet.blocks, strict=False):
            x = block(x, shape)
        return F.linear(self.norm(x[:, :1])[:, 0], self._head_weight(subnet.embed_dim), self.head.bias)

    def weights(self, subnet: Subnet) -> Weights:
        """The subnet's weights under the names of timm's state dict: slices of the shared ones, not copies.

        Raises:
            InputError: the subnet is not of the space.
        """
        self._check(subnet)
        e = subnet.embed_dim
        patch_embed = self.patch_embed[str(subnet.patch_size)]
        assert isinstance(patch_embed, ElasticPatchEmbed)
        weights = patch_embed.weights(e)
        for index, (block, shape) in enumerate(zip(self.blocks, subnet.blocks, strict=False)):
            assert isinstance(block, ElasticBlock)
            weights |= {f"blocks.{index}.{name}": weight for name, weight in block.weights(e, shape).items()}
        weights |= {f"norm.{name}": weight for name, weight in self.norm.weights(e).items()}
        return weights | {"head.weight": self._head_weight(e), "head.bias": self.head.bias}

    def no_weight_decay(self) -> set[str]:
        """What timm's optimisers leave undecayed besides vectors: positions, class tokens, biases of q and k."""
        return {
            name
            for name, _ in self.named_parameters()
            if name.endswith(("pos_embed", "cls_token")) or "qk_bias" in name
        }

    def _check(self, subnet: Subnet) -> None:
        if not self.space.contains(subnet):
            raise InputError(f"Subnet {subnet.digest} is not in the supernet's space {self.space.name!r}.")

    def _head_weight(self, embed_dim: int) -> Tensor:
        return self.head.weight[:, self._scheme.channels(embed_dim, self.head.in_features)]


def build_supernet(space: SearchSpace, sharing: str = "ordinal", *, seed: int | None = None) -> Supernet:
    """A supernet with fresh weights.

    Args:
        space: whose subnets it holds.
        sharing: weight-sharing scheme.
        seed: makes the weights repeatable without touching torch's global generator; None draws from that one.
    """
    if seed is None:
        return Supernet(space, sharing)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Supernet(space, sharing)


def extract(supernet: Supernet, subnet: Subnet) -> VisionTransformer:
    """The subnet as a plain timm ``VisionTransformer`` with its own copy of the weights: the same logits.

    Raises:
        InputError: the subnet is not of the supernet's space.
    """
    weights = {name: weight.detach().clone() for name, weight in supernet.weights(subnet).items()}
    with torch.device("meta"):  # no time for initial weights that are replaced at once
        model = build_model(subnet)
    model.load_state_dict(weights, assign=True)
    return model.train(supernet.training)
