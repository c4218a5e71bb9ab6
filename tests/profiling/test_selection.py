from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitas_hw.core.errors import FileError, InputError, VitasError
from vitas_hw.core.presets import preset
from vitas_hw.core.published import published_subnet
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Subnet
from vitas_hw.profiling.selection import SELECTIONS, _van_der_corput, choose_subnets, load_subnets


@pytest.mark.parametrize("how", SELECTIONS)
def test_a_longer_list_begins_with_the_shorter_one(small: SearchSpace, how: str) -> None:
    longest = choose_subnets(small, 60, 3, how)
    assert len(set(longest)) == 60
    assert longest[:2] == [small.smallest, small.largest]
    assert all(small.contains(subnet) for subnet in longest)
    for count in (1, 2, 3, 17, 59):
        assert choose_subnets(small, count, 3, how) == longest[:count]
    assert choose_subnets(small, 60, 4, how) != longest


def test_published_subnets_come_after_the_extremes() -> None:
    space = preset("vitas-deit-tiny")
    chosen = choose_subnets(space, 12, 0)
    inside = [s for s in map(published_subnet, ("vitas-a", "vitas-b", "vitas-c", "vitas-e")) if space.contains(s)]
    assert inside
    assert chosen[2 : 2 + len(inside)] == inside


@pytest.mark.parametrize("name", ["vitas-digits", "vitas-deit-tiny"])
@pytest.mark.parametrize("count", [40, 93, 160])
def test_stratified_is_even_over_log_macs_at_every_length(name: str, count: int) -> None:
    space = preset(name)
    macs = np.log([subnet.macs for subnet in choose_subnets(space, count, 1)])
    # the random pool ends a little inside the extremes, so look at what lies between its ends
    inner = np.sort(macs[2:])
    shares = np.histogram(inner, bins=8, range=(inner[0], inner[-1]))[0] / len(inner)
    assert shares.min() > 0.5 / 8
    assert shares.max() < 1.7 / 8
    random = np.log([subnet.macs for subnet in choose_subnets(space, count, 1, "random")])
    assert np.quantile(macs, 0.1) < np.quantile(random, 0.1) - 0.3


def test_the_sequence_fills_every_half_quarter_and_eighth_in_turn() -> None:
    points = [_van_der_corput(index) for index in range(1, 8)]
    assert points == [1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8, 7 / 8]
    for parts in (2, 4, 16):
        covered = {int(_van_der_corput(index) * parts) for index in range(parts)}
        assert covered == set(range(parts))


@pytest.mark.parametrize("how", SELECTIONS)
def test_a_space_that_is_too_small_says_how_many_it_has(small: SearchSpace, how: str) -> None:
    tiny = replace(small, depth=(1, 2), patch_sizes=(8,), num_heads=(2,), attn_dims=(12,), mlp_dims=(32, 49))
    assert tiny.size == 18
    assert len(choose_subnets(tiny, 18, 0, how)) == 18
    with pytest.raises(VitasError, match=r"Found only 18 different subnets in the space 'small', not 19\..*18"):
        choose_subnets(tiny, 19, 0, how)


def test_a_space_of_one_subnet(small: SearchSpace) -> None:
    one = {"patch_sizes": (8,), "embed_dims": (24,), "num_heads": (2,), "attn_dims": (12,), "mlp_dims": (32,)}
    space = replace(small, depth=(1, 1), **one)
    assert choose_subnets(space, 1, 0) == [space.smallest]


def test_without_identity_shifting_a_subnet_of_several_codes_comes_once(small: SearchSpace) -> None:
    chosen = choose_subnets(replace(small, identity_shifting=False), 200, 0)
    assert len(set(chosen)) == 200


def test_an_unknown_selection_is_refused(small: SearchSpace) -> None:
    with pytest.raises(InputError, match=r"'best'.*stratified, random"):
        choose_subnets(small, 5, 0, "best")


@pytest.fixture
def subnets(small: SearchSpace) -> list[Subnet]:
    return choose_subnets(small, 4, 0)


@pytest.mark.parametrize("form", ["lines", "list", "indented"])
def test_subnets_are_read_from_lines_and_from_a_list(
    form: str, small: SearchSpace, subnets: list[Subnet], tmp_path: Path
) -> None:
    path = tmp_path / "subnets"
    if form == "lines":
        path.write_text("\n".join(subnet.to_json() for subnet in subnets) + "\n\n")
    else:
        path.write_text(json.dumps([subnet.to_dict() for subnet in subnets], indent=2 if form == "indented" else None))
    assert load_subnets(path, small) == subnets


def test_a_broken_file_of_subnets_is_named_with_its_line(
    small: SearchSpace, subnets: list[Subnet], tmp_path: Path
) -> None:
    path = tmp_path / "subnets.jsonl"
    lines = [subnet.to_json() for subnet in subnets]
    other_size = replace(subnets[1], image_size=(64, 64))
    other_classes = replace(subnets[1], num_classes=11)
    for second, problem in (
        ("{", r"line 2, is not JSON"),
        ('{"a": 1}', r"line 2, is no subnet: .*given: a"),
        ("3", r"line 2, is no subnet"),
        (lines[0], r"line 2, repeats the subnet of line 1"),
        (other_size.to_json(), r"line 2: images of 64 x 64.*unlike images of 32 x 32.*of the space 'small'"),
        (other_classes.to_json(), r"line 2: .*11 classes"),
    ):
        path.write_text("\n".join([lines[0], second, lines[2]]))
        with pytest.raises(FileError, match=r"subnets\.jsonl, " + problem):
            load_subnets(path, small)


def test_subnets_of_other_images_than_the_space_are_refused(
    small: SearchSpace, subnets: list[Subnet], tmp_path: Path
) -> None:
    path = tmp_path / "subnets.jsonl"
    path.write_text(subnets[0].to_json())
    assert load_subnets(path, replace(small, embed_dims=(99,))) == subnets[:1]
    with pytest.raises(FileError, match=r"line 1: .*1 channels.*unlike .*3 channels.*of the space 'small'"):
        load_subnets(path, replace(small, in_chans=3))


def test_a_broken_list_of_subnets_names_the_entry(small: SearchSpace, subnets: list[Subnet], tmp_path: Path) -> None:
    path = tmp_path / "subnets.json"
    path.write_text(json.dumps([subnets[0].to_dict(), {"a": 1}]))
    with pytest.raises(FileError, match=r"subnets\.json, entry 2, is no subnet"):
        load_subnets(path, small)
    path.write_text("[1, 2")
    with pytest.raises(FileError, match=r"subnets\.json is not JSON.*line 1"):
        load_subnets(path, small)


@pytest.mark.parametrize("text", ["", "\n \n", "[]"])
def test_a_file_without_subnets_is_refused(text: str, small: SearchSpace, tmp_path: Path) -> None:
    path = tmp_path / "subnets.jsonl"
    path.write_text(text)
    with pytest.raises(FileError, match="holds no subnets"):
        load_subnets(path, small)


def test_a_file_that_cannot_be_read_is_named(small: SearchSpace, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"missing\.jsonl"):
        load_subnets(tmp_path / "missing.jsonl", small)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="Cannot read"):
        load_subnets(tmp_path / "binary", small)
