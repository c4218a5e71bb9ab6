"""The parts of a run alone, without its directory."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import timm
import torch
from shapes import write_shapes

import vitas_hw as vh
from vitas_hw.core.budget import Range
from vitas_hw.core.space import SearchSpace

pytestmark = pytest.mark.usefixtures("brief")  # see brief_steps.py

OPTIMIZERS = [
    vh.optimizers.Surrogate(population=6),
    vh.optimizers.NSGA2(population=6, generations=4),
    vh.optimizers.RegularizedEvolution(population=6),
    vh.optimizers.RandomSearch(),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: type(one).__name__)
def test_an_optimizer_is_asked_and_told(optimizer: vh.optimizers.AnyOptimizer, small: SearchSpace) -> None:
    def value(subnet: vh.Subnet) -> float:
        return abs(subnet.params - 40_000) + 100.0 * subnet.depth

    def evaluated() -> list[tuple[vh.Subnet, float]]:
        at_work = optimizer.ask_tell(small, flops="2M", seed=3)
        found: list[tuple[vh.Subnet, float]] = []
        while len(found) < 24:
            subnets = at_work.ask()
            assert subnets == at_work.ask()  # until it is told
            told = [(subnet, value(subnet)) for subnet in subnets]
            at_work.tell(told[::-1])  # in any order
            found += told
        assert at_work.best == min(found, key=lambda one: one[1])
        return found

    found = evaluated()
    assert len({subnet for subnet, _ in found}) == len(found)
    assert all(subnet.macs <= 2e6 for subnet, _ in found)
    assert found == evaluated()


def test_an_optimizer_that_learns_beats_a_random_one(small: SearchSpace) -> None:
    def least(optimizer: vh.optimizers.AnyOptimizer, seed: int) -> float:
        at_work, asked = optimizer.ask_tell(small, seed=seed), 0
        while asked < 60:
            subnets = at_work.ask()
            at_work.tell([(subnet, -float(subnet.params)) for subnet in subnets])
            asked += len(subnets)
        return at_work.best[1]

    seeds = range(2)
    learned = np.mean([least(vh.optimizers.Surrogate(population=10), seed) for seed in seeds])
    random = np.mean([least(vh.optimizers.RandomSearch(), seed) for seed in seeds])
    assert learned < 1.1 * random < 0


def test_what_is_told_must_be_what_was_asked_for(small: SearchSpace) -> None:
    at_work = vh.optimizers.NSGA2(population=4).ask_tell(small)
    with pytest.raises(vh.VitasError, match="The optimizer has not been told any value yet"):
        at_work.best  # noqa: B018
    with pytest.raises(vh.VitasError, match="Tell the value of each subnet that was asked for, and of no other"):
        at_work.tell([(small.smallest, 1.0)])
    subnets = at_work.ask()
    with pytest.raises(vh.VitasError, match="Tell the value of each subnet that was asked for"):
        at_work.tell([(subnets[0], 1.0)])
    with pytest.raises(vh.VitasError, match="A value to minimise must be a finite number"):
        at_work.tell([(subnet, float("nan")) for subnet in subnets])
    with pytest.raises(vh.VitasError, match="population must be at least 2, not 1"):
        vh.optimizers.NSGA2(population=1)


def test_a_search_keeps_what_further_targets_allow() -> None:
    name = "amd-epyc-zen2-onnxruntime-fp32-b1-t1-i32--digits"
    space, words = vh.load_space("digits"), {"accuracy": "params", "population": 8, "generations": 2}
    free, bound = (
        vh.search(space, flops="20M", targets=targets, **words).best.subnet  # type: ignore[arg-type]
        for targets in ({}, {name: Range(None, 0.2)})
    )
    latency = vh.load_predictor(name).predict([free, bound])
    assert latency.latency_ms[0] > 0.2
    assert latency.upper_ms[1] <= 0.2


def test_a_search_takes_an_optimizer_or_its_name(small: SearchSpace) -> None:
    def digests(**asked: object) -> list[str]:
        found = vh.search(small, flops="2M", accuracy="params", **asked)  # type: ignore[arg-type]
        return [one.digest for one in found.candidates]

    by_name = digests(optimizer="nsga2", population=5, generations=3)
    assert digests(optimizer=vh.optimizers.NSGA2(population=5, generations=3)) == by_name
    assert digests(optimizer=vh.optimizers.RandomSearch(population=5, generations=3)) != by_name
    with pytest.raises(vh.VitasError, match="The optimizer that was given has its own population"):
        digests(optimizer=vh.optimizers.NSGA2(), population=5)


def test_a_supernet_is_trained_searched_and_exported(small: SearchSpace, tmp_path: Path) -> None:
    data, supernet = vh.load_data("digits", small), vh.build_supernet(small, seed=0)
    before = {name: weight.clone() for name, weight in supernet.state_dict().items()}
    losses = vh.train_supernet(supernet, data, epochs=2, batch_size=128, seed=1)
    assert len(losses) == 2
    assert losses[1] < losses[0]
    again = vh.build_supernet(small, seed=0)
    assert vh.train_supernet(again, data, epochs=2, batch_size=128, seed=1) == losses
    assert any(not torch.equal(before[name], weight) for name, weight in supernet.state_dict().items())
    assert not supernet.training

    found = vh.search(small, supernet=supernet, data=data, flops="2M", population=4, generations=2)
    model, best = found.best.model(), found.best.subnet
    images, _ = next(iter(data.test.batches(4)))
    with torch.no_grad():
        assert torch.allclose(model(images), supernet(images, best), atol=1e-5)
    exported = vh.export_onnx(model, tmp_path / "best.onnx", data=data, images=50)
    assert exported.parity.images == 50
    assert exported.beside.top1 == exported.parity.top1 is not None
    about = {one.key: one.value for one in onnx.load(exported.path).metadata_props}
    assert set(about) >= {"preprocessing", "class_names", "subnet"}
    assert vh.Subnet.from_json(about["subnet"]) == best


def test_a_training_needs_images_of_the_supernets_shape(small: SearchSpace) -> None:
    data = vh.load_data("digits", small)
    other = vh.build_supernet(vh.load_space("vitas-deit-tiny"))
    with pytest.raises(vh.VitasError, match="The supernet takes images of 3 x 224 x 224 in 1000 classes; the data"):
        vh.train_supernet(other, data, epochs=1)


def test_only_a_plain_model_is_exported(small: SearchSpace, tmp_path: Path) -> None:
    with pytest.raises(vh.VitasError, match="the model is no plain vision transformer: it is a Linear"):
        vh.export_onnx(torch.nn.Linear(1, 1), tmp_path / "x.onnx")
    odd = timm.create_model("vit_tiny_patch16_224", global_pool="avg", img_size=32)
    with pytest.raises(vh.VitasError, match="it pools by 'avg'"):
        vh.export_onnx(odd, tmp_path / "x.onnx")
    with pytest.raises(vh.VitasError, match="int8 needs images to calibrate on"):
        vh.export_onnx(vh.build_model(small.smallest), tmp_path / "x.onnx", precision="int8")
    with pytest.raises(vh.VitasError, match=r"The folder .* does not exist"):
        vh.export_onnx(vh.build_model(small.smallest), tmp_path / "no" / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_subnets_are_measured_side_by_side(small: SearchSpace) -> None:
    measured = vh.measure([small.largest, small.smallest, small.largest], device="cpu", rounds=1)
    large, little, same = measured.latency_ms
    assert large == same > little
    assert measured.target.image_size == (32, 32)
    assert [row["digest"] for row in measured.to_dicts()][1] == small.smallest.digest
    with pytest.raises(vh.VitasError, match="Subnets of one image size can be measured together, not of 2"):
        vh.measure([small.largest, vh.published_subnet("vitas-c")])
    with pytest.raises(vh.VitasError, match="Unknown device 'gpu9'"):
        vh.measure([small.largest], device="gpu9")


def test_a_space_for_photos_may_be_written(tmp_path: Path) -> None:
    write_shapes(tmp_path / "photos", 6)
    space = vh.space_for(f"folder:{tmp_path / 'photos'}")
    assert (space.name, space.in_chans, space.num_classes) == ("photos", 3, 2)
    assert not (tmp_path / "photos.yaml").exists()
    assert vh.space_for(f"folder:{tmp_path / 'photos'}", output=tmp_path / "photos.yaml") == space
    assert vh.load_space(tmp_path / "photos.yaml") == space


def test_a_table_goes_to_pandas(small: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = vh.search(small, params="30K", accuracy="params", population=4, generations=2)
    pandas = ModuleType("pandas")
    pandas.DataFrame = list  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    frame = found.candidates.to_pandas()
    assert [row["digest"] for row in frame] == [one.digest for one in found.candidates]
    predicted = vh.load_predictor("amd-epyc-zen5-onnxruntime-fp32-b1-t1-i32--vitas-digits").predict([small.smallest])
    assert predicted.to_pandas() == predicted.to_dicts()
    assert predicted.to_dicts()[0]["latency_ms"] == predicted.latency_ms[0]
    assert predicted._repr_html_().count("<tr>") == 2
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(vh.VitasError, match="A data frame needs pandas, which is not installed"):
        found.to_pandas()


def test_a_long_table_is_cut_in_a_notebook() -> None:
    rows = vh.Rows(range(30), lambda number: {"<n>": number, "share": number / 3, "none": None}, "a & b")
    html = rows._repr_html_()
    assert html.count("<tr>") == 21
    assert html.endswith("<p>and 10 more</p>")
    assert "<caption>a &amp; b</caption>" in html
    assert "<th>&lt;n&gt;</th>" in html
    assert "<td>0.3333</td><td></td>" in html
    assert list(rows) == list(range(30))
    assert vh.Rows([], lambda number: {}, "nothing").to_dicts() == []
