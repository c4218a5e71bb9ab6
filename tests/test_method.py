"""The method of ViTAS (arXiv 2106.13700), claim by claim; the other claims' tests are named at the end."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vitas_hw as vh
from vitas_hw.core.budget import Budget
from vitas_hw.core.depths import identity_depths
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block
from vitas_hw.searching.costs import Costs
from vitas_hw.searching.depth_shares import depth_shares
from vitas_hw.supernet.elastic import Use, read, within

IMAGES = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def test_one_supernet_holds_every_width_patch_size_head_count_and_depth(small: SearchSpace) -> None:
    supernet = vh.build_supernet(small, seed=0).eval()
    base = vh.Subnet((32, 32), 1, 8, 24, (Block(2, 6, 32),), 10)
    changes = [
        {"patch_size": 16},
        {"embed_dim": 48},
        {"blocks": (Block(3, 4, 32),)},
        {"blocks": (Block(2, 12, 32),)},
        {"blocks": (Block(2, 6, 64),)},
        {"blocks": base.blocks * 2},
    ]
    with torch.no_grad():
        logits = [supernet(IMAGES, subnet) for subnet in (base, *(replace(base, **change) for change in changes))]
    assert all(one.shape == (2, 10) for one in logits)
    for one in range(len(logits)):
        assert not any(torch.allclose(logits[one], logits[other]) for other in range(one))


@pytest.mark.parametrize("heads", [2, 3])
def test_the_attention_scale_is_the_subnets_own(small: SearchSpace, heads: int) -> None:
    """head_dim ** -0.5 of the heads that run, worked out by hand for one block (the authors' code fixes it once)."""
    supernet = vh.build_supernet(small, seed=0).eval()
    block = Block(heads, 48 // heads, 64)
    attention = supernet.blocks[0].attn
    x = torch.randn(2, 5, 48)
    w = read(attention.places(48, block, ""))
    q, k, v = (
        torch.nn.functional.linear(x, w[f"{p}.weight"], w[f"{p}.bias"]).unflatten(2, (heads, 48 // heads))
        for p in "qkv"
    )
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / (48 / heads) ** 0.5
    mixed = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v).flatten(2)
    expected = torch.nn.functional.linear(mixed, w["proj.weight"], w["proj.bias"])
    use = Use(within("attn", attention.places(48, block, "")))
    torch.testing.assert_close(attention(x, use, block), expected, rtol=1e-4, atol=1e-5)


def test_the_identity_probability_starts_at_one_half_and_stays_if_that_is_inside(digits: SearchSpace) -> None:
    codes = digits.sample_codes(1000, np.random.default_rng(4), identity_depths(digits, 0.5))
    mean = Costs(digits).of(codes)["macs"].mean()
    budget = Budget.parse(flops=f"{mean / 1e6 * 1.02:.3f}M")
    assert depth_shares(Costs(digits), budget, how="identity", seed=4).identity == 0.5
    assert depth_shares(Costs(digits), Budget(), how="identity", seed=4).identity == 0.5


def test_the_identity_probability_is_judged_by_a_thousand_samples(digits: SearchSpace) -> None:
    asked = []

    class Counting(Costs):
        def of(self, codes: np.ndarray) -> dict[str, np.ndarray]:
            asked.append(len(codes))
            return super().of(codes)

    depth_shares(Counting(digits), Budget.parse(flops="40M"), how="identity", seed=0)
    assert set(asked) == {1000}


def test_a_bare_ceiling_means_the_range_from_nine_tenths_of_it(digits: SearchSpace) -> None:
    """As the paper's 1G run, whose floor was 0.9G."""
    bare, range_ = (depth_shares(Costs(digits), Budget.parse(flops=f), seed=0) for f in ("50M", "45M-50M"))
    assert bare == range_


def test_a_search_never_looks_at_the_validation_images(small: SearchSpace) -> None:
    data = vh.load_data("digits", small)
    blind = replace(data, test=None, train=None)  # type: ignore[arg-type]
    found = vh.search(
        small,
        supernet=vh.build_supernet(small, seed=0).eval(),
        data=blind,
        flops="2M",
        population=4,
        generations=2,
    )
    assert found.candidates
    assert not set(data.search.indices) & set(data.test.indices)


ELSEWHERE = {
    "core/test_space.py": [
        "test_codes_that_mean_the_same_subnet_have_one_canonical_form",  # identity shifting
        "test_without_identity_shifting_identities_stay",
        "test_crossover_takes_genes_from_both_parents_only",
        "test_the_papers_space",
    ],
    "supernet/test_supernet.py": [
        "test_class_token_position_and_projection_are_private_to_a_patch_size",
        "test_q_and_k_are_private_to_a_head_count_and_v_is_shared",
        "test_each_token_gets_its_own_position",
    ],
    "supernet/test_sharing.py": [
        "test_ordinal_is_always_the_first_channels",
        "test_bilateral_is_the_first_and_the_last_channels",
        "test_cyclic_uses_every_channel_equally_often_over_all_widths",
        "test_channels_that_get_a_gradient_over_all_widths",
        "test_each_private_part_can_be_switched_off",
    ],
    "training/test_training.py": [
        "test_bilateral_trains_on_the_sum_of_both_sides_and_is_scored_by_it",
        "test_the_papers_recipe",
    ],
    "searching/test_searching.py": [
        "test_the_depths_bring_the_mean_into_the_budget",
        "test_a_mean_out_of_reach_says_which_means_are_not",
        "test_all_candidates_are_different_and_inside_the_budget",
    ],
}


@pytest.mark.parametrize("file", ELSEWHERE)
def test_the_tests_of_the_other_claims_are_there(file: str) -> None:
    tree = ast.parse((Path(__file__).parent / file).read_text())
    assert set(ELSEWHERE[file]) <= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
