"""``vitas_subnet`` for timm: a plain vision transformer whose blocks are arguments. Needs timm alone.

import timm, vitas_subnet
model = timm.create_model("local-dir:FOLDER", pretrained=True)
"""

from typing import Any

from timm.layers import Attention, Mlp
from timm.models import build_model_with_cfg, register_model
from timm.models.vision_transformer import Block, VisionTransformer

default_cfgs = {
    "vitas_subnet": {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": None,
        "crop_pct": 0.875,
        "interpolation": "bicubic",
        "fixed_input_size": True,
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "first_conv": "patch_embed.proj",
        "classifier": "head",
    }
}


@register_model  # type: ignore[untyped-decorator]
def vitas_subnet(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """``blocks``: a list of {num_heads, head_dim, mlp_dim}; everything else as timm's ``VisionTransformer`` has it."""
    shapes = kwargs.pop("blocks")

    def block(dim: int, depth: int, **rest: Any) -> Block:
        # timm's Block knows neither the width of a head nor an exact hidden width
        shape = shapes[depth]
        made = Block(dim, depth=depth, **{**rest, "num_heads": 1, "mlp_ratio": 1.0})
        made.attn = Attention(dim, num_heads=shape["num_heads"], attn_head_dim=shape["head_dim"], qkv_bias=True)
        made.mlp = Mlp(dim, hidden_features=shape["mlp_dim"], act_layer=rest["act_layer"])
        return made

    made: VisionTransformer = build_model_with_cfg(
        VisionTransformer, "vitas_subnet", pretrained, block_fn=block, depth=len(shapes), **kwargs
    )
    return made
