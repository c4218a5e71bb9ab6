from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitas_hw.core.depths import block_shares, identity_depths, tilted_depths, uniform_depths
from vitas_hw.core.errors import InputError
from vitas_hw.core.presets import PRESETS, preset
from vitas_hw.core.published import published_subnet
from vitas_hw.core.space import HEADER, PER_BLOCK, SearchSpace
from vitas_hw.core.subnet import Block
from vitas_hw.core.variation import crossover, mutation

TINY = preset("vitas-deit-tiny")


@pytest.mark.parametrize("name", PRESETS)
def test_decode_of_encode_is_the_subnet(name: str) -> None:
    space = preset(name)
    for subnet in [space.smallest, space.largest, *(space.sample(seed) for seed in range(50))]:
        assert space.contains(subnet)
        assert space.decode(space.encode(subnet)) == subnet


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_codes_that_mean_the_same_subnet_have_one_canonical_form(data: st.DataObject) -> None:
    genes = [data.draw(st.integers(0, int(most) - 1)) for most in TINY.cardinalities]
    genes[HEADER] = max(genes[HEADER], 1)
    code = np.array(genes)
    canonical = TINY.canonical(code[None])[0]
    assert TINY.decode(code) == TINY.decode(canonical)
    assert np.array_equal(TINY.encode(TINY.decode(code)), canonical)
    ops = canonical[HEADER::PER_BLOCK]
    assert (np.diff((ops == 0).astype(int)) >= 0).all()  # identities stand at the end


def test_shifted_identities_and_dead_genes_are_the_same_subnet() -> None:
    block, other = [2, 3, 4], [1, 0, 9]
    spread = [0, 5, *block, *[0, 7, 7], *other, *[0, 0, 0] * 13]
    packed = [0, 5, *block, *other, *[0, 0, 0] * 14]
    assert TINY.decode(spread) == TINY.decode(packed)
    assert np.array_equal(TINY.canonical(np.array([spread]))[0], packed)


def test_size_counts_different_subnets(small: SearchSpace) -> None:
    tiny = SearchSpace.from_dict(small.to_dict() | {"depth": [1, 2], "attn_dims": [12, 24], "embed_dims": [24]})
    codes = np.array(list(itertools.product(*(range(most) for most in tiny.cardinalities))))
    valid = codes[tiny.depths(codes) >= 1]
    assert len(np.unique(tiny.canonical(valid), axis=0)) == tiny.size
    assert len({tiny.decode(code) for code in valid}) == tiny.size


def test_the_papers_space() -> None:
    assert TINY.embed_dims == (38, 77, 115, 154, 192, 230, 269, 307, 346, 384)
    assert TINY.attn_dims == tuple(range(48, 481, 48))
    assert TINY.mlp_dims == tuple(range(144, 1441, 144))
    assert (TINY.patch_sizes, TINY.num_heads, TINY.depth) == ((14, 16, 32), (3, 6, 12, 16), (1, 16))


@pytest.mark.parametrize("name", ["vitas-a", "vitas-b", "vitas-c", "vitas-e"])
def test_the_published_subnets_lie_in_the_papers_tiny_space(name: str) -> None:
    assert TINY.contains(published_subnet(name))


def test_the_published_large_subnet_lies_in_the_papers_small_space() -> None:
    assert preset("vitas-deit-small").contains(published_subnet("vitas-f"))
    with pytest.raises(InputError, match="not in the space"):
        TINY.encode(published_subnet("vitas-f"))


@pytest.mark.parametrize("name", PRESETS)
def test_smallest_and_largest_bound_the_macs(name: str, rng: np.random.Generator) -> None:
    space = preset(name)
    macs = [subnet.macs for subnet in (space.decode(code) for code in space.sample_codes(100, rng))]
    assert space.smallest.macs <= min(macs) <= max(macs) <= space.largest.macs


def test_sampling_repeats_with_a_seed_and_advances_a_generator(digits: SearchSpace) -> None:
    assert digits.sample(3) == digits.sample(3)
    generator = np.random.default_rng(3)
    assert digits.sample(generator) == digits.sample(3)
    assert digits.sample(generator) != digits.sample(3)


def test_the_identity_probability_sets_the_depth(digits: SearchSpace, rng: np.random.Generator) -> None:
    fewest, most = digits.depth
    depths = {p: digits.depths(digits.sample_codes(2000, rng, identity_depths(digits, p))) for p in (0.0, 0.25, 1.0)}
    assert set(depths[0.0]) == {most}
    assert set(depths[1.0]) == {fewest}
    assert abs(depths[0.25].mean() - (fewest + 0.75 * (most - fewest))) < 0.15
    with pytest.raises(InputError, match=r"lies between 0 and 1: 1\.5 does not"):
        identity_depths(digits, 1.5)


