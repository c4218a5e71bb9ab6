from __future__ import annotations

import numpy as np
import pytest
import torch

import vitas_hw as vh
from vitas_hw.core.space import SearchSpace


def expected(subnet: vh.Subnet, seed: int) -> float:
    """The same from its definition, in float64, singular values and gradients by other functions."""
    model = vh.build_model(subnet, seed=seed).double()
    weights = {name: weight.detach().abs().requires_grad_() for name, weight in model.named_parameters()}
    ones = torch.ones(1, subnet.in_chans, *subnet.image_size, dtype=torch.float64)
    output = torch.func.functional_call(model.eval(), weights, (ones,)).sum()
    gradients = dict(zip(weights, torch.autograd.grad(output, list(weights.values())), strict=True))
    total = 0.0
    for name, weight in weights.items():
        w, g = weight.detach().numpy(), gradients[name].numpy()
        if ".attn." in name and name.endswith("weight"):
            total += np.linalg.norm(w, "nuc") * np.linalg.norm(g, "nuc")
        elif ".mlp." in name and name.endswith("weight"):
            total += np.abs(w * g).sum()
    return total


@pytest.mark.parametrize("seed", [0, 3])
def test_the_score_is_that_of_its_definition(small: SearchSpace, seed: int) -> None:
    subnet = small.sample(seed)
    assert vh.proxy_score(subnet, seed) == pytest.approx(expected(subnet, seed), rel=1e-3)


def test_the_score_depends_on_its_seed_and_on_nothing_else(small: SearchSpace) -> None:
    subnet = small.sample(1)
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first = vh.proxy_score(subnet)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(6)
    with torch.no_grad():
        assert vh.proxy_score(subnet) == first
    assert vh.proxy_score(subnet, seed=1) != first
