"""The subnets printed in the ViTAS paper (v1, appendix) and its DeiT baselines, by name."""

from __future__ import annotations

from dataclasses import dataclass

from vitas_hw.core.errors import one_of
from vitas_hw.core.subnet import Block, Subnet

# (heads, width of each of q, k and v, MLP width) per block, as published
_VITAS_A = (
    (12, 96, 1008), (16, 240, 576), (6, 96, 1296), (16, 336, 720), (16, 384, 1008), (16, 288, 1152), (16, 480, 1296),
)  # fmt: skip
_VITAS_B = (
    (16, 96, 864), (16, 144, 576), (16, 144, 1008), (12, 384, 864), (12, 336, 720), (12, 288, 576), (16, 144, 1296),
    (6, 288, 864),
)  # fmt: skip
_VITAS_E = (
    (16, 240, 720), (16, 336, 864), (16, 288, 1008), (6, 288, 1008), (3, 192, 720), (12, 432, 1296), (6, 432, 1152),
    (12, 240, 144), (12, 480, 864), (6, 192, 1008), (12, 384, 1296),
)  # fmt: skip
_VITAS_F = (
    (16, 288, 1728), (16, 96, 2304), (16, 576, 864), (16, 384, 2016), (16, 672, 864), (16, 480, 1440),
    (16, 864, 2304), (16, 480, 2016), (16, 768, 864), (16, 672, 576), (16, 672, 2016), (16, 480, 2304),
    (16, 576, 2304),
)  # fmt: skip

# as their authors call them, ImageNet top-1 of the models trained alone, as they print it (github.com/xiusu/ViTAS,
# README), width of the token embedding, blocks
_MODELS = {
    "vitas-a": ("ViTAS-A", 0.711, 154, _VITAS_A),
    "vitas-b": ("ViTAS-B", 0.724, 192, _VITAS_B),
    "vitas-c": ("ViTAS-C", 0.747, 230, ((3, 144, 720),) * 12),
    "vitas-e": ("ViTAS-E", 0.774, 346, _VITAS_E),
    "vitas-f": ("ViTAS-F", 0.806, 307, _VITAS_F),
    "deit-ti": ("DeiT-Ti", 0.722, 192, ((3, 192, 768),) * 12),
    "deit-s": ("DeiT-S", 0.798, 384, ((6, 384, 1536),) * 12),
}
PUBLISHED = tuple(_MODELS)


@dataclass(frozen=True)
class PublishedResult:
    """A published model: its name as its authors write it, its subnet, its ImageNet top-1 trained alone."""

    name: str
    subnet: Subnet
    top1: float


def published_results() -> tuple[PublishedResult, ...]:
    """Every one of ``PUBLISHED`` with its top-1. None of these was measured here."""
    return tuple(PublishedResult(title, published_subnet(name), top1) for name, (title, top1, *_) in _MODELS.items())


def published_subnet(name: str) -> Subnet:
    """An architecture of the ViTAS paper (``vitas-a``, ``-b``, ``-c``, ``-e``, ``-f``) or ``deit-ti``, ``deit-s``.

    All take 224 x 224 images and have 1000 classes. Raises InputError on another name.

    Example:
        >>> subnet = vh.published_subnet("vitas-c")
        >>> subnet.macs, subnet.params
        (1265114864, 6048414)
    """
    if name not in _MODELS:
        raise one_of(name, PUBLISHED, "published subnet")
    _, _, embed_dim, blocks = _MODELS[name]
    return Subnet(
        image_size=(224, 224),
        in_chans=3,
        patch_size=16,
        embed_dim=embed_dim,
        blocks=tuple(Block(num_heads=h, head_dim=width // h, mlp_dim=mlp) for h, width, mlp in blocks),
        num_classes=1000,
    )
