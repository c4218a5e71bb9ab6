"""The page of a run holds the run's numbers; read without a browser."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from vitas_hw.cli.main import main
from vitas_hw.core.budget import Budget, show_count
from vitas_hw.core.errors import FileError
from vitas_hw.core.space import SearchSpace
from vitas_hw.report.collect import collect
from vitas_hw.report.fits import _gpu_rows
from vitas_hw.report.page import report
from vitas_hw.runs.artifacts import read_health
from vitas_hw.runs.directory import Run
from vitas_hw.runs.shrunk import Model, Shrunk, write_shrunk
from vitas_hw.searching.result import Candidate, SearchResult, save_candidates, save_result

Whole = tuple[Run, SearchResult]


class Page(HTMLParser):
    """The words of a page by element, the specifications of its charts, and whatever it would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.ids: set[str] = set()
        self.fetched: list[str] = []
        self.specs: dict[str, Any] = {}
        self._inside: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        self._inside.append((tag, about))
        self.ids |= {about["id"]} if about.get("id") else set()  # type: ignore[arg-type]
        self.fetched += [f"{tag} {about[name]}" for name in ("src", "data", "action") if about.get(name)]
        if tag == "link" or (tag == "a" and not str(about.get("href")).startswith("#")):
            self.fetched.append(f"{tag} {about.get('href')}")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._inside and self._inside.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tag, about = self._inside[-1] if self._inside else ("", {})
        if tag == "script":
            self.specs = json.loads(data) if about.get("id") == "specs" else self.specs
        elif tag != "style" and data.strip():
            self.words.append(data.strip())
            if any(name in ("td", "th") for name, _ in self._inside):
                self.rows[-1][-1] += data.strip()


@pytest.fixture(scope="module")
def page(whole: Whole) -> Page:
    return Page(report(whole[0])[0].read_text(encoding="utf-8"))


def test_its_headline_figures_are_the_runs(page: Page, whole: Whole) -> None:
    result = whole[1]
    measured = result.measured_ms[result.choice.subnet.digest]
    assert page.words[page.words.index("Top-1 on test") + 1] == "96.11%"
    assert page.words[page.words.index("Measured p50") + 1] == f"{measured:.3g} ms"
    assert float(page.words[page.words.index("MACs") + 1].split()[0]) == pytest.approx(
        result.choice.subnet.macs / 1e3, rel=5e-3
    )
    assert any("inside the budget of at most" in word for word in page.words)


def test_it_warns_of_what_is_not_to_be_trusted(page: Page) -> None:
    text = " ".join(page.words)
    assert "The machine is hot, 97 °C." in text
    assert "1 of 3 measured finalists lay outside the latency budget" in text
    assert "not measured" not in text


def test_the_front_in_the_chart_and_in_the_table_is_the_results(page: Page, whole: Whole) -> None:
    result = whole[1]
    rows = page.specs["front"]["data"]["values"]
    drawn = {row["subnet"]: row["y"] for row in rows if row["group"] == "on the front"}
    assert drawn == {c.subnet.digest[:8]: pytest.approx(100 * c.top1) for c in result.front}
    table = {row[0].split()[0]: row[1] for row in page.rows if len(row) == 8 and row[0] != "subnet"}
    for candidate in result.front:
        assert table[candidate.subnet.digest[:8]] == f"{candidate.top1:.2%}"
    (star,) = [row for row in rows if row["group"] == "choice"]
    assert star["x"] == pytest.approx(result.measured_ms[result.choice.subnet.digest])
    assert star["subnet"] == result.choice.subnet.digest[:8]
    assert "heads×dim/MLP" in star  # what hovering shows


def test_the_best_so_far_never_falls_and_ends_at_the_best(page: Page, whole: Whole) -> None:
    for name, last in (("progress", 40), ("progress-time", 39 * 3 / 60)):
        rows = page.specs[name]["data"]["values"]
        best = [row["best"] for row in rows]
        assert best == sorted(best)
        assert best[-1] == pytest.approx(100 * max(c.top1 for c in whole[1].candidates))
        assert rows[-1]["x"] == pytest.approx(last * len(whole[1].candidates) / 40, abs=0.06)


def test_predictions_are_of_models_that_have_not_seen_the_subnet(page: Page, whole: Whole) -> None:
    spec = page.specs["fit-1"]
    groups = [row["group"] for row in spec["data"]["values"]]
    fit = collect(whole[0]).fits[0]
    assert groups.count("held out") == len(fit.subnets) >= 20
    assert groups.count("finalist") == 3
    error = sum(abs(p / m - 1) for p, m in zip(fit.predicted_ms, fit.measured_ms, strict=True)) / len(fit.subnets)
    assert error == pytest.approx(
        fit.scores["mape"], rel=1e-3
    )  # profiles keep six digits; the predictor's own, kept when it was fitted
    (low, _high) = spec["layer"][0]["data"]["values"]
    assert low["high"] / low["x"] == pytest.approx(1.031)  # the noise floor's band


