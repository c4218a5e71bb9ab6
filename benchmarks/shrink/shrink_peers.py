"""The peers: Torch-Pruning and NVIDIA Model Optimizer's FastNAS, each as its own examples use it on timm's ViT.

They are in no dependency of vitas-hw; the folder's README says how to make an environment that has them.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import vitas_hw as vh
from vitas_hw.supernet import Original

Batch = tuple[Tensor, Tensor]
Made = tuple[Any, vh.Subnet]  # a plain timm model and its shape
MOST_KEPT = 100  # percent
PACKAGES = {"pruned": "torch_pruning", "fastnas": "modelopt.torch.prune"}  # by the shapes that they make


class RefusedError(Exception):
    """A peer does not do what is asked; its own message."""


def lacks(package: str) -> str:
    """Why a peer cannot run here; empty if it can."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of theirs
            importlib.import_module(package)
    except ImportError as error:
        return f"{package} cannot be imported: {error}"
    return ""


def lacks_of(shape: str) -> str:
    """The same of the peer that makes such nets."""
    return lacks(PACKAGES[shape]) if shape in PACKAGES else ""


def whole(original: Original) -> Any:
    """The original as timm's model."""
    model = vh.build_model(original.subnet, seed=0).eval()
    model.load_state_dict(original.weights)
    return model


def torch_pruned(original: Original, kept: int, batches: Iterable[Batch]) -> Made:
    """Torch-Pruning: first-order Taylor importance by groups, ranked globally over embedding, MLPs and whole heads.

    As many of the heads go as of the channels. Where that would leave a block without any, which no timm model runs,
    fewer heads go, one after the other.

    Args:
        original: what is pruned.
        kept: percent of the channels, and of the heads.
        batches: images with labels whose loss's gradients, summed over them, are the importance.
    """
    given = list(batches)
    every = sum(block.num_heads for block in original.subnet.blocks)
    for removed in range(round(every * (1 - kept / 100)), -1, -1):
        model, heads = _pruned(original, 1 - kept / 100, removed / every, given)
        if min(heads) > 0:
            return plain(model, original.subnet, heads)
    raise AssertionError("without any head gone every block has some")


def _pruned(original: Original, share: float, share_of_heads: float, batches: Iterable[Batch]) -> tuple[Any, list[int]]:
    """The pruned timm model and the heads left in each block."""
    import torch_pruning as tp

    model = whole(original)
    attentions = [block.attn for block in model.blocks]
    pruner = tp.pruner.BasePruner(
        model,
        torch.zeros(1, original.subnet.in_chans, *original.subnet.image_size),
        importance=tp.importance.GroupTaylorImportance(),
        global_pruning=True,
        pruning_ratio=share,
        ignored_layers=[model.head],
        num_heads={attn.qkv: attn.num_heads for attn in attentions},
        prune_num_heads=True,
        prune_head_dims=False,
        head_pruning_ratio=share_of_heads,
        unwrapped_parameters=[(model.cls_token, 2), (model.pos_embed, 2)],
    )
    for images, labels in batches:
        F.cross_entropy(model(images), labels).backward()  # type: ignore[no-untyped-call]
    for group in pruner.step(interactive=True):
        group.prune()
    return model, [pruner.num_heads[attn.qkv] for attn in attentions]


def fastnas(original: Original, flops: float, score: Callable[[nn.Module], float], searched: Path) -> Made:
    """FastNAS, whose constraint is a number of FLOPs.

    Args:
        original: what is pruned.
        flops: percent of the original's.
        score: of a model, the higher the better.
        searched: file in which it keeps its scores of every width, which do not depend on the constraint.

    Raises:
        RefusedError: with its message.
    """
    import modelopt.torch.prune as mtp

    image = torch.zeros(1, original.subnet.in_chans, *original.subnet.image_size)
    model = whole(original)
    config = {
        "data_loader": [
            (image, torch.zeros(1, dtype=torch.int64))
        ],  # to calibrate batch norms, of which there are none
        "collect_func": lambda batch: (batch[0],),
        "score_func": score,
        "checkpoint": str(searched),
    }
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            found, _ = mtp.prune(
                model, mode="fastnas", constraints={"flops": f"{flops}%"}, dummy_input=image, config=config
            )
    except Exception as error:  # whatever it says is the row
        raise RefusedError(f"{type(error).__name__}: {error}") from error
    return plain(found, original.subnet, [block.num_heads for block in original.subnet.blocks])


def plain(model: Any, was: vh.Subnet, heads: list[int]) -> Made:
    """A pruned timm model as a plain one of the shape that its weights have; it computes the same."""
    weights = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
    blocks = []
    for index, count in enumerate(heads):
        attn, mlp = (weights[f"blocks.{index}.{name}.weight"].shape[1] for name in ("attn.proj", "mlp.fc2"))
        blocks.append(vh.Block(count, attn // count, mlp))
    embed = weights["cls_token"].shape[-1]
    subnet = vh.Subnet(was.image_size, was.in_chans, was.patch_size, embed, tuple(blocks), was.num_classes)
    made = vh.build_model(subnet, seed=0).eval()
    made.load_state_dict(weights)
    return made, subnet


def narrow(was: vh.Subnet, head_dim: int, depth: int, mlp_dim: int | None = None) -> vh.Subnet:
    """As people shrink a ViT by hand: as many heads, an embedding of their widths, MLPs four times as wide."""
    heads = was.blocks[0].num_heads
    embed = heads * head_dim
    block = vh.Block(heads, head_dim, mlp_dim or 4 * embed)
    return vh.Subnet(was.image_size, was.in_chans, was.patch_size, embed, (block,) * depth, was.num_classes)
