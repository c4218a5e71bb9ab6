"""What a supernet can be asked for, by name: for settings, which load no torch."""

from __future__ import annotations

SHARING = ("ordinal", "bilateral", "cyclic")
DEFAULT_SHARING = "ordinal"
PRIVATE = ("patch_embed", "cls_token", "pos_embed", "qk")
"""What the paper makes private: the first three to each patch size, q and k to each head count."""
