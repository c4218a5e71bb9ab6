from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from timm.layers import Attention, Mlp
from timm.models.vision_transformer import Block, VisionTransformer

from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.presets import preset
from vitas_hw.core.published import PUBLISHED, published_subnet
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block as BlockShape
from vitas_hw.core.subnet import Subnet
from vitas_hw.supernet.plain import build_model
from vitas_hw.supernet.supernet import Supernet, build_supernet, extract
from vitas_hw.supernet.weights_file import load_model, load_supernet, save_model, save_supernet


@pytest.fixture
def supernet(small: SearchSpace, randomise: Callable[[object, int], None]) -> Supernet:
    net = build_supernet(small, "ordinal", seed=0).eval()
    randomise(net, 1)
    return net


def logits(module: torch.nn.Module, *inputs: object) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = module(*inputs)
    return result


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_plain_model_is_timms_own_with_exactly_the_subnets_shape(name: str) -> None:
    subnet = published_subnet(name)
    with torch.device("meta"):
        model = build_model(subnet)
    assert type(model) is VisionTransformer
    assert len(model.blocks) == subnet.depth
    for built, block in zip(model.blocks, subnet.blocks, strict=True):
        assert (type(built), type(built.attn), type(built.mlp)) == (Block, Attention, Mlp)
        assert (built.attn.num_heads, built.attn.head_dim) == (block.num_heads, block.head_dim)
        assert built.attn.scale == block.head_dim**-0.5
        assert built.mlp.fc1.out_features == block.mlp_dim


def test_deit_tiny_is_timms_deit_tiny() -> None:
    import timm

    ours = build_model(published_subnet("deit-ti"), seed=0).eval()
    theirs = timm.create_model("deit_tiny_patch16_224").eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(1, 3, 224, 224)
    assert torch.equal(logits(ours, images), logits(theirs, images))


def test_a_seed_repeats_weights_and_leaves_the_global_generator_alone(small: SearchSpace) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for build in (lambda: build_model(small.largest, seed=1), lambda: build_supernet(small, seed=1)):
        first, second = build().state_dict(), build().state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)


