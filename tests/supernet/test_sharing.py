"""The paper's weight sharing (ViTAS section 3.2) and private parts (3.3), claim by claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vitas_hw.core.errors import InputError
from vitas_hw.core.presets import PRESETS, preset
from vitas_hw.core.space import SearchSpace
from vitas_hw.supernet.options import PRIVATE
from vitas_hw.supernet.sharing import SCHEMES, Channels, take
from vitas_hw.supernet.supernet import Supernet, build_supernet, extract
from vitas_hw.supernet.weights_file import load_supernet, save_supernet

IMAGES = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def indices(channels: Channels) -> list[int]:
    return [index for part in channels for index in range(part.start, part.stop)]


def random_supernet(
    space: SearchSpace, randomise: Callable[[object, int], None], sharing: str, private: tuple[str, ...] = PRIVATE
) -> Supernet:
    supernet = build_supernet(space, sharing, private=private, seed=0).eval()
    randomise(supernet, 1)
    return supernet


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("sharing", SCHEMES)
def test_a_width_uses_as_many_different_channels(name: str, sharing: str) -> None:
    space, scheme = preset(name), SCHEMES[sharing]
    for widths in (space.embed_dims, space.attn_widths(), space.mlp_widths):
        for width in widths:
            for side in scheme.sides:
                used = indices(scheme.channels(width, widths, side))
                assert len(set(used)) == len(used) == width
                assert set(used) <= set(range(widths[-1]))
        with pytest.raises(ValueError, match="none of"):
            scheme.channels(widths[-1] + 1, widths, scheme.sides[0])


def test_ordinal_is_always_the_first_channels() -> None:
    assert indices(SCHEMES["ordinal"].channels(3, (2, 3, 5), "")) == [0, 1, 2]


def test_bilateral_is_the_first_and_the_last_channels() -> None:
    assert indices(SCHEMES["bilateral"].channels(3, (2, 3, 5), "left")) == [0, 1, 2]
    assert indices(SCHEMES["bilateral"].channels(3, (2, 3, 5), "right")) == [2, 3, 4]


@pytest.mark.parametrize("name", PRESETS)
def test_cyclic_uses_every_channel_equally_often_over_all_widths(name: str) -> None:
    space = preset(name)
    for widths in (space.embed_dims, space.attn_widths(), space.mlp_widths):
        counts = np.zeros(widths[-1], int)
        for width in widths:
            counts[indices(SCHEMES["cyclic"].channels(width, widths, ""))] += 1
        assert counts.max() - counts.min() <= 1
        assert counts.sum() == sum(widths)


@pytest.mark.parametrize("sharing", SCHEMES)
def test_channels_that_get_a_gradient_over_all_widths(small: SearchSpace, sharing: str) -> None:
    """Counted where it matters: in the gradients of embedding, attention and MLP, one width after the other."""
    supernet = build_supernet(small, sharing, seed=0)
    block, base = supernet.blocks[0], small.largest
    wanted = {
        "embed": (small.embed_dims, lambda w: replace(base, embed_dim=w), lambda: block.norm1.weight.grad),
        "attn": (
            small.attn_widths(),
            lambda w: replace(base, blocks=(replace(base.blocks[0], head_dim=w // 3),)),
            lambda: block.attn.v_bias.grad,
        ),
        "mlp": (
            small.mlp_widths,
            lambda w: replace(base, blocks=(replace(base.blocks[0], mlp_dim=w),)),
            lambda: block.mlp.fc1_bias.grad,
        ),
    }
    for axis, (widths, subnet_of, gradient) in wanted.items():
        counts = np.zeros(widths[-1], int)
        for width in widths:
            for side in supernet.sides:
                supernet.zero_grad(set_to_none=True)
                supernet(IMAGES, subnet_of(width), side or None).square().sum().backward()
                counts += (gradient() != 0).numpy()
        if sharing == "cyclic":
            assert counts.max() - counts.min() <= 1, axis
        if sharing == "bilateral":
            assert np.array_equal(counts, counts[::-1])
        if sharing == "ordinal":
            assert counts[0] == len(widths)
            assert counts[-1] == 1


@pytest.mark.parametrize("sharing", SCHEMES)
def test_every_scheme_extracts_what_it_runs(
    small: SearchSpace, randomise: Callable[[object, int], None], sharing: str
) -> None:
    supernet = random_supernet(small, randomise, sharing)
    for seed in range(20):
        subnet = small.sample(seed)
        sides = [extract(supernet, subnet, side or None) for side in supernet.sides]
        with torch.no_grad():
            together = supernet(IMAGES, subnet)
            alone = [model(IMAGES) for model in sides]
            for side, expected in zip(supernet.sides, alone, strict=True):
                torch.testing.assert_close(supernet(IMAGES, subnet, side or None), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together, sum(alone), rtol=1e-4, atol=1e-5)


def test_a_bilateral_subnet_is_extracted_by_side(small: SearchSpace) -> None:
    bilateral, ordinal = build_supernet(small, "bilateral", seed=0), build_supernet(small, "ordinal", seed=0)
    for wrong in (None, "", "middle"):
        with pytest.raises(InputError, match="sides: left or right"):
            extract(bilateral, small.smallest, wrong)
    with pytest.raises(InputError, match="sides: none"):
        extract(ordinal, small.smallest, "left")
    left, right = (extract(bilateral, small.smallest, side) for side in ("left", "right"))
    assert not torch.equal(left.cls_token, right.cls_token)


@pytest.mark.parametrize("sharing", ["ordinal", "bilateral", "cyclic"])
def test_slices_are_views_where_the_layout_allows_it(sharing: str) -> None:
    space = preset("vitas-deit-tiny")
    supernet = build_supernet(space, sharing, seed=0)
    subnet = space.sample(1)
    w = supernet.weights(subnet, supernet.sides[-1] or None)
    views = {"fc1": supernet.blocks[0].mlp.fc1_weight, "fc2": supernet.blocks[0].mlp.fc2_weight}
    for name, whole in views.items():
        assert w[f"blocks.0.mlp.{name}.weight"].untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()


def test_a_width_cut_in_two_keeps_its_order() -> None:
    weight = torch.arange(24.0).reshape(4, 6)
    taken = take(weight, (slice(3, 4), slice(0, 1)), (slice(4, 6), slice(0, 2)))
    assert torch.equal(taken, weight[[3, 0]][:, [4, 5, 0, 1]])


@pytest.mark.parametrize("part", PRIVATE)
def test_each_private_part_can_be_switched_off(
    part: str, small: SearchSpace, randomise: Callable[[object, int], None]
) -> None:
    private = tuple(other for other in PRIVATE if other != part)
    supernet = random_supernet(small, randomise, "cyclic", private)
    whole = random_supernet(small, randomise, "cyclic")
    count = [sum(p.numel() for p in net.parameters()) for net in (supernet, whole)]
    assert count[0] < count[1]
    gradients = []
    for subnet in (small.largest, small.smallest):  # differ in patch size and head count
        supernet.zero_grad(set_to_none=True)
        supernet(IMAGES, subnet).square().sum().backward()
        gradients.append({name for name, p in supernet.named_parameters() if p.grad is not None})
        expected = extract(supernet, subnet)(IMAGES)
        torch.testing.assert_close(supernet(IMAGES, subnet), expected, rtol=1e-4, atol=1e-5)
    name = "q_weight" if part == "qk" else "stem.proj" if part == "patch_embed" else f"stem.{part}"
    assert any(f"{name}.shared" in used for used in gradients[0] & gradients[1])


def test_shared_positions_are_the_finest_ones_resampled(small: SearchSpace) -> None:
    supernet = build_supernet(small, private=("patch_embed", "cls_token", "qk"), seed=0)
    with torch.no_grad():
        supernet.stem.pos_embed["shared"].copy_(torch.linspace(0, 1, 17)[None, :, None].expand(1, 17, 48))
    coarse = supernet.stem.weights(16, 24, "")["pos_embed"][0, 1:, 0].detach()
    fine = supernet.stem.weights(8, 24, "")["pos_embed"][0, 1:, 0].detach()
    assert len(coarse) == 4
    assert len(fine) == 16
    assert (coarse.diff() > 0).all()
    assert coarse.mean() == pytest.approx(float(fine.mean()), abs=1e-3)


def test_an_unknown_private_part_is_refused(small: SearchSpace) -> None:
    with pytest.raises(InputError, match="Known: patch_embed"):
        build_supernet(small, private=("cls_tokens",))


def test_without_identity_shifting_a_subnet_runs_on_the_blocks_its_code_names(
    small: SearchSpace, randomise: Callable[[object, int], None]
) -> None:
    space = replace(small, name="unshifted", identity_shifting=False)
    supernet = random_supernet(space, randomise, "ordinal")
    codes = space.sample_codes(300, np.random.default_rng(0))
    code = next(code for code in codes if space.layers(code) == (0, 2))
    subnet = space.decode(code)
    with torch.no_grad():
        logits = supernet(IMAGES, subnet, layers=(0, 2))
        assert not torch.allclose(logits, supernet(IMAGES, subnet))
        model = extract(supernet, subnet, layers=(0, 2))
        torch.testing.assert_close(model(IMAGES), logits, rtol=1e-4, atol=1e-5)
    for wrong in ((0,), (2, 0), (0, 9)):
        with pytest.raises(InputError, match="runs as many"):
            supernet(IMAGES, subnet, layers=wrong)


def test_a_subnet_runs_on_the_blocks_that_the_space_keeps(
    small: SearchSpace, randomise: Callable[[object, int], None], tmp_path: Path
) -> None:
    space = replace(small, name="ordered", block_order=(2, 0, 3, 1))
    supernet = random_supernet(space, randomise, "ordinal")
    subnet = next(one for one in map(space.sample, range(100)) if one.depth == 2)
    with torch.no_grad():
        logits = supernet(IMAGES, subnet)
        torch.testing.assert_close(logits, supernet(IMAGES, subnet, layers=(0, 2)))
        assert not torch.allclose(logits, supernet(IMAGES, subnet, layers=(0, 1)))
        torch.testing.assert_close(extract(supernet, subnet)(IMAGES), logits, rtol=1e-4, atol=1e-5)
        save_supernet(supernet, tmp_path / "s.safetensors")
        torch.testing.assert_close(load_supernet(tmp_path / "s.safetensors")(IMAGES, subnet), logits)
