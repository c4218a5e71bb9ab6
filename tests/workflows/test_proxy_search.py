from __future__ import annotations

from pathlib import Path

import pytest

import vitas_hw as vh
from vitas_hw.core.errors import InputError
from vitas_hw.core.space import SearchSpace
from vitas_hw.searching.optimizers.base import Evolution
from vitas_hw.searching.result import load_result, save_candidates, save_result
from vitas_hw.workflows.search.search import search

SIZE = Evolution(population=4, generations=2)


def test_a_search_by_the_proxy_needs_nothing_and_its_files_say_what_it_is(small: SearchSpace, tmp_path: Path) -> None:
    result = search(small, flops="2M", evolution=SIZE, accuracy="proxy", seed=3)
    assert result.accuracy == "proxy"
    assert len(result.candidates) == 8
    for candidate in result.candidates:
        assert candidate.top1 == vh.proxy_score(candidate.subnet, 3)
    assert result.choice.top1 == max(candidate.top1 for candidate in result.candidates)
    save_candidates(result.candidates, tmp_path / "candidates.jsonl")
    save_result(result, tmp_path / "search.json")
    assert "top1" not in (tmp_path / "candidates.jsonl").read_text()
    assert load_result(tmp_path / "search.json", tmp_path / "candidates.jsonl") == result


def test_without_a_super_transformer_only_the_proxy_ranks(small: SearchSpace) -> None:
    with pytest.raises(InputError, match="needs supernet="):
        search(small, flops="2M", evolution=SIZE)
    with pytest.raises(InputError, match=r"Unknown accuracy 'guess'.*supernet, proxy"):
        search(small, flops="2M", accuracy="guess")
