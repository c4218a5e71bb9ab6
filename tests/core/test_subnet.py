from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitas_hw.core.errors import InputError
from vitas_hw.core.published import PUBLISHED, published_subnet
from vitas_hw.core.subnet import Block, Subnet


def test_json_holds_exactly_the_fields_in_order_and_comes_back() -> None:
    subnet = published_subnet("vitas-a")
    data = json.loads(subnet.to_json())
    assert list(data) == ["image_size", "in_chans", "patch_size", "embed_dim", "blocks", "num_classes"]
    assert list(data["blocks"][0]) == ["num_heads", "head_dim", "mlp_dim"]
    assert Subnet.from_json(subnet.to_json()) == subnet


def test_equal_subnets_share_hash_and_digest_and_others_do_not() -> None:
    names = {published_subnet(name).digest for name in PUBLISHED}
    assert len(names) == len(PUBLISHED)
    first, second = published_subnet("deit-ti"), published_subnet("deit-ti")
    assert (first, hash(first), first.digest) == (second, hash(second), second.digest)
    assert "digest" not in first.to_dict()


def test_digest_never_changes() -> None:
    assert published_subnet("deit-ti").digest == "9ce829fa9bd7e71e"  # files of users are named by it


def test_it_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        published_subnet("deit-ti").embed_dim = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("embed_dim", 0, "embed_dim"),
        ("embed_dim", True, "embed_dim"),
        ("embed_dim", 1.5, "embed_dim"),
        ("embed_dim", 2**40, "embed_dim"),
        ("patch_size", 15, "not divisible"),
        ("image_size", [224], "image_size"),
        ("blocks", [], "at least one"),
        ("blocks", [{"num_heads": 1}], "blocks.0 has exactly the fields num_heads"),
        ("blocks", 3, "blocks must be a list"),
        ("num_classes", "10", "num_classes"),
    ],
)
def test_an_impossible_value_is_named(field: str, value: object, words: str) -> None:
    data = published_subnet("deit-ti").to_dict() | {field: value}
    with pytest.raises(InputError, match=words):
        Subnet.from_dict(data)


def test_unknown_and_missing_fields_are_refused() -> None:
    data = published_subnet("deit-ti").to_dict()
    with pytest.raises(InputError, match="exactly the fields"):
        Subnet.from_dict(data | {"digest": "x"})
    del data["in_chans"]
    with pytest.raises(InputError, match="exactly the fields"):
        Subnet.from_dict(data)


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner)).map(json.dumps))
def test_any_text_is_a_subnet_or_an_input_error(text: str) -> None:
    with pytest.raises(InputError):
        Subnet.from_json(text)


def test_deeply_nested_json_is_an_input_error() -> None:
    with pytest.raises(InputError):
        Subnet.from_json("[" * 100_000)


def test_an_unknown_published_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="vitas-c"):
        published_subnet("vitas-d")


def test_attention_width_is_heads_times_head_dim() -> None:
    assert Block(num_heads=16, head_dim=15, mlp_dim=576).attn_dim == 240
