"""Gradients of sliced weights: autograd's own, in far fewer launches."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from vitas_hw.core.presets import preset
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet import elastic
from vitas_hw.supernet.gradients import Gradients
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.sharing import SCHEMES, Place
from vitas_hw.supernet.supernet import Supernet, build_supernet

sys.path.append(str(Path(__file__).parent.parent.parent / "benchmarks"))
from launches import launches


def step(supernet: Supernet, subnets: list[Subnet], images: Tensor, autocast: bool = False) -> dict[str, Tensor | None]:
    """Gradients by name, of the mean loss over the subnets."""
    supernet.zero_grad(set_to_none=True)
    labels = torch.arange(len(images)) % supernet.space.num_classes
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        losses = [F.cross_entropy(supernet(images, subnet), labels) for subnet in subnets]
    torch.stack(losses).mean().backward()
    return {name: weight.grad for name, weight in supernet.named_parameters()}


@pytest.fixture(autouse=True)
def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic, "BY_AUTOGRAD", frozenset())


def by_autograd(monkeypatch: pytest.MonkeyPatch, *given: object) -> dict[str, Tensor | None]:
    with monkeypatch.context() as patched:
        patched.setattr(elastic, "BY_AUTOGRAD", frozenset({"cpu"}))
        return step(*given)  # type: ignore[arg-type]


def test_a_cpu_leaves_it_to_autograd_and_a_gpu_does_not(small: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for device, by_us in (("cpu", False), ("meta", True)):
        place = Place(torch.ones(4, 4, device=device), (slice(0, 2),))
        assert (elastic.gradients_of({"any": place}) is not None) == by_us
        with torch.no_grad():
            assert elastic.gradients_of({"any": place}) is None


def subnets_of(space: SearchSpace) -> list[Subnet]:
    drawn = [space.decode(code) for code in space.sample_codes(4, np.random.default_rng(1))]
    return [space.smallest, space.largest, *drawn]


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("sharing", SCHEMES)
def test_they_are_those_of_autograd(
    small: SearchSpace, sharing: str, private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    supernet = build_supernet(small, sharing, seed=0, **({} if private else {"private": ()}))
    torch.nn.init.trunc_normal_(supernet.head.bias)
    images = torch.randn(3, small.in_chans, *small.image_size, generator=torch.Generator().manual_seed(0))
    subnets = subnets_of(small)
    for some in (*([one] for one in subnets), subnets):  # alone, and a sandwich's sum
        found, expected = step(supernet, some, images), by_autograd(monkeypatch, supernet, some, images)
        assert {name for name, one in found.items() if one is None} == {n for n, one in expected.items() if one is None}
        for name, gradient in found.items():
            if gradient is not None:
                torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)
                assert gradient.stride() == supernet.get_parameter(name).stride()


def test_under_autocast_they_are_fp32_and_agree_with_autograds(
    small: SearchSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    supernet, subnet = build_supernet(small, seed=0), subnets_of(small)[2]
    images = torch.randn(8, small.in_chans, *small.image_size, generator=torch.Generator().manual_seed(0))
    found, expected = step(supernet, [subnet], images, True), by_autograd(monkeypatch, supernet, [subnet], images, True)
    exact = step(supernet, [subnet], images)
    for name, gradient in found.items():
        if gradient is None:
            continue
        other, true = expected[name], exact[name]
        assert other is not None
        assert true is not None
        assert gradient.dtype == torch.float32
        if true.norm() > 1e-5:  # the keys' bias has none but rounding
            assert (gradient - true).norm() < 1.5 * (other - true).norm() + 0.02 * true.norm(), name


def test_a_second_backward_pass_adds_up(small: SearchSpace) -> None:
    supernet, subnet = build_supernet(small, seed=0), small.smallest
    images = torch.randn(2, small.in_chans, *small.image_size)
    once = {name: None if one is None else one.clone() for name, one in step(supernet, [subnet], images).items()}
    supernet.zero_grad(set_to_none=True)
    loss = F.cross_entropy(supernet(images, subnet), torch.arange(2))
    loss.backward(retain_graph=True)
    loss.backward()
    for name, weight in supernet.named_parameters():
        gradient = once[name]
        if gradient is not None:
            torch.testing.assert_close(weight.grad, 2 * gradient, msg=name)


@pytest.mark.filterwarnings("ignore::UserWarning")  # DDP's, of unused parameters
def test_ddp_reduces_them_and_leaves_what_is_unused(small: SearchSpace, tmp_path: Path) -> None:
    supernet, subnet = build_supernet(small, seed=0), small.smallest
    images, labels = torch.randn(2, small.in_chans, *small.image_size), torch.arange(2)
    expected = step(supernet, [subnet], images)
    supernet.zero_grad(set_to_none=True)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(supernet, find_unused_parameters=True)
        for _ in range(2):  # the second time the reducer has rebuilt its buckets
            wrapped.zero_grad(set_to_none=True)
            F.cross_entropy(wrapped(images, subnet), labels).backward()
    finally:
        dist.destroy_process_group()
    for name, weight in supernet.named_parameters():
        gradient = expected[name]
        if gradient is None:
            assert weight.grad is None or not weight.grad.any(), name
        else:
            torch.testing.assert_close(weight.grad, gradient, msg=name)


def test_gradients_taken_anew_are_zero_again() -> None:
    weight = torch.ones(3, 5)
    place = Place(weight, (slice(0, 2),))
    gradients = Gradients([place, Place(torch.ones(4), (slice(0, 4),))])
    first = gradients.of(weight)
    first += 1
    assert torch.equal(gradients.of(weight), torch.zeros(3, 5))
    assert gradients.holds(place)
    assert not gradients.holds(Place(torch.ones(4), (slice(0, 4),)))


def test_a_step_launches_little_more_than_the_plain_models() -> None:
    """Before, 1.95 times as much: a zero-filled gradient of the whole for each dimension of each slice."""
    space = preset("vitas-deit-tiny")
    supernet = build_supernet(space, seed=0).train()
    images, labels = torch.zeros(1, space.in_chans, *space.image_size), torch.zeros(1, dtype=torch.int64)
    for code in space.sample_codes(3, np.random.default_rng(0)):
        subnet = space.decode(code)
        ours = launches(supernet, images, subnet, labels=labels)
        plain = launches(build_model(subnet).train(), images, labels=labels)
        assert ours.total() <= 1.2 * plain.total()
        assert ours["aten::slice_backward"] <= plain["aten::slice_backward"] + 1
