"""The anchor: one fixed model, timed between the subnets, whose drift is the machine's."""

from __future__ import annotations

from vitas_hw.core.subnet import Block, Subnet

_PATCHES = (16, 14, 8, 7, 4, 2, 1)


def anchor_subnet(image_size: tuple[int, int]) -> Subnet:
    """The first half of DeiT-Ti for images of (height, width) pixels: long enough to time, short enough to time often.

    Its patch size is the largest of a few that divides both sides.
    """
    patch_size = next(size for size in _PATCHES if image_size[0] % size == 0 and image_size[1] % size == 0)
    return Subnet(
        image_size=image_size,
        in_chans=3,
        patch_size=patch_size,
        embed_dim=192,
        blocks=(Block(num_heads=3, head_dim=64, mlp_dim=768),) * 6,
        num_classes=1000,
    )
