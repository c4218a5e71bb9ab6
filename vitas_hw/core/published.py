"""The architectures printed in the ViTAS paper (v1, appendix) and its DeiT baselines, by name."""

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

_EMBED_AND_BLOCKS = {
    "vitas-a": (154, _VITAS_A),
    "vitas-b": (192, _VITAS_B),
    "vitas-c": (230, ((3, 144, 720),) * 12),
    "vitas-e": (346, _VITAS_E),
    "vitas-f": (307, _VITAS_F),
    "deit-ti": (192, ((3, 192, 768),) * 12),
    "deit-s": (384, ((6, 384, 1536),) * 12),
}
PUBLISHED = tuple(_EMBED_AND_BLOCKS)
# ImageNet top-1 of the models trained alone, as their authors print it (github.com/xiusu/ViTAS, README)
_TOP1 = {
    "vitas-a": 0.711,
    "vitas-b": 0.724,
    "vitas-c": 0.747,
    "vitas-e": 0.774,
    "vitas-f": 0.806,
    "deit-ti": 0.722,
    "deit-s": 0.798,
}
_TITLES = {"deit-ti": "DeiT-Ti", "deit-s": "DeiT-S"}


@dataclass(frozen=True)
class PublishedResult:
    """A published model: its name as its authors write it, its architecture, its ImageNet top-1 trained alone."""

    name: str
    subnet: Subnet
    top1: float


def published_results() -> tuple[PublishedResult, ...]:
    """Every one of ``PUBLISHED`` with its top-1. None of these was measured here."""
    return tuple(
        PublishedResult(_TITLES.get(name) or f"ViTAS-{name[-1].upper()}", published_subnet(name), _TOP1[name])
        for name in PUBLISHED
    )


def published_subnet(name: str) -> Subnet:
    """One of ``PUBLISHED``, at 224 x 224 with 1000 classes. Raises InputError on another name."""
    if name not in _EMBED_AND_BLOCKS:
        raise one_of(name, PUBLISHED, "published subnet")
    embed_dim, blocks = _EMBED_AND_BLOCKS[name]
    return Subnet(
        image_size=(224, 224),
        in_chans=3,
        patch_size=16,
        embed_dim=embed_dim,
        blocks=tuple(Block(num_heads=h, head_dim=width // h, mlp_dim=mlp) for h, width, mlp in blocks),
        num_classes=1000,
    )
