from __future__ import annotations

import pytest

from vitas_hw.core.errors import InputError
from vitas_hw.core.target import Target, device_slug


@pytest.mark.parametrize(
    ("target", "slug"),
    [
        (
            Target("amd-epyc-zen4", "onnxruntime", "fp32", 1, 1, (224, 224)),
            "amd-epyc-zen4-onnxruntime-fp32-b1-t1-i224",
        ),
        (Target("nvidia-h200", "torch", "bf16", 64, None, (224, 224)), "nvidia-h200-torch-bf16-b64-i224"),
        (Target("a-torch-fp16-b1", "openvino", "int8", 2, 8, (32, 64)), "a-torch-fp16-b1-openvino-int8-b2-t8-i32x64"),
    ],
)
def test_the_slug_and_its_inverse(target: Target, slug: str) -> None:
    assert target.slug == slug
    assert Target.from_slug(slug) == target
    assert Target.from_dict(target.to_dict()) == target


@pytest.mark.parametrize("slug", ["", "cpu", "x-onnxruntime-fp32-b1", "x-onnx-fp32-b1-i224", "x-torch-fp32-b0-i224"])
def test_a_wrong_slug_is_refused(slug: str) -> None:
    with pytest.raises(InputError):
        Target.from_slug(slug)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device_name", "My PC"),
        ("device_name", "../x"),
        ("backend", "onnx"),
        ("precision", "fp8"),
        ("threads", 0),
        ("image_size", 32),
        ("image_size", [32]),
    ],
)
def test_an_impossible_target_is_refused(field: str, value: object) -> None:
    data = Target("cpu", "onnxruntime", "fp32", 1, 1, (32, 32)).to_dict() | {field: value}
    with pytest.raises(InputError):
        Target.from_dict(data)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("AMD EPYC 9B14 96-Core Processor", "amd-epyc-9b14"),
        ("Intel(R) Xeon(R) CPU @ 2.20GHz", "intel-xeon"),
        ("12th Gen Intel(R) Core(TM) i7-1260P", "12th-gen-intel-core-i7-1260p"),
        ("NVIDIA H200", "nvidia-h200"),
        ("???", "device"),
    ],
)
def test_hardware_names_become_device_names(name: str, slug: str) -> None:
    assert device_slug(name) == slug