def test_extracted_logits_are_the_supernets(supernet: Supernet, small: SearchSpace) -> None:
    images = torch.randn(2, 1, 32, 32)
    for seed in range(50):
        subnet = small.sample(seed)
        model = extract(supernet, subnet)
        assert type(model) is VisionTransformer
        assert sum(parameter.numel() for parameter in model.parameters()) == subnet.params
        expected = logits(supernet, images, subnet)
        assert (logits(model, images) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_an_extracted_model_owns_its_weights(supernet: Supernet, small: SearchSpace) -> None:
    model = extract(supernet, small.largest)
    assert all(parameter.requires_grad for parameter in model.parameters())
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.zero_()
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_every_parameter_of_the_supernet_matters_to_some_subnet(supernet: Supernet, small: SearchSpace) -> None:
    images = torch.randn(2, 1, 32, 32)
    touched: set[str] = set()
    for seed in range(60):
        supernet.zero_grad(set_to_none=True)
        supernet(images, small.sample(seed)).square().sum().backward()
        touched |= {name for name, p in supernet.named_parameters() if p.grad is not None and p.grad.any()}
    assert touched == {name for name, _ in supernet.named_parameters()}


def test_class_token_position_and_projection_are_private_to_a_patch_size(
    supernet: Supernet, small: SearchSpace
) -> None:
    images, fine = torch.randn(2, 1, 32, 32), small.largest
    assert fine.patch_size == 8
    before = logits(supernet, images, fine)
    with torch.no_grad():
        for name, parameter in supernet.stem.named_parameters():
            if ".16" in name:
                parameter.add_(1.0)
    assert torch.equal(logits(supernet, images, fine), before)


def test_q_and_k_are_private_to_a_head_count_and_v_is_shared(supernet: Supernet, small: SearchSpace) -> None:
    subnet = small.largest
    (heads,) = {block.num_heads for block in subnet.blocks}
    images = torch.randn(2, 1, 32, 32)
    supernet.zero_grad(set_to_none=True)
    supernet(images, subnet).square().sum().backward()
    for block in supernet.blocks:
        gradients = {name: parameter.grad is not None for name, parameter in block.attn.named_parameters()}
        assert gradients[f"q_weight.{heads}"]
        assert gradients[f"k_weight.{heads}"]
        assert gradients["v_weight"]
        assert not any(used for name, used in gradients.items() if name[0] in "qk" and not name.endswith(str(heads)))


def test_each_token_gets_its_own_position(supernet: Supernet, small: SearchSpace) -> None:
    images, subnet = torch.randn(2, 1, 32, 32), small.largest
    positions = supernet.stem.pos_embed[str(subnet.patch_size)]
    for token in range(positions.shape[1]):
        before = logits(supernet, images, subnet)
        with torch.no_grad():
            positions[0, token] += 1.0 + torch.arange(positions.shape[2])
        assert not torch.allclose(logits(supernet, images, subnet), before)


def test_a_foreign_subnet_and_an_unknown_scheme_are_refused(supernet: Supernet, small: SearchSpace) -> None:
    with pytest.raises(InputError, match="not in the supernet's space"):
        extract(supernet, preset("vitas-digits").smallest)
    with pytest.raises(InputError, match="Known: ordinal, bilateral, cyclic"):
        build_supernet(small, sharing="nonsense")


def test_a_subnet_deeper_than_the_space_gives_no_logits(supernet: Supernet, small: SearchSpace) -> None:
    deeper = replace(small.largest, blocks=(*small.largest.blocks, small.largest.blocks[0]))
    with pytest.raises(InputError, match="not in the supernet's space"):
        supernet(torch.randn(1, 1, 32, 32), deeper)


def test_only_matrices_are_decayed(small: SearchSpace) -> None:
    from timm.optim import param_groups_weight_decay

    supernet = build_supernet(small, seed=0)
    groups = param_groups_weight_decay(supernet, 0.05, no_weight_decay_list=supernet.no_weight_decay())
    names = {parameter: name for name, parameter in supernet.named_parameters()}
    decayed = {names[p] for group in groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {n for n in names.values() if "weight" in n and "norm" not in n}


def test_checkpoints_come_back(supernet: Supernet, small: SearchSpace, tmp_path: Path) -> None:
    save_supernet(supernet, tmp_path / "net.safetensors")
    again = load_supernet(tmp_path / "net.safetensors")
    assert again.space == small
    images, subnet = torch.randn(1, 1, 32, 32), small.sample(4)
    assert torch.equal(logits(again, images, subnet), logits(supernet, images, subnet))
    model = extract(supernet, subnet)
    save_model(model, subnet, tmp_path / "model.safetensors")
    plain, found = load_model(tmp_path / "model.safetensors")
    assert found == subnet
    assert torch.equal(logits(plain, images), logits(model, images))


def test_a_broken_or_foreign_checkpoint_is_one_sentence(supernet: Supernet, tmp_path: Path) -> None:
    missing, broken = tmp_path / "missing.safetensors", tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a checkpoint")
    with pytest.raises(FileError, match=r"Cannot read the supernet's weights .*missing"):
        load_supernet(missing)
    with pytest.raises(FileError, match="not a readable safetensors"):
        load_supernet(broken)
    save_supernet(supernet, tmp_path / "net.safetensors")
    with pytest.raises(FileError, match="holds no subnet"):
        load_model(tmp_path / "net.safetensors")


def test_equal_weights_give_equal_bytes_that_everybody_may_read(small: SearchSpace, tmp_path: Path) -> None:
    """The library orders what a header says by chance, and lets only the owner read the file."""
    supernet = build_supernet(small, seed=0)
    contents = set()
    for number in range(8):
        path = tmp_path / f"{number}.safetensors"
        save_supernet(supernet, path)
        contents.add(path.read_bytes())
    assert len(contents) == 1
    (tmp_path / "plain").write_text("")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    loaded = load_supernet(path)
    assert all(torch.equal(one, loaded.state_dict()[name]) for name, one in supernet.state_dict().items())


@pytest.mark.parametrize("width", [32, 192])
def test_fresh_weights_are_as_large_as_their_layer_asks_for(width):
    shape = dict(image_size=(32, 32), in_chans=1, num_classes=10)
    subnet = Subnet(patch_size=8, embed_dim=width, blocks=(BlockShape(4, width // 4, 4 * width),) * 2, **shape)
    space = SearchSpace(
        name="one",
        patch_sizes=(8,),
        embed_dims=(width,),
        depth=(2, 2),
        num_heads=(4,),
        attn_dims=(width,),
        mlp_dims=(4 * width,),
        **shape,
    )
    for model in (build_model(subnet, seed=0), extract(build_supernet(space, seed=0), subnet)):
        block = model.blocks[1]
        for layer in (block.attn.proj, block.mlp.fc1, block.mlp.fc2):
            wanted = (2 / (layer.in_features + layer.out_features)) ** 0.5
            assert float(layer.weight.std().detach()) == pytest.approx(wanted, rel=0.05)
        assert float(model.pos_embed.std().detach()) == pytest.approx(0.2, rel=0.1)