def test_the_architecture_is_drawn_block_by_block(page: Page, whole: Whole) -> None:
    subnet = whole[1].choice.subnet
    table = [row for row in page.rows if len(row) == 6 and row[0].isdigit()]
    assert [[int(cell) for cell in row[1:5]] for row in table] == [
        [b.num_heads, b.head_dim, b.attn_dim, b.mlp_dim] for b in subnet.blocks
    ]
    assert 50 < sum(float(row[5].rstrip("%")) for row in table) < 100  # the rest is outside the blocks
    for block in subnet.blocks:
        assert f"{block.num_heads} × {block.head_dim} = {block.attn_dim}" in page.words


def test_it_tells_how_to_repeat_it_and_how_training_went(page: Page) -> None:
    (typed,) = [word for word in page.words if word.startswith("vitas-hw profile")]
    assert typed.splitlines()[1:] == [
        "vitas-hw train --epochs 5",
        "vitas-hw search --latency 2ms --seed 7",
        "vitas-hw export --onnx",
    ]
    assert [row["y"] for row in page.specs["curve-1"]["data"]["values"]] == [2.5 / epoch for epoch in range(1, 6)]
    assert [row["y"] for row in page.specs["curve-2"]["data"]["values"]] == [1.0, 0.5, 0.25]


def test_the_supernet_tells_how_it_is(page: Page, whole: Whole) -> None:
    health = read_health(whole[0])
    assert health is not None
    drawn = page.specs["health"]["data"]["values"]
    assert [(row["name"], row["x"]) for row in drawn] == [(one.name, one.loss) for one in health.groups]
    assert (drawn[1]["low"], drawn[1]["high"]) == (0.4875, 0.5125)  # one standard error to each side
    table = {row[0]: row[1:] for row in page.rows if row[0] in ("largest", "depth 1")}
    assert table == {
        "largest": ["0.5000", "90.60%", "0.2500 ± 0.0125"],
        "depth 1": ["0.3000", "91.00%", "the lowest"],
    }
    assert [row["y"] for row in page.specs["blocks"]["data"]["values"]] == [100, 75, 50, 25]
    assert "The width <i>makes</i> no difference." in page.words  # escaped
    assert "supernet" in page.ids


def test_a_supernets_advice_warns_only_where_the_choice_was_not_trained_on(whole: Whole, tmp_path: Path) -> None:
    said = "The width <i>makes</i> no difference."
    found = collect(whole[0])
    assert said not in found.warnings
    assert list(found.advice) == [said]
    kept = Run(shutil.copytree(whole[0].path, tmp_path / "kept"))  # a choice with the supernet's weights
    steps = json.loads(kept.manifest.read_text())
    for step in steps["steps"]:
        step["settings"].pop("finetune", None)
    kept.manifest.write_text(json.dumps(steps))
    found = collect(kept)
    assert said in found.warnings
    assert list(found.advice) == []


@pytest.mark.parametrize(("linear", "warned"), [(0.9374, False), (0.95, True)])
def test_a_choice_that_was_trained_on_is_held_to_the_linear_model(
    linear: float, warned: bool, whole: Whole, tmp_path: Path
) -> None:
    run = Run(shutil.copytree(whole[0].path, tmp_path / "run"))
    about = json.loads(run.training.read_text())
    about["health"]["baseline"] = {"commonest": 0.1, "linear": linear, "images": 1000}
    run.training.write_text(json.dumps(about))
    sentences = [one for one in collect(run).warnings if "is below a linear model on thumbnails" in one]
    assert bool(sentences) == warned
    assert all(one.startswith("The choice's top-1 of 93.8%") for one in sentences)


