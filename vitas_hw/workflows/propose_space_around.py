"""A search space around a pretrained model: the model is its largest subnet, the others are parts of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vitas_hw.core.errors import InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.data.load import load_data
from vitas_hw.supernet.original import load_original
from vitas_hw.supernet.pretrained import score
from vitas_hw.workflows.few_images import few_images

_EMBED = (1 / 2, 5 / 8, 3 / 4, 7 / 8, 1)
_MLP = (1 / 4, 1 / 2, 3 / 4, 1)
_HEADS = (1 / 3, 1 / 2, 2 / 3, 5 / 6, 1)  # every number of them would have q and k of its own
_STEP = 8  # channels: widths that kernels of matrix products like
_FEWEST = 3  # a third of the blocks is the fewest


def space_around(model: Subnet, name: str, classes: int, block_order: tuple[int, ...] = ()) -> SearchSpace:
    """The space of a model and its parts: fractions of the embedding and of each MLP, whole heads, a third of the
    blocks and more. Where blocks differ, its largest subnet has the widest MLP and the most heads in each.

    Args:
        model: the largest; its images, channels and patch size are the space's.
        name: of the space.
        classes: of the data.
        block_order: see ``SearchSpace``.

    Raises:
        InputError: the model's heads are not all equally wide.
    """
    wide = {block.head_dim for block in model.blocks}
    if len(wide) > 1:
        raise InputError(
            f"A space around a model has heads of one width; this model has heads of {sorted(wide)} channels."
        )
    mlps, counts = ({getattr(block, kind) for block in model.blocks} for kind in ("mlp_dim", "num_heads"))
    return SearchSpace(
        name=name,
        image_size=model.image_size,
        in_chans=model.in_chans,
        num_classes=classes,
        patch_sizes=(model.patch_size,),
        embed_dims=_parts({model.embed_dim}, _EMBED, _STEP),
        depth=(-(-model.depth // _FEWEST), model.depth),
        num_heads=_parts(counts, _HEADS, 1),
        mlp_dims=_parts(mlps, _MLP, _STEP),
        head_dim=wide.pop(),
        block_order=block_order,
    )


def _parts(wholes: Iterable[int], shares: Iterable[float], step: int) -> tuple[int, ...]:
    """Increasing: every whole, and its shares, rounded up to the next multiple of ``step``."""
    shares = tuple(shares)
    found = {min(-(-whole * share // step) * step, whole) for whole in wholes for share in shares}
    return tuple(sorted(int(one) for one in found))


def space_from_model(spec: str, source: str, name: str, classes: int) -> SearchSpace:
    """The space around a pretrained model, which drops first the blocks that matter least on the data.

    Args:
        spec: data, as given to ``load_data``.
        source: as given to ``load_original``.
        name: of the space.
        classes: of the data.

    Raises as ``load_original`` and ``load_data`` do, and InputError if there is no such space.
    """
    original = load_original(source)
    space = space_around(original.subnet, name, classes)
    scores = score(original, space, few_images(load_data(spec, space)))
    return replace(space, block_order=scores.block_order)
