from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vitas_hw as vh
from vitas_hw.core.errors import InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.searching.result import SearchResult, load_result, save_candidates, save_result


def _search(space: SearchSpace, **asked: Any) -> SearchResult:
    return vh.search(space, **asked).result


def test_a_search_by_size_needs_nothing_and_its_files_hold_no_top1(small: SearchSpace, tmp_path: Path) -> None:
    result = _search(small, flops="2M", population=4, generations=2, accuracy="params", seed=3)
    assert result.accuracy == "params"
    assert len(result.candidates) == len({candidate.subnet for candidate in result.candidates}) == 8
    for candidate in result.candidates:
        assert candidate.top1 is None
        assert candidate.subnet.macs <= 2e6
    assert result.choice.subnet.params == max(candidate.subnet.params for candidate in result.candidates)
    assert result.final_top1 is None
    save_candidates(result.candidates, tmp_path / "candidates.jsonl")
    save_result(result, tmp_path / "search.json")
    assert "top1" not in (tmp_path / "candidates.jsonl").read_text()
    assert load_result(tmp_path / "search.json", tmp_path / "candidates.jsonl") == result


def test_a_front_by_size_rises(small: SearchSpace) -> None:
    result = _search(small, flops="2M", pareto="flops,top1", population=8, generations=3, accuracy="params")
    sizes = [candidate.subnet.params for candidate in result.front]
    assert len(sizes) > 2
    assert sizes == sorted(sizes)


def test_without_a_supernet_only_size_ranks(small: SearchSpace) -> None:
    with pytest.raises(InputError, match="needs supernet="):
        _search(small, flops="2M", population=4, generations=2)
    with pytest.raises(InputError, match=r"Unknown accuracy 'guess'.*supernet, params"):
        _search(small, flops="2M", accuracy="guess")