def test_finalists_are_drawn_as_they_are_inherited_and_as_they_were_fine_tuned(whole: Whole, tmp_path: Path) -> None:
    run, result = Run(shutil.copytree(whole[0].path, tmp_path / "run")), whole[1]

    def ranked_by_loss(candidate: Candidate) -> Candidate:
        return replace(candidate, loss=round(1 - (candidate.top1 or 0.0), 4))

    candidates, choice = tuple(map(ranked_by_loss, result.candidates)), ranked_by_loss(result.choice)
    tuned = {digest: 0.1 + 0.01 * place for place, digest in enumerate(result.measured_ms)}
    result = replace(result, candidates=candidates, choice=choice, tuned=tuned, final_loss=0.05)
    save_candidates(result.candidates, run.candidates)
    save_result(result, run.result)
    page = Page(report(run)[0].read_text(encoding="utf-8"))
    rows = page.specs["front"]["data"]["values"]
    at = {row["subnet"]: row for row in rows if row["group"] == "finalist, measured"}
    assert len(at) == 3  # the choice is one of them
    (star,) = [row for row in rows if row["group"] == "choice, fine-tuned"]
    assert (star["subnet"], star["y"], star["inherited"]) == (choice.subnet.digest[:8], 0.05, choice.loss)
    assert star["x"] == at[star["subnet"]]["x"]
    assert at[star["subnet"]]["y"] == choice.loss
    others = {row["subnet"]: row["y"] for row in rows if row["group"] == "finalist, fine-tuned"}
    assert others == {digest[:8]: loss for digest, loss in tuned.items() if digest != choice.subnet.digest}
    table = {row[0]: row[2] for row in page.rows if len(row) == 9}
    assert table["subnet"] == "fine-tuned loss"
    assert table[f"{choice.subnet.digest[:8]} (choice)"] == "0.0500"
    assert "a line leads the choice, and each finalist that a short" in " ".join(page.words)


def test_a_run_of_before_supernets_told_how_they_are_gets_its_page(
    tmp_path: Path, whole: Whole, small: SearchSpace
) -> None:
    run = Run(tmp_path)
    run.begin(small)
    about = json.loads(whole[0].training.read_text())
    run.training.write_text(json.dumps({key: about[key] for key in about if key not in ("health", "block_shares")}))
    page = Page(report(run)[0].read_text(encoding="utf-8"))
    assert set(page.specs) == {"curve-1"}
    run.training.write_text(json.dumps(about | {"health": {"images": "many"}}))
    with pytest.raises(FileError, match=r"train\.json is broken: .*groups"):
        report(run)


@pytest.mark.parametrize(("after", "warned"), [(0.910, False), (0.909, False), (0.9, True)])
def test_what_a_training_from_a_model_did_to_it(whole: Whole, tmp_path: Path, after: float, warned: bool) -> None:
    run = Run(shutil.copytree(whole[0].path, tmp_path / "run"))
    about = json.loads(run.training.read_text())
    run.training.write_text(json.dumps(about | {"init": "deit_x", "largest_top1": [0.9139, after]}))
    html = Page(report(run)[0].read_text(encoding="utf-8"))
    said = f"before the training 91.39%, after it {after:.2%}, on the search split"
    assert ["started from", f"deit_x; top-1 of the largest subnet {said}"] in html.rows
    warnings = [word for word in html.words if "the model that it started from" in word]
    assert bool(warnings) == warned
    assert not warned or "1.4 points" in warnings[0]


def test_the_original_stands_above_the_choice(tmp_path: Path, small: SearchSpace) -> None:
    run = Run(tmp_path)
    run.begin(small)
    assert not [row for row in Page(report(run)[0].read_text(encoding="utf-8")).rows if "original" in row]
    original, choice = Model(small.largest, 4.0, 0.953), Model(small.smallest, 1.6, 0.93)
    write_shrunk(run, Shrunk("here", Budget.parse(latency="2ms"), original, choice, "choice.onnx"))
    rows = Page(report(run)[0].read_text(encoding="utf-8")).rows
    at = next(index for index, row in enumerate(rows) if row and row[0] == "original")
    assert rows[at][1:3] + rows[at][5:] == ["95.30%", "4 ms", "", ""]
    assert rows[at + 1][:3] == ["choice", "93.00%", "1.6 ms"]
    assert rows[at + 1][5:] == ["2.50", "2.30"]
    assert rows[at][3] == show_count(small.largest.macs)
    write_shrunk(run, Shrunk("here", Budget(), original, Model(small.smallest, 1.6, None), "choice.onnx"))
    rows = Page(report(run)[0].read_text(encoding="utf-8")).rows
    assert rows[at + 1][:3] + rows[at + 1][5:] == ["choice", "", "1.6 ms", "2.50", ""]
    run.shrunk.write_text("{}")
    with pytest.raises(FileError, match="is no comparison of a model with its part"):
        report(run)


def test_it_fetches_nothing_and_escapes_what_users_named(page: Page, whole: Whole) -> None:
    assert page.fetched == []
    html = (whole[0].report).read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert "<b>" not in html.split('<script type="application/json"')[0]
    assert "a &lt;b&gt;run" in html
    assert len(html.encode()) < 2 * 2**20


