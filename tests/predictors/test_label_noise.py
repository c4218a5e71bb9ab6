"""Fits that know how sure their labels are, and reports that tell the model's error from the labels' noise."""

from __future__ import annotations

import numpy as np
import pytest

from vitas_hw.core.labels import Labels
from vitas_hw.predictors.cross_validation import relative_error
from vitas_hw.predictors.examples import Examples
from vitas_hw.predictors.features import FeatureTable
from vitas_hw.predictors.kinds import KINDS
from vitas_hw.predictors.label_noise import split_error
from vitas_hw.predictors.registry import fit_model, held_out_predictions
from vitas_hw.predictors.table import table_of

COUNT = 800
MEAN_OF_NORMAL = np.sqrt(2 / np.pi)


def judged(visits: np.ndarray, errors: np.ndarray) -> Examples:
    weights = 1 / errors**2
    measured = np.exp((weights * np.log(visits)).sum(axis=1) / weights.sum(axis=1))
    table = table_of(("macs",), np.ones((len(visits), 1)))
    return Examples(table, measured, visits=visits, visit_error=errors)


def machine(noise: np.ndarray, model: float = 0.02, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Predictions that err by ``model``, and visits that err by ``noise`` (N, V), each one's standard deviation."""
    rng = np.random.default_rng(seed)
    truth = rng.lognormal(2, 1, len(noise))
    return truth * np.exp(rng.normal(0, model, len(noise))), truth[:, None] * np.exp(rng.normal(0, noise))


@pytest.mark.parametrize("loud", [0.04, 0.12])
def test_the_models_error_is_found_in_whatever_noise(loud: float) -> None:
    noise = np.where(np.random.default_rng(1).random((5 * COUNT, 2)) < 0.5, 0.02, loud)
    predicted, visits = machine(noise)
    examples = judged(visits, noise)
    found = split_error(predicted, examples)
    assert found is not None
    truth = 0.02 * MEAN_OF_NORMAL
    assert found.model == pytest.approx(truth, abs=0.003)
    assert found.model_95[0] < truth < found.model_95[1]
    together = relative_error(predicted, examples.measured)
    assert together > 1.25 * truth  # what is reported without the split
    assert np.hypot(found.model, found.labels) == pytest.approx(together)


def test_a_perfect_model_has_no_error_and_a_perfect_label_no_noise() -> None:
    noise = np.full((COUNT, 2), 0.04)
    perfect = split_error(*(lambda found: (found[0], judged(found[1], noise)))(machine(noise, model=0.0)))
    assert perfect is not None
    assert perfect.model_95[0] == 0
    assert perfect.model < 0.006 < 0.02 < perfect.labels
    predicted, visits = machine(np.full((COUNT, 3), 1e-6), model=0.03)
    found = split_error(predicted, judged(visits, np.full((COUNT, 3), 0.02)))
    assert found is not None
    assert found.model == pytest.approx(0.03 * MEAN_OF_NORMAL, rel=0.07)
    assert found.labels < 0.006


def test_a_round_that_was_slower_for_large_subnets_hides_no_error() -> None:
    """A model learns the mean of the rounds: apart from it, one visit errs upwards where the other errs downwards."""
    noise = np.full((COUNT, 2), 0.01)
    predicted, visits = machine(noise)
    size = np.log(predicted) - np.log(predicted).mean()
    tilted = visits * np.exp(np.outer(0.04 * size, [1, -1]))
    found = split_error(predicted, judged(tilted, noise))
    assert found is not None
    assert found.model == pytest.approx(0.02 * MEAN_OF_NORMAL, abs=0.003)


def test_the_models_error_is_never_said_to_be_larger_than_both_together() -> None:
    """Errors that are all alike have a larger mean, for their root mean square, than those of a normal distribution."""
    noise = np.full((COUNT, 2), 0.01)
    truth, visits = machine(noise, model=0.0)
    signs = np.where(np.random.default_rng(5).random(COUNT) < 0.5, 1.2, 1 / 1.2)
    found = split_error(truth * signs, judged(visits, noise))
    assert found is not None
    together = relative_error(truth * signs, judged(visits, noise).measured)
    assert 0.75 * together < found.model <= found.model_95[1] <= together


def test_with_one_visit_a_subnet_nothing_is_told_apart() -> None:
    noise = np.full((COUNT, 1), 0.02)
    predicted, visits = machine(noise)
    assert split_error(predicted, judged(visits, noise)) is None
    assert split_error(predicted, Examples(table_of(("macs",), np.ones((COUNT, 1))), predicted)) is None
    twice = np.column_stack([visits, np.full(COUNT, np.nan)])
    twice[:19, 1] = twice[:19, 0]
    assert split_error(predicted, visited_once(twice)) is None
    twice[:20, 1] = twice[:20, 0]
    assert split_error(predicted, visited_once(twice)) is not None


def visited_once(visits: np.ndarray) -> Examples:
    errors = np.where(np.isfinite(visits), 0.02, np.nan)
    return Examples(table_of(("macs",), np.ones((len(visits), 1))), visits[:, 0], visits=visits, visit_error=errors)


@pytest.fixture(scope="module")
def noisy() -> tuple[FeatureTable, np.ndarray, np.ndarray, np.ndarray]:
    """A table, true latencies, latencies that are measured well in one half of the rows only, and how well."""
    rng = np.random.default_rng(3)
    values = rng.uniform(1, 30, (300, 2))
    truth = 2 + 0.7 * values[:, 0]
    error = np.where(np.arange(300) % 2, 0.005, 0.3)
    return table_of(("macs", "params"), values), truth, truth * np.exp(np.abs(rng.normal(0, error))), error


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_known_well_count_for_more(kind: str, noisy: tuple) -> None:
    table, truth, measured, error = noisy
    alike, weighed = (
        relative_error(fit_model(kind, Examples(table, measured, error=known), 0).predict(table), truth)
        for known in (None, error)
    )
    assert weighed < 0.5 * alike


def test_rows_that_are_known_alike_count_alike(noisy: tuple) -> None:
    table, _, measured, _ = noisy
    alike, same = (
        fit_model("linear", Examples(table, measured, error=known), 0).predict(table)
        for known in (None, np.full(len(measured), 0.04))
    )
    assert same == pytest.approx(alike, rel=1e-9)


def test_a_label_that_is_tested_comes_of_corrections_that_have_not_seen_its_row(noisy: tuple) -> None:
    table, truth, measured, error = noisy
    asked: list[np.ndarray] = []

    def labeller(rows: np.ndarray) -> Labels:
        asked.append(rows)
        return Labels(measured * measured[rows].mean() / truth.mean(), error)

    examples = Examples(table, labeller(np.arange(len(truth))).measured, error=error, relabel=labeller)
    del asked[:]
    split = examples.split(0)
    assert len(asked) == len(split) == 5
    for (seen, held, rows), fitted_to in zip(split, asked, strict=True):
        assert not set(rows) & set(fitted_to)
        assert len(rows) + len(fitted_to) == len(truth)
        assert held.measured == pytest.approx(measured[rows] * measured[fitted_to].mean() / truth.mean())
        assert seen.relabel is None  # its own folds choose hyperparameters on the labels that it has
    joined = examples.tested(0)
    for _, held, rows in split:
        assert np.array_equal(joined.measured[rows], held.measured)
    held_out = held_out_predictions("linear", examples, 0)
    assert relative_error(held_out, joined.measured) < relative_error(held_out, examples.measured * 1.2)
