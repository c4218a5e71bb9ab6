"""Export, compare and retrain as people type them."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
import pytest

import vitas_hw as vh
from vitas_hw.cli.main import main
from vitas_hw.core.space import SearchSpace
from vitas_hw.export import onnx_graph as writer
from vitas_hw.export.engine_record import EngineRecord, read_record, sha256, write_record
from vitas_hw.workflows.export import export as workflow

pytestmark = pytest.mark.usefixtures("brief")  # see brief_steps.py

RUN = Path("runs/default")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, small: SearchSpace) -> Path:
    """A folder in which a small space was trained and searched."""
    folder = tmp_path_factory.mktemp("export")
    lines = [f"{key}: {list(value) if isinstance(value, tuple) else value}" for key, value in vars(small).items()]
    (folder / "small.yaml").write_text("\n".join(line for line in lines if line.split(":")[0] in small.to_dict()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "--space", "small.yaml", "--epochs", "4"]) == 0
        assert main(["search", "--flops", "1M", "--population", "6", "--generations", "2"]) == 0
    (folder / "bad.json").write_text(
        vh.published_subnet("deit-ti").to_json().replace('"num_heads":3', '"num_heads":2.5')
    )
    five = (
        vh.published_subnet("deit-ti").to_json().replace('"num_heads":3,"head_dim":64', '"num_heads":5,"attn_dim":192')
    )
    (folder / "five.json").write_text(five)
    other_images = replace(small.smallest, image_size=(16, 16))
    (folder / "other-images.json").write_text(other_images.to_json())
    engine = folder / "elsewhere.engine"
    engine.write_bytes(b"for a GPU that no machine has")
    write_record(
        engine,
        EngineRecord(
            library="tensorrt-rtx",
            version=version("tensorrt-rtx-cu13"),
            device=None,
            compute_capabilities=("1.0",),
            precision="fp32",
            subnet=small.smallest,
            engine_sha256=sha256(engine.read_bytes()),
        ),
    )
    return folder


@pytest.fixture(autouse=True)
def _here(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(searched)


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    status = main([*words, "--json"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    result: dict[str, Any] = json.loads(printed.out)
    return result


def files() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file() and path.name != "run.json"}


def test_the_choice_in_several_formats_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    formats = ("onnx", "openvino", "timm", "torch")
    found = run_json(capsys, "export", *(f"--{name}" for name in formats))
    for name in formats:
        assert Path(found[name]).exists()
        report = json.loads(Path(f"{found[name]}.parity.json").read_text())
        assert report == json.loads(json.dumps(found["reports"][name]))
        assert report["extraction"]["others"]["extracted"]["agreement"] == 1.0
        exported = report["exported"]
        assert (exported["images"], exported["others"][name]["agreement"]) == (360, 1.0)
        assert exported["others"][name]["top1"] == pytest.approx(found["top1"])
        card = Path(f"{found[name]}.md").read_text()
        for part in ("## Architecture", "MACs at most 1 MMACs", "`digits`", "| search | `vitas-hw", "Licence"):
            assert part in card
    metadata = {prop.key: json.loads(prop.value) for prop in onnx.load(found["onnx"]).metadata_props}
    assert metadata["weights"] == "the choice's of the last search"
    assert metadata["preprocessing"]["image_size"] == [32, 32]


def test_of_the_front_with_a_fixed_batch_and_half_precision(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "export", "--onnx", "--rank", "1", "--batch-size", "7", "--precision", "fp16")
    assert found["onnx"] == "runs/default/rank-1-fp16.onnx"
    assert ort.InferenceSession(found["onnx"]).get_inputs()[0].shape == [7, 1, 32, 32]
    assert "inherited from the supernet" in Path("runs/default/rank-1-fp16.onnx.md").read_text()
    assert found["reports"]["onnx"]["exported"]["images"] == 360
    assert found["reports"]["onnx"]["latency_ms"] == {}  # ONNX Runtime does not compute in fp16 on a CPU


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_int8_is_measured_before_and_after_where_its_runtime_runs_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_json(capsys, "export", f"--{name}", "--precision", "int8", "--max-drop", "0.2")
    report = found["reports"][name]
    assert list(report["latency_ms"]) == ["fp32", "int8"]
    assert min(report["latency_ms"].values()) > 0
    assert report["exported"]["others"][name]["top1"] >= report["exported"]["top1"] - 0.2
    assert "fp32 " in Path(f"{found[name]}.md").read_text().split("## Files")[1]


def test_int8_is_refused_if_it_costs_too_much(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_json(capsys, "export", "--onnx", "--precision", "int8", "--max-drop", "0.2")
    before = files()
    monkeypatch.setattr(workflow.Export, "scales", lambda self: dict.fromkeys(_linears(found["onnx"]), 10.0))
    assert main(["export", "--onnx", "--precision", "int8"]) == 1
    assert "in int8 top-1 falls from" in capsys.readouterr().err
    assert files() == before


def _linears(path: str) -> list[str]:
    return [i.name.removesuffix(".scale") for i in onnx.load(path).graph.initializer if i.name.endswith(".scale")]


def test_an_export_that_computes_something_else_is_not_kept_and_names_the_layer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_json(capsys, "export", "--onnx")
    before = files()
    right = writer.OnnxWriter.gelu
    monkeypatch.setattr(writer.OnnxWriter, "gelu", lambda self, x: self.add("Relu", [right(self, x)]))
    assert main(["export", "--onnx"]) == 1
    error = capsys.readouterr().err
    assert "onnx export was not kept" in error
    assert "The first layer that differs is blocks.0.mlp.act (activation)." in error
    assert files() == before


def test_a_published_name_has_fresh_weights_and_says_so(capsys: pytest.CaptureFixture[str], searched: Path) -> None:
    small = vh.load_space("small.yaml").sample(1)
    other = vh.Subnet((32, 32), 1, 8, 20, small.blocks, 10)  # of the data's images, but not of the space
    Path("other.json").write_text(other.to_json())
    found = run_json(capsys, "export", "other.json", "--onnx", "--seed", "4", "--output", "other.onnx")
    metadata = {prop.key: json.loads(prop.value) for prop in onnx.load("other.onnx").metadata_props}
    assert (metadata["weights"], metadata["seed"]) == ("fresh, not trained, drawn with seed 4", 4)
    assert found["reports"]["onnx"]["extraction"] is None
    assert found["top1"] < 0.5


def test_an_engine_ahead_of_time_says_what_it_was_built_for(capsys: pytest.CaptureFixture[str], searched: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx-cu13")
    found = run_json(capsys, "export", "--tensorrt", "--precision", "fp16", "--compute-capability", "8.9")
    record = read_record(Path(found["tensorrt"]))
    assert (record.library, record.version) == ("tensorrt-rtx", version("tensorrt-rtx-cu13"))
    assert (record.device, record.compute_capabilities, record.precision) == (None, ("8.9",), "fp16")
    assert record.subnet == vh.Subnet.from_dict(
        json.loads(Path("runs/default/search.json").read_text())["choice"]["subnet"]
    )


def test_compare_puts_subnets_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "compare", "smallest", "largest", "choice", "--rounds", "1")
    assert [row["name"] for row in found["rows"]] == ["smallest", "largest", "choice"]
    for row in found["rows"]:
        subnet = vh.Subnet.from_dict(row["subnet"])
        assert (row["macs"], row["params"], row["failed"]) == (subnet.macs, subnet.params, "")
        assert 0 < row["p50_ms"] <= row["p90_ms"]
        assert 0 < row["top1"] <= 1
    assert found["target"].endswith("-onnxruntime-fp32-b1-t1-i32")


def test_retraining_from_the_supernet_goes_on_where_it_stopped_and_never_ends_below(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("retrain", "--init", "supernet", "--teacher", "supernet", "--epochs", "2")
    stopped = run_json(capsys, *words, "--max-time", "0.001s")
    assert stopped["top1"] is None
    assert Path(stopped["checkpoint"]).exists()
    assert main([*words, "--lr", "0.1"]) == 2
    assert "other settings (lr" in capsys.readouterr().err
    done = run_json(capsys, *words)
    assert (done["epochs"], done["checkpoint"]) == (2, "runs/default/retrained.safetensors")
    assert done["top1"] >= done["inherited_top1"] > 0.1
    assert not Path("runs/default/retraining.pt").exists()
    worse = run_json(capsys, *words, "--lr", "30", "--output", "worse.safetensors")
    assert worse["top1"] == worse["inherited_top1"]
    Path("runs/default/retrained.safetensors").unlink()


# what is typed: (words, what stderr says)
MISTAKES = [
    (["export", "--onnx", "--opset", "3"], ["--opset must be 18 to 23, not 3."]),
    (["export", "--onnx", "--precision", "int4"], ["--precision must be one of fp32, fp16, int8, not 'int4'."]),
    (["export", "--onnx", "--batch-size", "0"], ["--batch-size must be at least 1"]),
    (["export", "--onnx", "--max-drop", "2"], ["--max-drop must be at least 0 and at most 1, not 2.0."]),
    (["export", "--onnx", "--rank", "99"], ["there is no rank 99", "Ranks go from 1, the most accurate, to "]),
    (["export", "choice", "--onnx", "--rank", "1"], ["Both a rank of the front and a subnet"]),
    (["export", "nothing", "--onnx"], ["Unknown subnet 'nothing'", "Known: smallest, largest", "front:RANK"]),
    (["export", "bad.json", "--onnx"], ["bad.json holds no subnet: blocks.0.num_heads must be a whole number"]),
    (["export", "none.json", "--onnx"], ["Cannot read the subnet none.json"]),
    (["export", "five.json", "--onnx"], ["five.json holds no subnet", "exactly the fields num_heads, head_dim"]),
    (["export", "vitas-z", "--onnx"], ["Unknown subnet 'vitas-z'", "vitas-a, vitas-b"]),
    (["export", "elsewhere.engine", "--onnx"], ["was built for compute capability 1.0, and this machine has"]),
    (["compare", "elsewhere.engine", "smallest"], ["was built for compute capability 1.0, and this machine has"]),
    (["retrain", "elsewhere.engine"], ["was built for compute capability 1.0, and this machine has"]),
    (["compare", "none.engine", "smallest"], ["There is no engine none.engine"]),
    (["compare", "smallest", "five.json"], ["five.json holds no subnet"]),
    (["export", "--onnx", "--output", "no/where.onnx"], ["The folder no does not exist", "mkdir -p no"]),
    (["export", "--tensorrt", "--output", "no/where.engine"], ["The folder no does not exist"]),
    (["export", "--openvino", "--opset", "3"], ["--opset must be 18 to 23, not 3."]),
    (["export", "--onnx", "--rank", "0"], ["there is no rank 0"]),
    (["retrain", "--rank", "99"], ["there is no rank 99"]),
    (["retrain", "vitas-z"], ["Unknown subnet 'vitas-z'"]),
    (["retrain", "--teacher", "resnet1"], ["neither a model that timm knows", "--teacher regnety_160"]),
    (["export", "--onnx", "--timm", "--output", "no/where"], ["The folder no does not exist"]),
    (["export", "--tensorrt", "--compute-capability", "9.0"], ["Unknown compute capability of tensorrt-rtx '9.0'"]),
    (["compare", "smallest"], ["at least two subnets"]),
    (["compare", "smallest", "vitas-c"], ["one image size", "32x32, 224x224"]),
    (["compare", "smallest", "resnet18"], ["it is timm's ResNet", "deit_tiny_patch16_224"]),
    (["retrain", "--init", "random"], ["--init must be one of fresh, supernet, not 'random'."]),
    (["retrain", "--epochs", "0"], ["--epochs must be at least 1"]),
    (["retrain", "vitas-c"], ["No images are known that fit vitas-c", "--data"]),
    (
        ["retrain", "other-images.json", "--data", "digits", "--teacher", "supernet"],
        ["The run's supernet takes other images or classes", "Name a teacher that timm knows"],
    ),
    (["retrain", "--drop-path", "1"], ["--drop-path must be at least 0 and below 1"]),
    (["retrain", "--output", "no/where.safetensors"], ["The folder no does not exist"]),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_a_sentence_and_leaves_no_file(
    words: list[str], said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = files()
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    for part in said:
        assert part in printed.err
    assert files() == before