def test_every_depth_is_drawn_equally_often(digits: SearchSpace, rng: np.random.Generator) -> None:
    """So that the last block is trained, too: binomial depths starve it."""
    fewest, most = digits.depth
    counts = np.bincount(digits.depths(digits.sample_codes(13_000, rng)))[fewest:]
    assert len(counts) == most - fewest + 1
    assert np.abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean())  # five standard errors


@pytest.mark.parametrize("tilt", [-50.0, -0.3, 0.0, 0.3, 50.0])
def test_no_depth_loses_more_than_half_of_its_share(digits: SearchSpace, tilt: float) -> None:
    shares = np.array(tilted_depths(digits, tilt))
    assert shares.sum() == pytest.approx(1)
    assert shares.min() >= 0.5 / len(shares)
    if abs(tilt) <= 1:  # beyond, all but one end is at the floor
        assert np.sign(np.diff(shares)).tolist() == [np.sign(tilt)] * (len(shares) - 1)
    else:
        assert shares.max() == pytest.approx(shares[0 if tilt < 0 else -1])
        assert shares.max() > 0.5


def test_the_shares_of_the_blocks_are_those_of_the_draws(digits: SearchSpace, rng: np.random.Generator) -> None:
    for space in (digits, replace(digits, identity_shifting=False)):
        shares = tilted_depths(space, 0.4)
        codes = space.sample_codes(20_000, rng, shares)
        drawn = (codes[:, HEADER::PER_BLOCK] > 0).mean(axis=0)
        np.testing.assert_allclose(drawn, block_shares(space, shares), atol=0.02)


def test_the_blocks_that_are_dropped_first_are_trained_least(digits: SearchSpace) -> None:
    order = (*range(digits.depth[1] - 1, -1, -1),)  # the first block goes first
    shares = block_shares(replace(digits, block_order=order), uniform_depths(digits))
    assert shares == block_shares(digits, uniform_depths(digits))[::-1]
    assert shares[-1] == 1


@pytest.mark.parametrize("shares", [(1.0,), (0.2,) * 13, (-1.0, 2.0, *(0.0,) * 11)])
def test_wrong_shares_of_depths_are_refused(digits: SearchSpace, shares: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="needs 13 shares of its depths that sum to 1"):
        digits.sample(0, depths=shares)


@pytest.mark.parametrize("name", PRESETS)
def test_crossover_and_mutation_stay_in_the_space_and_canonical(name: str, rng: np.random.Generator) -> None:
    space = preset(name)
    first, second = (
        space.sample_codes(500, rng, identity_depths(space, 0.9)),
        space.sample_codes(500, rng, identity_depths(space, 0.2)),
    )
    for children in (
        *crossover(space, first, second, rng),
        mutation(space, first, rng),
        mutation(space, first, rng, 20),
    ):
        assert np.array_equal(space.canonical(space.checked(children)), children)


def test_crossover_takes_genes_from_both_parents_only(digits: SearchSpace, rng: np.random.Generator) -> None:
    first, second = (
        digits.sample_codes(200, rng, identity_depths(digits, 0.0)),
        digits.sample_codes(200, rng, identity_depths(digits, 0.0)),
    )
    for child in crossover(digits, first, second, rng):
        assert ((child == first) | (child == second)).all()
    one, other = crossover(digits, first, second, rng)
    assert np.array_equal(np.sort([one, other], axis=0), np.sort([first, second], axis=0))
    assert ((one != first).any(axis=1) & (one != second).any(axis=1)).mean() > 0.5


def test_mutation_changes_about_as_many_genes_as_asked(digits: SearchSpace, rng: np.random.Generator) -> None:
    codes = digits.sample_codes(2000, rng, identity_depths(digits, 0.0))
    changed = (mutation(digits, codes, rng, genes=2.0)[:, :HEADER] != codes[:, :HEADER]).mean()
    assert 0.3 * 2 / digits.code_length < changed < 2 / digits.code_length


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patch_sizes": [5]}, "not divisible"),
        ({"num_heads": [5]}, "not divisible by 5 heads"),
        ({"mlp_dims": [64, 32]}, "increasing"),
        ({"mlp_dims": []}, "increasing"),
        ({"mlp_dims": 64}, "mlp_dims must be a list"),
        ({"depth": [3, 2]}, "depth"),
        ({"depth": [0, 2]}, "depth"),
        ({"depth": [1]}, "depth must be a list of 2"),
        ({"name": "../x"}, "name"),
        ({"extra": 1}, "exactly the fields"),
    ],
)
def test_an_impossible_space_is_refused(changes: dict[str, object], words: str, small: SearchSpace) -> None:
    with pytest.raises(InputError, match=words):
        SearchSpace.from_dict(small.to_dict() | changes)


def test_a_space_comes_back_from_its_dict(small: SearchSpace) -> None:
    assert SearchSpace.from_dict(small.to_dict()) == small


@pytest.mark.parametrize("code", [[0] * 3, [0] * 50, [99] + [0] * 49, [-1] + [1] * 49])
def test_a_code_of_another_space_is_refused(code: list[int]) -> None:
    with pytest.raises(InputError):
        TINY.decode(code)