def test_its_charts_are_vega_lite(page: Page) -> None:
    for name, spec in page.specs.items():
        compiled = vl_convert.vegalite_to_vega(spec, vl_version="6.4")
        assert compiled["marks"], name


def test_published_models_stand_only_beside_spaces_of_their_images(page: Page, imagenet: Whole) -> None:
    assert "published" not in page.specs
    html = report(imagenet[0])[0].read_text(encoding="utf-8")
    other = Page(html)
    rows = {row[0]: row[1:] for row in other.rows if len(row) == 4}
    assert rows["DeiT-Ti"] == ["72.2%", "1.25 GMACs", "5.72 M parameters"]
    assert rows["ViTAS-C"][0] == "74.7%"
    drawn = [row["name"] for row in other.specs["published"]["data"]["values"] if row["group"] == "published"]
    assert len(drawn) == 7


def test_a_further_target_is_predicted_and_says_that_it_was_not_measured(imagenet: Whole) -> None:
    found = collect(imagenet[0])
    assert found.search is not None
    ((_name, budget, predicted, interval, measured, inside),) = found.search.targets
    low, middle, high = (float(words.split()[0]) for words in (interval, predicted, interval.split(" to ")[1]))
    assert low < middle < high
    assert (budget, measured, inside) == ("at most 500 ms", "not measured", "yes, by prediction")
    text = " ".join(found.warnings)
    assert "--vitas-deit-tiny is predicted, not measured." in text
    assert "Top-1 is of the search split" in text


@pytest.mark.parametrize("step", ["nothing", "profile", "train"])
def test_a_run_that_has_only_begun_gets_a_page_of_what_there_is(
    step: str, tmp_path: Path, whole: Whole, small: SearchSpace, typed: Any
) -> None:
    run = Run(tmp_path)
    run.begin(small)
    if step == "train":
        run.training.write_text(whole[0].training.read_text())
    if step == "profile":
        for folder in ("profiles", "predictors"):
            shutil.copytree(getattr(whole[0], folder), tmp_path / folder)
        run.manifest.write_text(whole[0].manifest.read_text())
    page = Page(report(run)[0].read_text(encoding="utf-8"))
    assert (
        set(page.specs)
        == {
            "nothing": set(),
            "profile": {"fit-1"},
            "train": {"curve-1", "health", "blocks"},
        }[step]
    )
    assert "architecture" not in page.ids
    assert "asked" in page.ids
    if step == "train":
        assert "43.21%" in page.words


def test_a_folder_that_is_no_run_and_a_broken_result_are_sentences(
    tmp_path: Path, small: SearchSpace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--run", str(tmp_path)]) == 2
    assert "There is no run in" in capsys.readouterr().err
    run = Run(tmp_path)
    run.begin(small)
    run.result.write_text("{}")
    run.candidates.write_text("")
    assert main(["report", "--run", str(tmp_path)]) == 2
    assert re.search(r"search\.json is not a search result", capsys.readouterr().err)
    assert not run.report.exists()


def test_the_command_prints_the_figures(whole: Whole, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "page.html"
    assert main(["report", "--run", str(whole[0].path), "--output", str(output), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["report"] == str(output)
    assert said["figures"]["Top-1 on test"] == "96.11%"
    assert output.stat().st_size > 500_000  # the library is in it


def test_a_profile_of_a_gpu_says_what_was_set_on_it_and_what_it_did_meanwhile() -> None:
    hardware = {"accelerator": "NVIDIA H200", "cpu": "AMD EPYC 9654", "driver": "580.95.05", "power_limit_w": 700}
    seen = {
        "visits": 40,
        "sm_mhz": [1410.0, 1965.0, 1980.0],
        "temperature_c": 61.0,
        "power_w": 312.4,
        "throttling": {"power cap": 0.25},
    }
    assert _gpu_rows({"hardware": hardware, "gpu_during_visits": seen}) == {
        "GPU's driver, power limit": "580.95.05, 700 W",
        "CPU beside it": "AMD EPYC 9654",
        "GPU during visits": "clock 1410, 1965, 1980 MHz (lowest, median, highest); at most 61 °C; at most 312 W; "
        "slowed down: power cap in 25% of the visits",
    }
    untold = {"visits": 1, "sm_mhz": None, "temperature_c": None, "power_w": None, "throttling": {}}
    assert _gpu_rows({"gpu_during_visits": untold}) == {"GPU during visits": "slowed down: never"}
    assert _gpu_rows({"hardware": {"accelerator": "NVIDIA H200"}}) == {}  # an older profile
    assert _gpu_rows({"hardware": {"cpu": "A CPU"}}) == {}
