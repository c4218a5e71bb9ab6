from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scored import score

from vitas_hw.core.budget import Budget
from vitas_hw.core.errors import FileError
from vitas_hw.core.space import SearchSpace
from vitas_hw.searching.archive import Archive
from vitas_hw.searching.result import Candidate, SearchResult, best_first, errors_of, pareto_front, ties_of, ties_words
from vitas_hw.searching.scores import MOST_KEPT, Score, joined, paired_error


def losses(seed: int, images: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).exponential(1.0, images).astype(np.float32)


def test_the_error_of_a_difference_is_that_of_the_pairs() -> None:
    """Most of the spread is the images' own, which two subnets share."""
    hard, one, other = losses(0), losses(1) * 0.05, losses(2) * 0.05
    a, b = Score.of(hard + one, 0.5, 400), Score.of(hard + other, 0.5, 400)
    pairs = a.losses.astype(float) - b.losses.astype(float)
    assert paired_error(a, b) == pytest.approx(pairs.std(ddof=1) / 20)
    assert paired_error(a, b) == pytest.approx((one - other).std(ddof=1) / 20, rel=0.02)
    assert 8 * paired_error(a, b) < np.hypot(hard.std(), hard.std()) / 20
    assert paired_error(a, a) == 0


def test_of_many_images_the_mean_is_of_all_and_the_error_too() -> None:
    many = losses(0, 3 * MOST_KEPT)
    kept = Score.of(many, 0.5, MOST_KEPT)
    assert kept.loss == pytest.approx(float(many.mean()), rel=1e-6)
    assert (len(kept.losses), kept.images) == (MOST_KEPT, 3 * MOST_KEPT)
    other = Score.of(many + losses(1, 3 * MOST_KEPT), 0.5, MOST_KEPT)
    assert paired_error(kept, other) == pytest.approx(1.0 / np.sqrt(3 * MOST_KEPT), rel=0.05)


def test_parts_join_to_the_whole() -> None:
    whole = losses(3)
    parts = [Score.of(part, top1, len(part)) for part, top1 in ((whole[:100], 0.2), (whole[100:], 0.6))]
    found = joined(parts)
    assert found.loss == pytest.approx(float(whole.mean(dtype=float)))
    assert (found.top1, found.images) == (pytest.approx(0.5), 400)
    np.testing.assert_array_equal(found.losses, whole.astype(np.float16))


def test_a_diverged_subnet_is_worse_than_every_other_one() -> None:
    broken = Score.of(np.array([np.nan, 1.0, np.inf], np.float32), 0.1, 3)
    assert broken.loss > 1e4
    assert np.isfinite(broken.losses).all()


def test_the_lower_loss_wins_where_top1_is_the_same_and_the_cheaper_only_where_both_are(small: SearchSpace) -> None:
    """56 of the 96 candidates of one quickstart tied at the best top-1, and the cheapest of them was taken."""
    subnets = list(dict.fromkeys(small.sample(seed) for seed in range(30)))[:12]
    tied = [
        Candidate(subnet, 0.9, predicted_ms=1.0 + row, loss=(40 - min(row, 10)) / 100)
        for row, subnet in enumerate(subnets)
    ]
    ranked = best_first(tied)
    assert ranked[0] == tied[10]  # of two with loss 0.3 the cheaper, and none of the cheapest
    assert ranked[1] == tied[11]
    assert ranked[-1] == tied[0]
    assert len(pareto_front(tied)) == 11
    older = [replace(one, loss=None, top1=0.5 + row / 100) for row, one in enumerate(tied)]
    assert best_first(older)[0] == older[11]


def test_ties_are_those_within_one_standard_error_of_the_best(small: SearchSpace) -> None:
    base = losses(0) + 1
    wobble = np.where(np.arange(400) % 2, 0.1, -0.1).astype(np.float32)  # of mean 0, error 0.1 / 20
    offsets = (0.0, 0.004, 0.0045, 0.006, 0.1)
    found = [
        Candidate(small.sample(seed)).with_score(Score.of(base + off + (wobble if seed else 0), 0.5, 400))
        for seed, off in enumerate(offsets)
    ]
    assert errors_of(found)[1:] == pytest.approx(0.1 / 20, rel=0.05)
    assert ties_of(found[::-1]) == found[:3]
    assert ties_of([Candidate(small.sample(0)), Candidate(small.sample(1))])  # by size there is always a best


def test_how_many_tie_is_said_and_of_many_the_cheapest_is_named(small: SearchSpace) -> None:
    subnets = list(dict.fromkeys(small.sample(seed) for seed in range(30)))[:10]
    found = tuple(Candidate(subnet, 0.9, 1.0 + row, loss=0.5) for row, subnet in enumerate(subnets))

    def said(ties: int) -> str:
        digests = tuple(one.subnet.digest for one in found[::-1][:ties])
        return ties_words(SearchResult(Budget(), 0, {}, "small", {}, found, {}, found[-1], ties=digests))

    assert said(3) == "3 of 10 candidates lie within one standard error of the best on the search split."
    assert said(4).startswith("4 of 10 candidates lie within one standard error of the best on the search split: its")
    assert f"the cheapest of them, {found[6].subnet.digest[:8]}, has 7 ms: a lower ceiling takes it." in said(4)
    assert said(0) == ""


def test_what_is_read_again_is_the_same_to_the_bit(small: SearchSpace, tmp_path: Path) -> None:
    path, code = tmp_path / "evaluations.jsonl", small.encode(small.sample(3))
    kept = Score.of(losses(5) / 3, 0.87, 360)
    Archive.open(path, {}).add(("a", None, 0), kept, code)
    archive = Archive.open(path, {})
    found = archive["a", None, 0]
    assert found == kept
    assert found.losses.tobytes() == kept.losses.tobytes()
    ((read, whole),) = archive.known(1).values()
    assert (read, whole) == (tuple(code.tolist()), kept)


def test_an_archive_of_top1_alone_is_begun_anew_and_a_later_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.jsonl"
    path.write_text('{"schema":1,"kind":"evaluations"}\n{"subnet":"x","part":0,"top1":0.5}\n')
    assert len(Archive.open(path, {})) == 0
    assert json.loads(path.read_text())["schema"] == 2
    path.write_text('{"schema":3,"kind":"evaluations"}\n')
    with pytest.raises(FileError, match="holds no evaluations of schema 2"):
        Archive.open(path, {})


@pytest.mark.parametrize(
    "change",
    [{"loss": -1.0}, {"loss": 1e9}, {"top1": 1.5}, {"images": 0}, {"losses": ""}, {"losses": "AHw="}, {"losses": "!"}],
    ids=str,
)
def test_a_score_that_cannot_be_is_refused_by_its_line(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "evaluations.jsonl"
    Archive.open(path, {}).add(("a", None, 0), score(0.5), (0, 1))
    header, line = path.read_text().splitlines()
    path.write_text(f"{header}\n{json.dumps(json.loads(line) | change)}\n{{}}\n")
    with pytest.raises(FileError, match="line 2, is broken"):
        Archive.open(path, {})
