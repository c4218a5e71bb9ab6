"""A small space with the digits' images and classes, instead of the default one, for tests of text."""

SMALL_SPACE = """\
image_size: [32, 32]
in_chans: 1
num_classes: 10
patch_sizes: [8, 16]
embed_dims: [64, 128]
depth: [1, 4]
num_heads: [2, 4]
attn_dims: [64, 128]
mlp_dims: [128, 256]
"""
