"""The README's pictures: the road is as its script draws it; the front shows what was measured."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import vl_convert

import vitas_hw as vh
from vitas_hw.cli.main import main
from vitas_hw.runs.directory import Run
from vitas_hw.workflows.search.settings import SearchSettings

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs/pictures"
sys.path.append(str(ROOT / "benchmarks"))
front: Any = importlib.import_module("front")
front_picture: Any = importlib.import_module("front_picture")
NARROW = 390 / 720  # of its size, on a phone


def made_up(count: int = 60) -> dict[str, Any]:
    rows = [
        {"subnet": f"{number:x}", "top1": 0.8 + 0.002 * (number % 50), "measured_ms": 0.1 + 0.03 * number}
        for number in range(count)
    ]
    rows[7]["measured_ms"] = None
    deit = [{"subnet": "deit", "top1": 0.85, "measured_ms": 1.0}]
    return {"budget_ms": 1.2, "choice": "1e", "choice_top1": 0.97, "images": 360, "evaluated": rows, "deit": deit}


def road() -> Any:
    spec = importlib.util.spec_from_file_location("make_road", PICTURES / "make_road.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_road_is_as_its_script_draws_it_and_can_be_read(scheme: str) -> None:
    module = road()
    svg = (PICTURES / f"road-{scheme}.svg").read_text()
    assert svg == module.road(scheme), "Run: python docs/pictures/make_road.py"
    tree = ElementTree.fromstring(svg)  # noqa: S314  # our own
    words = [element for element in tree.iter() if element.tag.endswith("}text")]
    assert [title for title, _ in module.STEPS if title not in [word.text for word in words]] == []
    assert all(float(word.get("font-size", "0")) * NARROW >= 11 for word in words)
    assert vl_convert.svg_to_png(svg).startswith(b"\x89PNG")


def test_the_front_is_what_nothing_faster_beats() -> None:
    rows = [
        {"measured_ms": ms, "top1": top1} for ms, top1 in ((3.0, 0.9), (1.0, 0.5), (2.0, 0.4), (4.0, 0.9), (1.0, 0.6))
    ]
    assert [(row["measured_ms"], row["top1"]) for row in front_picture.front(rows)] == [(1.0, 0.6), (3.0, 0.9)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_picture_holds_every_measured_subnet_front_budget_choice_and_deit(scheme: str) -> None:
    result, colours = made_up(), front_picture.SCHEMES[scheme]
    layers = front_picture.spec(result, colours)["layer"]
    evaluated, deit, line, rule, _, arrow, before, star = (layer["data"]["values"] for layer in layers[:8])
    assert len(evaluated) == 59  # one failed
    assert deit == [{"x": 1.0, "y": 85.0}]
    assert [point["y"] for point in line] == sorted(point["y"] for point in line)
    assert rule == [{"x": 1.2}]
    assert before == [{"x": pytest.approx(0.1 + 0.03 * 0x1E), "y": pytest.approx(100 * (0.8 + 0.002 * 0x1E))}]
    assert star == [{"x": before[0]["x"], "y": 97.0}]
    assert arrow == [star[0] | {"from": before[0]["y"]}]
    svg = front_picture.draw(result, scheme)
    assert "budget 1.2 ms" in svg
    assert colours["strong"] in svg
    sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)px"', svg)]
    assert sizes
    assert min(sizes) * NARROW >= 11
    assert len(svg) < 150_000


def test_pictures_are_stamped_with_the_result_that_they_were_drawn_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "front.json").write_text(json.dumps(made_up()))
    words = ["--result", str(tmp_path / "front.json"), "--folder", str(tmp_path / "drawn")]
    monkeypatch.setattr(sys, "argv", ["front_picture.py", *words])
    front_picture.main()
    assert "front-dark.svg" in capsys.readouterr().out
    for scheme in ("light", "dark"):
        svg = (tmp_path / f"drawn/front-{scheme}.svg").read_text()
        assert svg.endswith(front_picture.stamp(tmp_path / "front.json"))
        assert ElementTree.fromstring(svg).tag.endswith("}svg")  # noqa: S314  # our own
    (tmp_path / "front.json").write_text(json.dumps(made_up(61)))
    assert not svg.endswith(front_picture.stamp(tmp_path / "front.json"))


def test_the_shipped_picture_is_of_the_shipped_result() -> None:
    result = ROOT / "benchmarks/results/front.json"
    wanted = [front_picture.stamp(result)] * 2 if result.exists() else []
    drawn = [path.read_text().splitlines(keepends=True)[-1] for path in sorted(PICTURES.glob("front-*.svg"))]
    assert drawn == wanted, "Run: python benchmarks/front_picture.py"


def test_subnets_of_deits_proportions_are_plain_and_in_the_space() -> None:
    space = vh.load_space("vitas-digits")
    found = front.deit_proportions(space)
    fewest, most = space.depth
    assert {subnet.depth for subnet in found} == set(range(fewest, most + 1))
    for subnet in found:
        (block,) = set(subnet.blocks)
        assert block.num_heads * block.head_dim == subnet.embed_dim
        assert abs(block.mlp_dim / (4 * subnet.embed_dim) - 1) <= front.NEAR
        assert space.contains(subnet)


@pytest.mark.full
def test_a_run_becomes_a_picture(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(
        "image_size: [32, 32]\nin_chans: 1\nnum_classes: 10\npatch_sizes: [8, 16]\nembed_dims: [64, 128]\n"
        "depth: [1, 3]\nnum_heads: [1, 2]\nattn_dims: [64, 128]\nmlp_dims: [128, 256, 512]\n"
    )
    with contextlib.chdir(tmp_path):
        for words in (
            "profile --space small.yaml --num-subnets 20 --rounds 1",
            "train --space small.yaml --epochs 1",
            "search --population 4 --generations 2",
            "search --flops 5M --population 4 --generations 2",  # as the benchmark does after it
        ):
            assert main(words.split()) == 0
    run = Run(tmp_path / "runs/default")
    before = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    result = front.front(run, SearchSettings(pareto="latency_ms", population=4, generations=2), rounds=1)
    assert {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()} == before
    rows = {row["subnet"]: row for row in result["evaluated"]}
    assert len(rows) == len(result["evaluated"]) >= 8
    assert result["choice"] in rows
    assert result["deit"]
    assert all(row["measured_ms"] > 0 for row in rows.values())
    assert "budget" in front_picture.draw(json.loads(json.dumps(result)), "light")
