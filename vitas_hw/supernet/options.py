"""What a supernet can be asked for, by name: for settings, which load no torch."""

from __future__ import annotations

from collections.abc import Iterable

from vitas_hw.core.errors import one_of

SHARING = ("ordinal", "bilateral", "cyclic")
DEFAULT_SHARING = "ordinal"
PRIVATE = ("patch_embed", "cls_token", "pos_embed", "qk")
"""What the paper makes private: the first three to each patch size, q and k to each head count."""


def check_private(parts: Iterable[str]) -> None:
    """Raises InputError if one of them is none of ``PRIVATE``."""
    for part in parts:
        if part not in PRIVATE:
            raise one_of(part, PRIVATE, "private part")
