"""Mistakes with an option, a file or a value, and the sentence each is answered with."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vitas_hw as vh
from vitas_hw.cli.main import main
from vitas_hw.core.budget import Budget
from vitas_hw.core.errors import FileError, InputError
from vitas_hw.core.files import write_atomic
from vitas_hw.core.space import SearchSpace
from vitas_hw.core.subnet import Block, Subnet
from vitas_hw.data.augmentation import Augmentation
from vitas_hw.data.timm_sources import folders
from vitas_hw.predictors.examples import Measured
from vitas_hw.predictors.predictor import read_table_predictor
from vitas_hw.predictors.transfer import choose_to_measure
from vitas_hw.profiling.backends.torch_session import check_shape
from vitas_hw.searching.costs import Costs
from vitas_hw.supernet.pretrained import fill_from_pretrained
from vitas_hw.supernet.sharing import SCHEMES, checked_side
from vitas_hw.training.recipe import Recipe

OLD = Path(__file__).parent / "older_files" / "v1"
RECIPE = Recipe(epochs=2, batch_size=8, lr=1e-3, warmup_epochs=0)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A trained and searched run of a tiny space."""
    return Path(shutil.copytree(OLD / "run", tmp_path / "run"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "--csv", "a.csv"], "Say which predictor the table is for: --predictor."),
        (["profile", "--bundle", "a", "--ray", "auto"], "--bundle, --import and --ray are different ways to measure."),
        (
            ["profile", "--bundle", "a", "--until", "3%"],
            "--until needs measuring on this machine: each batch depends on the one before.",
        ),
        (["profile", "--until", "little"], "'little' is neither a share nor a percentage."),
        (["search", "--latency", "5parsecs"], "has the unit 'parsecs'; known units: "),
        (["search", "--flops", "1M", "--choose", "knee"], "--choose knee needs a front."),
        (["search", "--latency", "a=1ms", "--latency", "a=2ms"], "--latency is given twice for a."),
        (
            ["search", "--pareto", "flops,top1", "--optimizer", "random"],
            "A front needs the surrogate or NSGA-II, not --optimizer",
        ),
        (["compare", "vitas-c", "smallest"], "A target has one image size; these subnets take 32x32, 224x224."),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else None,
)
def test_words_that_do_not_go_together(
    words: list[str], said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--run", str(run)]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_is_no_model_of_timms_is_kept(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run.parent / "mine").mkdir()
    (run.parent / "mine" / "letter").write_text("precious")
    assert main(["export", "--timm", "--output", str(run.parent / "mine"), "--run", str(run)]) == 2
    assert "exists already and is not a model's folder that timm reads." in capsys.readouterr().err
    assert (run.parent / "mine" / "letter").read_text() == "precious"


def test_a_search_result_of_another_schema(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "search.json"
    write_atomic(path, json.dumps({**json.loads(path.read_text()), "schema": 99}))
    assert main(["export", "--onnx", "--run", str(run)]) == 2
    assert (
        "search.json is not a search result: It is of kind 'search' and schema 99, not 'search' and 1."
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["final_top1", "predicted_ms"])
def test_a_search_result_that_leaves_out_what_may_be_null(
    name: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads((run / "search.json").read_text())
    del (data if name in data else data["choice"])[name]
    write_atomic(run / "search.json", json.dumps(data))
    assert main(["export", "--onnx", "--run", str(run)]) == 2
    assert "Its final_top1 or a candidate's predicted_ms is missing" in capsys.readouterr().err


def test_a_space_with_an_unknown_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("wheels: 4\n")
    assert main(["spaces", str(tmp_path / "mine.yaml")]) == 2
    assert "describes no space: unknown field 'wheels'." in capsys.readouterr().err


def test_layers_of_a_candidate_that_are_no_whole_numbers(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run.parent / "one.json"
    path.write_text(json.dumps({"subnet": json.loads((OLD / "subnet.json").read_text()), "layers": [0.5]}))
    assert main(["evaluate", str(path), "--run", str(run)]) == 2
    assert "The layers of a candidate are whole numbers." in capsys.readouterr().err


def test_rows_without_a_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = read_table_predictor(OLD / "predictor-table.json").names
    table = tmp_path / "table.csv"
    table.write_text(
        ",".join(names) + "\n" + ",".join(["1"] * len(names)) + "\n" + ",".join(["much"] * len(names)) + "\n"
    )
    assert main(["predict", "--csv", str(table), "--predictor", str(OLD / "predictor-table.json")]) == 2
    said = capsys.readouterr().err
    assert f"1 row(s) of {table} have no number in one of {', '.join(names)}." in said


def test_a_table_of_other_columns() -> None:
    predictor = read_table_predictor(OLD / "predictor-table.json")
    with pytest.raises(InputError, match=f"This predictor needs the columns {', '.join(predictor.names)}"):
        predictor.predict(np.ones((2, len(predictor.names) + 1)))


def test_a_predictor_of_a_later_version(tmp_path: Path) -> None:
    later = {**json.loads((OLD / "predictor-linear.json").read_text()), "schema": 99}
    (tmp_path / "later.json").write_text(json.dumps(later))
    with pytest.raises(FileError, match=r"has schema 99; this version reads \d"):
        vh.load_predictor(tmp_path / "later.json")


@pytest.mark.parametrize("latencies", [[1.0], [1.0, -1.0], [1.0, float("nan")]])
def test_latencies_that_are_none(latencies: list[float], digits: SearchSpace) -> None:
    predictor = vh.load_predictor(OLD / "predictor-linear.json")
    with pytest.raises(InputError, match="Every subnet needs one latency, positive and finite, in milliseconds"):
        Measured([digits.sample(0), digits.sample(1)], latencies, predictor.target, digits).examples(2)


@pytest.mark.parametrize("count", [1, 5])
def test_more_to_measure_than_there_are(count: int) -> None:
    predictor = vh.load_predictor(OLD / "predictor-linear.json")
    candidates = [predictor.space.sample(seed) for seed in range(4)]
    with pytest.raises(InputError, match=f"From 4 different candidates, 2 to 4 can be chosen, not {count}"):
        choose_to_measure(predictor, candidates, count)


def test_a_latency_without_a_predictor(digits: SearchSpace) -> None:
    with pytest.raises(InputError, match="A latency budget needs a predictor"):
        Costs(digits, None).feasible_code(Budget(latency_ms=(0.0, 5.0)))


def test_a_supernet_of_the_wrong_kind(digits: SearchSpace) -> None:
    with pytest.raises(InputError, match=r"search needs supernet=build_supernet\(...\) or a loaded one"):
        vh.search(digits, supernet="supernet.safetensors", flops="10M")


def test_a_subnet_that_is_too_deep() -> None:
    with pytest.raises(InputError, match="A subnet has at most 1024 blocks, not 1025"):
        Subnet((16, 16), 1, 8, 16, (Block(2, 8, 32),) * 1025, 8)


def test_images_of_another_shape() -> None:
    with pytest.raises(InputError, match=r"The session takes images \(1, 3, 8, 8\), not \(2, 3, 8, 8\)"):
        check_shape(np.zeros((2, 3, 8, 8), np.float32), torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(("scheme", "side"), [("ordinal", "left"), ("bilateral", None)])
def test_a_side_that_a_scheme_has_not(scheme: str, side: str | None) -> None:
    with pytest.raises(InputError, match=f"The sharing scheme '{scheme}' has the sides: .*; given: {side}"):
        checked_side(SCHEMES[scheme], side)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Augmentation(color_jitter=-1), "color_jitter must be at least 0, not -1"),
        (lambda: Augmentation(max_rotation=181), "max_rotation must be at least 0 and at most 180, not 181"),
        (
            lambda: replace(RECIPE, batch_size=0),
            "batch_size must be at least 1, not 0",
        ),
        (lambda: replace(RECIPE, lr=float("inf")), "lr must be above 0, not inf"),
        (lambda: replace(RECIPE, mixup=-1), "mixup must be at least 0, not -1"),
    ],
    ids=lambda given: given[:20] if isinstance(given, str) else None,
)
def test_settings_that_are_impossible(build: Callable[[], Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build()


def test_weights_that_are_packed(digits: SearchSpace, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(4)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(tmp_path / "packed.pth", "w", 8) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(FileError, match=r"is compressed, which torch.save never does, so it was not read"):
        fill_from_pretrained(vh.build_supernet(digits), f"deit_tiny_patch16_224:{tmp_path / 'packed.pth'}")


def test_a_supernet_to_start_from(run: Path, digits: SearchSpace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--init", str(run / "supernet.safetensors"), "--run", str(run), "--epochs", "1"]) == 2
    assert "holds a supernet, and a supernet starts from one plain model." in capsys.readouterr().err


def _images(folder: Path, *classes: str) -> None:
    for name in classes:
        (folder / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(folder / name / "1.png")


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    _images(tmp_path / "train", "cat", "dog")
    _images(tmp_path / "val", "cat", "cow")
    with pytest.raises(InputError, match=r"are not those of the training images: it has also 'cow' and lacks 'dog'"):
        folders(str(tmp_path), {})
    with pytest.raises(FileError, match="has no folder 'test'"):
        folders(str(tmp_path), {"val_split": "test"})
