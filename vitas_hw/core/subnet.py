"""A subnet: one concrete vision transformer as immutable data. Knows nothing of torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vitas_hw.core.errors import InputError, shown
from vitas_hw.core.reading import parse_json, reason
from vitas_hw.core.records import Record

_MOST_BLOCKS = 1024  # four times the deepest space
_LARGEST = 2**20  # no width, image or class count comes near
_MOST_WORK = 2**60  # MACs and parameters are counted in int64


def positive_int(value: Any, name: str) -> int:
    """``value`` if it is an int in [1, 2**20]; raises InputError naming it otherwise (bool is no int here)."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST:
        allowed = f"a whole number from 1 to {_LARGEST}"
        raise InputError(f"{name} must be {allowed}, not {shown(value)}.", field=name, value=value, allowed=allowed)
    return value


@dataclass(frozen=True, slots=True)
class Block:
    """One transformer block: ``num_heads`` heads of ``head_dim`` channels each, an MLP ``mlp_dim`` wide.

    Example:
        >>> vh.Block(num_heads=3, head_dim=64, mlp_dim=768).attn_dim
        192
    """

    num_heads: int
    head_dim: int
    mlp_dim: int

    def __post_init__(self) -> None:
        for name in ("num_heads", "head_dim", "mlp_dim"):
            positive_int(getattr(self, name), name)

    @property
    def attn_dim(self) -> int:
        """Width of each of q, k and v."""
        return self.num_heads * self.head_dim


@dataclass(frozen=True)
class Subnet(Record):
    """A plain vision transformer: class token, learned positions, pre-norm blocks, linear classifier.

    Args:
        image_size: (height, width) in pixels; both divisible by ``patch_size``.
        in_chans: channels of the image.
        patch_size: side of the square patches in pixels.
        embed_dim: width of the token embedding.
        blocks: the transformer blocks, first to last; identities of a search space do not appear.
        num_classes: outputs of the classifier.

    Raises:
        InputError: a value that no model can be built from.

    Example:
        >>> blocks = (vh.Block(num_heads=3, head_dim=64, mlp_dim=768),) * 12
        >>> subnet = vh.Subnet((224, 224), 3, patch_size=16, embed_dim=192, blocks=blocks, num_classes=1000)
        >>> subnet == vh.published_subnet("deit-ti"), subnet.params
        (True, 5717416)
    """

    image_size: tuple[int, int]
    in_chans: int
    patch_size: int
    embed_dim: int
    blocks: tuple[Block, ...]
    num_classes: int

    def __post_init__(self) -> None:
        if not (isinstance(self.image_size, tuple) and len(self.image_size) == 2):
            raise InputError(f"image_size must be (height, width), not {shown(self.image_size)}.")
        for side in self.image_size:
            positive_int(side, "image_size")
        for name in ("in_chans", "patch_size", "embed_dim", "num_classes"):
            positive_int(getattr(self, name), name)
        if any(side % self.patch_size for side in self.image_size):
            size = f"{self.image_size[0]}x{self.image_size[1]}"
            raise InputError(f"image_size {size} is not divisible by patch_size {self.patch_size}.")
        if not (isinstance(self.blocks, tuple) and self.blocks and all(isinstance(b, Block) for b in self.blocks)):
            raise InputError("blocks must be a tuple of at least one Block.")
        if len(self.blocks) > _MOST_BLOCKS:
            raise InputError(f"A subnet has at most {_MOST_BLOCKS} blocks, not {len(self.blocks)}.")
        if self._work() >= _MOST_WORK:
            raise InputError("This subnet is too large to count: its work does not fit into 64 bits.")

    def _work(self) -> int:
        """An upper bound of MACs and parameters, in Python's integers: numpy's would overflow silently."""
        tokens = self.num_patches + 1
        widest = max(self.embed_dim, self.num_classes, *(max(b.attn_dim, b.mlp_dim) for b in self.blocks))
        blocks = len(self.blocks) * (tokens * widest + 6 * widest * self.embed_dim)
        return tokens * (2 * blocks + self.embed_dim * (self.in_chans * self.patch_size**2 + widest + 4))

    @property
    def depth(self) -> int:
        return len(self.blocks)

    @property
    def num_patches(self) -> int:
        return (self.image_size[0] // self.patch_size) * (self.image_size[1] // self.patch_size)

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one image (the field's FLOPs): convolution, linears, the two attention products."""
        return int(self._operators().macs[0])

    @cached_property
    def params(self) -> int:
        """Parameters of the plain model, ``sum(p.numel())``."""
        return int(self._operators().params[0])

    def _operators(self) -> Any:
        from vitas_hw.core.operators import operators

        return operators([self])

    def to_json(self) -> str:
        """One line of JSON, fields in order, no spaces: equal subnets give equal text."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Subnet:
        """Inverse of ``to_json``. Raises InputError on anything else."""
        try:
            return cls.from_dict(parse_json(text))
        except ValueError as error:
            raise InputError(f"This is not the JSON of a subnet: {reason(error)}.") from error

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of the SHA-256 of ``to_json()``: the subnet's name in files."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]
