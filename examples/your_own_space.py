"""Write a search space, predict the latency of its subnets, and extract one from a supernet.

Usage: python your_own_space.py --output my-space.yaml
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import vitas_hw as vh

SPACE = """\
image_size: [32, 32]
in_chans: 1
num_classes: 10
patch_sizes: [8, 16]
embed_dims: [192, 256]
depth: [2, 6]
num_heads: [2, 4]
attn_dims: [128, 256]
mlp_dims: [384, 768]
"""
PREDICTOR = "amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits"


def main() -> None:
    """Prints a table of subnets, then how far an extracted subnet's logits are from the supernet's."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--output", type=Path, default=Path("my-space.yaml"))
    options.add_argument("--subnets", type=int, default=5)
    given = options.parse_args()

    given.output.write_text(SPACE, encoding="utf-8")
    space = vh.load_space(given.output)
    print(f"{space.name}: {space.size:.3g} subnets")

    # every subnet of this space is also in vitas-digits, so the predictor shipped for that space applies
    predictor = vh.load_predictor(PREDICTOR)
    subnets = [space.smallest, *(space.sample(seed) for seed in range(given.subnets)), space.largest]
    assert all(predictor.space.contains(subnet) for subnet in subnets)
    found = predictor.predict(subnets)
    for subnet, middle, low, high in zip(subnets, found.latency_ms, found.lower_ms, found.upper_ms, strict=True):
        print(f"{subnet.digest}  {subnet.macs / 1e6:6.1f} MMACs  {middle:.2f} ms ({low:.2f} to {high:.2f})")

    supernet = vh.build_supernet(space, seed=0)
    images = torch.randn(2, 1, 32, 32)
    subnet = space.sample(seed=3)
    with torch.no_grad():
        difference = (vh.extract(supernet, subnet)(images) - supernet(images, subnet)).abs().max().item()
    print(f"largest difference of logits, extracted and inside the supernet: {difference:.1e}")


if __name__ == "__main__":
    main()
