"""The search spaces that come with vitas-hw, as plain functions of nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vitas_hw.core.errors import one_of
from vitas_hw.core.space import SearchSpace

_RATIOS = tuple(tenth / 10 for tenth in range(1, 11))


def vitas_deit_tiny() -> SearchSpace:
    """The paper's tiny space (v1, table 1): up to 16 blocks, token embedding up to 384."""
    return _of_the_paper("vitas-deit-tiny", embed=384, attn_and_mlp=1440, depth=(1, 16))


def vitas_deit_small() -> SearchSpace:
    """The paper's small space as its published 4.9G run used it: 13 blocks, none the identity."""
    return _of_the_paper("vitas-deit-small", embed=768, attn_and_mlp=2880, depth=(13, 13))


def digits() -> SearchSpace:
    """Ten classes at 32 x 32, for handwritten digits in a minute or two on two CPU cores; the default.

    A tenth of the MACs of ``vitas-digits``, and as accurate once a choice is fine-tuned.
    """
    return SearchSpace(
        name="digits",
        image_size=(32, 32),
        in_chans=1,
        num_classes=10,
        patch_sizes=(8, 16),
        embed_dims=(64, 96, 128, 160, 192),
        depth=(2, 8),
        num_heads=(2, 4, 8),
        attn_dims=(64, 128, 192),
        mlp_dims=(128, 192, 256, 384, 512),
    )


def vitas_digits() -> SearchSpace:
    """Ten classes at 32 x 32 in wide and deep subnets, for digits in minutes on two CPU cores.

    No patches finer than 8: at 4 x 4, one pixel of the original digit, small transformers do not learn in minutes.
    """
    return SearchSpace(
        name="vitas-digits",
        image_size=(32, 32),
        in_chans=1,
        num_classes=10,
        patch_sizes=(8, 16),
        embed_dims=(192, 256, 320, 384, 448, 512),
        depth=(2, 14),
        num_heads=(2, 4, 8),
        attn_dims=(128, 256, 384, 512),
        mlp_dims=(384, 768, 1152, 1536),
    )


def autoformer_tiny() -> SearchSpace:
    """AutoFormer's supernet-T (arXiv 2107.00651, table 2), without its relative positions."""
    return _of_autoformer(
        "autoformer-tiny", (12, 14), embed_dims=(192, 216, 240), num_heads=(3, 4), mlp_ratios=(3.5, 4.0)
    )


def autoformer_small() -> SearchSpace:
    """AutoFormer's supernet-S."""
    return _of_autoformer(
        "autoformer-small", (12, 14), embed_dims=(320, 384, 448), num_heads=(5, 6, 7), mlp_ratios=(3.0, 3.5, 4.0)
    )


def autoformer_base() -> SearchSpace:
    """AutoFormer's supernet-B."""
    return _of_autoformer(
        "autoformer-base", (14, 16), embed_dims=(528, 576, 624), num_heads=(8, 9, 10), mlp_ratios=(3.0, 3.5, 4.0)
    )


def _of_autoformer(name: str, depth: tuple[int, int], **choices: Any) -> SearchSpace:
    return _of_imagenet(name, depth, patch_sizes=(16,), head_dim=64, **choices)


def _of_the_paper(name: str, embed: int, attn_and_mlp: int, depth: tuple[int, int]) -> SearchSpace:
    # a width is round(ratio x maximum); the q,k,v width is shared out to q, k and v by integer division
    return _of_imagenet(
        name,
        depth,
        patch_sizes=(14, 16, 32),
        embed_dims=tuple(round(ratio * embed) for ratio in _RATIOS),
        num_heads=(3, 6, 12, 16),
        attn_dims=tuple(round(ratio * attn_and_mlp) // 3 for ratio in _RATIOS),
        mlp_dims=tuple(round(ratio * attn_and_mlp) for ratio in _RATIOS),
    )


def _of_imagenet(name: str, depth: tuple[int, int], **choices: Any) -> SearchSpace:
    return SearchSpace(name=name, image_size=(224, 224), in_chans=3, num_classes=1000, depth=depth, **choices)


PRESETS: dict[str, Callable[[], SearchSpace]] = {
    "vitas-deit-tiny": vitas_deit_tiny,
    "vitas-deit-small": vitas_deit_small,
    "digits": digits,
    "vitas-digits": vitas_digits,
    "autoformer-tiny": autoformer_tiny,
    "autoformer-small": autoformer_small,
    "autoformer-base": autoformer_base,
}


def preset(name: str) -> SearchSpace:
    """A space of ``PRESETS`` by name. Raises InputError on another name."""
    if name not in PRESETS:
        raise one_of(name, PRESETS, "space")
    return PRESETS[name]()
