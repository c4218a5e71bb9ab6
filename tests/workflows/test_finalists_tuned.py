"""Finalists fine-tuned side by side and chosen by loss, in the time there is; those of an int8 target as int8."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vitas_hw as vh
from vitas_hw.core.budget import Budget
from vitas_hw.core.files import write_atomic
from vitas_hw.core.progress import SILENT, Silent
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.target import Target
from vitas_hw.data.load import ImageData
from vitas_hw.runs.directory import Run
from vitas_hw.searching.archive import Archive, Final
from vitas_hw.searching.result import Candidate, best_first, candidate_of
from vitas_hw.supernet.supernet import Supernet
from vitas_hw.supernet.weights_file import load_model, save_supernet
from vitas_hw.training.evaluate import accuracy
from vitas_hw.training.recipe import DIGITS, Recipe, of_length
from vitas_hw.workflows.search import finetune
from vitas_hw.workflows.search.finetune import Finetuning
from vitas_hw.workflows.search.quantised import quantised_judge
from vitas_hw.workflows.search.search import search_run
from vitas_hw.workflows.search.settings import SearchSettings


@pytest.fixture(scope="module")
def data(small: SearchSpace) -> ImageData:
    return vh.load_data("digits", small)  # type: ignore[return-value]


@pytest.fixture
def supernet(small: SearchSpace) -> Supernet:
    return vh.build_supernet(small, seed=1).eval()


def some(space: SearchSpace, count: int = 3) -> list[Candidate]:
    codes = space.sample_codes(count, np.random.default_rng(2))
    return [candidate_of(space, code) for code in codes]


@pytest.fixture
def shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe of the digits with three epochs, of which one is a finalist's; nothing else is different."""

    def recipe(*_: object) -> Recipe:
        return replace(of_length(DIGITS, 3), lr=2e-3)

    monkeypatch.setattr(finetune, "finetune_recipe", recipe)


@pytest.mark.usefixtures("shorter")
def test_the_finalist_that_does_best_after_a_short_training_is_trained_on(supernet: Supernet, data: ImageData) -> None:
    finalists = some(supernet.space)
    tuning = Finetuning(supernet, data, 0, SILENT)
    best = tuning.best_of(finalists, {})
    inherited = {one.subnet.digest: Finetuning(supernet, data, 0, SILENT).inherited(one).loss for one in finalists}
    assert set(tuning.tuned) == set(inherited)
    assert all(tuning.tuned[digest] <= inherited[digest] for digest in inherited)
    assert best.candidate.subnet.digest == min(tuning.tuned, key=tuning.tuned.__getitem__)
    assert best.loss < min(tuning.tuned.values())  # it was trained on
    assert best.loss == pytest.approx(accuracy(best.model, data.search).loss)
    assert best.whole
    again = Finetuning(supernet, data, 0, SILENT).best_of(finalists, {})
    assert (again.candidate, again.loss) == (best.candidate, best.loss)


class Notes(Silent):
    """What is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.usefixtures("shorter")
@pytest.mark.parametrize("helps", [True, False])
def test_a_fine_tuning_that_gives_nothing_says_so(helps: bool, supernet: Supernet, data: ImageData) -> None:
    (finalist,), notes, asked = some(supernet.space, 1), Notes(), []

    def judge(*_: object) -> float:
        asked.append(0)
        return 1.0 / len(asked) if helps else float(len(asked))

    best = Finetuning(supernet, data, 0, notes, judge=judge).best_of([finalist], {})
    assert bool(best.history) == helps
    told = "fine-tuning did not lower the loss on the search split: the choice keeps the supernet's weights"
    assert (told in notes.said) != helps


@pytest.mark.usefixtures("shorter")
def test_an_earlier_choice_that_came_to_less_is_made_again(supernet: Supernet, data: ImageData) -> None:
    alone = {one: Finetuning(supernet, data, 3, SILENT).best_of([one], {}) for one in some(supernet.space, 5)}
    worse, *_, better = sorted(alone, key=lambda one: -alone[one].loss)  # so far apart that no other seed turns them
    made = Finetuning(supernet, data, 7, SILENT).best_of([worse], {better: Final(alone[better].loss, "fp32", 3)})
    assert (made.candidate, made.loss, made.seed) == (better, alone[better].loss, 3)
    kept = Finetuning(supernet, data, 3, SILENT).best_of([better], {worse: Final(alone[worse].loss, "fp32", 3)})
    assert kept.candidate == better


def test_where_no_training_is_brief_the_first_finalist_stays_as_it_is(
    supernet: Supernet, data: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "finetune_recipe", lambda *_: None)
    finalists = some(supernet.space)
    best = Finetuning(supernet, data, 0, SILENT).best_of(finalists, {})
    assert best.candidate == finalists[0]
    losses = {finalists[0]: 2.0, finalists[1]: 1.0, finalists[2]: 3.0}
    judged = Finetuning(supernet, data, 0, SILENT, judge=lambda _, one: losses[one]).best_of(finalists, {})
    assert judged.candidate == finalists[1]  # of an int8 target all are compared nevertheless


def test_a_judge_of_int8_sees_what_quantisation_breaks(small: SearchSpace, data: ImageData) -> None:
    """One huge activation that no weight reads takes all the steps of the others: the float model does not mind."""
    one = candidate_of(small, small.encode(small.smallest))
    model = vh.extract(vh.build_supernet(small, seed=1).eval(), one.subnet).eval()
    with torch.no_grad():
        model.get_parameter("head.weight").mul_(20)  # so that what the block computes matters
    for backend in ("onnxruntime", "openvino"):
        judge = quantised_judge(data, Target("box", backend, "int8", 1, 1, small.image_size))
        off = abs(judge(model, one) - accuracy(model, data.search).loss)
        assert 0 < off < 0.05
    with torch.no_grad():
        model.get_parameter("blocks.0.mlp.fc1.weight")[:, 0] = 0.0
        model.get_parameter("blocks.0.norm2.bias")[0] = 1e5
    assert abs(judge(model, one) - accuracy(model, data.search).loss) > 3 * off


@pytest.mark.usefixtures("shorter")
def test_a_run_keeps_the_finalist_that_ended_best_and_a_larger_ceiling_ends_no_worse(
    small: SearchSpace, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    run.begin(small)
    write_atomic(run.data, json.dumps(vh.load_data("digits", small).to_dict()))
    save_supernet(vh.build_supernet(small, seed=1), run.supernet)
    settings = SearchSettings(population=4, generations=2, device="cpu")
    ended = {}
    for flops in ("600K", "300K", "1M"):
        result = search_run(run, Budget.parse(flops=flops), settings)
        assert len(result.tuned) == 5
        assert result.final_loss is not None
        assert result.final_loss <= min(result.tuned.values())
        model, subnet = load_model(run.choice)
        assert subnet == result.choice.subnet
        data = vh.load_data("digits", small)
        found = accuracy(model.eval(), data.search)  # type: ignore[attr-defined]
        assert found.loss == pytest.approx(result.final_loss, rel=1e-5)
        assert found.top1 == result.final_top1
        smaller = [ended[one] for one in ("300K", "600K", "1M")[: ("300K", "600K", "1M").index(flops)] if one in ended]
        assert result.final_loss <= min(smaller, default=np.inf)
        ended[flops] = result.final_loss
        assert best_first(result.candidates)[0].subnet.digest in result.tuned
    header = json.loads(run.evaluations.read_text().splitlines()[0])
    kept = Archive.open(run.evaluations, {key: value for key, value in header.items() if key not in ("schema", "kind")})
    assert min(final.loss for final in kept.final.values()) <= min(ended.values())
