"""Supernet in place = extracted timm model = ONNX Runtime = OpenVINO, on the presets, every parameter at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from vitas_hw.core.presets import PRESETS, preset
from vitas_hw.core.target import Target
from vitas_hw.profiling.backend import open_backend
from vitas_hw.supernet.supernet import build_supernet, extract

LARGE = ("autoformer-base", "autoformer-small", "vitas-deit-small")  # their parts are those of the tiny ones, wider


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *(pytest.param(name, 1, id=f"{name}, one", marks=[pytest.mark.full] * (name in LARGE)) for name in PRESETS),
        *(pytest.param(name, 100, id=f"{name}, hundred", marks=pytest.mark.full) for name in PRESETS),
    ],
)
def test_supernet_extracted_and_runtimes_agree(name: str, count: int, randomise: Callable[[object, int], None]) -> None:
    space = preset(name)
    supernet = build_supernet(space, seed=0).eval()
    randomise(supernet, 1)
    images = torch.randn(2, space.in_chans, *space.image_size, generator=torch.Generator().manual_seed(2))
    backends = [
        open_backend(Target("here", runtime, "fp32", 2, 1, space.image_size), "cpu")
        for runtime in ("onnxruntime", "openvino")
    ]
    rng = np.random.default_rng(3)
    for _ in range(count):
        subnet = space.sample(rng)
        model = extract(supernet, subnet)
        assert type(model) is VisionTransformer
        assert sum(parameter.numel() for parameter in model.parameters()) == subnet.params
        with torch.no_grad():
            expected, plain = supernet(images, subnet).numpy(), model(images).numpy()
        weights = {key: weight.numpy() for key, weight in model.state_dict().items()}
        largest = np.abs(expected).max()
        assert np.abs(plain - expected).max() <= 1e-5 * largest
        for backend in backends:
            session = backend.open(subnet, weights)
            assert np.abs(session.logits(images.numpy()) - expected).max() <= 1e-4 * largest
            session.close()
        assert not np.allclose(expected[0], expected[1], rtol=1e-3)  # the images do matter