def test_a_subnet_of_another_shape_is_not_contained(digits: SearchSpace) -> None:
    from dataclasses import replace

    subnet = digits.sample(0)
    for change in ({"num_classes": 11}, {"in_chans": 3}, {"embed_dim": 191}, {"blocks": (Block(2, 64, 384),)}):
        assert not digits.contains(replace(subnet, **change))


def test_without_identity_shifting_identities_stay(small: SearchSpace, rng: np.random.Generator) -> None:
    space = replace(small, identity_shifting=False)
    codes = space.sample_codes(4000, rng, identity_depths(space, 0.5))
    assert np.array_equal(space.canonical(space.checked(codes)), codes)
    layers = [space.layers(code) for code in codes]
    assert {len(run) for run in layers} == {1, 2, 3, 4}
    assert {run for run in layers if len(run) == 1} == {(0,), (1,), (2,), (3,)}
    shifted = small.sample_codes(4000, rng, identity_depths(small, 0.5))
    assert space.depths(codes).mean() == pytest.approx(small.depths(shifted).mean(), abs=0.06)
    assert {small.layers(code) for code in shifted} == {(0,), (0, 1), (0, 1, 2), (0, 1, 2, 3)}


def test_no_codes_are_no_codes(digits: SearchSpace, rng: np.random.Generator) -> None:
    codes = digits.sample_codes(0, rng)
    assert codes.shape == (0, digits.code_length)
    assert len(digits.columns(codes)) == 0


def test_tied_widths_follow_heads_and_embedding(rng: np.random.Generator) -> None:
    space = preset("autoformer-small")
    assert space.attn_widths() == (320, 384, 448)
    assert space.attn_widths(6) == (384,)
    assert space.mlp_widths == (960, 1120, 1152, 1280, 1344, 1536, 1568, 1792)
    for code in space.sample_codes(200, rng):
        subnet = space.decode(code)
        assert 12 <= subnet.depth <= 14
        assert {block.head_dim for block in subnet.blocks} == {64}
        assert {block.mlp_dim / subnet.embed_dim for block in subnet.blocks} <= {3.0, 3.5, 4.0}


@pytest.mark.parametrize(("name", "params"), [("tiny", 5.7e6), ("small", 22.9e6), ("base", 53.7e6)])
def test_autoformers_published_models_are_as_large_as_subnets_of_its_spaces(name: str, params: float) -> None:
    space = preset(f"autoformer-{name}")
    assert space.smallest.params < params < space.largest.params
    assert len(space.patch_sizes) * len(space.embed_dims) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"head_dim": 64}, "gives both attn_dims and head_dim"),
        ({"mlp_ratios": [4.0]}, "gives both mlp_dims and mlp_ratios"),
        ({"mlp_dims": [], "mlp_ratios": [4.0, 3.0]}, "increasing"),
        ({"mlp_dims": [], "mlp_ratios": [0.0]}, "increasing from above 0"),
        ({"mlp_dims": [], "mlp_ratios": [1.0, 1.001]}, "round to the same"),
        ({"attn_dims": [], "head_dim": -64}, "head_dim"),
        ({"identity_shifting": 1}, "true or false"),
        ({"block_order": [0, 1, 2]}, "block_order .* must hold each of 0 to 3 once"),
        ({"block_order": [0, 1, 2, 2]}, "must hold each of 0 to 3 once"),
        ({"block_order": [3, 1, 2, 0], "identity_shifting": False}, "is of no use without identity_shifting"),
    ],
)
def test_impossible_spaces_are_refused(changes: dict[str, object], words: str, small: SearchSpace) -> None:
    with pytest.raises(InputError, match=words):
        SearchSpace.from_dict(small.to_dict() | changes)


def test_a_spaces_dict_names_only_what_is_not_the_default(small: SearchSpace) -> None:
    assert "head_dim" not in small.to_dict()
    unshifted = replace(small, identity_shifting=False)
    assert unshifted.to_dict()["identity_shifting"] is False
    assert SearchSpace.from_dict(unshifted.to_dict()) == unshifted != small
    assert SearchSpace.from_dict(preset("autoformer-tiny").to_dict()) == preset("autoformer-tiny")


def test_a_shallower_subnet_keeps_the_first_of_the_block_order(small: SearchSpace) -> None:
    space = replace(small, block_order=(2, 0, 3, 1))
    assert [space.kept(depth) for depth in range(1, 5)] == [(2,), (0, 2), (0, 2, 3), (0, 1, 2, 3)]
    assert [small.kept(depth) for depth in range(1, 5)] == [(0,), (0, 1), (0, 1, 2), (0, 1, 2, 3)]
    for seed in range(20):
        subnet = space.sample(seed)
        assert space.layers(space.encode(subnet)) == space.kept(subnet.depth)
    assert SearchSpace.from_dict(space.to_dict()) == space
    assert "block_order" not in small.to_dict()
