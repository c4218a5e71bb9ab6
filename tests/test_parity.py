"""Supernet in place = extracted timm model = ONNX Runtime, on the presets, with every parameter at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from vitas_hw.core.presets import PRESETS, preset
from vitas_hw.export.onnx_graph import INPUT, onnx_graph
from vitas_hw.profiling.onnxruntime_cpu import open_session
from vitas_hw.supernet.supernet import build_supernet, extract


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("count", [pytest.param(4, id="few"), pytest.param(50, id="fifty", marks=pytest.mark.full)])
def test_supernet_extracted_and_onnx_agree(name: str, count: int, randomise: Callable[[object, int], None]) -> None:
    space = preset(name)
    supernet = build_supernet(space, seed=0).eval()
    randomise(supernet, 1)
    images = torch.randn(2, space.in_chans, *space.image_size, generator=torch.Generator().manual_seed(2))
    rng = np.random.default_rng(3)
    for _ in range(count):
        subnet = space.sample(rng, p_identity=rng.random())
        model = extract(supernet, subnet)
        assert type(model) is VisionTransformer
        assert sum(parameter.numel() for parameter in model.parameters()) == subnet.params
        with torch.no_grad():
            expected, plain = supernet(images, subnet).numpy(), model(images).numpy()
        weights = {key: weight.numpy() for key, weight in model.state_dict().items()}
        session = open_session(onnx_graph(subnet, weights).SerializeToString(), threads=2)
        (exported,) = session.run(None, {INPUT: images.numpy()})
        largest = np.abs(expected).max()
        assert np.abs(plain - expected).max() <= 1e-5 * largest
        assert np.abs(exported - expected).max() <= 1e-4 * largest
        assert not np.allclose(expected[0], expected[1], rtol=1e-3)  # the images do matter
