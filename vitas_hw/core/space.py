"""The search space: named choices per dimension, and the integer codes of its subnets.

A code is ``[patch, embed, (op, attn, mlp) x max_depth]``. ``op`` 0 is the identity, ``op`` i > 0 the i-th head count.
The canonical code has its identities at the end, all zeros (identity shifting, ViTAS v2 section 3): one subnet has
one code. A space without identity shifting keeps them where they are: one subnet then has several codes, which run it
on different blocks of the supernet (``layers``), as in the paper's first version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vitas_hw.core.errors import InputError, shown
from vitas_hw.core.operators import Ints, SubnetColumns
from vitas_hw.core.records import Record
from vitas_hw.core.subnet import Block, Subnet, positive_int

HEADER = 2  # genes before the blocks: patch size, token embedding
PER_BLOCK = 3  # op, attention width, MLP width
_CHOICES = ("patch_sizes", "embed_dims", "num_heads", "attn_dims", "mlp_dims")
_MOST_CHOICES = 1024  # of a dimension: a stranger's space must not fill the memory with tables
_TIED = {"attn_dims": "head_dim", "mlp_dims": "mlp_ratios"}  # each is given in one of two ways


@dataclass(frozen=True)
class SearchSpace(Record):
    """A search space: every subnet that can be built from these choices.

    Args:
        name: used in file names and messages.
        image_size: (height, width); every patch size divides both.
        in_chans: channels of the image.
        num_classes: outputs of the classifier.
        patch_sizes, embed_dims: one choice for the whole subnet.
        depth: (fewest, most) blocks; each block beyond the fewest may be the identity.
        num_heads, attn_dims, mlp_dims: one choice per block; ``attn_dims`` are the widths of each of q, k and v, and
            every head count divides every one of them.
        head_dim: channels of each head, instead of ``attn_dims``.
        mlp_ratios: instead of ``mlp_dims``: the MLP is round(ratio x embed_dim) wide.
        identity_shifting: whether identities move to the end of a code.
        block_order: every block of the supernet once, those to keep longest first: a subnet of d blocks runs the first
            d of them, in the supernet's order. Empty: blocks are dropped from the end.

    Choices are in increasing order. Raises InputError if a subnet of the space cannot be built.

    Example:
        >>> from dataclasses import replace
        >>> space = replace(vh.load_space("vitas-digits"), name="mine", num_classes=3, depth=(2, 4))
        >>> space.contains(space.sample(seed=0)), space.smallest.depth, space.largest.num_classes
        (True, 2, 3)
    """

    name: str
    image_size: tuple[int, int]
    in_chans: int
    num_classes: int
    patch_sizes: tuple[int, ...]
    embed_dims: tuple[int, ...]
    depth: tuple[int, int]
    num_heads: tuple[int, ...]
    attn_dims: tuple[int, ...] = ()
    mlp_dims: tuple[int, ...] = ()
    head_dim: int | None = None
    mlp_ratios: tuple[float, ...] = ()
    identity_shifting: bool = True
    block_order: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and 0 < len(self.name) <= 64 and set(self.name) <= _NAME_CHARACTERS):
            raise InputError(f"A space's name has 1 to 64 of a-z, 0-9, '-', '_' and '.', not {shown(self.name)}.")
        for field in _CHOICES:
            self._check_choices(field)
        if self.head_dim is not None:
            positive_int(self.head_dim, "head_dim")
        if (
            len(self.mlp_ratios) > _MOST_CHOICES
            or not _increases(self.mlp_ratios)
            or not all(0 < r <= 64 for r in self.mlp_ratios)
        ):
            raise self._wrong("mlp_ratios", f"must be at most {_MOST_CHOICES}, increasing from above 0 to 64.")
        if self._mlp_table.min() < 1 or (np.diff(self._mlp_table, axis=1) < 1).any():
            raise InputError(f"Two mlp_ratios of space {self.name!r} round to the same width.")
        if not isinstance(self.identity_shifting, bool):
            raise self._wrong("identity_shifting", "must be true or false.")
        fewest, most = self.depth
        if not 1 <= positive_int(fewest, "depth") <= positive_int(most, "depth") <= 256:
            raise self._wrong("depth", f"must be 1 <= fewest <= most <= 256, not {shown(self.depth)}.")
        if self.block_order and not self.identity_shifting:
            raise self._wrong("block_order", "is of no use without identity_shifting: a code then names its blocks.")
        if self.block_order and sorted(self.block_order) != list(range(most)):
            raise self._wrong("block_order", f"must hold each of 0 to {most - 1} once.")
        for heads in self.num_heads:
            for width in self.attn_dims:
                if width % heads:
                    raise InputError(f"Space {self.name!r}: attention width {width} is not divisible by {heads} heads.")
        for patch_size in self.patch_sizes:  # the Subnet checks the rest
            Subnet(self.image_size, self.in_chans, patch_size, self.embed_dims[0], (Block(1, 1, 1),), self.num_classes)

    def _check_choices(self, field: str) -> None:
        values, other = getattr(self, field), _TIED.get(field)
        tied = other is not None and bool(getattr(self, other))
        if len(values) > _MOST_CHOICES:
            raise self._wrong(field, f"has {len(values)} choices; {_MOST_CHOICES} are allowed.")
        for value in values:
            positive_int(value, field)
        if values and tied:
            raise InputError(f"Space {self.name!r} gives both {field} and {other}; give one of them.", field=field)
        if not _increases(values) or not (values or tied):
            raise self._wrong(field, f"must be increasing without repeats, not {shown(values)}.")

    def _wrong(self, field: str, why: str) -> InputError:
        return InputError(f"{field} of space {self.name!r} {why}", field=field, value=getattr(self, field))

    @cached_property
    def _attn_table(self) -> Ints:
        """(heads + 1, choices) attention width by op and gene; the identity has none."""
        heads = np.array((0, *self.num_heads), np.int64)[:, None]
        if self.head_dim is not None:
            return heads * self.head_dim
        return np.where(heads > 0, np.array(self.attn_dims, np.int64), 0)

    @cached_property
    def _mlp_table(self) -> Ints:
        """(embed_dims, choices) MLP width by the two genes."""
        if self.mlp_ratios:
            ratios = [[round(ratio * embed) for ratio in self.mlp_ratios] for embed in self.embed_dims]
            return np.array(ratios, np.int64)
        return np.array([self.mlp_dims] * len(self.embed_dims), np.int64)

    def attn_widths(self, num_heads: int | None = None) -> tuple[int, ...]:
        """Every width that the attention of a block can have, increasing; of one head count, or of any."""
        rows = self._attn_table[1:] if num_heads is None else self._attn_table[self.num_heads.index(num_heads) + 1]
        return tuple(np.unique(rows).tolist())

    @property
    def mlp_widths(self) -> tuple[int, ...]:
        """Every width that the MLP of a block can have, increasing."""
        return tuple(np.unique(self._mlp_table).tolist())

    @property
    def code_length(self) -> int:
        return HEADER + PER_BLOCK * self.depth[1]

    @cached_property
    def cardinalities(self) -> Ints:
        """(code_length,) number of values of each gene; the identity counts as one value of ``op``."""
        block = [len(self.num_heads) + 1, self._attn_table.shape[1], self._mlp_table.shape[1]]
        return np.array([len(self.patch_sizes), len(self.embed_dims), *block * self.depth[1]], np.int64)

    @property
    def size(self) -> int:
        """Number of different subnets."""
        per_block = len(self.num_heads) * self._attn_table.shape[1] * self._mlp_table.shape[1]
        per_depth: int = sum(per_block**depth for depth in range(self.depth[0], self.depth[1] + 1))
        return len(self.patch_sizes) * len(self.embed_dims) * per_depth

    @cached_property
    def smallest(self) -> Subnet:
        """Coarsest patches, every width and head count at its minimum, fewest blocks: least MACs."""
        return self._subnet(self.patch_sizes[-1], self.embed_dims[0], (self._block(1, 0, 0, 0),) * self.depth[0])

    @cached_property
    def largest(self) -> Subnet:
        """Finest patches, every width and head count at its maximum, most blocks: most MACs."""
        return self._subnet(self.patch_sizes[0], self.embed_dims[-1], (self._block(-1, -1, -1, -1),) * self.depth[1])

    def contains(self, subnet: Subnet) -> bool:
        """Whether the subnet is one of this space."""
        return (
            (subnet.image_size, subnet.in_chans, subnet.num_classes)
            == (self.image_size, self.in_chans, self.num_classes)
            and subnet.patch_size in self.patch_sizes
            and subnet.embed_dim in self.embed_dims
            and self.depth[0] <= subnet.depth <= self.depth[1]
            and all(
                block.num_heads in self.num_heads
                and block.attn_dim in self._attn_table[self.num_heads.index(block.num_heads) + 1]
                and block.mlp_dim in self._mlp_table[self.embed_dims.index(subnet.embed_dim)]
                for block in subnet.blocks
            )
        )

    def encode(self, subnet: Subnet) -> Ints:
        """(code_length,) canonical code, identities at the end. Raises InputError on a subnet of another space."""
        if not self.contains(subnet):
            raise InputError(f"Subnet {subnet.digest} is not in the space {self.name!r}.")
        code = np.zeros(self.code_length, np.int64)
        code[:HEADER] = self.patch_sizes.index(subnet.patch_size), self.embed_dims.index(subnet.embed_dim)
        for start, block in zip(range(HEADER, self.code_length, PER_BLOCK), subnet.blocks, strict=False):
            op = self.num_heads.index(block.num_heads) + 1
            code[start : start + PER_BLOCK] = (
                op,
                self._attn_table[op].tolist().index(block.attn_dim),
                self._mlp_table[code[1]].tolist().index(block.mlp_dim),
            )
        return code

    def decode(self, code: Sequence[int] | Ints) -> Subnet:
        """The subnet of a code, canonical or not. Raises InputError on a code of another space."""
        genes = self.checked(np.asarray(code, np.int64)[None])[0]
        blocks = tuple(
            self._block(op, attn, genes[1], mlp)
            for op, attn, mlp in genes[HEADER:].reshape(-1, PER_BLOCK).tolist()
            if op
        )
        return self._subnet(self.patch_sizes[genes[0]], self.embed_dims[genes[1]], blocks)

    def layers(self, code: Sequence[int] | Ints) -> tuple[int, ...]:
        """Which blocks of the supernet a canonical code runs: those of its depth, unless identities are not shifted."""
        there = np.flatnonzero(np.asarray(code)[HEADER::PER_BLOCK])
        return self.kept(len(there)) if self.identity_shifting else tuple(there.tolist())

    def kept(self, depth: int) -> tuple[int, ...]:
        """Which blocks of the supernet a subnet of so many blocks runs, increasing: the first in ``block_order``."""
        return tuple(sorted(self.block_order[:depth])) if self.block_order else tuple(range(depth))

    def checked(self, codes: Ints) -> Ints:
        """``codes`` (N, code_length) if each is of this space; raises InputError otherwise."""
        if codes.ndim != 2 or codes.shape[1] != self.code_length:
            raise InputError(f"A code of space {self.name!r} has {self.code_length} integers.")
        if ((codes < 0) | (codes >= self.cardinalities)).any():
            raise InputError(f"A gene lies outside the choices of space {self.name!r}.")
        if (self.depths(codes) < self.depth[0]).any():
            raise InputError(f"Space {self.name!r} has at least {self.depth[0]} blocks; the code has fewer.")
        return codes

    def depths(self, codes: Ints) -> Ints:
        """(N,) blocks that are not the identity."""
        present: Ints = np.count_nonzero(codes[:, HEADER::PER_BLOCK], axis=1)
        return present

    def canonical(self, codes: Ints) -> Ints:
        """(N, code_length) the canonical form of each code: identities zeroed, and shifted to the end, order kept."""
        blocks = codes[:, HEADER:].reshape(len(codes), self.depth[1], PER_BLOCK)
        identity = blocks[:, :, 0] == 0
        blocks = np.where(identity[:, :, None], 0, blocks)
        if self.identity_shifting:
            order = np.argsort(identity, axis=1, kind="stable")
            blocks = np.take_along_axis(blocks, order[:, :, None], axis=1)
        return np.concatenate([codes[:, :HEADER], blocks.reshape(len(codes), PER_BLOCK * self.depth[1])], axis=1)

    def columns(self, codes: Ints) -> SubnetColumns:
        """The subnets of N canonical codes as columns, without building a Subnet object: for millions of them."""
        op, attn, mlp = np.moveaxis(codes[:, HEADER:].reshape(len(codes), self.depth[1], PER_BLOCK), 2, 0)
        there = op > 0
        heads = np.array((0, *self.num_heads), np.int64)[op]
        widths = self._attn_table[op, attn]

        def same(value: int) -> Ints:
            return np.full(len(codes), value, np.int64)

        return SubnetColumns(
            height=same(self.image_size[0]),
            width=same(self.image_size[1]),
            in_chans=same(self.in_chans),
            patch_size=np.array(self.patch_sizes, np.int64)[codes[:, 0]],
            embed_dim=np.array(self.embed_dims, np.int64)[codes[:, 1]],
            num_classes=same(self.num_classes),
            num_heads=heads,
            head_dim=widths // np.maximum(heads, 1),
            mlp_dim=np.where(there, self._mlp_table[codes[:, 1:2], mlp], 0),
        )

    def sample_codes(self, count: int, rng: np.random.Generator, depths: Sequence[float] | None = None) -> Ints:
        """(count, code_length) canonical codes, every choice uniform.

        Args:
            count: number of codes.
            rng: generator to draw from.
            depths: share of each depth, from the fewest blocks to the most; None draws all equally often (see
                ``core/depths.py``). Without identity shifting the identities lie anywhere, as many of them as with it.

        Raises:
            InputError: other than one share for each depth, or shares that do not sum to 1.
        """
        fewest, most = self.depth
        shares = None if depths is None else np.asarray(depths, np.float64)
        if shares is not None and (
            shares.shape != (most - fewest + 1,) or (shares < 0).any() or abs(shares.sum() - 1) > 1e-6
        ):
            count_of = most - fewest + 1
            raise InputError(
                f"Space {self.name!r} needs {count_of} shares of its depths that sum to 1, not {shown(depths)}."
            )
        codes = rng.integers(0, self.cardinalities, size=(count, self.code_length))
        ops = rng.integers(1, len(self.num_heads) + 1, size=(count, most))
        drawn = rng.choice(np.arange(fewest, most + 1), size=count, p=None if shares is None else shares / shares.sum())
        ops[np.arange(most) >= drawn[:, None]] = 0
        if not self.identity_shifting:
            ops = rng.permuted(ops, axis=1)
        codes[:, HEADER::PER_BLOCK] = ops
        return self.canonical(codes)

    def sample(self, seed: int | np.random.Generator, *, depths: Sequence[float] | None = None) -> Subnet:
        """One random subnet, see ``sample_codes``. The same seed gives the same subnet; a Generator is advanced."""
        return self.decode(self.sample_codes(1, np.random.default_rng(seed), depths)[0])

    def _block(self, op: int, attn: int, embed: int, mlp: int) -> Block:
        num_heads = (0, *self.num_heads)[op]
        width = int(self._attn_table[op, attn])
        return Block(num_heads=num_heads, head_dim=width // num_heads, mlp_dim=int(self._mlp_table[embed, mlp]))

    def _subnet(self, patch_size: int, embed_dim: int, blocks: tuple[Block, ...]) -> Subnet:
        return Subnet(self.image_size, self.in_chans, patch_size, embed_dim, blocks, self.num_classes)


_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


def _increases(values: Sequence[float]) -> bool:
    return list(values) == sorted(set(values))
